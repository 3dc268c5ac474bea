"""TransportIDs of iSCSI, which name initiator ports in PERSISTENT RESERVE IN and OUT (SPC-4 7.6.4.6)."""

import re
from dataclasses import dataclass

from odx_target.scsi.layout import Layout, bits, number
from odx_target.scsi.sense import INVALID_FIELD_IN_PARAMETER_LIST, CheckCondition


class TransportIdHeader(Layout):
    """The header of a TransportID."""

    tpid_format: int = bits(0, 7, 2)
    protocol_identifier: int = bits(0, 3, 4)
    additional_length: int = number(2, 2)


PROTOCOL_ISCSI = 5
INITIATOR_DEVICE, INITIATOR_PORT = 0b00, 0b01
MIN_ADDITIONAL_BYTES = 20
ALIGNMENT_BYTES = 4

# An iSCSI name has at most 223 bytes (RFC 7143 4.2.7.2). The separator, the ISID and the terminating zero follow the name.
MAX_NAME_BYTES = 223
_MAX_ADDITIONAL_BYTES = 244

_ISID_DIGITS = 12
_PORT = re.compile(r"(?P<name>[^,]+),i,0x(?P<isid>[0-9a-f]{1,12})")


@dataclass(frozen=True, slots=True)
class TransportId:
    """The name of an initiator port ("iqn...,i,0x" and the twelve digits of the ISID), or the name of an initiator device."""

    name: str
    is_port: bool


def port_name(name: str) -> str:
    """Return a port name in lower case, because upper and lower case do not differ in port names (RFC 7143 4.2.7.2, 6.1)."""
    return name.lower()


def encode_transport_id(initiator_port_name: str) -> bytes:
    """Encode the TransportID of an initiator port. The name ends with a zero, and is padded to a multiple of four bytes."""
    name = initiator_port_name.encode("utf-8") + b"\0"
    additional_bytes = max(-(-len(name) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, MIN_ADDITIONAL_BYTES)
    # The bytes of TransportIdHeader are built without its codec, because a reply may have hundreds of TransportIDs.
    header = bytes((INITIATOR_PORT << 6 | PROTOCOL_ISCSI, 0))
    return header + additional_bytes.to_bytes(2, "big") + name.ljust(additional_bytes, b"\0")


def decode_transport_ids(data: bytes, first_byte: int) -> list[TransportId]:
    """Decode a list of TransportIDs. `first_byte` is the byte offset of the list in the parameter list.

    Raises CheckCondition for a TransportID that is incomplete, belongs to another protocol, or has no valid name.
    """
    found, at = [], 0
    while at < len(data):
        size_bytes, transport_id = _decode(data[at:], first_byte + at)
        found.append(transport_id)
        at += size_bytes
    return found


def _decode(data: bytes, first_byte: int) -> tuple[int, TransportId]:
    invalid = CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=first_byte)
    if len(data) < TransportIdHeader.size_bytes:
        raise invalid
    fields = TransportIdHeader.parse(data)
    additional_bytes = fields.additional_length
    if (
        fields.protocol_identifier != PROTOCOL_ISCSI
        or not MIN_ADDITIONAL_BYTES <= additional_bytes <= _MAX_ADDITIONAL_BYTES
        or additional_bytes % ALIGNMENT_BYTES
        or len(data) < TransportIdHeader.size_bytes + additional_bytes
    ):
        raise invalid
    name = data[TransportIdHeader.size_bytes :][:additional_bytes].partition(b"\0")[0]
    transport_id = _named(fields.tpid_format, name)
    if transport_id is None:
        raise invalid
    return TransportIdHeader.size_bytes + additional_bytes, transport_id


def _named(tpid_format: int, name: bytes) -> TransportId | None:
    try:
        text = port_name(name.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    if tpid_format == INITIATOR_DEVICE:
        return TransportId(text, is_port=False) if text and "," not in text else None
    port = _PORT.fullmatch(text)
    if tpid_format != INITIATOR_PORT or port is None:
        return None
    return TransportId(f"{port['name']},i,0x{port['isid'].rjust(_ISID_DIGITS, '0')}", is_port=True)
