"""Reads of a few segments do not visit all segments of the pool in the event loop."""

from typing import Any, NoReturn

import pytest
from tests.store.cleaning.tiered_pools import CAPACITY, place_all, tiered_machine
from tests.store.pools import Machine, block, blocks, write

from odx_target.store.api import PoolBusy, Volume
from odx_target.store.digests.extent_checksums import ExtentChecksums
from odx_target.store.log.followed import Followed
from odx_target.store.log.follower import Follower
from odx_target.store.log.records import Write
from odx_target.store.open import PoolOptions
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4


def refuse(*_arguments: object) -> NoReturn:
    raise AssertionError("all segments are visited")


class Unvisited(dict[int, Any]):
    """A dict that can be copied, but whose items cannot be visited one by one."""

    items = values = refuse


class Uncopied(Unvisited):
    """A dict that can neither be copied nor visited item by item."""

    copy = refuse


async def next_of(follower: Follower) -> Followed:
    return await anext(follower)


@pytest.fixture
def tiered() -> Machine:
    """A machine with a volume in each tier."""
    machine = tiered_machine(segment_blocks=64)
    machine.pool.create_volume("fast", 300, {})
    machine.pool.create_volume("slow", 300, dict(CAPACITY))
    write(machine, machine.pool.volumes["slow"], 0, [blocks(*range(1, 201))])
    place_all(machine)
    assert machine.pool.supply.capacity.numbers
    return machine


def test_a_follower_skips_the_capacity_tier(tiered: Machine) -> None:
    write(tiered, tiered.pool.volumes["fast"], 0, [block(7)])
    osn = tiered.pool.commit() - 1
    tiered.flush()
    follower = tiered.pool.follow(osn)
    supply = tiered.pool.supply
    supply.segments, supply.size_blocks = Unvisited(supply.segments), Unvisited(supply.size_blocks)
    followed = tiered.environment.run(next_of(follower))
    assert followed.osn == osn
    assert isinstance(followed.record, Write)
    assert followed.data == block(7)
    follower.close()


def test_a_link_to_an_extent_copies_no_table_of_all_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False))
    machine.pool.create_volume("a", 100, {COMPRESSION_ATTRIBUTE: LZ4})
    write(machine, machine.pool.volumes["a"], 0, [blocks(*range(1, 9))])
    machine.reopen()
    pool = machine.pool
    volume: Volume = pool.volumes["a"]
    machine.environment.run(volume.load(0, 100))
    found = machine.environment.run(volume.freeze().stored_blocks(3, 1))
    supply, index = pool.supply, pool.reader._index
    monkeypatch.setattr(type(next(iter(supply.segments.values()))), "read_now", lambda *_: None)
    supply.segments, supply.size_blocks = Uncopied(supply.segments), Uncopied(supply.size_blocks)
    monkeypatch.setattr(index, "tables", Uncopied(index.tables))
    places: list[int] = []
    real = ExtentChecksums.of_extent
    monkeypatch.setattr(ExtentChecksums, "of_extent", lambda reader, place: (places.append(place), real(reader, place))[1])
    with pytest.raises(PoolBusy):
        volume.link(50, found.places[0], found.checksums[0])
    machine.environment.run(volume.room_made())
    assert places == [found.places[0]]
    volume.link(50, found.places[0], found.checksums[0])
