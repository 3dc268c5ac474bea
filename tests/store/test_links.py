"""Links to places in the log: which places are refused, what the cleaner may do with them, and what a crash leaves."""

import errno
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import pytest
from tests.store.cleaning.cleaned_pools import Modelled, machine_with
from tests.store.pools import Machine, block, blocks, read, when_ready, write

from odx_target.store.api import BLOCK_BYTES, OutOfResources, PlaceGone, PoolBusy, StoredBlocks, StoreError, Unreadable, Volume
from odx_target.store.cleaning import cycle
from odx_target.store.digests.extent_checksums import ExtentChecksums
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import PoolOptions
from odx_target.store.segments.places import COMPRESSED, segment_of
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4, OFF, ZSTANDARD

SIZE = 2000


def stored(machine: Machine, volume: Volume, at: int = 0, count: int = 1) -> StoredBlocks:
    frozen = volume.freeze()
    found = machine.environment.run(frozen.stored_blocks(at, count))
    frozen.release()
    return found


def link(machine: Machine, volume: Volume, at: int, place: int, checksum: int) -> None:
    """Link a block, and wait for checksums and for room."""
    while True:
        try:
            return volume.link(at, place, checksum)
        except PoolBusy:
            machine.environment.run(volume.room_made())


def link_run(machine: Machine, volume: Volume, at: int, places: Sequence[int], checksums: Sequence[int]) -> list[int]:
    """Link adjacent blocks, and wait for checksums and for room."""
    found: list[int] = []
    when_ready(machine.environment, lambda: found.extend(volume.link_run(at, places, checksums)))
    return found


@pytest.fixture(params=[OFF, LZ4, ZSTANDARD])
def machine(request: pytest.FixtureRequest) -> Machine:
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False))
    machine.pool.create_volume("a", SIZE, {COMPRESSION_ATTRIBUTE: request.param})
    machine.pool.create_volume("b", SIZE, {})
    return machine


def volumes(machine: Machine) -> tuple[Volume, Volume]:
    return machine.pool.volumes["a"], machine.pool.volumes["b"]


@pytest.mark.parametrize("commit", [False, True])
def test_links_to_new_data(machine: Machine, commit: bool) -> None:
    ours, other = volumes(machine)
    write(machine, ours, 0, [blocks(*range(1, 33))])
    if commit:
        machine.pool.commit()
    found = stored(machine, ours, 0, 32)
    for at in range(32):
        link(machine, other, 100 + at, found.places[at], found.checksums[at])
    assert read(machine, other, 100, 32) == blocks(*range(1, 33))
    machine.pool.commit()
    for _ in range(2):
        machine.kill()
        _, other = volumes(machine)
        assert read(machine, other, 100, 32) == blocks(*range(1, 33))
        machine.checkpoint()


@pytest.mark.parametrize("is_cached", [False, True])
def test_links_to_old_data_load_its_checksums(machine: Machine, is_cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = volumes(machine)
    write(machine, ours, 0, [blocks(*range(1, 41))])
    machine.reopen()
    ours, other = volumes(machine)
    machine.environment.run(other.load(0, 1))
    found = stored(machine, ours, 0, 40)
    if not is_cached:
        segment = type(next(iter(machine.pool.supply.segments.values())))
        monkeypatch.setattr(segment, "read_now", lambda *_: None)
        with pytest.raises(PoolBusy):
            other.link(0, found.places[0], found.checksums[0])
    for at in range(40):
        link(machine, other, at, found.places[at], found.checksums[at])
    monkeypatch.undo()
    assert read(machine, other, 0, 40) == blocks(*range(1, 41))


@pytest.mark.parametrize(("number", "error"), [(errno.EIO, Unreadable), (errno.ENOMEM, OutOfResources)])
def test_checksums_that_cannot_be_loaded(machine: Machine, number: int, error: type[StoreError]) -> None:
    ours, _ = volumes(machine)
    write(machine, ours, 0, [blocks(*range(1, 41))])
    machine.reopen()
    ours, other = volumes(machine)
    found = stored(machine, ours, 5)
    machine.disk.failing.add("read")
    machine.disk.error_number = number
    with pytest.raises(error):
        link(machine, other, 0, found.places[0], found.checksums[0])
    machine.disk.failing.clear()
    link(machine, other, 0, found.places[0], found.checksums[0])
    assert read(machine, other, 0, 1) == block(6)


def test_headers_unused_blocks_and_missing_segments_are_refused(machine: Machine) -> None:
    ours, other = volumes(machine)
    write(machine, ours, 0, [blocks(*range(1, 41))])
    machine.pool.commit()
    machine.checkpoint()
    number = segment_of(stored(machine, ours).places[0])
    for place in [number << 14 | at for at in range(64)] + [
        99 << 14,
        COMPRESSED | 99 << 22 | 16,
        COMPRESSED | number << 22 | 16,
    ]:
        with pytest.raises(PlaceGone):
            link(machine, other, 0, place, 0)
    assert read(machine, other, 0, 1) == block(0)


def test_a_damaged_extent_takes_no_links() -> None:
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False))
    volume = machine.pool.create_volume("a", SIZE, {COMPRESSION_ATTRIBUTE: LZ4})
    write(machine, volume, 0, [blocks(*range(1, 17))])
    machine.pool.commit()
    found = stored(machine, volume, 0, 2)
    assert found.places[0] >= COMPRESSED
    place = found.places[0]
    machine.disk.files[segment_of(place)].content[(place >> 8 & 0x3FFF) * BLOCK_BYTES + 50] ^= 1
    with pytest.raises(PlaceGone):
        link(machine, volume, 100, place, found.checksums[0])
    assert list(stored(machine, volume, 0, 17).lost) == list(range(16))


def test_a_link_needs_the_leaf_of_its_block() -> None:
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False, map_memory_bytes=1))
    volume = machine.pool.create_volume("a", SIZE, {})
    write(machine, volume, 0, [block(1)])
    write(machine, volume, LEAF_BLOCKS + 1, [block(2)])
    machine.checkpoint()
    machine.environment.settle()
    found = stored(machine, volume)
    with pytest.raises(PoolBusy):
        volume.link(LEAF_BLOCKS, found.places[0], found.checksums[0])
    link(machine, volume, LEAF_BLOCKS, found.places[0], found.checksums[0])
    assert read(machine, volume, LEAF_BLOCKS, 2) == blocks(1, 2)


def test_a_link_in_a_full_pool_changes_nothing() -> None:
    machine = Machine(PoolOptions(segment_blocks=32, limit_bytes=3 * 32 * BLOCK_BYTES, cleaning=False))
    volume = machine.pool.create_volume("a", SIZE, {})
    write(machine, volume, 0, [block(1)])
    found = stored(machine, volume)
    linked = 1
    with suppress(StoreError):
        for at in range(1, SIZE):
            link(machine, volume, at, found.places[0], found.checksums[0])
            linked += 1
            machine.pool.commit()
    assert 1 < linked < SIZE
    assert read(machine, volume, 0, linked + 1) == blocks(*[1] * linked, 0)


# The cleaner


def clean(machine: Machine) -> None:
    cleaner = machine.pool.cleaner
    cleaner._blocked_until = cleaner._rest_until = float("-inf")
    cleaner._need._gained_nothing_at = None
    if not cleaner._is_at_work:
        cleaner._start()
    machine.environment.settle()


def test_retired_segments_take_no_links() -> None:
    machine = machine_with(limit_segments=None)
    model = Modelled(machine, 200)
    model.fill()
    found = stored(machine, model.volume, 0, 200)
    model.fill()
    model.fill()
    clean(machine)
    assert machine.pool.supply.freed
    with pytest.raises(PlaceGone):
        link(machine, model.volume, 0, found.places[0], found.checksums[0])
    model.check()


def test_a_segment_that_is_retired_but_not_freed_takes_no_links() -> None:
    machine = machine_with(limit_segments=None)
    model = Modelled(machine, 200)
    model.fill()
    found = stored(machine, model.volume)
    machine.pool.supply.retired.add(segment_of(found.places[0]))
    with pytest.raises(PlaceGone):
        link(machine, model.volume, 1, found.places[0], found.checksums[0])


def test_moving_segments_take_no_links() -> None:
    machine = machine_with(limit_segments=None)
    model = Modelled(machine, 200)
    model.fill()
    found = stored(machine, model.volume)
    links = machine.pool.cleaner.cycles._links
    links.moving_begins([segment_of(found.places[0])])
    with pytest.raises(PlaceGone):
        link(machine, model.volume, 1, found.places[0], found.checksums[0])
    links.moving_ends()
    link(machine, model.volume, 1, found.places[0], found.checksums[0])
    assert read(machine, model.volume, 1, 1) == block(model.values[0])


class Dying:
    """A pool in which most blocks of one volume are dead, and another volume that gets a link at a chosen moment of a cycle of
    the cleaner.
    """

    def __init__(self, compression: str, live_blocks: int) -> None:
        self.machine = machine_with(limit_segments=None, cleaning=False)
        self.model = Modelled(self.machine, 2400)
        self.model.volume.change_attributes({COMPRESSION_ATTRIBUTE: compression})
        self.other = self.machine.pool.create_volume("b", 8, {})
        self.model.fill()
        self.found = stored(self.machine, self.model.volume, 0, 2400)
        self.values = list(self.model.values)
        link(self.machine, self.other, 0, self.found.places[9], self.found.checksums[9])  # The checksums are in memory now.
        self.other.unmap(0, 1)
        for at in range(0, 2400, 16):
            self.model.unmap(at + live_blocks, min(16, 2400 - at) - live_blocks)
        self.model.end_turn()
        self.outcome = "nothing happened"

    def link(self) -> None:
        """Link a block whose data is dead."""
        if self.outcome == "nothing happened":
            try:
                self.other.link(0, self.found.places[9], self.found.checksums[9])
                self.outcome = "linked"
            except PlaceGone:
                self.outcome = "refused"

    def check(self) -> None:
        expected = self.values[9] if self.outcome == "linked" else 0
        self.model.check()
        assert read(self.machine, self.other, 0, 2) == blocks(expected, 0)


@pytest.mark.parametrize("compression", [OFF, LZ4])
@pytest.mark.parametrize("live_blocks", [0, 2])
@pytest.mark.parametrize("moment", ["mark", "mark_cleaned", "move", "relocate"])
def test_a_link_to_dead_data_at_each_moment_of_a_cycle(
    moment: str, live_blocks: int, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = Dying(compression, live_blocks)
    cleaner = dying.machine.pool.cleaner
    owner, name = {
        "mark": (cycle, "walk"),
        "mark_cleaned": (cleaner.cycles._checkpointer, "mark_cleaned"),
        "move": (cleaner.mover, "move"),
        "relocate": (cycle, "relocate"),
    }[moment]
    real = getattr(owner, name)

    async def linked_after(*arguments: Any) -> Any:
        found = await real(*arguments)
        dying.link()
        return found

    async def linked_before(*arguments: Any) -> Any:
        dying.link()
        return await real(*arguments)

    monkeypatch.setattr(owner, name, linked_before if moment == "relocate" else linked_after)
    clean(dying.machine)
    monkeypatch.undo()
    if moment in ("mark", "mark_cleaned"):
        assert dying.outcome == "linked"
    else:  # A segment without live blocks is not moved.
        assert dying.outcome == ("refused" if live_blocks else "nothing happened")
    for _ in range(3):
        dying.check()
        clean(dying.machine)
    dying.machine.kill()
    dying.other = dying.machine.pool.volumes["b"]
    dying.check()


@pytest.mark.parametrize("compression", [OFF, LZ4, ZSTANDARD])
@pytest.mark.parametrize("seed", range(4))
def test_links_to_dead_blocks_while_the_cleaner_works(seed: int, compression: str) -> None:
    """Links to blocks that no map contains any more either are refused, or keep the data whatever the cleaner does."""
    machine, random = machine_with(limit_segments=None), Random(seed)
    model = Modelled(machine, 600)
    machine.pool.volumes["a"].change_attributes({COMPRESSION_ATTRIBUTE: compression})
    other = machine.pool.create_volume("b", 600, {})
    linked = [0] * 600
    accepted = refused = 0
    machine.environment.turns.of_a_turn = random.choice([1, 5, 40])  # The marking takes many turns.
    for _ in range(12):
        model.fill(piece=random.choice([4, 16]))
        found, values = stored(machine, model.volume, 0, 600), list(model.values)
        for at in range(0, 600, 4):
            if random.random() < 0.85:
                model.unmap(at, random.choice([1, 3, 4]))
        model.end_turn()
        cleaner = machine.pool.cleaner
        cleaner._blocked_until = cleaner._rest_until = float("-inf")
        cleaner._need._gained_nothing_at = None
        if not cleaner._is_at_work:
            cleaner._start()
        for _ in range(40):
            for _ in range(random.randint(0, 3)):
                machine.environment.step()
            source, target = random.randrange(600), random.randrange(600)
            try:
                when_ready(machine.environment, partial(other.link, target, found.places[source], found.checksums[source]))
            except PlaceGone:
                refused += 1
            else:
                accepted += 1
                linked[target] = values[source]
            if random.random() < 0.2:
                other.unmap(target, 1)
                linked[target] = 0
            machine.pool.commit()
        machine.environment.settle()
        clean(machine)
        assert read(machine, other, 0, 600) == blocks(*linked)
        model.check()
    machine.kill()
    assert read(machine, machine.pool.volumes["b"], 0, 600) == blocks(*linked)
    assert accepted > 10
    assert refused > 10
    assert machine.pool.supply.segments


def test_checksums_of_an_extent_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False))
    volume = machine.pool.create_volume("a", SIZE, {COMPRESSION_ATTRIBUTE: LZ4})
    write(machine, volume, 0, [blocks(*range(1, 17))])
    machine.reopen()
    volume = machine.pool.volumes["a"]
    found = stored(machine, volume, 0, 16)
    segment = type(next(iter(machine.pool.supply.segments.values())))
    monkeypatch.setattr(segment, "read_now", lambda *_: None)
    calls: list[int] = []
    real = ExtentChecksums.of_extent
    monkeypatch.setattr(ExtentChecksums, "of_extent", lambda self, place: (calls.append(place), real(self, place))[1])
    for at in range(16):
        link(machine, volume, 100 + at, found.places[at], found.checksums[at])
    assert len(calls) == 1


@pytest.mark.parametrize("seed", range(6))
def test_runs_of_links_are_as_single_links(seed: int) -> None:
    """Some places are dead, unknown, headers, holes or compressed, and some checksums are wrong."""
    random = Random(seed)
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False))
    volumes = [machine.pool.create_volume(name, SIZE, {COMPRESSION_ATTRIBUTE: kind}) for name, kind in (("a", OFF), ("b", LZ4))]
    for at in range(0, 600, 40):
        for volume in volumes:
            count = random.randrange(1, 40)
            write(machine, volume, at, [block(random.randrange(50)) for _ in range(count)])
    places: list[int] = []
    checksums: list[int] = []
    for _ in range(12):
        found = stored(machine, random.choice(volumes), random.randrange(500), random.randrange(1, 60))
        places += found.places
        checksums += found.checksums
        places += [random.choice([0, 1, 1 << 60, places[-1] + 1, places[-1] ^ 1 << 14])]
        checksums += [random.choice([0, 7, checksums[-1]])]
    for at in random.sample(range(len(places)), 20):
        checksums[at] ^= 1
    target, single = (machine.pool.create_volume(name, len(places), {}) for name in ("target", "single"))
    expected = []
    for at, (place, checksum) in enumerate(zip(places, checksums, strict=True)):
        with suppress(PlaceGone):
            link(machine, single, at, place, checksum)
            expected.append(at)
    assert 0 < len(expected) < len(places)
    linked: list[int] = []
    start = 0
    while start < len(places):
        count = random.randrange(1, 70)
        run = places[start : start + count], checksums[start : start + count]
        linked += [start + at for at in link_run(machine, target, start, *run)]
        start += count
    assert linked == expected
    assert list(target.places_now(0, len(places))) == list(single.places_now(0, len(places)))
    machine.environment.run(machine.pool.committed())
    contents = [read(machine, each, 0, len(places)) for each in (target, single)]
    assert contents[0] == contents[1]
    machine.reopen()
    assert read(machine, machine.pool.volumes["target"], 0, len(places)) == contents[0]


def test_a_run_of_links_may_need_several_headers() -> None:
    """One header has room for about 140 records of links."""
    machine = Machine(PoolOptions(segment_blocks=1024, cleaning=False))
    source, target = (machine.pool.create_volume(name, 400, {}) for name in ("source", "target"))
    write(machine, source, 0, [block(at) for at in range(400)])
    found = stored(machine, source, 0, 400)
    assert link_run(machine, target, 0, found.places, found.checksums) == list(range(400))
    machine.environment.run(machine.pool.committed())
    assert read(machine, target, 0, 400) == read(machine, source, 0, 400)
    machine.reopen()
    assert read(machine, machine.pool.volumes["target"], 0, 400) == blocks(*range(400))
