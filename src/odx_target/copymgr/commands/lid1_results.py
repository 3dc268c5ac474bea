"""The commands that report operations of EXTENDED COPY(LID1), and the limits of EXTENDED COPY (SPC-4 6.14 to 6.18).

RECEIVE COPY DATA (LID1) is not supported, because no supported segment descriptor holds data for the host.
"""

from odx_target.copymgr.commands.copy_results import found_operation
from odx_target.copymgr.commands.extended_copy_list import CSCD_TYPES, SEGMENT_TYPES
from odx_target.copymgr.commands.parameter_lists import LID1_CDB, Lid1Receive
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task


class Lid1Status(Layout):
    """The parameter data of RECEIVE COPY STATUS (LID1)."""

    available_data: int = number(0, 4)
    hdd: bool = flag(4, 7)
    copy_command_status: int = bits(4, 6, 7)
    segments_processed: int = number(5, 2)
    transfer_count_units: int = number(7, 1)
    transfer_count: int = number(8, 4)


class OperatingParameters(Layout):
    """The parameter data of RECEIVE COPY OPERATING PARAMETERS before the list of descriptor type codes."""

    available_data: int = number(0, 4)
    snlid: bool = flag(4, 0)
    maximum_cscd_descriptor_count: int = number(8, 2)
    maximum_segment_descriptor_count: int = number(10, 2)
    maximum_descriptor_list_length: int = number(12, 4)
    maximum_segment_length: int = number(16, 4)
    maximum_inline_data_length: int = number(20, 4)
    held_data_limit: int = number(24, 4)
    maximum_stream_device_transfer_size: int = number(28, 4)
    total_concurrent_copies: int = number(34, 2)
    maximum_concurrent_copies: int = number(36, 1)
    data_segment_granularity: int = number(37, 1)
    inline_data_granularity: int = number(38, 1)
    held_data_granularity: int = number(39, 1)
    implemented_descriptor_list_length: int = number(43, 1)


class FailureDetails(Layout):
    """The parameter data of RECEIVE COPY FAILURE DETAILS (LID1) before the sense data."""

    available_data: int = number(0, 4)
    extended_copy_command_status: int = number(56, 1)
    sense_data_length: int = number(58, 2)


_IN_PROGRESS, _COMPLETED, _COMPLETED_WITH_ERRORS = 0x00, 0x01, 0x02
_AVAILABLE_DATA_BYTES = 4
_MAX_COUNT = 0xFFFF_FFFF
_UNIT_BYTES = 1024
"""Ratio of two neighbouring values of TRANSFER COUNT UNITS: bytes, KiB, MiB and so on."""


def receive_copy_status_lid1(copies: Copies, task: Task) -> Outcome:
    """Report the progress or the result of an EXTENDED COPY. The result of an operation that has ended is reported only once.

    A result that the allocation length has cut can be fetched again.
    """
    operation, allocation_bytes = _found(copies, task, Lid1Receive.RECEIVE_COPY_STATUS_LID1)
    count, units = operation.copied_bytes, 0
    while count > _MAX_COUNT:
        count, units = count // _UNIT_BYTES, units + 1
    status = Lid1Status(
        available_data=Lid1Status.size_bytes - _AVAILABLE_DATA_BYTES,
        copy_command_status=_status_of(operation),
        segments_processed=operation.segments_processed,
        transfer_count_units=units,
        transfer_count=count,
    ).build()
    _note_delivery(operation, Lid1Receive.RECEIVE_COPY_STATUS_LID1, allocation_bytes >= len(status))
    return Reply.of_parameter_data(status, allocation_bytes)


def receive_copy_failure_details(copies: Copies, task: Task) -> Outcome:
    """Report the sense data of an EXTENDED COPY that has failed. The details are reported only once."""
    receive = Lid1Receive.RECEIVE_COPY_FAILURE_DETAILS_LID1
    operation, allocation_bytes = _found(copies, task, receive)
    details = bytes(_AVAILABLE_DATA_BYTES)
    if operation.status is not CopyStatus.COMPLETED:
        header = FailureDetails(
            available_data=FailureDetails.size_bytes - _AVAILABLE_DATA_BYTES + len(operation.sense),
            extended_copy_command_status=operation.completion_status,
            sense_data_length=len(operation.sense),
        )
        details = header.build() + operation.sense
    _note_delivery(operation, receive, allocation_bytes >= len(details))
    return Reply.of_parameter_data(details, allocation_bytes)


def receive_copy_operating_parameters(copies: Copies, task: Task) -> Outcome:
    """Report the limits of EXTENDED COPY, and the supported types of descriptors."""
    _, allocation_bytes = LID1_CDB.unpack_from(task.cdb)
    return Reply.of_parameter_data(operating_parameters(copies.limits), allocation_bytes)


def operating_parameters(limits: CopyLimits) -> bytes:
    """Build the response to RECEIVE COPY OPERATING PARAMETERS. VPD page 8Fh reports the same values."""
    codes = descriptor_type_codes()
    header = OperatingParameters(
        available_data=OperatingParameters.size_bytes - _AVAILABLE_DATA_BYTES + len(codes),
        snlid=True,
        maximum_cscd_descriptor_count=limits.max_cscd_descriptors,
        maximum_segment_descriptor_count=limits.max_segment_descriptors,
        maximum_descriptor_list_length=limits.max_descriptor_list_bytes,
        maximum_segment_length=limits.max_segment_bytes,
        total_concurrent_copies=limits.max_concurrent_copies,
        maximum_concurrent_copies=limits.max_identified_copies,
        implemented_descriptor_list_length=len(codes),
    )
    return header.build() + codes


def descriptor_type_codes() -> bytes:
    """Return the type codes of all supported descriptors in ascending order."""
    return bytes(sorted((*SEGMENT_TYPES, *CSCD_TYPES)))


def _status_of(operation: CopyOperation) -> int:
    if operation.is_in_progress:
        return _IN_PROGRESS
    return _COMPLETED if operation.status is CopyStatus.COMPLETED else _COMPLETED_WITH_ERRORS


def _found(copies: Copies, task: Task, receive: Lid1Receive) -> tuple[CopyOperation, int]:
    """Return the operation that the CDB names, and the allocation length. Raises Refusal if there is nothing to report."""
    list_identifier, allocation_bytes = LID1_CDB.unpack_from(task.cdb)
    operation = copies.records.find(task.nexus, task.logical_unit, list_identifier)
    if operation is not None:
        is_early = receive is Lid1Receive.RECEIVE_COPY_FAILURE_DETAILS_LID1 and operation.is_in_progress
        if not operation.is_extended_copy or receive in operation.delivered or is_early:
            operation = None
    return found_operation(copies, operation, list_identifier), allocation_bytes


def _note_delivery(operation: CopyOperation, receive: Lid1Receive, is_whole: bool) -> None:
    if is_whole and not operation.is_in_progress:
        operation.delivered |= {receive}
