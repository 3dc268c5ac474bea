"""Decoding of sense data in fixed and descriptor format, and texts that describe sense data (SPC-4 4.5, annex F)."""

from dataclasses import dataclass
from enum import IntEnum

from odx_target.initiator.result import CommandResult, Status

MIN_SENSE_BYTES = 8
"""Minimum length of sense data that can be read: all bytes up to and including ADDITIONAL SENSE LENGTH. If later bytes are
missing, they count as zero."""


class SenseKey(IntEnum):
    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    BLANK_CHECK = 0x8
    VENDOR_SPECIFIC = 0x9
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    RESERVED = 0xC
    VOLUME_OVERFLOW = 0xD
    MISCOMPARE = 0xE
    COMPLETED = 0xF


CODE_WORDS: dict[tuple[int, int], str] = {
    (0x00, 0x00): "no additional sense information",
    (0x00, 0x16): "operation in progress",
    (0x03, 0x00): "peripheral device write fault",
    (0x04, 0x01): "logical unit is in process of becoming ready",
    (0x04, 0x02): "logical unit not ready, initializing command required",
    (0x08, 0x04): "unreachable copy target",
    (0x0C, 0x00): "write error",
    (0x0D, 0x01): "third party device failure",
    (0x0D, 0x02): "copy target device not reachable",
    (0x0D, 0x03): "incorrect copy target device type",
    (0x0D, 0x04): "copy target device data underrun",
    (0x0D, 0x05): "copy target device data overrun",
    (0x11, 0x00): "unrecovered read error",
    (0x1A, 0x00): "parameter list length error",
    (0x1D, 0x00): "miscompare during verify operation",
    (0x20, 0x00): "invalid command operation code",
    (0x21, 0x00): "logical block address out of range",
    (0x23, 0x00): "invalid token operation, cause not reportable",
    (0x23, 0x01): "invalid token operation, unsupported token type",
    (0x23, 0x02): "invalid token operation, remote token usage not supported",
    (0x23, 0x03): "invalid token operation, remote ROD token creation not supported",
    (0x23, 0x04): "invalid token operation, token unknown",
    (0x23, 0x05): "invalid token operation, token corrupt",
    (0x23, 0x06): "invalid token operation, token revoked",
    (0x23, 0x07): "invalid token operation, token expired",
    (0x23, 0x08): "invalid token operation, token cancelled",
    (0x23, 0x09): "invalid token operation, token deleted",
    (0x23, 0x0A): "invalid token operation, invalid token length",
    (0x24, 0x00): "invalid field in CDB",
    (0x25, 0x00): "logical unit not supported",
    (0x26, 0x00): "invalid field in parameter list",
    (0x26, 0x06): "too many CSCD descriptors",
    (0x26, 0x07): "unsupported CSCD descriptor type code",
    (0x26, 0x08): "too many segment descriptors",
    (0x26, 0x09): "unsupported segment descriptor type code",
    (0x26, 0x0A): "unexpected inexact segment",
    (0x26, 0x0B): "inline data length exceeded",
    (0x26, 0x0D): "copy segment granularity violation",
    (0x27, 0x00): "write protected",
    (0x27, 0x07): "space allocation failed write protect",
    (0x29, 0x00): "power on, reset, or bus device reset occurred",
    (0x29, 0x01): "power on occurred",
    (0x29, 0x02): "SCSI bus reset occurred",
    (0x29, 0x03): "bus device reset function occurred",
    (0x29, 0x07): "I_T nexus loss occurred",
    (0x2A, 0x01): "mode parameters changed",
    (0x2A, 0x09): "capacity data has changed",
    (0x2C, 0x00): "command sequence error",
    (0x2F, 0x00): "commands cleared by another initiator",
    (0x2F, 0x02): "commands cleared by device server",
    (0x3A, 0x00): "medium not present",
    (0x3F, 0x0E): "reported LUNs data has changed",
    (0x44, 0x00): "internal target failure",
    (0x47, 0x03): "information unit iuCRC error detected",
    (0x55, 0x03): "insufficient resources",
    (0x55, 0x0C): "insufficient resources to create ROD",
    (0x55, 0x0D): "insufficient resources to create ROD token",
}


@dataclass(frozen=True, slots=True)
class FieldPointer:
    """The position of the byte that caused an ILLEGAL REQUEST (SPC-4 4.5.2.4.2). `bit` is the position of the bit in this byte;
    None if the target does not report it.
    """

    in_cdb: bool
    byte: int
    bit: int | None

    def __str__(self) -> str:
        bit = "" if self.bit is None else f" bit {self.bit}"
        return f"{'CDB' if self.in_cdb else 'parameter list'} byte {self.byte}{bit}"


@dataclass(frozen=True, slots=True)
class Sense:
    """The content of sense data. `information` is None if the VALID bit is 0 or the field is missing."""

    key: int
    asc: int
    ascq: int
    information: int | None = None
    field_pointer: FieldPointer | None = None
    deferred: bool = False
    command_specific: int = 0
    """COMMAND-SPECIFIC INFORMATION; 0 if the sense data does not have this field."""

    @property
    def code(self) -> tuple[int, int]:
        return self.asc, self.ascq

    @property
    def is_invalid_token(self) -> bool:
        """True if the additional sense code is INVALID TOKEN OPERATION (23h), with any qualifier."""
        return self.key == SenseKey.ILLEGAL_REQUEST and self.asc == 0x23

    @property
    def is_copy_underrun(self) -> bool:
        """True if a copy ended early (0Dh/04h). The sense key must be COPY ABORTED or ABORTED COMMAND. Windows accepts the same
        two sense keys.
        """
        return self.code == (0x0D, 0x04) and self.key in {SenseKey.COPY_ABORTED, SenseKey.ABORTED_COMMAND}

    def __str__(self) -> str:
        key = SenseKey(self.key).name.replace("_", " ")
        words = f" {known}" if (known := CODE_WORDS.get(self.code)) else ""
        information = "" if self.information is None else f", information {self.information}"
        pointer = "" if self.field_pointer is None else f", {self.field_pointer}"
        return f"{key} {self.asc:02X}h/{self.ascq:02X}h{words}{information}{pointer}"


def read_sense(data: bytes) -> Sense | None:
    """Decode sense data of fixed or descriptor format. Returns None if the data is too short or in a vendor's format."""
    if not data:
        return None
    response_code = data[0] & 0x7F
    if response_code in {0x70, 0x71} and len(data) >= MIN_SENSE_BYTES:
        return _read_fixed(data, deferred=response_code == 0x71)
    if response_code in {0x72, 0x73} and len(data) >= MIN_SENSE_BYTES:
        return _read_descriptors(data, deferred=response_code == 0x73)
    return None


def _read_fixed(data: bytes, *, deferred: bool) -> Sense:
    end = min(len(data), 8 + data[7])
    body = data[:end].ljust(18, b"\0")
    information = int.from_bytes(body[3:7], "big") if data[0] & 0x80 else None
    pointer = _field_pointer(body[2] & 0xF, body[15:18])
    command_specific = int.from_bytes(body[8:12], "big")
    return Sense(body[2] & 0xF, body[12], body[13], information, pointer, deferred, command_specific)


def _read_descriptors(data: bytes, *, deferred: bool) -> Sense:
    information, pointer, command_specific = None, None, 0
    key, position, end = data[1] & 0xF, 8, min(len(data), 8 + data[7])
    while position + 2 <= end:
        body = data[position : min(end, position + 2 + data[position + 1])]
        if body[0] == 0x00 and len(body) >= 12 and body[2] & 0x80:
            information = int.from_bytes(body[4:12], "big")
        elif body[0] == 0x01 and len(body) >= 12:
            command_specific = int.from_bytes(body[4:12], "big")
        elif body[0] == 0x02 and len(body) >= 7:
            pointer = _field_pointer(key, body[4:7])
        position += 2 + data[position + 1]
    return Sense(key, data[2], data[3], information, pointer, deferred, command_specific)


def _field_pointer(key: int, specific: bytes) -> FieldPointer | None:
    if key != SenseKey.ILLEGAL_REQUEST or not specific[0] & 0x80:
        return None
    bit = specific[0] & 0x07 if specific[0] & 0x08 else None
    return FieldPointer(bool(specific[0] & 0x40), int.from_bytes(specific[1:3], "big"), bit)


def describe_result(result: CommandResult) -> str:
    """Return a short text about the end of a command: the sense data for CHECK CONDITION, otherwise the status."""
    if result.status == Status.CHECK_CONDITION:
        sense = read_sense(result.sense)
        return "CHECK CONDITION without readable sense data" if sense is None else str(sense)
    try:
        return Status(result.status).name.replace("_", " ")
    except ValueError:
        return f"status {result.status:02X}h"
