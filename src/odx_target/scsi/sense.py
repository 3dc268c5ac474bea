"""Sense data: every outcome has a name, and this is the one place that makes bytes of it (SPC-4 4.5)."""

from dataclasses import dataclass
from enum import IntEnum

from odx_target.scsi.task import Reply, Status


class SenseKey(IntEnum):
    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    MISCOMPARE = 0xE


@dataclass(frozen=True, slots=True)
class Condition:
    """A sense key with an additional sense code and its qualifier."""

    key: SenseKey
    asc: int
    ascq: int
    words: str


INVALID_FIELD_IN_CDB = Condition(SenseKey.ILLEGAL_REQUEST, 0x24, 0x00, "invalid field in CDB")
INVALID_FIELD_IN_PARAMETER_LIST = Condition(SenseKey.ILLEGAL_REQUEST, 0x26, 0x00, "invalid field in parameter list")
PARAMETER_LIST_LENGTH_ERROR = Condition(SenseKey.ILLEGAL_REQUEST, 0x1A, 0x00, "parameter list length error")
LBA_OUT_OF_RANGE = Condition(SenseKey.ILLEGAL_REQUEST, 0x21, 0x00, "logical block address out of range")


@dataclass(slots=True)
class CheckCondition(Exception):
    """A command ends with CHECK CONDITION. Handlers raise it; the device server turns it into a Reply.

    `cdb_field` or `data_field` is the byte at fault in the CDB or the parameter list, `bit` the bit in it (SPC-4
    4.5.2.4.2); `information` fills INFORMATION and sets VALID; `key` replaces the condition's own sense key.
    """

    condition: Condition
    cdb_field: int | None = None
    data_field: int | None = None
    bit: int | None = None
    information: int | None = None
    key: SenseKey | None = None

    def __str__(self) -> str:
        return self.condition.words

    def sense(self, *, descriptor_format: bool = False) -> bytes:
        """The sense data, fixed format (18 bytes) unless asked otherwise."""
        raise NotImplementedError

    def reply(self, *, descriptor_format: bool = False) -> Reply:
        """The reply a transport sends for it."""
        return Reply(Status.CHECK_CONDITION, sense=self.sense(descriptor_format=descriptor_format))
