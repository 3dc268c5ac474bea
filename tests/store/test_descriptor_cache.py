"""Tests which descriptors stay open and which are closed, and that none is closed during a read or before a sync."""

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.settings import searching

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments import descriptor_cache
from odx_target.store.segments.descriptor_cache import NO_DESCRIPTOR, DescriptorCache
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment_file import DirectorySegment

HELD_MAX = 3


def block(value: int) -> bytes:
    return bytes([value]) * BLOCK_BYTES


def segments_open(directory: Path) -> list[str]:
    """List the names of the segments that this process has open, one for each descriptor."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = entry.readlink()
        except OSError:  # the descriptor of the listing itself
            continue
        if target.parent == directory:
            names.append(target.name)
    return sorted(names)


def make_durable(segment: DirectorySegment, value: int) -> DirectorySegment:
    segment.write(0, [block(value)])
    segment.seal(1)
    segment.sync()
    return segment


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectorySegments]:
    store = DirectorySegments(tmp_path, HELD_MAX)
    yield store
    store.close()


def test_a_pool_of_many_segments_needs_few_descriptors(store: DirectorySegments, tmp_path: Path) -> None:
    segments = [make_durable(store.create(number, 4), number) for number in range(1, 21)]
    assert len(segments_open(tmp_path)) <= HELD_MAX
    for _ in range(2):
        for segment in segments:
            assert segment.read(0, 1) == block(segment.number)
            assert segment.read_now(0, 1) == block(segment.number), "what was read last is held"
            assert len(segments_open(tmp_path)) <= HELD_MAX


def test_what_is_written_to_is_held_until_it_is_durable(store: DirectorySegments, tmp_path: Path) -> None:
    filling = [store.create(number, 4) for number in range(1, 6)]
    for segment in filling:
        segment.write(0, [block(1)])
        segment.sync()
    assert len(segments_open(tmp_path)) == 5, "more will be written"
    for segment in filling:
        segment.seal(1)
    assert len(segments_open(tmp_path)) == 5, "the cut is not durable"
    for segment in filling:
        segment.sync()
    store.create(6, 4)
    assert len(segments_open(tmp_path)) == HELD_MAX


def test_a_deleted_segment_gives_back_its_descriptor(store: DirectorySegments, tmp_path: Path) -> None:
    store.create(1, 4)
    make_durable(store.create(2, 4), 2)
    store.delete([1, 2, 99])
    assert segments_open(tmp_path) == []
    assert len(store.descriptors) == 0


def test_a_closed_store_gives_back_all(store: DirectorySegments, tmp_path: Path) -> None:
    store.create(1, 4)
    store.close()
    store.close()
    assert segments_open(tmp_path) == []


def test_a_segment_under_a_read_does_not_give_way(store: DirectorySegments) -> None:
    first = make_durable(store.create(1, 4), 1)
    assert first.read_now(0, 1) == block(1)
    for number in range(2, 10):
        make_durable(store.create(number, 4), number)
    assert first.descriptor == store.descriptors.in_use
    assert first.read_now(0, 1) == block(1)


def test_held_segments_give_way_where_the_process_has_no_descriptors(
    store: DirectorySegments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        make_durable(store.create(number, 4), number)
    limit = len(segments_open(tmp_path))
    real = os.open

    def short_of_descriptors(*arguments: object, **named: object) -> int:
        if len(segments_open(tmp_path)) >= limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(descriptor_cache.os, "open", short_of_descriptors)
    assert store.create(3, 4).read_now(0, 1) == block(0)
    assert store.create(4, 4).read_now(0, 1) == block(0)
    with pytest.raises(OSError, match="Too many open files"):
        store.create(5, 4)
    assert store.names() == {1: 1, 2: 1, 3: 4, 4: 4}
    store.delete([3])
    assert store.create(5, 4).number == 5


def test_threads_that_read_do_not_pull_a_descriptor_from_the_loop(tmp_path: Path) -> None:
    store = DirectorySegments(tmp_path, max_held=1)
    segments = [make_durable(store.create(number, 2), number) for number in range(1, 5)]

    def read_much(number: int) -> bool:
        return all(segments[number].read(0, 1) == block(number + 1) for _ in range(200))

    with ThreadPoolExecutor(len(segments)) as threads:
        jobs = [threads.submit(read_much, number) for number in range(len(segments))]
        while not all(job.done() for job in jobs):
            for segment in segments:
                assert segment.read_now(0, 1) in (None, block(segment.number))
    assert all(job.result() for job in jobs)
    assert len(segments_open(tmp_path)) <= 2, "one, and the one that the last read named"
    store.close()


class Holder:
    def __init__(self) -> None:
        self.descriptor = NO_DESCRIPTOR
        self.is_pinned = False
        self.is_mapped = False

    def unmap(self) -> None:
        self.is_mapped = False


class CacheMachine(RuleBasedStateMachine):
    """Adds, pins, uses and drops descriptors, and compares the open ones with a list of those that must be open."""

    holders = st.integers(0, 5)

    @initialize(max_held=st.integers(0, 4))
    def start(self, max_held: int) -> None:
        self.cache = DescriptorCache(max_held)
        self.max_held = max_held
        self.all = [Holder() for _ in range(6)]

    @rule(at=holders, pinned=st.booleans())
    def take_in(self, at: int, pinned: bool) -> None:
        holder = self.all[at]
        holder.is_pinned |= pinned
        before = [each for each in self.all if each.is_pinned and each.descriptor >= 0]
        holder.is_mapped = True
        self.cache.take_in(holder, os.open("/dev/null", os.O_RDONLY))
        assert all(each.descriptor >= 0 for each in before)
        assert not pinned or holder.descriptor >= 0
        may_stay = [each for each in self.all if each.is_pinned or each.descriptor == self.cache.in_use]
        assert len(self.cache) <= max(self.max_held, len(may_stay))

    @rule(at=holders)
    def unpin(self, at: int) -> None:
        self.all[at].is_pinned = False

    @rule(at=holders)
    def use(self, at: int) -> None:
        if self.all[at].descriptor >= 0:
            self.cache.in_use = self.all[at].descriptor

    @rule(at=holders)
    def drop(self, at: int) -> None:
        self.cache.drop(self.all[at])
        assert self.all[at].descriptor == NO_DESCRIPTOR

    @invariant()
    def those_held_are_open(self) -> None:
        held = [holder for holder in self.all if holder.descriptor >= 0]
        assert len(held) == len(self.cache) == len({holder.descriptor for holder in held})
        assert held == [holder for holder in self.all if holder.is_mapped]
        for holder in held:
            os.fstat(holder.descriptor)

    def teardown(self) -> None:
        self.cache.close()
        assert len(self.cache) == 0


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = searching(60)
