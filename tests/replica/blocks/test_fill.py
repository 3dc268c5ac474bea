"""Tests of fills between two arrays of the simulated world: equal content, known data that is not sent, and cuts anywhere."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest

from odx_target.replica.blocks.compression import LinkCompression
from odx_target.replica.blocks.fill import HOLES, Fill
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import MAX_SERVED_REQUESTS, MAX_VAIN_ATTEMPTS
from odx_target.replica.blocks.receiver import ReceiveTotals
from odx_target.replica.blocks.sender import BlockSender, OfferPolicy
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.kinds import NO_FLAGS, Flag, Kind
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import CompressionChoice, Right
from odx_target.replica.request_table import RequestTable, Row
from odx_target.store.api import BLOCK_BYTES, Absent, DamagedBlock, PoolBusy, Snapshot, Unreadable, Volume
from tests.replica.paths.test_paths import Arrays
from tests.sim.network import SimulatedLink
from tests.sim.simulated_array import SimulatedArray

SIZE = 2500
"""Size of the volumes in blocks: three parts, the last of which is short."""

BLOCKS = 300
"""Number of blocks that are no holes."""


async def serve(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
    await RequestTable(array.pool, array.environment).serve(path, exchange, document)


def content_of(random: Random) -> dict[int, bytes]:
    """Blocks with holes, repeated blocks, and blocks that can and cannot be compressed."""
    repeated = [random.randbytes(BLOCK_BYTES) for _ in range(5)]
    kinds = [lambda: random.randbytes(BLOCK_BYTES), lambda: random.randbytes(16) * 256, lambda: random.choice(repeated)]
    return {block: random.choice(kinds)() for block in random.sample(range(SIZE), BLOCKS)}


class Filling:
    """Two arrays: `one` fills its volume with a snapshot of `other`."""

    def __init__(self, seed: int) -> None:
        self.arrays = Arrays(seed, (True, False))
        self.one, self.other = self.arrays.one, self.arrays.other
        self.world = self.arrays.world
        self.one.serve = self.other.serve = serve
        self.hints = Hints(10_000)
        self.content = content_of(self.world.random)
        self.snapshot = self.snapshot_of("source", self.content)

    def snapshot_of(self, name: str, content: Mapping[int, bytes]) -> Snapshot:
        """Write a volume of the other array, and take a snapshot of it."""
        volume = self.other.pool.create_volume(name, SIZE, {})
        self.write(self.other, volume, content)
        snapshot = volume.snapshot("s")
        self.world.run(self.other.environment, self.other.pool.committed())
        self.world.run(self.other.environment, self.other.pool.flush())
        return snapshot

    def write(self, array: SimulatedArray, volume: Volume, content: Mapping[int, bytes]) -> None:
        """Write blocks, and wait for room."""
        for block, data in content.items():
            while True:
                try:
                    volume.write(block, [data])
                    break
                except PoolBusy:
                    self.world.run(array.environment, volume.room_made())

    def volume(self, name: str = "copy") -> Volume:
        volumes = self.one.pool.volumes
        return volumes[name] if name in volumes else self.one.pool.create_volume(name, SIZE, {})

    def fill(self, snapshot: Snapshot | None = None, name: str = "copy") -> Fill:
        snapshot, volume = snapshot or self.snapshot, self.volume(name)
        return Fill(self.one.pool, self.arrays.ours, volume, snapshot.guid, self.hints, self.one.environment)

    def run(self, fill: Fill) -> list[ReceiveTotals]:
        return self.world.run(self.one.environment, fill.run(0, SIZE))

    def assert_equal(self, fill: Fill) -> None:
        """Compare the digests of the snapshot and of the volume, as the peer sees its own."""
        frozen = fill.volume.freeze()
        ours = self.world.run(self.one.environment, frozen.digest())
        assert ours == self.world.run(self.one.environment, fill.peer_digest())
        frozen.release()
        assert self.one.errors == self.other.errors == []


@pytest.mark.parametrize("seed", range(2))
def test_a_filled_volume_is_equal_and_equal_data_is_not_sent_again(seed: int) -> None:
    filling = Filling(seed)
    fill = filling.fill()
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.received_blocks + totals.linked_blocks == totals.offered_blocks == BLOCKS
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


@pytest.mark.parametrize("seed", range(2))
def test_poisoned_hints_are_harmless(seed: int) -> None:
    filling = Filling(seed + 300)
    random = filling.world.random
    filling.run(filling.fill())
    places = filling.hints._places
    places[...] = random.choice([0, 1, 1 << 20]) + (places * random.choice([1, 3])) % (1 << 20)
    random_rows = random.sample(range(len(places)), len(places) // 2)
    places[random_rows] = places[random_rows[::-1]]
    moved = {(block + 1) % SIZE: data for block, data in filling.content.items()}
    again = filling.fill(filling.snapshot_of("moved", moved), "second")
    filling.run(again)
    filling.assert_equal(again)


def test_hints_that_find_other_data_with_the_same_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = Filling(9)
    filling.run(filling.fill())
    monkeypatch.setattr("odx_target.replica.blocks.sender.crc32c", lambda _: 0x1234)
    monkeypatch.setattr("odx_target.replica.blocks.receiver.crc32c", lambda _: 0x1234)
    moved = {(block + 1) % SIZE: data for block, data in filling.content.items()}
    again = filling.fill(filling.snapshot_of("moved", moved), "second")
    (totals,) = filling.run(again)
    assert totals.linked_blocks == 0
    filling.assert_equal(again)


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


def test_fingerprints_are_not_offered_while_they_find_nothing() -> None:
    policy = OfferPolicy()
    for _ in range(15):
        policy.note_answer(1024, 10)
        assert policy.is_on
    policy.note_answer(1024, 10)
    assert not policy.is_on
    for _ in range(63):
        policy.note_unasked(1024)
        assert not policy.is_on
    policy.note_unasked(1024)
    assert policy.is_on
    for _ in range(40):
        policy.note_answer(1024, 30)
        assert policy.is_on


def test_a_snapshot_that_is_deleted_while_it_is_sent() -> None:
    """It has no blocks any more, and the sender must not wait for them."""
    filling = Filling(12)
    filling.snapshot.delete()
    environment, exchange = filling.other.environment, cast(Exchange, None)
    sender = BlockSender(exchange, filling.snapshot, bytes(32), lambda: LinkCompression.OFF, environment)
    with pytest.raises(Absent):
        filling.world.run(environment, sender.run(0, SIZE))


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


def test_linked_data_that_is_damaged_is_received_again(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = Filling(14)
    filling.run(filling.fill())
    moved = {(block + 7) % SIZE: data for block, data in filling.content.items()}
    again = filling.fill(filling.snapshot_of("moved", moved), "second")
    volume, read = again.volume, type(again.volume).read

    def damaged(self: Volume, block: int, count_blocks: int) -> Any:
        if self is volume:
            raise DamagedBlock(block)
        return read(self, block, count_blocks)

    with monkeypatch.context() as patch:
        patch.setattr(type(volume), "read", damaged)
        (totals,) = filling.run(again)
    filling.assert_equal(again)
    assert totals.received_blocks == BLOCKS


def test_a_peer_cannot_start_more_requests_than_the_limit() -> None:
    """It closes each channel at once, but the array still works on the requests."""
    filling = Filling(15)
    environment = filling.other.environment
    release, begun, table = environment.event(), [], RequestTable(filling.other.pool, environment)

    async def serve_late(*_arguments: object) -> None:
        begun.append(None)
        await release.wait()

    table._rows["late"] = Row(Right.REPLICATE, serve_late)
    filling.arrays.connect()
    path = filling.arrays.theirs

    async def request() -> None:
        await table.serve(path, cast(Exchange, None), {"request": "late"})

    tasks = [environment.spawn(request()) for _ in range(MAX_SERVED_REQUESTS + 2)]
    filling.world.advance(0.1)
    assert len(begun) == MAX_SERVED_REQUESTS
    refused = [task.error for task in tasks if task.done]
    assert [error.code for error in refused if isinstance(error, RequestDenied)] == ["busy", "busy"]
    release.set()
    filling.world.advance(0.1)
    assert all(task.done for task in tasks)
    late = environment.spawn(request())
    filling.world.advance(0.1)
    assert late.done
    assert late.error is None


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


class Differing(Filling):
    """The receiver has the snapshot already, and receives a newer one."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.run(self.fill())
        random = self.world.random
        self.source = self.other.pool.volumes["source"]
        self.changed = dict.fromkeys(random.sample(range(SIZE), 20), b"changed " * 512)
        self.write(self.other, self.source, self.changed)
        self.source.unmap(min(self.content), 1)
        self.newer = self.source.snapshot("newer")
        self.world.run(self.other.environment, self.other.pool.committed())

    def difference(self, base: bytes | None = None) -> Fill:
        fill = self.fill(self.newer)
        fill.base = self.snapshot.guid if base is None else base
        return fill


@pytest.mark.parametrize("seed", range(3))
def test_only_the_differences_from_a_base_are_offered(seed: int) -> None:
    filling = Differing(seed)
    fill = filling.difference()
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.offered_blocks <= 20
    assert fill.next_block == SIZE
    assert filling.fill(filling.newer).next_block is None, "the mark of another base says nothing"


def test_equal_snapshots_need_one_offer_without_blocks() -> None:
    filling = Differing(4)
    filling.run(filling.difference())
    again = filling.source.snapshot("again")
    fill = filling.fill(again)
    fill.base = filling.newer.guid
    before = filling.arrays.ours.status.received_bytes
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.offered_blocks == 0
    assert filling.arrays.ours.status.received_bytes - before < 3000


def test_a_snapshot_that_has_grown_since_its_base() -> None:
    filling = Differing(5)
    filling.run(filling.difference())
    filling.source.resize(SIZE + 1500)
    filling.write(filling.other, filling.source, {SIZE + 1400: b"beyond  " * 512})
    grown = filling.source.snapshot("grown")
    filling.volume().resize(SIZE + 1500)
    fill = filling.fill(grown)
    fill.base = filling.newer.guid
    filling.world.run(filling.one.environment, fill.run(0, SIZE + 1500))
    filling.assert_equal(fill)


def test_a_volume_of_holes_gets_no_offers_of_holes() -> None:
    filling = Filling(6)
    fill = filling.fill()
    fill.base = HOLES
    (totals,) = filling.run(fill)
    filling.assert_equal(fill)
    assert totals.offered_blocks == BLOCKS


def test_a_base_that_the_sender_does_not_have() -> None:
    filling = Differing(7)
    with pytest.raises(RequestDenied) as caught:
        filling.run(filling.difference(b"?" * 16))
    assert caught.value.code == "absent"


@pytest.mark.parametrize("seed", range(3))
def test_differences_that_are_cut_anywhere(seed: int) -> None:
    filling = Differing(seed + 30)
    random = filling.world.random
    cuts = 3

    def plan(link: SimulatedLink) -> None:
        nonlocal cuts
        if cuts:
            cuts -= 1
            link.ends[random.choice([0, 1])].outgoing.cut_after_bytes = random.randrange(60_000)

    filling.arrays.network.on_connection = plan
    filling.arrays.used.cut()
    fill = filling.difference()
    filling.run(fill)
    filling.assert_equal(fill)


def test_a_peer_that_ends_each_exchange_early_is_not_asked_without_end() -> None:
    filling = Filling(19)

    async def end_early(_array: SimulatedArray, _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
        exchange.answer({})

    filling.other.serve = end_early
    with pytest.raises(RequestDenied) as caught:
        filling.run(filling.fill())
    assert caught.value.code == "storage"
    assert f"{MAX_VAIN_ATTEMPTS} times" in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "line_bytes_per_s", "throttle", "flags"),
    [
        ("auto", None, None, {Flag.LZ4}),
        ("auto", 20_000_000.0, None, {Flag.LZ4, Flag.ZSTANDARD}),
        ("auto", None, 50_000_000, {Flag.ZSTANDARD}),
        ("auto", None, 200_000_000, {Flag.LZ4}),
        ("lan", 20_000_000.0, None, {Flag.LZ4}),
        ("wan", None, None, {Flag.ZSTANDARD}),
        ("off", None, None, {NO_FLAGS}),
    ],
)
def test_the_compression_fits_the_rate_of_the_path(
    monkeypatch: pytest.MonkeyPatch, choice: str, line_bytes_per_s: float | None, throttle: int | None, flags: set[Flag]
) -> None:
    """With `auto`, a slow line is noticed after the first bytes."""
    monkeypatch.setattr("odx_target.replica.link.rate_meter.METER_BYTES", 300_000)
    filling = Filling(30)
    content = {block: filling.world.random.randbytes(2048) * 2 for block in range(SIZE)}
    snapshot = filling.snapshot_of("compressible", content)
    theirs = filling.arrays.theirs.settings
    changed = replace(theirs, compression=CompressionChoice(choice), rates=Rates(throttle))
    filling.other.paths.change(changed)
    filling.other.pool.commit()
    line = filling.arrays.network.line("one", "other")
    line.min_delay_s, line.max_delay_s, line.bytes_per_s = 1e-6, 1e-5, line_bytes_per_s
    seen: set[Flag] = set()
    send = Exchange.send

    def noted(self: Exchange, kind: Kind, argument: int = 0, body: Any = b"", flags: Flag = NO_FLAGS) -> None:
        if kind is Kind.DATA:
            seen.add(flags)
        send(self, kind, argument, body, flags)

    monkeypatch.setattr(Exchange, "send", noted)
    fill = filling.fill(snapshot)
    filling.run(fill)
    filling.assert_equal(fill)
    assert seen == flags
