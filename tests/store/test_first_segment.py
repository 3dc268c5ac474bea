"""In a file system in memory, the first segment gets the rest of its room after the pool has been opened."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Machine

from odx_target.store.api import BLOCK_BYTES, PoolFull
from odx_target.store.segments import directory as directory_segments
from odx_target.store.segments.directory import FIRST_BLOCKS, DirectorySegments
from odx_target.store.segments.supply import READY_SEGMENTS, REFUSED_S
from odx_target.store.segments.tiers import TieredSegments

SIZE = 4 * FIRST_BLOCKS


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectorySegments:
    monkeypatch.setattr(VirtualEnvironment, "is_in_thread", True)
    monkeypatch.setattr(directory_segments, "is_in_memory", lambda _folder: True)
    return DirectorySegments(tmp_path)


def reserved_blocks(store: DirectorySegments, number: int) -> int:
    return store.path(number).stat().st_blocks * 512 // BLOCK_BYTES


def test_the_first_segment_is_reserved_in_two_steps(store: DirectorySegments) -> None:
    segment = store.create(1, SIZE)
    assert FIRST_BLOCKS <= reserved_blocks(store, 1) < SIZE
    assert store.names() == {1: SIZE}
    segment.write(SIZE - 1, [bytes([1]) * BLOCK_BYTES])
    segment.write(0, [bytes([2]) * BLOCK_BYTES])
    store.reserve(1, SIZE)
    assert reserved_blocks(store, 1) >= SIZE
    assert [bytes(segment.read(at, 1))[:1] for at in (0, 1, SIZE - 1)] == [b"\2", b"\0", b"\1"]


def test_further_segments_are_reserved_at_once(store: DirectorySegments) -> None:
    for number, size_blocks in ((1, SIZE), (2, SIZE)):
        store.create(number, size_blocks)
    assert reserved_blocks(store, 2) >= SIZE
    store.reserve(2, SIZE)
    assert reserved_blocks(store, 1) < SIZE


def test_a_segment_of_the_capacity_tier_is_reserved_at_once(
    store: DirectorySegments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "capacity").mkdir()
    capacity = DirectorySegments(tmp_path / "capacity")
    tiers = TieredSegments(store, capacity)
    with monkeypatch.context() as patch:
        patch.setattr(capacity, "reserve", raised_pool_full)
        with pytest.raises(PoolFull):
            tiers.create_capacity(1, SIZE)
    assert tiers.names() == {}
    tiers.create_capacity(2, SIZE)
    assert reserved_blocks(capacity, 2) >= SIZE


def raised_pool_full(*_: int) -> None:
    raise PoolFull("no room")


def test_a_small_segment_is_reserved_at_once(store: DirectorySegments) -> None:
    store.create(1, FIRST_BLOCKS)
    assert reserved_blocks(store, 1) >= FIRST_BLOCKS


def test_little_room_is_reserved_at_once(store: DirectorySegments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "room_blocks", lambda: 2 * SIZE - 1)
    store.create(1, SIZE)
    assert reserved_blocks(store, 1) >= SIZE


@pytest.mark.parametrize("end", ["seal", "recycle", "delete"])
def test_a_segment_that_has_ended_is_not_enlarged(store: DirectorySegments, end: str) -> None:
    segment = store.create(1, SIZE)
    if end == "seal":
        segment.seal(2)
    elif end == "recycle":
        store.recycle(1, 2, FIRST_BLOCKS)
    else:
        store.delete([1])
    before = store.names()
    store.reserve(1, SIZE)
    assert store.names() == before


@pytest.mark.parametrize(("error", "raised"), [(errno.ENOSPC, PoolFull), (errno.EIO, OSError)])
def test_an_error_changes_nothing(
    store: DirectorySegments, monkeypatch: pytest.MonkeyPatch, error: int, raised: type[Exception]
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(error, os.strerror(error))

    segment = store.create(1, SIZE)
    segment.write(3, [bytes([3]) * BLOCK_BYTES])
    with monkeypatch.context() as patch:
        patch.setattr(directory_segments.os, "posix_fallocate", refuse)
        with pytest.raises(raised):
            store.reserve(1, SIZE)
    assert (store.names(), bytes(segment.read(3, 1))) == ({1: SIZE}, bytes([3]) * BLOCK_BYTES)
    store.reserve(1, SIZE)
    assert reserved_blocks(store, 1) >= SIZE


def test_a_pool_reserves_the_rest_before_it_makes_another_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    refusals = [OSError(errno.ENOSPC, "no room"), PoolFull("no room")]
    reserved: list[int] = []

    def reserve(_store: Any, number: int, _size_blocks: int) -> None:
        if refusals:
            raise refusals.pop()
        reserved.append(number)

    monkeypatch.setattr(type(machine.pool.supply.store), "reserve", reserve)
    machine.kill()  # and open it again
    supply = machine.pool.supply
    for _ in range(3):
        machine.environment.settle()
        machine.environment.advance(REFUSED_S)
        supply._room_again()
    machine.environment.settle()
    assert len(reserved) == 1
    assert not refusals
    assert supply.ready_blocks == READY_SEGMENTS * supply.capacity_blocks
