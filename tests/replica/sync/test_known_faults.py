"""Faults that users of DRBD and of QUADStor have met, as stories of a group that does not have them.

Others of this kind are in `test_groups.py` (a false split brain), `test_maintenance.py` (a verification that is cut off) and
`test_volume_operations.py` (a map of a former configuration).
"""

from dataclasses import replace

import pytest

from odx_target.replica.link.throttle import Rates
from odx_target.replica.membership.register import Change, Register
from odx_target.replica.sync.group_states import GroupState
from odx_target.replica.sync.stream.relog import Relog
from odx_target.store.api import BLOCK_BYTES
from tests.replica.sync.pairs import Pair, block

TAKEOVER_S = 12.0
LONG_S = 30.0


def test_drbd_a_new_epoch_that_never_reached_the_former_primary() -> None:
    """The former primary does not know the new epoch. Its stream is refused at the first frame, and it learns the epoch."""
    pair = Pair()
    pair.network.cut("a", "b")
    pair.network.cut("a", "w")
    former = pair.group(pair.a).driver.member
    epoch = former.register.epoch
    pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 7, [block(66)]))
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert former.register.epoch == epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Relog, "apply", None)  # A change that is made would fail.
        pair.network.mend("a", "b")
        pair.until(lambda: former.register.epoch > epoch, 8.0)
    assert pair.content(pair.b)[7] == 0
    assert pair.group(pair.a).state is GroupState.OUT_OF_SYNC


@pytest.mark.parametrize("change", Change)
def test_drbd_a_change_that_was_suppressed(change: Change) -> None:
    """Every change of the register raises its epoch, so no member takes a former state for the present one."""
    register = Register(5, "a", frozenset("ab"))
    assert register.changed(change, "a", "b").epoch > register.epoch


def test_drbd_a_member_is_not_promoted_with_stale_data() -> None:
    """It was dropped without knowing it. Nobody serves until the member with all data is back."""
    pair = Pair()
    pair.network.cut("a", "b")
    pair.network.cut("b", "w")
    pair.write(pair.a, 0, 5)
    assert len(pair.register.in_sync) == 1
    pair.a.kill()
    pair.network.mend("b", "w")
    pair.world.advance(LONG_S)
    assert not pair.serves(pair.b)()
    pair.network.mend("a", "b")
    pair.a.start()
    pair.until(pair.is_in_sync)
    assert pair.serves(pair.a)()
    assert pair.content(pair.b)[0] == 5


def test_drbd_writes_during_a_resync_that_is_cut_again_and_again() -> None:
    pair = Pair(3000)
    for at in range(0, 3000, 60):
        pair.write(pair.a, at, *range(at + 1, at + 61))
    assert pair.run(pair.a, pair.maintenance(pair.a).verify())
    pair.world.advance(1.0)
    pair.drop_other()
    for at in range(0, 1200, 60):
        pair.write(pair.a, at, *range(at + 5001, at + 5061))
    pair.network.line("a", "b").bytes_per_s = 5e6
    pair.b.start()
    outgoing = pair.group(pair.a).outgoing
    for number in range(5):
        pair.until(lambda: outgoing.sender is not None, 10.0, 0.01)
        pair.world.advance(0.05 * (number + 1))
        pair.write(pair.a, 100 * number, 9000 + number)
        pair.network.cut("a", "b")
        pair.world.advance(0.1)
        pair.network.mend("a", "b")
    pair.until(pair.is_in_sync)
    assert outgoing.resyncs["since an anchor"] >= 5
    assert pair.content(pair.b, 0, 3000) == pair.content(pair.a, 0, 3000)
    assert pair.run(pair.a, pair.maintenance(pair.a).verify())


@pytest.mark.parametrize("bytes_per_s", [1_000_000, 4_000_000])
def test_drbd_a_throttle_does_not_starve_a_resync(bytes_per_s: int) -> None:
    """Hosts change the volume all the time, and the path is throttled. The resync ends, and hosts do not wait for it."""
    pair, changed = Pair(1000), 300
    assert pair.run(pair.a, pair.maintenance(pair.a).verify())
    pair.world.advance(1.0)
    pair.drop_other()
    for at in range(0, changed, 60):
        pair.write(pair.a, at, *range(at + 1, at + 61))
    for array in (pair.a, pair.b):
        for path in list(array.paths.values()):
            array.paths.change(replace(path.settings, rates=Rates(bytes_per_s)))
    pair.b.start()
    written, began_s, longest_s = 0, pair.world.now_s, 0.0
    due_s = changed * BLOCK_BYTES / bytes_per_s
    while not pair.is_in_sync():
        write_s = pair.world.now_s
        pair.write(pair.a, 500 + written % 400, written + 1)
        written += 1
        if not pair.group(pair.a).outgoing.needs_peer:
            longest_s = max(longest_s, pair.world.now_s - write_s)
        pair.world.advance(0.1)
        assert pair.world.now_s - began_s < 10.0 + 3 * due_s, "the resync does not end"
    assert longest_s < 1.0
    assert pair.world.now_s - began_s > due_s / 4, "the path is throttled"
    pair.until(lambda: pair.group(pair.a).outgoing.peer_osn >= pair.a.pool.committed_osn - 1)
    assert pair.content(pair.b, 0, 1000) == pair.content(pair.a, 0, 1000)


def test_quadstor_both_members_are_secondary() -> None:
    """Both lose their power while the primary hands over. Afterwards one of them serves, and both are in sync."""
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.run(pair.a, pair.group(pair.a).flush())
    pair.spawn(pair.a, pair.group(pair.a).switchover())
    member = pair.group(pair.a).driver.member
    pair.until_exactly(lambda: member.request is not None)
    for array in (pair.a, pair.b):
        pair.lose_all(array)
    pair.world.advance(1.0)
    for array in (pair.b, pair.a):
        array.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a) == pair.content(pair.b)
    assert pair.content(pair.a)[0] == 1


def test_quadstor_a_switchover_whose_answer_is_lost() -> None:
    """The witness has made the other member the primary, but no answer arrives. One member serves after all."""
    pair = Pair()
    member = pair.group(pair.a).driver.member
    pair.spawn(pair.a, pair.group(pair.a).switchover())
    pair.until_exactly(lambda: member.request is not None)
    pair.lose("w", "a")
    pair.until(lambda: pair.serves(pair.b)() or pair.serves(pair.a)(), LONG_S)
    pair.network.mend("w", "a")
    pair.until(pair.is_in_sync)
    assert pair.register.primary == pair.b.pool.identity.hex()
