"""Tests of promotion and reversal between two arrays of the simulated world."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from odx_target.replica.link.messages import Message
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.protection import (
    BLOCK_ATTRIBUTE,
    CLASS_ATTRIBUTE,
    COPY_ATTRIBUTE,
    KEPT_ATTRIBUTE,
    SIZE_ATTRIBUTE,
    Protection,
    Role,
)
from odx_target.replica.snapshots.records import ReplicationRefused
from odx_target.scsi.unit.sanitize_operation import KEY_PREFIX
from odx_target.store.api import BLOCK_BYTES, Snapshot, Volume
from odx_target.target.schedules.taking import SCHEDULE_ATTRIBUTE
from tests.replica.snapshots.replicating import HOURLY, SIZE, Arrays
from tests.sim.network import SimulatedLink


class Pair(Arrays):
    """Arrays that fail over and back. `primary` has the volume that hosts use; its names are `v` and `peer/a/v`."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.names = {"a": "v", "b": "peer/a/v"}
        self.primary, self.secondary = "a", "b"
        self.change("a", 200)
        self.protect()
        self.sent("first")

    def sent(self, name: str) -> Snapshot:
        """Take a snapshot at the primary, and wait until the secondary has it."""
        taken = self.snapshot(self.primary, name, self.names[self.primary])
        self.until(self.secondary, taken.guid)
        self.settle(self.primary)
        self.assert_equal("a", "b", taken.guid)
        return taken

    def hosts_write(self, count: int = 15) -> None:
        self.change(self.primary, count, self.names[self.primary])

    def promote(self) -> Volume:
        """Promote the copy at the secondary, which becomes the primary."""
        array = self[self.secondary]
        copy = next(copy for copy, _ in array.replication.copies() if copy.role is Role.RECEIVING)
        promoted: Volume = self.run(  # type: ignore[assignment]
            array, array.replication.failover.promote(copy, None, lambda volume, snapshot: volume.restore(snapshot))
        )
        self.primary, self.secondary = self.secondary, self.primary
        return promoted

    def reverse(self) -> list[Snapshot]:
        """Reverse the protection of the former primary."""
        array = self[self.secondary]
        (protection,) = array.replication.records.protections.values()

        async def withdraw(_volume: Volume) -> None:
            pass

        found: list[Snapshot] = self.run(  # type: ignore[assignment]
            array, array.replication.failover.reverse(protection, array.paths[self.primary], withdraw)
        )
        return found


def test_a_failover_and_a_failback_send_only_differences() -> None:
    pair = Pair(1)
    pair.hosts_write()  # never sent: lost by the failover
    promoted = pair.promote()
    assert COPY_ATTRIBUTE not in promoted.attributes
    assert promoted.lineage == pair.volume("a").lineage
    pair.hosts_write()
    pair.snapshot("a", "not wanted any more")
    pair.world.advance(5.0)
    assert "promoted" in pair["a"].replication.sender.activity("v").problem
    before = pair["a"].paths["b"].status.received_bytes
    (diverged,) = pair.reverse()
    assert diverged.name.startswith("diverged-")
    taken = pair.sent("after failover")
    assert pair["a"].paths["b"].status.received_bytes - before < 40 * 4200 + 25 * 20 * 1024
    assert pair.volume("a").snapshots["after failover"].guid == taken.guid
    assert COPY_ATTRIBUTE in pair.volume("a").attributes
    pair.hosts_write()
    pair.sent("last at b")
    pair.promote()
    assert pair.reverse() == []
    pair.hosts_write()
    pair.sent("back at a")
    assert pair.held("a") == {"back at a": ["replica:b"]}
    assert pair.held("b") == {"back at a": ["replica:a"]}
    pair.check_errors()


def test_the_changes_of_a_former_primary_are_kept_whatever_the_retention_is() -> None:
    """The last common snapshot belongs to a class of which one is kept, and to a schedule. The changes belong to none."""
    pair = Pair(11)
    for array in pair.arrays.values():
        array.keep_hourly = 1
    taken = pair.sent("h1")
    pair["b"].pool.snapshots[taken.guid].change_attributes(
        {**pair["b"].pool.snapshots[taken.guid].attributes, SCHEDULE_ATTRIBUTE: "1"}
    )
    pair["b"].pool.commit()
    pair.promote()
    pair.reverse()
    pair.hosts_write()  # at the second array, which sends nothing until it fails too
    pair.promote()
    (diverged,) = pair.reverse()
    assert diverged.attributes == {SIZE_ATTRIBUTE: str(SIZE * BLOCK_BYTES), BLOCK_ATTRIBUTE: "4096", KEPT_ATTRIBUTE: "diverged"}
    for name in ("h2", "h3", "h4"):
        pair.hosts_write()
        pair.sent(name)
    assert diverged.name in pair.volume("b", pair.names["b"]).snapshots
    pair.check_errors()


def test_the_retention_keeps_changes_that_an_earlier_version_has_kept_with_a_class() -> None:
    pair = Pair(12)
    pair["a"].keep_hourly = 1
    _, volume = pair.copy()
    kept = volume.snapshot("diverged-before", {CLASS_ATTRIBUTE: HOURLY, KEPT_ATTRIBUTE: "diverged"})
    pair["b"].pool.commit()
    for name in ("h1", "h2", "h3"):
        pair.hosts_write()
        pair.sent(name)
    assert sorted(volume.snapshots) == [kept.name, "first", "h3"]
    pair.check_errors()


def test_a_reversal_needs_a_promotion_and_a_connection() -> None:
    pair = Pair(2)
    pair.primary, pair.secondary = "b", "a"
    with pytest.raises(ReplicationRefused, match="has not promoted"):
        pair.reverse()
    pair.primary, pair.secondary = "a", "b"
    pair.promote()
    copy = pair["b"].replication.copies()[0][0]
    with pytest.raises(ReplicationRefused, match="was promoted already"):
        pair.run(pair["b"], pair["b"].replication.failover.promote(copy, None, lambda *_: None))
    pair["b"].kill()
    pair.world.advance(10.0)
    with pytest.raises(ReplicationRefused, match="not connected"):
        pair.reverse()
    pair["b"].start()
    pair.world.run_until(lambda: pair["a"].paths["b"].link is not None, 60.0)
    pair.reverse()
    pair.hosts_write()
    pair.sent("after")


def test_a_copy_without_snapshots_cannot_be_promoted() -> None:
    arrays = Arrays(3)
    arrays.change("a", 400)
    arrays.network.line("a", "b").bytes_per_s = 100_000
    for link in arrays.network.links:
        link.cut()
    arrays.snapshot("a", "large")
    arrays.protect()
    arrays.world.run_until(lambda: bool(arrays["b"].replication.copies()), 60.0)
    (copy, _) = arrays.copy()
    with pytest.raises(ReplicationRefused, match="no snapshot yet"):
        arrays.run(arrays["b"], arrays["b"].replication.failover.promote(copy, None, lambda *_: None))


def test_a_promotion_ends_a_running_transfer() -> None:
    pair = Pair(4)
    first = pair.volume("a").snapshots["first"]
    pair.network.line("a", "b").bytes_per_s = 300_000
    for link in pair.network.links:
        link.cut()
    pair.hosts_write(400)
    pair.snapshot("a", "never complete")
    pair.world.run_until(lambda: any(each.transfer for each in pair["b"].replication.received.activities.values()), 60.0)
    promoted = pair.promote()
    frozen = promoted.freeze()
    assert pair.run(pair["b"], frozen.digest()) == pair.run(pair["a"], first.digest())
    assert pair["b"].pool.remembered_keys("replica/receive/") == []


@pytest.mark.parametrize("seed", range(4))
def test_promote_reverse_promote_with_cuts_and_restarts(seed: int) -> None:
    pair = Pair(seed + 60)
    random = pair.random

    def plan(link: SimulatedLink) -> None:
        if random.randrange(3) == 0:
            link.ends[random.randrange(2)].outgoing.cut_after_bytes = random.randrange(300_000)

    pair.network.on_connection = plan
    for round_number in range(3):
        pair.hosts_write()
        if random.randrange(2):
            pair.snapshot(pair.primary, f"unsent {round_number}", pair.names[pair.primary])
        for array in pair.arrays.values():
            pair.run(array, array.pool.flush())
        if random.randrange(2):
            victim = pair[random.choice("ab")]
            (victim.kill if random.randrange(2) else victim.lose_power)()
            pair.world.advance(random.uniform(0.0, 3.0))
            victim.start()
        pair.promote()
        pair.hosts_write()
        pair.run(pair[pair.primary], pair[pair.primary].pool.flush())
        for _ in range(30):
            pair.world.advance(2.0)
            try:
                pair.reverse()
                break
            except ReplicationRefused:
                continue
        else:
            pytest.fail("the protection is never reversed")
        pair.hosts_write()
        taken = pair.snapshot(pair.primary, f"sent {round_number}", pair.names[pair.primary])
        pair.run(pair[pair.primary], pair[pair.primary].pool.flush())
        pair.until(pair.secondary, taken.guid)
        pair.assert_equal("a", "b", taken.guid)
    pair.check_errors()


def test_a_copy_that_is_promoted_while_a_snapshot_is_compared_stays_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(5)
    publisher = pair["b"].replication._publisher
    digest, environment, compared = publisher._digest, pair["b"].environment, []

    async def slow(volume: Volume) -> bytes:
        compared.append(volume.name)
        await environment.sleep(2.0)
        return await digest(volume)

    monkeypatch.setattr(publisher, "_digest", slow)
    pair.hosts_write()
    late = pair.snapshot("a", "late")
    pair.world.run_until(lambda: bool(compared), 60.0)
    promoted = pair.promote()
    (copy, _) = pair.copy()
    assert copy.role is Role.PROMOTED
    assert not pair.has("b", late.guid)
    pair.hosts_write()
    frozen = promoted.freeze()
    before = pair.run(pair["b"], frozen.digest())
    pair.change("a", 30)
    pair.snapshot("a", "later")
    pair.world.advance(10.0)
    assert pair.run(pair["b"], promoted.freeze().digest()) == before
    pair.check_errors()


def test_a_second_reversal_keeps_what_has_arrived_after_a_first_one_that_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(6)
    pair.promote()
    failover = pair["a"].replication.failover
    ask = failover._ask

    async def cut(path: Path, volumes: Sequence[bytes], *, begin: bool, protection: Protection | None = None) -> Message:
        answer = await ask(path, volumes, begin=begin, protection=protection)
        if begin:
            raise ReplicationRefused("the link has ended")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(failover, "_ask", cut)
        with pytest.raises(ReplicationRefused, match="the link has ended"):
            pair.reverse()
    pair.hosts_write()
    newest = pair.sent("arrived between the reversals")
    assert pair.reverse() == []
    promoted = pair.promote()
    assert pair.run(pair["a"], promoted.freeze().digest()) == pair.run(pair["a"], newest.digest())
    pair.check_errors()


def test_a_promoted_copy_that_is_sent_to_a_third_array_can_still_be_sent_back_as_differences() -> None:
    arrays = Arrays(31, "bac")  # b has paths to a and to c
    arrays.change("a", 200)
    arrays.protect("a", "b")
    first = arrays.snapshot("a", "first")
    arrays.until("b", first.guid)
    arrays.settle("a")
    b = arrays["b"]
    ((copy, volume),) = b.replication.copies()
    arrays.run(b, b.replication.failover.promote(copy, None, lambda volume, snapshot: volume.restore(snapshot)))
    arrays.protect("b", "c", volume.name)
    for name in ("one", "two"):
        arrays.change("b", 5, volume.name)
        taken = arrays.snapshot("b", name, volume.name)
        arrays.until("c", taken.guid)
        arrays.settle("b", volume.name)
    b.kill()
    b.start()
    arrays.world.advance(5.0)
    assert arrays.held("b") == {"first": ["replica:a"], "two": ["replica:c"]}
    (protection,) = arrays["a"].replication.records.protections.values()

    async def withdraw(_volume: Volume) -> None:
        pass

    reverse = arrays["a"].replication.failover.reverse
    with pytest.raises(ReplicationRefused, match="to another array already"):
        arrays.run(arrays["a"], reverse(protection, arrays["a"].paths["b"], withdraw))
    arrays.run(b, b.replication.unprotect(volume.name))
    before = arrays["a"].paths["b"].status.received_bytes
    arrays.run(arrays["a"], reverse(protection, arrays["a"].paths["b"], withdraw))
    taken = arrays.snapshot("b", "three", volume.name)
    arrays.until("a", taken.guid)
    arrays.assert_equal("a", "b", taken.guid)
    assert arrays["a"].paths["b"].status.received_bytes - before < 20 * 4200 + 64 * 1024
    arrays.check_errors()


@pytest.mark.parametrize("group", ["", "g"])
def test_a_reversal_makes_no_second_protection_of_a_volume(group: str) -> None:
    """The operator has protected a promoted volume before the other array is reversed."""
    arrays = Arrays(32)
    names = ("v", "w") if group else ("v",)
    for name in names:
        arrays.change("a", 20, name)
    arrays.protect("a", "b", *names, group=group)
    a, b = arrays["a"], arrays["b"]
    made = a.pool.snapshot_volumes({name: {} for name in names}, "s")
    a.pool.commit()
    for each in made:
        arrays.until("b", each.guid)
    arrays.settle("a", group or "v")
    for copy, _ in b.replication.copies():
        arrays.run(b, b.replication.failover.promote(copy, None, lambda volume, snapshot: volume.restore(snapshot)))
    promoted = [volume.name for _, volume in b.replication.copies()]
    arrays.protect("b", "a", promoted[0])
    (protection,) = a.replication.records.protections.values()

    async def withdraw(_volume: Volume) -> None:
        pass

    reverse = partial(a.replication.failover.reverse, protection, a.paths["b"], withdraw)
    if group:
        with pytest.raises(ReplicationRefused, match=f"{promoted[0]} belongs to the protection"):
            arrays.run(a, reverse())
        arrays.run(b, b.replication.unprotect(promoted[0]))
    arrays.run(a, reverse())
    assert list(b.replication.records.protections) == [group or promoted[0]]
    taken = (
        [arrays.snapshot("b", "t", each) for each in promoted]
        if not group
        else list(b.pool.snapshot_volumes({each: {} for each in promoted}, "t"))
    )
    b.pool.commit()
    for each in taken:
        arrays.until("a", each.guid)
    arrays.check_errors()


def test_old_data_of_a_volume_that_is_sanitized_is_not_kept_by_a_reversal() -> None:
    pair = Pair(7)
    pair.promote()
    pair.change("a", 5)
    pool = pair["a"].pool
    key = KEY_PREFIX + pair.volume("a").identity.hex()
    pool.remember(key, b"")
    with pytest.raises(ReplicationRefused, match="is being sanitized"):
        pair.reverse()
    assert [name for name in pair.volume("a").snapshots if name.startswith("diverged")] == []
    pool.forget(key)
    (diverged,) = pair.reverse()
    assert diverged.name.startswith("diverged")


def test_a_transfer_that_ends_during_a_reversal_leaves_no_hold() -> None:
    """The operator's request still has the protection without its common snapshot."""
    pair = Pair(8)
    (protection,) = pair["a"].replication.records.protections.values()
    pair.promote()

    async def withdraw(_volume: Volume) -> None:
        pass

    earlier = replace(protection, common={})
    pair.run(pair["a"], pair["a"].replication.failover.reverse(earlier, pair["a"].paths["b"], withdraw))
    pair.hosts_write()
    pair.sent("after")
    assert pair.held("a") == {"after": ["replica:b"]}
    assert pair.held("b") == {"after": ["replica:a"]}
    pair.check_errors()


@pytest.mark.parametrize("is_reversed", [True, False])
def test_a_volume_that_is_sent_back_holds_only_what_both_arrays_have(is_reversed: bool) -> None:
    """Without a settlement, the copy holds two snapshots when it is promoted. The peer needs only the newer one."""
    pair = Pair(9)
    publisher, settle = pair["b"].replication._publisher, messages.SETTLE_REQUEST

    async def deny(*_: object) -> None:
        raise RequestDenied("busy", "not now")

    pair["b"].requests.add({settle: publisher.rows()[settle]._replace(serve=deny)})
    pair.hosts_write()
    second = pair.snapshot("a", "second")
    pair.until("b", second.guid)
    pair.world.advance(5.0)
    assert set(pair.held("b")) == {"first", "second"}
    pair.promote()
    if is_reversed:
        pair.reverse()
    else:
        pair.protect("b", "a", pair.names["b"])
    assert pair.held("b") == {"second": ["replica:a"]}
    (protection,) = pair["b"].replication.records.protections.values()
    assert set(protection.common.values()) == {second.guid}
