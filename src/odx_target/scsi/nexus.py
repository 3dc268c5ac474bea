"""The I_T nexus: the relation of an initiator port and a target port (SAM-5 4.8), with its pending unit attentions."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from odx_target.scsi.asymmetric_access.access_state import refusal_in
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.lun_map import LunMap
from odx_target.scsi.reservations.holders import NexusName
from odx_target.scsi.reservations.transport_id import port_name
from odx_target.scsi.sense import (
    LOGICAL_UNIT_NOT_SUPPORTED,
    REPORTED_LUNS_DATA_HAS_CHANGED,
    WRITE_PROTECTED,
    CheckCondition,
)
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.unit.logical_unit import LogicalUnit

LUNS_CHANGED = REPORTED_LUNS_DATA_HAS_CHANGED.asc, REPORTED_LUNS_DATA_HAS_CHANGED.ascq
"""The condition that is reported once to a nexus, although it is pending for several LUNs."""

RESET_ASC = 0x29
"""Additional sense code of all reset conditions, such as POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.

If a reset condition is pending, other conditions need not be reported.
"""

MAX_UNIT_ATTENTIONS = 32
"""Maximum number of pending conditions per LUN. There are fewer than 32 different conditions, four of which are those of the
thresholds. So no condition is dropped.
"""


UnitAttention: TypeAlias = tuple[int, int] | tuple[int, int, int]
"""A pending condition: ASC, ASCQ and, for some conditions, the value of INFORMATION in the sense data."""


class ReadMemory(Protocol):
    """The memory that the commands of one nexus may claim for data that they read."""

    def take(self, size_bytes: int) -> bool:
        """Claim memory if this is possible without waiting. Otherwise claim nothing and return False."""

    async def wait_for(self, size_bytes: int) -> None:
        """Wait until memory is available, and claim it."""

    def give_back(self, size_bytes: int) -> None:
        """Release a claim of this size."""


@dataclass(slots=True, eq=False)
class Nexus:
    """The relation of an initiator port and a target port. In iSCSI, a nexus is a session.

    `logical_units` maps each LUN of this nexus, as a plain number, to its logical unit. Nexuses are compared by identity,
    because a reinstated session is a new nexus.
    """

    initiator_name: str
    initiator_port_name: str
    target_port: TargetPort
    logical_units: Mapping[int, LogicalUnit]
    read_only_luns: Container[int] = frozenset()
    """LUNs whose medium this nexus cannot change, although other nexuses may change it."""
    luns: Mapping[LogicalUnit, int] | None = None
    """The LUN of each logical unit. None if most logical units have their own number as LUN, so that a search is fast."""
    unit_attentions: dict[int, list[UnitAttention]] = field(default_factory=dict)
    """Pending unit attentions by LUN, oldest first. A LUN without pending unit attentions has no entry or, after a call of
    `reserve_unit_attentions`, an empty list.

    LUNs may share one list, so a list is replaced and never changed.
    """
    end_undelivered: Callable[[int], bool] | None = None
    """Function of the transport that takes a LUN and aborts all tasks of the nexus on this LUN that still wait for data-out.

    It returns False if there was no such task.
    """
    end_unexecuted: Callable[[int], None] | None = None
    """Function of the transport that takes a LUN and aborts all commands of the nexus on this LUN that it has received and that
    are not executed yet.
    """
    echo_buffers: dict[int, bytes] = field(default_factory=dict)
    """Content of the echo buffers of this nexus, by LUN. A LUN without an entry has an empty echo buffer."""
    read_memory: ReadMemory | None = None
    """The memory of the transport for data that is read. None means that this memory is not limited."""
    connection: int | None = None
    """Number of the connection, by which `Turns` distinguishes the host of a command from others. None if it has no number."""

    @property
    def name(self) -> NexusName:
        """The permanent name of the nexus, under which it is registered for persistent reservations."""
        return NexusName(port_name(self.initiator_port_name), self.target_port.relative_target_port)

    @property
    def target_name(self) -> str:
        """Name of the target device."""
        return self.target_port.device_name

    def lun_of(self, logical_unit: LogicalUnit) -> int | None:
        """Return the LUN by which this nexus addresses a logical unit. Return None if the nexus has no access to it."""
        if self.logical_units.get(logical_unit.number) is logical_unit:
            return logical_unit.number
        if self.luns is not None:
            return self.luns.get(logical_unit)
        for lun, candidate in self.logical_units.items():
            if candidate is logical_unit:
                return lun
        return None

    def use(self, lun_map: LunMap) -> None:
        """Address logical units by the LUNs of a map. `TaskManager.change_lun_map` also notifies an attached nexus."""
        self.logical_units, self.read_only_luns, self.luns = lun_map.logical_units, lun_map.read_only, lun_map.luns

    def port_refusal(
        self, logical_unit: LogicalUnit, availability: Availability = Availability.ACTIVE_ONLY
    ) -> CheckCondition | None:
        """Return the sense data with which a logical unit refuses a command of this nexus because of the asymmetric access
        state of its target port. Return None if a command of this availability works.
        """
        if logical_unit.group is not None:
            condition = refusal_in(logical_unit.group.access_state, availability)
            return None if condition is None else CheckCondition(condition)
        group = self.target_port.target_port_group
        if logical_unit.restricted is None or group not in logical_unit.restricted:
            return None
        condition = refusal_in(logical_unit.port_groups.state_of(group), availability)
        return None if condition is None else CheckCondition(condition)

    def access_refusal(self, logical_unit: LogicalUnit, *, writes: bool) -> CheckCondition | None:
        """Return the sense data with which a logical unit refuses at present that this nexus reads or writes its medium. Return
        None if it accepts the access.
        """
        lun = self.lun_of(logical_unit)
        if lun is None:
            return CheckCondition(LOGICAL_UNIT_NOT_SUPPORTED)
        # The group of a logical unit tells `access_refusal` of the unit what a command under way may still do.
        refusal = self.port_refusal(logical_unit) if logical_unit.group is None else logical_unit.group.refusal()
        if refusal is not None:
            return refusal
        if writes and lun in self.read_only_luns and logical_unit.is_ready:
            return CheckCondition(WRITE_PROTECTED)
        return logical_unit.access_refusal(writes=writes)

    def establish_unit_attention(self, lun: int, asc: int, ascq: int, information: int | None = None) -> None:
        """Add a unit attention condition that the next command reports (SAM-5 5.14).

        A condition that is already pending is not added again. A power-on or reset condition replaces all other conditions,
        because the host must expect these changes after a reset. It is better to report one condition than several, because
        some initiators retry a command only once.
        """
        attention = (asc, ascq) if information is None else (asc, ascq, information)
        if asc == RESET_ASC:
            self.unit_attentions[lun] = [attention]
            return
        pending = self.unit_attentions.get(lun, [])
        if attention not in pending and len(pending) < MAX_UNIT_ATTENTIONS:
            self.unit_attentions[lun] = [*pending, attention]

    def establish_on_all(self, asc: int, ascq: int) -> None:
        """Replace the unit attention conditions of all LUNs by a power-on or reset condition.

        This takes less than a millisecond for the largest number of LUNs, because the LUNs share the condition.
        """
        shared: list[UnitAttention] = [(asc, ascq)]
        self.unit_attentions.update(dict.fromkeys(self.logical_units, shared))

    def reserve_unit_attentions(self) -> None:
        """Make room for a unit attention of each LUN. Call this method before unit attentions are established on all LUNs one
        by one for many nexuses, because their dictionaries must not all grow in the same turn of the event loop.
        """
        nothing: list[UnitAttention] = []
        # The dictionary stays the same object, because the garbage collector would soon visit all values of a new one.
        self.unit_attentions.update(dict.fromkeys(self.logical_units, nothing) | self.unit_attentions)

    def take_unit_attention(self, lun: int, *, only_of_resets: bool = False) -> UnitAttention | None:
        """Remove and return the oldest unit attention condition of a LUN, or return None if no condition is pending.

        REPORTED LUNS DATA HAS CHANGED is removed from all LUNs, because one report is enough for the nexus (SAM-5 5.14).
        If `only_of_resets` is True, only reset conditions are removed, and other conditions stay pending.
        """
        pending = self.unit_attentions.get(lun)
        if not pending or (only_of_resets and pending[0][0] != RESET_ASC):
            return None
        self._replace(lun, pending[1:])
        if pending[0] == LUNS_CHANGED:
            for other in [each for each, conditions in self.unit_attentions.items() if LUNS_CHANGED in conditions]:
                self.clear_unit_attention(other, *LUNS_CHANGED)
        return pending[0]

    def clear_unit_attention(self, lun: int, asc: int, ascq: int) -> None:
        """Remove a condition, because it has been reported in another way than by a unit attention."""
        self._replace(lun, [each for each in self.unit_attentions.get(lun, []) if each != (asc, ascq)])

    def _replace(self, lun: int, pending: list[UnitAttention]) -> None:
        if pending:
            self.unit_attentions[lun] = pending
        else:
            self.unit_attentions.pop(lun, None)
