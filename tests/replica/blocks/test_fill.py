"""Tests of fills between two arrays of the simulated world: equal content, cuts anywhere, refusals, and lost blocks."""

from collections.abc import Mapping
from typing import Any

import pytest

from odx_target.replica.blocks.limits import MAX_VAIN_ATTEMPTS
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.store.api import BLOCK_BYTES, Absent, DamagedBlock, Snapshot, Unreadable
from tests.replica.blocks.filling import BLOCKS, SIZE, Filling
from tests.sim.network import SimulatedLink
from tests.sim.scenarios.fills import serve
from tests.sim.simulated_array import SimulatedArray


@pytest.mark.parametrize("seed", range(2))
def test_a_filled_volume_is_equal_and_equal_data_is_not_sent_again(seed: int) -> None:
    filling = Filling(seed)
    fill = filling.fill()
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.received_blocks + totals.linked_blocks + totals.repeated_blocks == totals.offered_blocks == BLOCKS
    assert totals.lost_blocks == []
    assert fill.next_block == SIZE
    fill.forget()
    assert fill.next_block is None
    moved = {(block + 7) % SIZE: data for block, data in filling.content.items()}
    moved[3] = b"new data" * 512
    again = filling.fill(filling.snapshot_of("moved", moved), "second")
    before = filling.arrays.ours.status.received_bytes
    (totals,) = filling.run(again)
    filling.assert_equal(again)
    assert totals.received_blocks == 1
    assert totals.wrong_hints == 0
    assert filling.arrays.ours.status.received_bytes - before < BLOCKS * BLOCK_BYTES // 50


def test_former_content_is_replaced() -> None:
    filling = Filling(4)
    volume = filling.volume()
    filling.write(filling.one, volume, dict.fromkeys(range(0, SIZE, 9), b"former  " * 512))
    fill = filling.fill()
    filling.run(fill)
    filling.assert_equal(fill)


@pytest.mark.parametrize("seed", range(6))
def test_a_fill_that_is_cut_anywhere_continues(seed: int) -> None:
    filling = Filling(seed + 100)
    random, world = filling.world.random, filling.world
    cuts = random.randint(1, 4)

    def plan(link: SimulatedLink) -> None:
        nonlocal cuts
        if cuts:
            cuts -= 1
            direction = link.ends[random.choice([0, 1, 1, 1])].outgoing
            if random.randrange(4):
                direction.cut_after_bytes = random.choice([random.randrange(2000), random.randrange(2_000_000)])
            else:
                direction.lost_after_bytes = random.randrange(1_000_000)

    filling.arrays.network.on_connection = plan
    if filling.arrays.ours.link is not None:
        filling.arrays.used.cut()
    fill = filling.fill()
    totals = filling.run(fill)
    filling.assert_equal(fill)
    new = sum(each.received_blocks for each in totals)
    assert new <= BLOCKS + 1024 * (len(totals) - 1)
    assert all(each.lost_blocks == [] for each in totals)
    world.advance(10.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_fill_continues_after_either_array_has_died(seed: int) -> None:
    filling = Filling(seed + 200)
    random, world = filling.world.random, filling.world
    world.run(filling.one.environment, filling.one.pool.flush())
    for _ in range(3):
        fill = filling.fill()
        filling.one.pool.commit()
        task = filling.one.environment.spawn(fill.run(0, SIZE))
        world.advance(random.uniform(0.0, 0.3))
        victim = random.choice([filling.one, filling.other])
        (victim.kill if random.randrange(2) else victim.lose_power)()
        world.advance(random.uniform(0.0, 2.0))
        victim.start()
        if victim is filling.other:
            world.run_until(lambda task=task: task.done)  # type: ignore[misc]
            task.value()
    fill = filling.fill()
    world.run(filling.one.environment, fill.run(0, SIZE))
    filling.assert_equal(fill)


@pytest.mark.parametrize(
    ("changes", "code"), [({"guid": bytes(16)}, "absent"), ({"rights": frozenset()}, "right"), ({"count": SIZE + 1}, "range")]
)
def test_requests_that_are_refused(changes: dict[str, object], code: str) -> None:
    filling = Filling(5)
    fill = filling.fill()
    fill.guid = changes.get("guid", fill.guid)  # type: ignore[assignment]
    if "rights" in changes:
        settings = filling.arrays.theirs.settings
        object.__setattr__(settings, "rights", changes["rights"])
    with pytest.raises(RequestDenied) as caught:
        filling.world.run(filling.one.environment, fill.run(0, int(str(changes.get("count", SIZE)))))
    assert caught.value.code == code


@pytest.mark.parametrize("kind", ["another volume", "a later range", "two ranges"])
def test_a_mark_says_nothing_about_other_blocks(kind: str) -> None:
    filling = Filling(13)
    world, environment = filling.world, filling.one.environment
    if kind == "another volume":
        filling.run(filling.fill(name="former"))
    elif kind == "a later range":
        world.run(environment, filling.fill().run(1500, SIZE - 1500))
    else:
        world.run(environment, filling.fill().run(0, 100))
        world.run(environment, filling.fill().run(2000, SIZE - 2000))
    fill = filling.fill()
    filling.run(fill)
    filling.assert_equal(fill)


def test_a_fill_waits_for_a_busy_peer() -> None:
    filling = Filling(16)
    refusals = 3

    async def busy(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise RequestDenied("busy", "later")
        await serve(array, path, exchange, document)

    filling.other.serve = busy
    fill = filling.fill()
    filling.run(fill)
    assert refusals == 0
    filling.assert_equal(fill)


def test_the_digest_of_a_snapshot_that_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = Filling(17)
    fill = filling.fill()

    async def digest(_snapshot: Snapshot) -> bytes:
        raise Absent("the frozen map or snapshot was released or deleted")

    monkeypatch.setattr(type(filling.snapshot), "digest", digest)
    with pytest.raises(RequestDenied, match="deleted"):
        filling.world.run(filling.one.environment, fill.peer_digest())
    assert filling.other.errors == []


@pytest.mark.parametrize(("error", "code"), [(Unreadable(1024, "the disk fails"), "storage"), (Absent("deleted"), "absent")])
def test_a_sender_that_cannot_read_ends_the_fill_with_a_named_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    """The receiver keeps what it has, and does not ask again and again."""
    filling = Filling(19)
    read = type(filling.snapshot).read

    def fail(self: Snapshot, block: int, count_blocks: int) -> Any:
        if self is filling.snapshot and block >= 1024:
            raise error
        return read(self, block, count_blocks)

    fill = filling.fill()
    with monkeypatch.context() as patch:
        patch.setattr(type(filling.snapshot), "read_now", lambda *_: None)
        patch.setattr(type(filling.snapshot), "read", fail)
        with pytest.raises(RequestDenied, match=str(error)) as caught:
            filling.run(fill)
    assert caught.value.code == code
    filling.run(fill)
    filling.assert_equal(fill)


def test_lost_blocks_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill that continues after a restart must not call the copy complete."""
    filling = Filling(18)
    lost, read = sorted(filling.content)[:2], type(filling.snapshot).read

    def damaged(self: Snapshot, block: int, count_blocks: int) -> Any:
        if self is filling.snapshot and any(block <= each < block + count_blocks for each in lost):
            raise DamagedBlock(block)
        return read(self, block, count_blocks)

    monkeypatch.setattr(type(filling.snapshot), "read_now", lambda *_: None)
    monkeypatch.setattr(type(filling.snapshot), "read", damaged)
    world = filling.world
    (totals,) = world.run(filling.one.environment, filling.fill().run(0, 1500))
    assert totals.lost_blocks == lost
    world.run(filling.one.environment, filling.one.pool.flush())
    filling.one.kill()
    filling.one.start()
    fill = filling.fill()
    filling.run(fill)
    assert fill.lost_blocks == len(lost)
    fill.forget()
    assert fill.lost_blocks == 0


def test_a_peer_that_ends_each_exchange_early_is_not_asked_without_end() -> None:
    filling = Filling(19)

    async def end_early(_array: SimulatedArray, _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
        exchange.answer({})

    filling.other.serve = end_early
    with pytest.raises(RequestDenied) as caught:
        filling.run(filling.fill())
    assert caught.value.code == "storage"
    assert f"{MAX_VAIN_ATTEMPTS} times" in str(caught.value)
