"""The conditions of a group that an operator must know. `status`, the metrics and the log use the rows of one table."""

from collections.abc import Callable
from typing import NamedTuple

from odx_target.replica.sync.group_states import GroupState

STATE_MEANINGS: dict[GroupState, str] = {
    GroupState.SERVING: "the primary, which serves hosts",
    GroupState.STANDBY: "the secondary, in sync; it takes over if the primary is silent",
    GroupState.WAITING: "the primary, without a lease, or after a start before it has compared its data; hosts cannot use it",
    GroupState.OUT_OF_SYNC: "the secondary, which gets what it misses; it cannot take over",
    GroupState.HANDING_OVER: "the primary during a switchover, which ends the commands under way",
    GroupState.SETTLING: "the primary, for the moment in which a change becomes durable, or a new primary gets its first lease",
    GroupState.TAKING_OVER: "the secondary, which asks the witness to become the primary",
}
"""The states of a member of a group, with their meanings for an operator."""


class Facts(NamedTuple):
    """The facts about a group at one member from which its condition follows."""

    state: GroupState
    is_primary: bool
    is_in_sync: bool
    """True if both members are in sync."""
    is_peer_connected: bool
    is_witness_connected: bool
    is_resyncing: bool
    has_mismatch: bool
    is_isolated: bool
    has_failed: bool
    """True if the member cannot act any more, because its pool has failed."""


class Condition(NamedTuple):
    """A condition. `holds` tells it from the facts; the first row that holds is the condition of the group.

    `level` is that of the line in the log when the condition begins. `advice` says what it means and what to do.
    """

    name: str
    holds: Callable[[Facts], bool]
    level: str
    advice: str


CONDITIONS: tuple[Condition, ...] = (
    Condition(
        "failed",
        lambda facts: facts.has_failed,
        "error",
        "the pool of this array has failed, so it serves the group no more; the other member takes over if it was in sync. "
        "Restart this array, or repair its pool",
    ),
    Condition(
        "no lease",
        lambda facts: facts.state is GroupState.WAITING,
        "error",
        "hosts cannot use the group: neither the other member nor the witness grants this array a lease, or it compares its "
        "data after a start. Bring back the witness and the other member, and the paths to them. If only the witness is lost "
        "for good, give the group another one (`odx-target group witness`). To go on alone, stop the other member; "
        "`odx-target group promote` then tells what is given up",
    ),
    Condition(
        "taking over",
        lambda facts: facts.state is GroupState.TAKING_OVER,
        "warning",
        "the primary is silent, and this array asks the witness to become the primary",
    ),
    Condition(
        "different",
        lambda facts: facts.has_mismatch and not facts.is_in_sync,
        "error",
        "both members had different contents at an anchor. The primary goes on alone and resynchronises the other member "
        "as a whole. Look for damage with `odx-target pool scrub` at both arrays",
    ),
    Condition(
        "isolated",
        lambda facts: facts.is_primary and not facts.is_in_sync and facts.is_isolated,
        "warning",
        "an operator has isolated the other member, and nobody can take over from this array. `odx-target group resync` "
        "brings the other member back",
    ),
    Condition(
        "resync",
        lambda facts: facts.is_primary and not facts.is_in_sync and facts.is_resyncing,
        "warning",
        "the other member is out of sync and is brought up to date. Until then nobody can take over from this array",
    ),
    Condition(
        "peer lost",
        lambda facts: facts.is_primary and not facts.is_in_sync and not facts.is_peer_connected,
        "error",
        "the other member cannot be reached, and this array serves alone. What hosts write now is only here. Repair the "
        "other array or the path; the resync then begins by itself",
    ),
    Condition(
        "out of sync",
        lambda facts: not facts.is_in_sync,
        "warning",
        "only the primary has all changes, and nobody can take over from it. The resync begins by itself",
    ),
    Condition(
        "peer silent",
        lambda facts: not facts.is_peer_connected,
        "error",
        "the other member cannot be reached. Writes wait until it answers, or until it is dropped from the group",
    ),
    Condition(
        "witness lost",
        lambda facts: not facts.is_witness_connected,
        "error",
        "the witness cannot be reached. Both members go on, but if one of them is lost too, the group stops. Repair the "
        "witness or the path to it",
    ),
    Condition("in sync", lambda _: True, "info", ""),
)
"""The conditions, the most important first. The last one always holds."""


def condition_of(facts: Facts) -> Condition:
    """Return the condition of a group."""
    return next(each for each in CONDITIONS if each.holds(facts))
