"""The command table: one row says all about a command.

The row dispatches, checks the CDB, and answers REPORT SUPPORTED OPERATION CODES. Other packages add rows (the copy manager
does); scsi never imports them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Flag, auto

from odx_target.scsi.task import Outcome, Task


class CommandFlag(Flag):
    """What the device server does around a handler."""

    NONE = 0
    IGNORES_UNIT_ATTENTION = auto()
    """Runs although a unit attention is pending (INQUIRY, REPORT LUNS, REQUEST SENSE)."""
    WITHOUT_LOGICAL_UNIT = auto()
    """Answered also for a LUN that does not exist."""
    READS_MEDIUM = auto()
    WRITES_MEDIUM = auto()
    """Refused while the logical unit is write protected."""
    NOT_ORDERED = auto()
    """Never waits for other tasks: status and result retrieval."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Logical blocks that a task touches, for the order of tasks."""

    lba: int
    count_blocks: int
    writes: bool


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command.

    `usage` has a byte for each byte of the CDB: the operation code, then which bits mean something, with the service action
    itself in byte 1 (SPC-4 6.35.3); a bit set in a CDB where `usage` has none is INVALID FIELD IN CDB. `service_action` is
    None for a command that has none. `extents` names the blocks that a task will touch, None: none at all.
    """

    name: str
    operation_code: int
    usage: bytes
    handler: Callable[[Task], Outcome]
    service_action: int | None = None
    flags: CommandFlag = CommandFlag.NONE
    extents: Callable[[Task], Sequence[Extent]] | None = None

    @property
    def cdb_bytes(self) -> int:
        return len(self.usage)
