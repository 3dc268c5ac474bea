"""The parameter data of the commands with operation code 84h (SPC-4 6.18, 6.19, 6.22)."""

import struct

from odx_target.copymgr.limits import STATUS_UPDATE_DELAY_MS
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.tokens.format import MANAGEMENT_TOKEN_BYTES
from odx_target.scsi.layout import Layout, bits, number


class StatusHeader(Layout):
    """The fields before the sense data of RECEIVE COPY STATUS (LID4) and RECEIVE ROD TOKEN INFORMATION."""

    size_bytes = 32
    available_data: int = number(0, 4)
    response_to_service_action: int = bits(4, 4, 5)
    copy_operation_status: int = bits(5, 6, 7)
    operation_counter: int = number(6, 2)
    estimated_status_update_delay: int = number(8, 4)
    extended_copy_completion_status: int = number(12, 1)
    length_of_the_sense_data_field: int = number(13, 1)
    sense_data_length: int = number(14, 1)
    transfer_count_units: int = number(15, 1)
    transfer_count: int = number(16, 8)
    segments_processed: int = number(24, 2)


LOGICAL_BLOCKS = 0xF1
BYTES = 0x00
FINISHED_DELAY = 0xFFFF_FFFE

_STATUS = struct.Struct(">IBBHIBBBBQHxxxxxx")
_AVAILABLE_DATA_BYTES = 4
_SENSE_GRANULARITY_BYTES = 4


def copy_status(operation: CopyOperation, trailer_bytes: int = 0) -> bytes:
    """Build the response to RECEIVE COPY STATUS (LID4). The caller will append `trailer_bytes` bytes, which the field AVAILABLE
    DATA already counts.
    """
    is_in_progress = operation.is_in_progress
    sense = operation.sense
    sense_field_bytes = -(-len(sense) // _SENSE_GRANULARITY_BYTES) * _SENSE_GRANULARITY_BYTES
    status = _STATUS.pack(
        _STATUS.size - _AVAILABLE_DATA_BYTES + sense_field_bytes + trailer_bytes,
        operation.service_action,
        operation.status,
        operation.counter & 0xFFFF,
        STATUS_UPDATE_DELAY_MS if is_in_progress else FINISHED_DELAY,
        operation.completion_status,
        sense_field_bytes,
        len(sense),
        BYTES if operation.is_extended_copy else LOGICAL_BLOCKS,
        operation.copied_bytes if operation.is_extended_copy else operation.transfer_count_blocks,
        operation.segments_processed,
    )
    return status + sense.ljust(sense_field_bytes, b"\0")


def rod_token_information(operation: CopyOperation) -> bytes:
    """Build the response to RECEIVE ROD TOKEN INFORMATION.

    The response contains the field ROD TOKEN DESCRIPTORS LENGTH even if there is no token descriptor.
    """
    descriptors = bytes(2) + operation.token if operation.token and not operation.is_in_progress else b""
    trailer = len(descriptors).to_bytes(4, "big") + descriptors
    return copy_status(operation, len(trailer)) + trailer


def management_token(token: bytes) -> bytes:
    """Return the part of a token that REPORT ALL ROD TOKENS shows to management. This part is too short for use as a token."""
    return token[:MANAGEMENT_TOKEN_BYTES]


ALL_ROD_TOKENS_HEADER_BYTES = 8


def set_all_rod_tokens_header(response: bytearray) -> None:
    """Set the header of the response to REPORT ALL ROD TOKENS. The management tokens follow the header in `response`."""
    response[:ALL_ROD_TOKENS_HEADER_BYTES] = (len(response) - 4).to_bytes(4, "big") + bytes(4)
