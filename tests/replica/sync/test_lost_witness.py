"""The ways out of the wait of a group whose witness is lost, after a member was away, as the documentation names them."""

import pytest

from odx_target.replica.grouping.witness_change import WitnessChange
from odx_target.replica.sync.group_states import GroupState, NotServing
from tests.replica.sync.pairs import Pair
from tests.sim.group_array import NAME, GroupArray
from tests.sim.simulated_array import pair as pair_arrays

CUT_S = 6.5
"""Both members then ask the witness to go on without the other one."""

LONG_S = 30.0
FAULTS = ["cut", "secondary restarts", "primary restarts"]


def waiting(fault: str) -> Pair:
    """Lose the witness, and then one member for a while. Both members are back, and hosts cannot use the group."""
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.w.kill()
    if fault == "cut":
        pair.world.advance(1.0)
        pair.network.cut("a", "b")
        pair.world.advance(CUT_S)
        pair.network.mend("a", "b")
    else:
        array = pair.b if fault == "secondary restarts" else pair.a
        array.kill()
        pair.world.advance(CUT_S)
        array.start()
    pair.world.advance(LONG_S)
    assert pair.group(pair.a).state is GroupState.WAITING
    assert not pair.serves(pair.b)()
    return pair


def served_again(pair: Pair) -> None:
    """Wait until one member serves, and both are in sync."""
    pair.until(pair.is_in_sync)
    array = pair.a if pair.serves(pair.a)() else pair.b
    pair.write(array, 1, 2)
    assert pair.content(pair.a)[:2] == pair.content(pair.b)[:2] == [1, 2]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_witness_comes_back(fault: str) -> None:
    pair = waiting(fault)
    pair.w.start()
    served_again(pair)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_group_gets_another_witness(fault: str) -> None:
    pair = waiting(fault)
    new = GroupArray(pair.world, pair.network, "x")
    for array in (pair.a, pair.b, new):
        if array is not new:
            pair_arrays(array, new)
        WitnessChange(array.pool, array.environment, array.table).add_to(array.requests)
    pair.until(lambda: all(array.paths["x"].link is not None for array in (pair.a, pair.b)))
    change = WitnessChange(pair.a.pool, pair.a.environment, pair.a.table)
    pair.run(pair.a, change.run(pair.group(pair.a), pair.a.paths["x"]))
    pair.w = new
    pair.until(lambda: new.table.witness_desk.record(NAME).register is not None)
    served_again(pair)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_other_member_is_stopped_and_this_one_promoted_by_force(fault: str) -> None:
    pair = waiting(fault)
    for array, other in ((pair.a, pair.b), (pair.b, pair.a)):
        asks = pair.group(array).driver.member.request is not None
        words = "give the group another witness, or stop the other" if array is pair.a or asks else "use a switchover"
        with pytest.raises(NotServing, match=words):
            pair.maintenance(array).possible_loss()
        assert other.is_running
    pair.b.kill()
    pair.until(lambda: pair.a.paths["b"].link is None)
    pair.run(pair.a, pair.maintenance(pair.a).promote_by_force())
    pair.write(pair.a, 1, 2)
    pair.b.start()
    pair.w.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a)[:2] == pair.content(pair.b)[:2] == [1, 2]


def test_what_hosts_have_not_flushed_may_be_gone_after_a_loss_of_power_and_a_promotion_by_force() -> None:
    """The other member has it, and loses it too when it is back and is resynchronised."""
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.run(pair.a, pair.group(pair.a).flush())
    pair.write(pair.a, 0, 2)
    pair.w.kill()
    pair.lose_all(pair.a)
    pair.b.kill()
    pair.world.advance(1.0)
    pair.a.start()
    pair.world.advance(CUT_S)
    assert pair.run(pair.a, pair.maintenance(pair.a).promote_by_force()).is_primary
    assert pair.content(pair.a)[0] == 1
    pair.b.start()
    pair.w.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.b)[0] == 1
    assert not pair.volume(pair.b).snapshots
