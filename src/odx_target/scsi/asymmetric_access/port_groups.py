"""The target port groups through which a logical unit can be reached, with their asymmetric access states (SPC-4 5.15.2).

The groups are a value that never changes. A change of a state gives the logical unit a new value, and logical units with the
same states share one value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Flag, IntEnum

from odx_target.scsi.asymmetric_access.access_state import AccessState

MAX_PORTS_OF_GROUP = 255
"""Maximum number of target ports of a group: TARGET PORT COUNT has one byte (SPC-4 6.37)."""
MAX_GROUP_NUMBER = 0xFFFF
"""Maximum number of a target port group: TARGET PORT GROUP has two bytes (SPC-4 6.37)."""
MAX_IMPLICIT_TRANSITION_TIME_S = 255
"""Maximum value of IMPLICIT TRANSITION TIME, which has one byte (SPC-4 6.37)."""


class AccessModes(Flag):
    """The initiative for changes of the states of target port groups. The value is TPGS in the standard INQUIRY data (SPC-4
    6.4.2).
    """

    NONE = 0b00
    """The array does not support asymmetric logical unit access."""
    IMPLICIT = 0b01
    """The array changes states, for example because its operator has requested this."""
    EXPLICIT = 0b10
    """Hosts change states with SET TARGET PORT GROUPS."""
    BOTH = 0b11


class StatusCode(IntEnum):
    """Values of STATUS CODE: the reason for the present state of a group (SPC-4 6.37)."""

    NONE = 0
    CHANGED_EXPLICITLY = 1
    CHANGED_IMPLICITLY = 2


@dataclass(frozen=True, slots=True)
class PortGroup:
    """A target port group. `relative_target_ports` are the relative target port identifiers of its ports, in ascending
    order.
    """

    number: int
    relative_target_ports: tuple[int, ...] = (1,)
    state: AccessState = AccessState.ACTIVE_OPTIMIZED
    is_preferred: bool = False
    status_code: StatusCode = StatusCode.NONE


@dataclass(frozen=True, slots=True, eq=False)
class PortGroups:
    """All target port groups of a logical unit, by ascending number.

    `transition_time_s` is the time in seconds that a change of a state takes. 0 means that a change is indivisible.
    """

    modes: AccessModes = AccessModes.NONE
    groups: tuple[PortGroup, ...] = (PortGroup(1),)
    transition_time_s: int = 0

    def find(self, number: int) -> PortGroup | None:
        """Return the group with a number. Return None if there is no such group."""
        return next((group for group in self.groups if group.number == number), None)

    def state_of(self, number: int) -> AccessState:
        """Return the state of a group. A port whose group is not listed is active/optimized."""
        group = self.find(number)
        return AccessState.ACTIVE_OPTIMIZED if group is None else group.state

    @property
    def restricted(self) -> frozenset[int] | None:
        """The numbers of the groups in whose states some commands are refused. None if there are no such groups."""
        found = frozenset(group.number for group in self.groups if not group.state.is_active)
        return found or None

    @property
    def has_several_ports(self) -> bool:
        """True if more than one target port reaches the logical unit."""
        return sum(len(group.relative_target_ports) for group in self.groups) > 1

    @property
    def is_transitioning(self) -> bool:
        """True if any group is transitioning."""
        return any(group.state is AccessState.TRANSITIONING for group in self.groups)

    def changed_by(self, states: Mapping[int, AccessState]) -> dict[int, AccessState]:
        """Return those of the new states that differ from the present ones, by the numbers of the groups."""
        return {number: state for number, state in states.items() if self.state_of(number) is not state}

    def with_states(self, states: Mapping[int, AccessState], status_code: StatusCode | None = None) -> "PortGroups":
        """Return groups with new states, which are given by the numbers of the groups. Without `status_code`, the groups keep
        their status codes.
        """
        changed = (
            replace(
                group,
                state=states[group.number],
                status_code=group.status_code if status_code is None else status_code,
            )
            if group.number in states
            else group
            for group in self.groups
        )
        return PortGroups(self.modes, tuple(changed), self.transition_time_s)

    def with_preferred(self, preferred: Mapping[int, bool]) -> "PortGroups":
        """Return groups of which some are preferred or not preferred. `preferred` is given by the numbers of the groups."""
        changed = (replace(group, is_preferred=preferred.get(group.number, group.is_preferred)) for group in self.groups)
        return PortGroups(self.modes, tuple(changed), self.transition_time_s)


@dataclass(frozen=True, slots=True)
class PendingState:
    """The state of a target port group at the end of a transition. `change` is the change that has begun the transition."""

    change: object
    state: AccessState


NO_ASYMMETRIC_ACCESS = PortGroups()
"""The groups of logical units without asymmetric access: one active/optimized group, which no command can change."""
