"""The asymmetric access states of a group's logical units: at the target ports of this member, and at those of the other one
(SPC-4 5.15.2.4).
"""

from typing import NamedTuple

from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import GroupState
from odx_target.scsi.asymmetric_access.access_state import AccessState


class MemberStates(NamedTuple):
    """The states at the target ports of both members, as this member reports them."""

    own: AccessState
    other: AccessState


STATES: dict[GroupState, MemberStates] = {
    GroupState.SERVING: MemberStates(AccessState.ACTIVE_OPTIMIZED, AccessState.STANDBY),
    GroupState.STANDBY: MemberStates(AccessState.STANDBY, AccessState.ACTIVE_OPTIMIZED),
    GroupState.WAITING: MemberStates(AccessState.UNAVAILABLE, AccessState.STANDBY),
    GroupState.OUT_OF_SYNC: MemberStates(AccessState.UNAVAILABLE, AccessState.ACTIVE_OPTIMIZED),
    GroupState.HANDING_OVER: MemberStates(AccessState.TRANSITIONING, AccessState.STANDBY),
    GroupState.SETTLING: MemberStates(AccessState.TRANSITIONING, AccessState.STANDBY),
    GroupState.TAKING_OVER: MemberStates(AccessState.TRANSITIONING, AccessState.UNAVAILABLE),
}
"""The states for hosts, by the state of this member. The sense data of each state is in `REFUSALS` of `access_state`."""


def access_states(group: Group) -> MemberStates:
    """Return the present states. A member that the primary does not wait for is unavailable."""
    states = STATES[group.state]
    if group.driver.member.is_primary and not group.outgoing.needs_peer:
        return states._replace(other=AccessState.UNAVAILABLE)
    return states
