"""The command table. Each row contains all facts about one command.

The device server uses the rows to find the handler of a command, to check its CDB, and to answer REPORT SUPPORTED OPERATION
CODES. Other packages, such as the copy manager, add rows. The scsi package never imports these packages.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Flag, auto
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple, TypeAlias

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.extent import Extent
from odx_target.scsi.sense import INVALID_COMMAND_OPERATION_CODE, INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

SERVICE_ACTION_BITS = 0x1F
NACA_BIT = 0x04
PADDED_CDB_BYTES = 16
"""Length of every CDB that a transport delivers. In iSCSI, shorter CDBs are padded to 16 bytes (RFC 7143 11.3.9)."""

RECOMMENDED_TIMEOUT_S = 30
"""Time after which an initiator may regard a command as lost. REPORT SUPPORTED OPERATION CODES reports this time.

No command takes longer than a few seconds, unless the disk of the pool is slow.
"""


CommandCode: TypeAlias = "tuple[int, int | None]"
"""Operation code and service action of a command. The service action is None for a command without one."""

USUAL_TRANSFERS = frozenset({0x28, 0x2A, 0x88, 0x8A})
"""READ and WRITE with a CDB of 10 or 16 bytes, which a transport may execute without the device server."""


class CommandFlag(Flag):
    """Properties of a command that the device server checks before it runs the command's handler."""

    NONE = 0
    IGNORES_UNIT_ATTENTION = auto()
    """The command runs even if a unit attention is pending (INQUIRY, REPORT LUNS, REQUEST SENSE)."""
    WITHOUT_LOGICAL_UNIT = auto()
    """The command is answered even if its LUN has no logical unit.

    For such a LUN, the handler gets a MissingLogicalUnit, whose `is_present` is False.
    """
    READS_MEDIUM = auto()
    """The command is refused while the logical unit is stopped."""
    WRITES_MEDIUM = auto()
    """The command is refused while the logical unit is stopped or write protected.

    A command must have this flag if its function `extents` returns an extent that the command writes.
    """
    EXTENTS_IN_DATA_OUT = auto()
    """The parameter list of the command contains the block ranges.

    Until the list arrives, the task set assumes that the command touches all blocks.
    """
    FORMATS = auto()
    """The command is allowed even if the last format operation has failed."""
    SANITIZES = auto()
    """The command is allowed even if the last sanitize operation has failed. It is processed as if its task attribute were HEAD
    OF QUEUE (SBC-4 5.30).
    """
    IN_GROUP = auto()
    """The command changes or tells something that both arrays of a group have. On a logical unit of a group it works only in
    the active states, and its reply waits until both arrays have it. READS_MEDIUM and WRITES_MEDIUM have the same effect.
    """
    NOT_IN_GROUP = auto()
    """The command is not supported on a logical unit of a group, because only one of both arrays would follow it."""
    NOT_ORDERED = auto()
    """The command never waits for other tasks. Commands that retrieve a status or results have this flag."""


ANSWERS_ALWAYS = CommandFlag.IGNORES_UNIT_ATTENTION | CommandFlag.WITHOUT_LOGICAL_UNIT | CommandFlag.NOT_ORDERED
"""The properties of commands that are answered in every state: INQUIRY, REPORT LUNS and REQUEST SENSE (SAM-5 5.14)."""


class UnitExtents(NamedTuple):
    """The blocks that a third-party copy command touches on a logical unit other than the one that received the command."""

    logical_unit: LogicalUnit
    extents: Sequence[Extent]


@dataclass(frozen=True)
class CommandRow:
    """All facts about one command.

    `usage` is the CDB usage data (SPC-4 6.35.3). Byte 0 is the operation code. Each other byte is a mask: a bit is 1 if the
    command uses this bit of the CDB. Byte 1 also contains the service action. If a bit of a CDB is 1 although its bit in the
    mask is 0, the command is refused with INVALID FIELD IN CDB. `service_action` is None for a command without a service
    action. `extents` is a function that returns the blocks that a task will touch. It may raise CheckCondition. If `extents` is
    None, the command touches no blocks.
    """

    name: str
    operation_code: int
    usage: bytes
    handler: Callable[[Task], Outcome]
    service_action: int | None = None
    flags: CommandFlag = CommandFlag.NONE
    extents: Callable[[Task], Sequence[Extent]] | None = None
    other_extents: Callable[[Task], Sequence[UnitExtents]] | None = None
    """Function that returns the blocks that a task will touch on other logical units of its nexus, for a third-party copy
    command. For a parameter list that will be refused, it returns nothing.

    The task may also write blocks of the logical unit that receives the command, even without the flag WRITES_MEDIUM.
    """
    nominal_timeout_s: int = 0
    """Usual duration of the command in seconds. The value 0 means "not indicated"."""
    recommended_timeout_s: int = RECOMMENDED_TIMEOUT_S
    access: Access | Callable[[bytes], Access] | None = None
    """Kind of access of the command, or a function that takes a CDB and returns the kind. The kind decides if a reservation
    conflicts with the command.

    If `access` is None, the kind follows from the flags. A command with READS_MEDIUM and without WRITES_MEDIUM has the kind
    READS. Any other command has the kind WRITES, so a command without flags conflicts with every reservation.
    """
    availability: Availability | Callable[[bytes], Availability] = Availability.ACTIVE_ONLY
    """The asymmetric access states of the target port in which the command works, or a function that takes a CDB and returns
    them.
    """
    is_supported: Callable[[LogicalUnit], bool] | None = None
    """Function that returns True if a logical unit supports the command. None means that every logical unit does."""

    @cached_property
    def entry(self) -> "Entry":
        """The row in a form for fast checks. Many arrays in a process share the entries of the standard commands."""
        return Entry(self)

    @property
    def cdb_bytes(self) -> int:
        return len(self.usage)

    def is_supported_by(self, logical_unit: LogicalUnit) -> bool:
        """True if a logical unit supports the command."""
        if CommandFlag.NOT_IN_GROUP in self.flags and logical_unit.group is not None:
            return False
        return self.is_supported is None or self.is_supported(logical_unit)


class Entry:
    """A row of the command table in a form for fast checks: each flag is a boolean, and the forbidden bits of a CDB are one
    integer. An entry never changes.
    """

    __slots__ = (
        "access",
        "availability",
        "extents",
        "extents_in_data_out",
        "forbidden",
        "formats",
        "handler",
        "ignores_unit_attention",
        "in_group",
        "is_ordered",
        "is_simple_in_group",
        "is_supported_everywhere",
        "other_extents",
        "row",
        "sanitizes",
        "touches_medium",
        "without_logical_unit",
        "writes_medium",
    )

    def __init__(self, row: CommandRow) -> None:
        self.row = row
        self.handler = row.handler
        self.extents = row.extents
        self.other_extents = row.other_extents
        self.forbidden = int.from_bytes(forbidden_bits(row).ljust(PADDED_CDB_BYTES, b"\0"), "big")
        self.ignores_unit_attention = CommandFlag.IGNORES_UNIT_ATTENTION in row.flags
        self.without_logical_unit = CommandFlag.WITHOUT_LOGICAL_UNIT in row.flags
        self.writes_medium = CommandFlag.WRITES_MEDIUM in row.flags
        self.touches_medium = self.writes_medium or CommandFlag.READS_MEDIUM in row.flags
        self.extents_in_data_out = CommandFlag.EXTENTS_IN_DATA_OUT in row.flags
        self.formats = CommandFlag.FORMATS in row.flags
        self.sanitizes = CommandFlag.SANITIZES in row.flags
        self.is_ordered = CommandFlag.NOT_ORDERED not in row.flags
        self.availability = row.availability
        self.in_group = self.touches_medium or CommandFlag.IN_GROUP in row.flags
        self.is_supported_everywhere = row.is_supported is None and CommandFlag.NOT_IN_GROUP not in row.flags
        self.is_simple_in_group = self.in_group and self.is_supported_everywhere
        self.access = row.access or (Access.WRITES if self.writes_medium or not self.touches_medium else Access.READS)

    def access_of(self, cdb: bytes) -> Access:
        """Return the kind of access of this CDB. The kind decides if a reservation conflicts with the command."""
        return self.access if isinstance(self.access, Access) else self.access(cdb)

    def availability_of(self, cdb: bytes) -> Availability:
        """Return the asymmetric access states of the target port in which this CDB works."""
        return self.availability if isinstance(self.availability, Availability) else self.availability(cdb)

    def check(self, cdb: bytes) -> None:
        """Raise CheckCondition for a CDB that is too short or has a reserved bit set (SPC-4 4.2.5.6)."""
        if len(cdb) == PADDED_CDB_BYTES and not int.from_bytes(cdb, "big") & self.forbidden:
            return
        if len(cdb) < self.row.cdb_bytes:
            raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=len(cdb))
        for index, forbidden in enumerate(forbidden_bits(self.row)):
            wrong = cdb[index] & forbidden
            if wrong:
                raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=index, bit=wrong.bit_length() - 1)


def forbidden_bits(row: CommandRow) -> bytes:
    """Return a mask for each byte of the CDB. A bit is 1 in the mask if it must be 0 in the CDB.

    NACA must be zero, because ACA is not supported (SAM-5 5.2).
    """
    allowed = bytearray(row.usage)
    allowed[0] = 0xFF
    if row.service_action is not None:
        allowed[1] |= SERVICE_ACTION_BITS
    allowed[-1] &= ~NACA_BIT
    return bytes(bits ^ 0xFF for bits in allowed)


def unsupported(row: CommandRow) -> CheckCondition:
    """Return the exception for a command that the logical unit does not support."""
    if row.service_action is None:
        return CheckCondition(INVALID_COMMAND_OPERATION_CODE, cdb_field=0)
    return invalid_service_action()


def invalid_service_action() -> CheckCondition:
    """Return the exception for a service action that is not supported."""
    return CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=SERVICE_ACTION_BITS.bit_length() - 1)


class CommandTable:
    """All rows, by operation code and service action. Raises ValueError if two rows have the same operation code and service
    action.
    """

    def __init__(self, rows: Iterable[CommandRow]) -> None:
        self.without_service_action: dict[int, Entry] = {}
        self.with_service_action: dict[int, dict[int, Entry]] = {}
        self.has_usual_transfers = True
        """False if one of `USUAL_TRANSFERS` was removed, so that a transport must not execute reads and writes by itself."""
        for row in rows:
            self.add(row)

    def add(self, row: CommandRow) -> None:
        if row.service_action is None:
            group, key = self.without_service_action, row.operation_code
            taken = key in self.with_service_action or key in group
        else:
            group, key = self.with_service_action.setdefault(row.operation_code, {}), row.service_action
            taken = row.operation_code in self.without_service_action or key in group
        if taken:
            raise ValueError(f"two rows for the command of {row.name}")
        group[key] = row.entry

    def restrict(self, missing: Iterable[CommandCode], forbidden: Mapping[CommandCode, bytes]) -> None:
        """Remove commands, and forbid bits in the CDBs of other commands. Commands that are not in the table are ignored."""
        for code in missing:
            self._remove(*code)
        for code, bits in forbidden.items():
            self._forbid(*code, bits)
        self.has_usual_transfers = self.without_service_action.keys() >= USUAL_TRANSFERS

    def _remove(self, operation_code: int, service_action: int | None) -> None:
        if service_action is None:
            self.without_service_action.pop(operation_code, None)
            return
        group = self.with_service_action.get(operation_code, {})
        group.pop(service_action, None)
        if not group:
            self.with_service_action.pop(operation_code, None)

    def _forbid(self, operation_code: int, service_action: int | None, bits: bytes) -> None:
        group = self.without_service_action if service_action is None else self.with_service_action.get(operation_code, {})
        key = operation_code if service_action is None else service_action
        entry = group.get(key)
        if entry is not None:
            masks = zip_longest(entry.row.usage, bits[: entry.row.cdb_bytes], fillvalue=0)
            usage = bytes(used & ~wrong for used, wrong in masks)
            group[key] = replace(entry.row, usage=usage).entry

    def find(self, cdb: bytes) -> Entry:
        """Return the entry of the command in a CDB.

        Raises CheckCondition for an unsupported operation code or service action.
        """
        entry = self.without_service_action.get(cdb[0]) if cdb else None
        if entry is not None:
            return entry
        group = self.with_service_action.get(cdb[0]) if cdb else None
        if group is None:
            raise CheckCondition(INVALID_COMMAND_OPERATION_CODE, cdb_field=0)
        entry = group.get(cdb[1] & SERVICE_ACTION_BITS) if len(cdb) > 1 else None
        if entry is None:
            raise invalid_service_action()
        return entry

    def rows(self) -> Iterator[CommandRow]:
        """Return all rows, sorted by operation code and service action."""
        entries = [*self.without_service_action.values()]
        entries += [entry for group in self.with_service_action.values() for entry in group.values()]
        return iter(sorted((entry.row for entry in entries), key=lambda row: (row.operation_code, row.service_action or 0)))
