"""The nexuses that are logged in, and the unit attentions that notify them of changes of logical units and LUN maps."""

from collections.abc import Container, Iterator, Sequence

from odx_target.scsi.lun_map import LunMap
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reservations.holders import NexusName
from odx_target.scsi.sense import (
    CAPACITY_DATA_HAS_CHANGED,
    MODE_PARAMETERS_CHANGED,
    NOT_READY_TO_READY_CHANGE,
    POWER_ON_OR_RESET_OCCURRED,
    REPORTED_LUNS_DATA_HAS_CHANGED,
    THIN_PROVISIONING_SOFT_THRESHOLD_REACHED,
    Condition,
)
from odx_target.scsi.tasks.member import TaskNexus
from odx_target.scsi.unit.logical_unit import LogicalUnit


class AttachedNexuses:
    """The nexuses of all sessions that are logged in."""

    def __init__(self) -> None:
        self.nexuses: list[Nexus] = []

    def capacity_changed(self, logical_unit: LogicalUnit) -> None:
        """Report to every nexus that the capacity has changed (SBC-4 4.10)."""
        self.tell_all(logical_unit, CAPACITY_DATA_HAS_CHANGED)

    def medium_changed(self, logical_unit: LogicalUnit, *, is_resized: bool) -> None:
        """Report to every nexus that the medium was replaced, and its new capacity if `is_resized` is True (SPC-4 5.6.5.1 and
        SBC-4 4.10).
        """
        self.tell_all(logical_unit, NOT_READY_TO_READY_CHANGE)
        if is_resized:
            self.capacity_changed(logical_unit)

    def mode_parameters_changed(self, logical_unit: LogicalUnit) -> None:
        """Report to every nexus that mode parameters, or the write protection in their header, have changed."""
        self.tell_all(logical_unit, MODE_PARAMETERS_CHANGED)

    def logical_unit_added(self, logical_unit: LogicalUnit) -> None:
        """Establish the unit attention of a new logical unit for every nexus that has access to the logical unit.

        Call this method in the same turn of the event loop in which the nexuses get access. Then iterate over `luns_changed` to
        its end, so that the nexuses are notified of the new LUN.
        """
        self.tell_all(logical_unit, POWER_ON_OR_RESET_OCCURRED)

    def logical_unit_removed(self, logical_unit: LogicalUnit) -> list[Nexus]:
        """Drop the unit attentions and echo buffers of a logical unit before the nexuses lose access to it, and abort their
        commands that are not executed yet. Return these nexuses.

        Call this method in the same turn of the event loop in which the nexuses lose access. Then iterate over `luns_changed`
        to its end, so that the nexuses are notified.
        """
        losers = []
        for nexus in self.nexuses:
            lun = nexus.lun_of(logical_unit)
            if lun is not None:
                if nexus.end_unexecuted is not None:
                    nexus.end_unexecuted(lun)
                _forget_lun(nexus, lun)
                losers.append(nexus)
        return losers

    def luns_changed(self, nexuses: Sequence[Nexus], added: Container[LogicalUnit] = ()) -> Iterator[None]:
        """Report to nexuses that LUNs were added or removed (SPC-4 6.33). The next command on each LUN reports the change,
        except on the LUNs of the logical units in `added`.

        Yields after each LUN of each nexus, because an array may have thousands of LUNs. The caller must iterate to the end,
        and may let other tasks run between two steps.
        """
        for nexus in nexuses:
            for lun, logical_unit in list(nexus.logical_units.items()):
                if logical_unit not in added and lun in nexus.logical_units:
                    tell_lun(nexus, lun, REPORTED_LUNS_DATA_HAS_CHANGED)
                yield

    def nexuses_with(self, logical_units: Sequence[LogicalUnit]) -> list[Nexus]:
        """Return the nexuses that have access to any of the logical units."""
        return [nexus for nexus in self.nexuses if any(nexus.lun_of(each) is not None for each in logical_units)]

    def change_lun_map(self, nexus: Nexus, lun_map: LunMap) -> Iterator[None]:
        """Give a nexus another LUN map, and notify the nexus of the difference.

        The first step makes the whole change: it aborts the tasks of the nexus on each LUN that has another logical unit or
        none in the new map, also commands that are not executed yet, and ends what the nexus has reserved there with RESERVE.
        Persistent reservations stay. The other steps are those of `luns_changed`, and the caller must iterate to the end.
        """
        before, was_read_only = nexus.logical_units, nexus.read_only_luns
        after = lun_map.logical_units
        gone = {lun: unit for lun, unit in before.items() if after.get(lun) is not unit}
        for lun, logical_unit in gone.items():
            self._end_access(nexus, lun, logical_unit)
        added = {unit for lun, unit in after.items() if before.get(lun) is not unit}
        is_changed = [lun for lun in after if (lun in lun_map.read_only) != (lun in was_read_only)]
        nexus.use(lun_map)
        for logical_unit in added:
            self.tell(nexus, logical_unit, POWER_ON_OR_RESET_OCCURRED)
        for lun in is_changed:
            if after[lun] not in added:
                tell_lun(nexus, lun, MODE_PARAMETERS_CHANGED)
        yield
        if gone or added:
            yield from self.luns_changed([nexus], added)

    def _end_access(self, nexus: Nexus, lun: int, logical_unit: LogicalUnit) -> None:
        """End all tasks of a nexus on a LUN that the nexus is about to lose."""
        logical_unit.tasks.abort([task for task in logical_unit.tasks.tasks() if task.nexus is nexus and task.lun == lun])
        if nexus.end_undelivered is not None:
            nexus.end_undelivered(lun)
        if nexus.end_unexecuted is not None:
            nexus.end_unexecuted(lun)
        if logical_unit.reserved_by is nexus:
            logical_unit.reserved_by = None
        _forget_lun(nexus, lun)

    def threshold_reached(self, logical_unit: LogicalUnit, offset: int) -> None:
        """Report to every nexus with access to the logical unit that a threshold is reached.

        `offset` is the byte offset of the descriptor of the threshold in the mode page.
        """
        self.tell_all(logical_unit, THIN_PROVISIONING_SOFT_THRESHOLD_REACHED, information=offset)

    def tell_all(
        self, logical_unit: LogicalUnit, condition: Condition, *, but: Nexus | None = None, information: int | None = None
    ) -> None:
        """Establish a unit attention for every nexus that has access to the logical unit, except `but`."""
        for nexus in self.nexuses:
            if nexus is not but:
                self.tell(nexus, logical_unit, condition, information)

    def tell(self, nexus: Nexus, logical_unit: LogicalUnit, condition: Condition, information: int | None = None) -> None:
        """Establish a unit attention for one nexus, if the nexus has access to the logical unit."""
        lun = nexus.lun_of(logical_unit)
        if lun is not None:
            tell_lun(nexus, lun, condition, information)

    def nexuses_of(self, name: NexusName) -> list[Nexus]:
        """Return the nexuses with this name that are logged in."""
        return [nexus for nexus in self.nexuses if nexus.name == name]


def _forget_lun(nexus: Nexus, lun: int) -> None:
    nexus.unit_attentions.pop(lun, None)
    nexus.echo_buffers.pop(lun, None)


def tell_lun(nexus: TaskNexus, lun: int, condition: Condition, information: int | None = None) -> None:
    """Establish a unit attention for one LUN of a nexus."""
    nexus.establish_unit_attention(lun, condition.asc, condition.ascq, information)
