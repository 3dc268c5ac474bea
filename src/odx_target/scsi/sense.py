"""Sense data: the named conditions, and the encoding of sense data (SPC-4 4.5).

A handler raises `CheckCondition(NAME, ...)`. Only this module encodes sense data. `copymgr.copy_aborted` adds the data of
another logical unit to it.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from odx_target.scsi.reply import Reply, Status


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
    VOLUME_OVERFLOW = 0xD
    MISCOMPARE = 0xE
    COMPLETED = 0xF


@dataclass(frozen=True, slots=True)
class Condition:
    """A sense key with an additional sense code and its qualifier."""

    key: SenseKey
    asc: int
    ascq: int
    words: str


_NO = SenseKey.NO_SENSE
_NOT_READY = SenseKey.NOT_READY
_MEDIUM = SenseKey.MEDIUM_ERROR
_HARDWARE = SenseKey.HARDWARE_ERROR
_ILLEGAL = SenseKey.ILLEGAL_REQUEST
_ATTENTION = SenseKey.UNIT_ATTENTION
_PROTECT = SenseKey.DATA_PROTECT
_COPY = SenseKey.COPY_ABORTED
_MISCOMPARE = SenseKey.MISCOMPARE

# State of the logical unit.
NO_ADDITIONAL_SENSE_INFORMATION = Condition(_NO, 0x00, 0x00, "no additional sense information")
NOT_READY_CAUSE_NOT_REPORTABLE = Condition(_NOT_READY, 0x04, 0x00, "logical unit not ready, cause not reportable")
BECOMING_READY = Condition(_NOT_READY, 0x04, 0x01, "logical unit is in process of becoming ready")
INITIALIZING_COMMAND_REQUIRED = Condition(_NOT_READY, 0x04, 0x02, "logical unit not ready, initializing command required")
FORMAT_IN_PROGRESS = Condition(_NOT_READY, 0x04, 0x04, "logical unit not ready, format in progress")
MANUAL_INTERVENTION_REQUIRED = Condition(_NOT_READY, 0x04, 0x03, "logical unit not ready, manual intervention required")
ASYMMETRIC_ACCESS_STATE_TRANSITION = Condition(
    _NOT_READY, 0x04, 0x0A, "logical unit not accessible, asymmetric access state transition"
)
TARGET_PORT_IN_STANDBY_STATE = Condition(_NOT_READY, 0x04, 0x0B, "logical unit not accessible, target port in standby state")
TARGET_PORT_IN_UNAVAILABLE_STATE = Condition(
    _NOT_READY, 0x04, 0x0C, "logical unit not accessible, target port in unavailable state"
)
LOGICAL_UNIT_NOT_READY_OFFLINE = Condition(_NOT_READY, 0x04, 0x12, "logical unit not ready, offline")
SANITIZE_IN_PROGRESS = Condition(_NOT_READY, 0x04, 0x1B, "logical unit not ready, sanitize in progress")
SPACE_ALLOCATION_IN_PROGRESS = Condition(_NOT_READY, 0x04, 0x14, "logical unit not ready, space allocation in progress")

# Medium and hardware.
PERIPHERAL_DEVICE_WRITE_FAULT = Condition(_HARDWARE, 0x03, 0x00, "peripheral device write fault")
UNRECOVERED_READ_ERROR = Condition(_MEDIUM, 0x11, 0x00, "unrecovered read error")
WRITE_ERROR = Condition(_MEDIUM, 0x0C, 0x00, "write error")
FORMAT_COMMAND_FAILED = Condition(_MEDIUM, 0x31, 0x01, "format command failed")
SANITIZE_COMMAND_FAILED = Condition(_MEDIUM, 0x31, 0x03, "sanitize command failed")
LOGICAL_UNIT_FAILED_SELF_TEST = Condition(_HARDWARE, 0x3E, 0x03, "logical unit failed self-test")
INTERNAL_TARGET_FAILURE = Condition(_HARDWARE, 0x44, 0x00, "internal target failure")
SET_TARGET_PORT_GROUPS_COMMAND_FAILED = Condition(_HARDWARE, 0x67, 0x0A, "set target port groups command failed")
MISCOMPARE_DURING_VERIFY_OPERATION = Condition(_MISCOMPARE, 0x1D, 0x00, "miscompare during verify operation")

# Invalid requests.
INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT = Condition(_ILLEGAL, 0x0E, 0x03, "invalid field in command information unit")
PARAMETER_LIST_LENGTH_ERROR = Condition(_ILLEGAL, 0x1A, 0x00, "parameter list length error")
INVALID_COMMAND_OPERATION_CODE = Condition(_ILLEGAL, 0x20, 0x00, "invalid command operation code")
LBA_OUT_OF_RANGE = Condition(_ILLEGAL, 0x21, 0x00, "logical block address out of range")
INVALID_FIELD_IN_CDB = Condition(_ILLEGAL, 0x24, 0x00, "invalid field in CDB")
LOGICAL_UNIT_NOT_SUPPORTED = Condition(_ILLEGAL, 0x25, 0x00, "logical unit not supported")
INVALID_FIELD_IN_PARAMETER_LIST = Condition(_ILLEGAL, 0x26, 0x00, "invalid field in parameter list")
PARAMETER_NOT_SUPPORTED = Condition(_ILLEGAL, 0x26, 0x01, "parameter not supported")
PARAMETER_VALUE_INVALID = Condition(_ILLEGAL, 0x26, 0x02, "parameter value invalid")
INVALID_RELEASE_OF_PERSISTENT_RESERVATION = Condition(_ILLEGAL, 0x26, 0x04, "invalid release of persistent reservation")
COMMAND_SEQUENCE_ERROR = Condition(_ILLEGAL, 0x2C, 0x00, "command sequence error")
SAVING_PARAMETERS_NOT_SUPPORTED = Condition(_ILLEGAL, 0x39, 0x00, "saving parameters not supported")
INVALID_MESSAGE_ERROR = Condition(_ILLEGAL, 0x49, 0x00, "invalid message error")
INSUFFICIENT_REGISTRATION_RESOURCES = Condition(_ILLEGAL, 0x55, 0x04, "insufficient registration resources")

# Protection and space.
WRITE_PROTECTED = Condition(_PROTECT, 0x27, 0x00, "write protected")
SPACE_ALLOCATION_FAILED_WRITE_PROTECT = Condition(_PROTECT, 0x27, 0x07, "space allocation failed write protect")

# Unit attentions.
POWER_ON_OR_RESET_OCCURRED = Condition(_ATTENTION, 0x29, 0x00, "power on, reset, or bus device reset occurred")
POWER_ON_OCCURRED = Condition(_ATTENTION, 0x29, 0x01, "power on occurred")
SCSI_BUS_RESET_OCCURRED = Condition(_ATTENTION, 0x29, 0x02, "SCSI bus reset occurred")
BUS_DEVICE_RESET_FUNCTION_OCCURRED = Condition(_ATTENTION, 0x29, 0x03, "bus device reset function occurred")
DEVICE_INTERNAL_RESET = Condition(_ATTENTION, 0x29, 0x04, "device internal reset")
I_T_NEXUS_LOSS_OCCURRED = Condition(_ATTENTION, 0x29, 0x07, "I_T nexus loss occurred")
MODE_PARAMETERS_CHANGED = Condition(_ATTENTION, 0x2A, 0x01, "mode parameters changed")
RESERVATIONS_PREEMPTED = Condition(_ATTENTION, 0x2A, 0x03, "reservations preempted")
RESERVATIONS_RELEASED = Condition(_ATTENTION, 0x2A, 0x04, "reservations released")
REGISTRATIONS_PREEMPTED = Condition(_ATTENTION, 0x2A, 0x05, "registrations preempted")
ASYMMETRIC_ACCESS_STATE_CHANGED = Condition(_ATTENTION, 0x2A, 0x06, "asymmetric access state changed")
IMPLICIT_ASYMMETRIC_ACCESS_STATE_TRANSITION_FAILED = Condition(
    _ATTENTION, 0x2A, 0x07, "implicit asymmetric access state transition failed"
)
TIMESTAMP_CHANGED = Condition(_ATTENTION, 0x2A, 0x10, "timestamp changed")
CAPACITY_DATA_HAS_CHANGED = Condition(_ATTENTION, 0x2A, 0x09, "capacity data has changed")
NOT_READY_TO_READY_CHANGE = Condition(_ATTENTION, 0x28, 0x00, "not ready to ready change, medium may have changed")
COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = Condition(_ATTENTION, 0x2F, 0x00, "commands cleared by another initiator")
INQUIRY_DATA_HAS_CHANGED = Condition(_ATTENTION, 0x3F, 0x03, "inquiry data has changed")
DEVICE_IDENTIFIER_CHANGED = Condition(_ATTENTION, 0x3F, 0x05, "device identifier changed")
REPORTED_LUNS_DATA_HAS_CHANGED = Condition(_ATTENTION, 0x3F, 0x0E, "reported LUNs data has changed")
THIN_PROVISIONING_SOFT_THRESHOLD_REACHED = Condition(_ATTENTION, 0x38, 0x07, "thin provisioning soft threshold reached")

# Reported by log pages only.
FAILURE_PREDICTION_THRESHOLD_EXCEEDED = Condition(_NO, 0x5D, 0x00, "failure prediction threshold exceeded")

# Third-party copy in general.
OPERATION_IN_PROGRESS = Condition(_ILLEGAL, 0x00, 0x16, "operation in progress")
UNREACHABLE_COPY_TARGET = Condition(_ILLEGAL, 0x08, 0x04, "unreachable copy target")
THIRD_PARTY_DEVICE_FAILURE = Condition(_COPY, 0x0D, 0x01, "third party device failure")
COPY_TARGET_DEVICE_NOT_REACHABLE = Condition(_COPY, 0x0D, 0x02, "copy target device not reachable")
INCORRECT_COPY_TARGET_DEVICE_TYPE = Condition(_COPY, 0x0D, 0x03, "incorrect copy target device type")
COPY_TARGET_DEVICE_DATA_UNDERRUN = Condition(_COPY, 0x0D, 0x04, "copy target device data underrun")
COPY_TARGET_DEVICE_DATA_OVERRUN = Condition(_COPY, 0x0D, 0x05, "copy target device data overrun")
TOO_MANY_CSCD_DESCRIPTORS = Condition(_ILLEGAL, 0x26, 0x06, "too many target descriptors")
UNSUPPORTED_CSCD_DESCRIPTOR_TYPE_CODE = Condition(_ILLEGAL, 0x26, 0x07, "unsupported target descriptor type code")
TOO_MANY_SEGMENT_DESCRIPTORS = Condition(_ILLEGAL, 0x26, 0x08, "too many segment descriptors")
UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE = Condition(_ILLEGAL, 0x26, 0x09, "unsupported segment descriptor type code")
UNEXPECTED_INEXACT_SEGMENT = Condition(_COPY, 0x26, 0x0A, "unexpected inexact segment")
INLINE_DATA_LENGTH_EXCEEDED = Condition(_ILLEGAL, 0x26, 0x0B, "inline data length exceeded")
INVALID_OPERATION_FOR_COPY_SOURCE_OR_DESTINATION = Condition(
    _ILLEGAL, 0x26, 0x0C, "invalid operation for copy source or destination"
)
COPY_SEGMENT_GRANULARITY_VIOLATION = Condition(_ILLEGAL, 0x26, 0x0D, "copy segment granularity violation")
COMMANDS_CLEARED_BY_DEVICE_SERVER = Condition(_COPY, 0x2F, 0x02, "commands cleared by device server")
INSUFFICIENT_RESOURCES = Condition(_ILLEGAL, 0x55, 0x03, "insufficient resources")
INSUFFICIENT_RESOURCES_TO_CREATE_ROD = Condition(_ILLEGAL, 0x55, 0x0C, "insufficient resources to create ROD")
INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN = Condition(_ILLEGAL, 0x55, 0x0D, "insufficient resources to create ROD token")

# Invalid tokens.
INVALID_TOKEN_CAUSE_NOT_REPORTABLE = Condition(_ILLEGAL, 0x23, 0x00, "invalid token operation, cause not reportable")
UNSUPPORTED_TOKEN_TYPE = Condition(_ILLEGAL, 0x23, 0x01, "invalid token operation, unsupported token type")
REMOTE_TOKEN_USAGE_NOT_SUPPORTED = Condition(_ILLEGAL, 0x23, 0x02, "invalid token operation, remote token usage not supported")
REMOTE_ROD_TOKEN_CREATION_NOT_SUPPORTED = Condition(
    _ILLEGAL, 0x23, 0x03, "invalid token operation, remote ROD token creation not supported"
)
TOKEN_UNKNOWN = Condition(_ILLEGAL, 0x23, 0x04, "invalid token operation, token unknown")
TOKEN_CORRUPT = Condition(_ILLEGAL, 0x23, 0x05, "invalid token operation, token corrupt")
TOKEN_REVOKED = Condition(_ILLEGAL, 0x23, 0x06, "invalid token operation, token revoked")
TOKEN_EXPIRED = Condition(_ILLEGAL, 0x23, 0x07, "invalid token operation, token expired")
TOKEN_CANCELLED = Condition(_ILLEGAL, 0x23, 0x08, "invalid token operation, token cancelled")
TOKEN_DELETED = Condition(_ILLEGAL, 0x23, 0x09, "invalid token operation, token deleted")
INVALID_TOKEN_LENGTH = Condition(_ILLEGAL, 0x23, 0x0A, "invalid token operation, invalid token length")

CONDITIONS: tuple[Condition, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Condition))
"""All conditions that this module defines."""

UNNAMED = "unnamed condition"
"""The meaning of a code that SPC-4 does not assign."""

_WORDS = {(condition.asc, condition.ascq): condition.words for condition in CONDITIONS}

FIXED_FORMAT_BYTES = 18
_FIXED = struct.Struct(">BxBIBIBBxBH")
_DESCRIPTOR_HEADER = struct.Struct(">BBBB3xB")
_INFORMATION_DESCRIPTOR = struct.Struct(">BBBxQ")
_COMMAND_SPECIFIC_DESCRIPTOR = struct.Struct(">BBxxQ")
_SENSE_KEY_SPECIFIC_DESCRIPTOR = struct.Struct(">BBxxBHx")

_VALID = 0x80
_SKSV = 0x80
_COMMAND_DATA = 0x40
_BIT_POINTER_VALID = 0x08
_MAX_FIXED_INFORMATION = 0xFFFF_FFFF


def sense_words(asc: int, ascq: int) -> str:
    """Return the meaning of an additional sense code and its qualifier, or UNNAMED if SPC-4 does not assign them."""
    found = _WORDS.get((asc, ascq))
    if found is None:
        from odx_target.scsi.additional_sense import MEANINGS

        found = MEANINGS.get((asc, ascq), UNNAMED)
    return found


class SenseFormat(Protocol):
    """A logical unit, which chooses between the fixed format and the descriptor format of its sense data."""

    @property
    def descriptor_format_sense(self) -> bool:
        """True if D_SENSE is set in the control mode page of the logical unit (SPC-4 7.5.8)."""


@dataclass(slots=True, eq=False)
class CheckCondition(Exception):
    """The command ends with CHECK CONDITION. Handlers raise this exception, and the device server makes the Reply from it.

    `cdb_field` is the offset of an invalid byte in the CDB. `data_field` is the offset of an invalid byte in the parameter
    list. At most one of the two offsets is set. `bit` is the number of the invalid bit in that byte (SPC-4 4.5.2.4.2).
    `progress` is the value of PROGRESS INDICATION, and excludes these offsets (SPC-4 4.5.2.4.4).
    `information` is the value of INFORMATION, and makes VALID one. `command_specific` is the value of COMMAND-SPECIFIC
    INFORMATION. `key` replaces the sense key of the condition. `transfer_bytes` is the amount of data that results from the
    CDB. If the length of the data-out is wrong, it must be given, so that the residual count shows the difference.
    """

    condition: Condition
    cdb_field: int | None = None
    data_field: int | None = None
    bit: int | None = None
    information: int | None = None
    key: SenseKey | None = None
    command_specific: int | None = None
    transfer_bytes: int = 0
    progress: int | None = None

    def __str__(self) -> str:
        return self.condition.words

    @property
    def code(self) -> str:
        """The sense key, the additional sense code and its qualifier in hexadecimal, such as 5/24/00."""
        return f"{self.sense_key:X}/{self.condition.asc:02X}/{self.condition.ascq:02X}"

    @property
    def sense_key(self) -> SenseKey:
        """The sense key in the sense data: `key` if it is given, otherwise the sense key of the condition."""
        return self.condition.key if self.key is None else self.key

    def sense(self, *, descriptor_format: bool = False) -> bytes:
        """Return the sense data, in fixed format (18 bytes) by default."""
        return self._descriptor_format() if descriptor_format else self._fixed_format()

    def sense_for(self, logical_unit: SenseFormat) -> bytes:
        """Return the sense data in the format that a logical unit uses."""
        return self.sense(descriptor_format=logical_unit.descriptor_format_sense)

    def reply_for(self, logical_unit: SenseFormat) -> Reply:
        """Return the reply of a logical unit with this sense data."""
        sense = self.sense_for(logical_unit)
        return Reply(Status.CHECK_CONDITION, transfer_bytes=self.transfer_bytes, sense=sense)

    def _sense_key_specific(self) -> tuple[int, int]:
        """Return the sense key specific data: the flags in byte 15 of the fixed format, and the field pointer or the progress
        in bytes 16 and 17.
        """
        if self.progress is not None:
            return _SKSV, self.progress
        field = self.data_field if self.cdb_field is None else self.cdb_field
        if field is None:
            return 0, 0
        flags = _SKSV if self.cdb_field is None else _SKSV | _COMMAND_DATA
        if self.bit is not None:
            flags |= _BIT_POINTER_VALID | self.bit
        return flags, field

    def _fixed_format(self) -> bytes:
        information = self.information
        fits = information is not None and information <= _MAX_FIXED_INFORMATION
        command_specific = self.command_specific or 0
        flags, field = self._sense_key_specific()
        return _FIXED.pack(
            0x70 | (_VALID if fits else 0),
            self.sense_key,
            information if information is not None and fits else 0,
            FIXED_FORMAT_BYTES - 8,
            command_specific if command_specific <= _MAX_FIXED_INFORMATION else 0,
            self.condition.asc,
            self.condition.ascq,
            flags,
            field,
        )

    def _descriptor_format(self) -> bytes:
        descriptors = b""
        if self.information is not None:
            descriptors += _INFORMATION_DESCRIPTOR.pack(0x00, 0x0A, _VALID, self.information)
        if self.command_specific is not None:
            descriptors += _COMMAND_SPECIFIC_DESCRIPTOR.pack(0x01, 0x0A, self.command_specific)
        flags, field = self._sense_key_specific()
        if flags:
            descriptors += _SENSE_KEY_SPECIFIC_DESCRIPTOR.pack(0x02, 0x06, flags, field)
        header = _DESCRIPTOR_HEADER.pack(0x72, self.sense_key, self.condition.asc, self.condition.ascq, len(descriptors))
        return header + descriptors


def unit_attention(asc: int, ascq: int, information: int | None = None) -> CheckCondition:
    """Return the exception that reports a unit attention condition."""
    return CheckCondition(Condition(SenseKey.UNIT_ATTENTION, asc, ascq, sense_words(asc, ascq)), information=information)
