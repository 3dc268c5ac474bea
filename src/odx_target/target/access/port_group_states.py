"""The states of the target port groups of a running array, which its operator changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from odx_target.environment import Environment
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.changes import PortGroupChanges, StateChange
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroup, PortGroups, StatusCode
from odx_target.scsi.sense import ASYMMETRIC_ACCESS_STATE_CHANGED
from odx_target.scsi.tasks.change_notifications import AttachedNexuses
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import PortGroupConfig


class PortGroupStates:
    """Changes the states of target port groups for logical units of an array. `logical_units` has all of them by number.

    `port_groups` are the groups of logical units that are added later. `described` are the groups in the settings. `on_offline`
    is called with the number of a group that is offline from now on.
    """

    def __init__(
        self,
        port_groups: PortGroups,
        logical_units: Mapping[int, LogicalUnit],
        nexuses: AttachedNexuses,
        environment: Environment,
        described: Sequence[PortGroupConfig] = (),
    ) -> None:
        self.port_groups = port_groups
        self._described = {group.number: group for group in described}
        self._logical_units = logical_units
        self._nexuses = nexuses
        self._changes = PortGroupChanges(nexuses)
        self._environment = environment
        self.on_offline: Callable[[int], None] = lambda _: None
        for logical_unit in logical_units.values():
            logical_unit.port_groups = port_groups

    async def change(
        self,
        states: Mapping[int, AccessState],
        logical_units: Sequence[LogicalUnit] | None = None,
        *,
        time_s: float | None = None,
        fails: bool = False,
    ) -> None:
        """Change the states of groups, which are given by their numbers, for logical units, and notify hosts. Without
        `logical_units`, change the states for all logical units, also for those that are added later.

        The change takes `time_s` seconds, or the configured time, in which the groups are transitioning. It goes on in the
        background. If `fails` is True, the groups then get their former states back. A group goes offline at once, and only for
        all logical units. Raises ConfigError if the settings allow only hosts to make changes, if there is no such group, if a
        change that fails would interrupt a transition, or if some logical units would be offline and others would not.
        """
        if AccessModes.IMPLICIT not in self.port_groups.modes:
            raise ConfigError("the states of target port groups cannot be changed: set asymmetric-access to implicit or both")
        self._require(states)
        goes_offline = AccessState.OFFLINE in states.values()
        if goes_offline or any(self.is_offline(number) for number in states):
            _require_whole_group(logical_units, fails=fails)
        units = list(self._logical_units.values()) if logical_units is None else list(logical_units)
        if fails and any(number in unit.pending_states for unit in units for number in states):
            raise ConfigError("a change that fails cannot begin during a transition")
        if logical_units is None and not fails:
            self.port_groups = self.port_groups.with_states(states, StatusCode.CHANGED_IMPLICITLY)
        if goes_offline:
            time_s = 0
        time_s = self.port_groups.transition_time_s if time_s is None else time_s
        turns = self._environment.turns
        for steps in self._changes.change_all(units, StateChange(states, time_s, fails=fails), self._environment):
            turns.take(steps)
            await turns.next_if_spent()
        for number, state in states.items():
            if state is AccessState.OFFLINE and self.is_offline(number):
                self.on_offline(number)

    def is_offline(self, number: int) -> bool:
        """True if the ports of a group receive no commands."""
        return self.port_groups.state_of(number) is AccessState.OFFLINE

    async def prefer(self, preferred: Mapping[int, bool]) -> None:
        """Change which groups are preferred, and notify hosts. Raises ConfigError if there is no such group."""
        self._require(preferred)
        await self._replace(lambda before: before.with_preferred(preferred))

    async def set_ports(self, port_groups: PortGroups) -> None:
        """Change the ports of the groups, and notify hosts. Groups that are new have the states in `port_groups`. All other
        groups keep their states.
        """
        if [_ports(group) for group in port_groups.groups] == [_ports(group) for group in self.port_groups.groups]:
            return
        await self._replace(lambda before: _with_ports(before, port_groups))

    async def apply(self, described: Sequence[PortGroupConfig]) -> None:
        """Change the states and preferences that differ from those that the settings had before. `described` are the groups in
        the new settings. Groups that were not in the settings before do not change. Raises ConfigError if the settings allow
        only hosts to change states.
        """
        both = [(self._described[group.number], group) for group in described if group.number in self._described]
        self._described = {group.number: group for group in described}
        states = {group.number: group.state for former, group in both if former.state is not group.state}
        preferred = {group.number: group.preferred for former, group in both if former.preferred is not group.preferred}
        if preferred:
            await self.prefer(preferred)
        if states:
            await self.change(states)

    async def _replace(self, changed: Callable[[PortGroups], PortGroups]) -> None:
        """Replace the groups of all logical units, and notify hosts."""
        self.port_groups = changed(self.port_groups)
        made: dict[PortGroups, PortGroups] = {}
        turns = self._environment.turns
        for unit in list(self._logical_units.values()):
            if unit.port_groups not in made:
                made[unit.port_groups] = changed(unit.port_groups)
            unit.port_groups = made[unit.port_groups]
            if self.port_groups.modes is not AccessModes.NONE:
                self._nexuses.tell_all(unit, ASYMMETRIC_ACCESS_STATE_CHANGED)
            turns.take(1 + len(self._nexuses.nexuses))
            await turns.next_if_spent()

    def _require(self, numbers: Mapping[int, object]) -> None:
        for number in numbers:
            if self.port_groups.find(number) is None:
                known = ", ".join(str(group.number) for group in self.port_groups.groups)
                raise ConfigError(f"there is no target port group {number}; there are {known}")


def _require_whole_group(logical_units: Sequence[LogicalUnit] | None, *, fails: bool) -> None:
    """Raise ConfigError for a change to or from the state offline that is not for all logical units, or that fails."""
    if logical_units is not None:
        raise ConfigError("a target port group is offline for all LUNs: change its state for all LUNs")
    if fails:
        raise ConfigError("a change to or from the state offline cannot fail")


def _ports(group: PortGroup) -> tuple[int, tuple[int, ...]]:
    return group.number, group.relative_target_ports


def _with_ports(before: PortGroups, after: PortGroups) -> PortGroups:
    """Return the groups `after`, with the states of the groups in `before`."""
    kept = {group.number: group for group in before.groups}
    groups = (
        replace(kept[group.number], relative_target_ports=group.relative_target_ports) if group.number in kept else group
        for group in after.groups
    )
    return PortGroups(before.modes, tuple(groups), before.transition_time_s)
