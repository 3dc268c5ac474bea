"""An I_T nexus: one initiator port as one target port sees it (SAM-5 4.8), and what it still has to be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from odx_target.scsi.logical_unit import LogicalUnit

RESET_ASC = 0x29
"""POWER ON, RESET, OR BUS DEVICE RESET OCCURRED and its relatives: one of them says all that the others say."""

MAX_UNIT_ATTENTIONS = 16
"""Distinct conditions that one LUN can have pending; far more than exist, so that nothing is ever dropped in practice."""


class ReadMemory(Protocol):
    """The memory that one nexus may take for reads."""

    def take(self, size_bytes: int) -> bool:
        """Claim memory at once; False, with nothing taken, where it would have to wait."""

    async def wait_for(self, size_bytes: int) -> None:
        """Claim memory, as soon as there is some."""

    def give_back(self, size_bytes: int) -> None:
        """End a claim of this size."""


@dataclass(slots=True, eq=False)
class Nexus:
    """The relation of an initiator port and a target port; for iSCSI, a session.

    `logical_units` is this nexus' own view: LUN (as a plain number) -> logical unit. Compared by identity: a session that
    is reinstated is a new nexus.
    """

    initiator_name: str
    initiator_port_name: str
    target_port_name: str
    logical_units: Mapping[int, LogicalUnit]
    unit_attentions: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By LUN, the (ASC, ASCQ) pairs still to be told, oldest first; a LUN without any has no entry."""
    end_undelivered: Callable[[int], bool] | None = None
    """The transport's part in ending the tasks of a LUN: those whose data is still on its way. False if there are none."""
    read_memory: ReadMemory | None = None
    """The transport's memory for data that is read; None: there is no limit."""

    def lun_of(self, logical_unit: LogicalUnit) -> int | None:
        """The number by which this nexus knows a logical unit, or None."""
        if self.logical_units.get(logical_unit.number) is logical_unit:
            return logical_unit.number
        for lun, candidate in self.logical_units.items():
            if candidate is logical_unit:
                return lun
        return None

    def establish_unit_attention(self, lun: int, asc: int, ascq: int) -> None:
        """Remember something to be told once (SAM-5 5.14).

        The same condition is told once; of power-on and reset conditions only the latest, first of all, because a reset
        makes whatever else was pending old news and because some initiators retry a command only once.
        """
        if asc == RESET_ASC:
            self.unit_attentions[lun] = [(asc, ascq)]
            return
        pending = self.unit_attentions.setdefault(lun, [])
        if (asc, ascq) not in pending and len(pending) < MAX_UNIT_ATTENTIONS:
            pending.append((asc, ascq))

    def take_unit_attention(self, lun: int, *, only_of_resets: bool = False) -> tuple[int, int] | None:
        """The oldest condition of a LUN, which is cleared by telling it; None if there is none.

        `only_of_resets` leaves all others where they are.
        """
        pending = self.unit_attentions.get(lun)
        if not pending or (only_of_resets and pending[0][0] != RESET_ASC):
            return None
        oldest = pending.pop(0)
        if not pending:
            del self.unit_attentions[lun]
        return oldest

    def clear_unit_attention(self, lun: int, asc: int, ascq: int) -> None:
        """Forget one condition that has been told in another way."""
        pending = self.unit_attentions.get(lun, [])
        if (asc, ascq) in pending:
            pending.remove((asc, ascq))
        if not pending:
            self.unit_attentions.pop(lun, None)
