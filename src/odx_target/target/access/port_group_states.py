"""The states of the target port groups of a running array, which its operator changes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from odx_target.environment import Environment
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.changes import PortGroupChanges, StateChange
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroup, PortGroups, StatusCode
from odx_target.scsi.sense import ASYMMETRIC_ACCESS_STATE_CHANGED, INQUIRY_DATA_HAS_CHANGED, Condition
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.tasks.change_notifications import AttachedNexuses, tell_lun
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import PortGroupConfig


class PortGroupStates:
    """Changes the states of target port groups for logical units of an array. `logical_units` has all of them by number.

    Logical units of groups of two arrays have other target port groups, and are left out. `port_groups` are the groups of
    logical units that are added later. `described` are the groups in the settings. `on_offline`
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
        if logical_units is not None and any(unit.group is not None for unit in units):
            raise ConfigError("the states of a LUN that belongs to a group follow the group: use group switchover")
        units = [unit for unit in units if unit.group is None]
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

    async def set_ports(self, port_groups: PortGroups, ports: Iterable[TargetPort]) -> None:
        """Change the ports of the groups, the modes and the transition time to those of `port_groups`, and notify hosts. Groups
        that are new have the states in `port_groups`. All other groups keep their states. The sessions through ports that are
        now in an offline group end. `ports` are all target ports.
        """
        before = self.port_groups
        await self._change_nexuses({port.relative_target_port: port for port in ports})
        if before.modes is not port_groups.modes:
            condition: Condition | None = INQUIRY_DATA_HAS_CHANGED
        elif list(map(_ports, before.groups)) != list(map(_ports, port_groups.groups)):
            condition = None if before.modes is AccessModes.NONE else ASYMMETRIC_ACCESS_STATE_CHANGED
        elif before.transition_time_s != port_groups.transition_time_s:
            condition = None
        else:
            return
        await self._replace(lambda groups: _with_ports(groups, port_groups), condition)
        for group in self.port_groups.groups:
            if self.is_offline(group.number):
                self.on_offline(group.number)

    async def _change_nexuses(self, ports: Mapping[int, TargetPort]) -> None:
        """Give the nexuses the ports that have replaced theirs. The hosts read the new number of their group from VPD page
        83h.
        """
        turns = self._environment.turns
        for nexus in list(self._nexuses.nexuses):
            port = ports.get(nexus.target_port.relative_target_port, nexus.target_port)
            if port != nexus.target_port:
                nexus.target_port = port
                for lun in list(nexus.logical_units):
                    tell_lun(nexus, lun, INQUIRY_DATA_HAS_CHANGED)
                    turns.take()
                await turns.next_if_spent()

    async def apply(self, described: Sequence[PortGroupConfig]) -> None:
        """Change the states and preferences that differ from those that the settings had before. `described` are the groups in
        the new settings. A group that is not described is active/optimized and not preferred. Raises ConfigError if the
        settings allow only hosts to change states. Then nothing has changed.
        """
        after = {group.number: group for group in described}
        states, preferred = {}, {}
        for group in self.port_groups.groups:
            former, new = (each.get(group.number, PortGroupConfig(group.number)) for each in (self._described, after))
            is_new = group.status_code is StatusCode.NONE and (group.state, group.is_preferred) == (new.state, new.preferred)
            if former.state is not new.state and not is_new:
                states[group.number] = new.state
            if former.preferred is not new.preferred and not is_new:
                preferred[group.number] = new.preferred
        if states:
            await self.change(states)
        if preferred:
            await self.prefer(preferred)
        self._described = after

    async def _replace(
        self, changed: Callable[[PortGroups], PortGroups], condition: Condition | None = ASYMMETRIC_ACCESS_STATE_CHANGED
    ) -> None:
        """Replace the groups of all logical units, and notify hosts by a condition."""
        self.port_groups = changed(self.port_groups)
        made: dict[PortGroups, PortGroups] = {}
        turns = self._environment.turns
        for unit in list(self._logical_units.values()):
            if unit.group is not None:
                continue
            if unit.port_groups not in made:
                made[unit.port_groups] = changed(unit.port_groups)
            unit.port_groups = made[unit.port_groups]
            if condition is not None and (
                condition is INQUIRY_DATA_HAS_CHANGED or self.port_groups.modes is not AccessModes.NONE
            ):
                self._nexuses.tell_all(unit, condition)
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
    """Return the groups `after`, with the states of the groups in `before`. If hosts cannot see the groups any more, no state
    restricts them.
    """
    if after.modes is AccessModes.NONE:
        return after
    kept = {group.number: group for group in before.groups}
    groups = (
        replace(kept[group.number], relative_target_ports=group.relative_target_ports) if group.number in kept else group
        for group in after.groups
    )
    return PortGroups(after.modes, tuple(groups), after.transition_time_s)
