"""The native commit writes the same bytes as the commit in Python, and leaves the log in the same state."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.native.choice import NATIVE
from odx_target.store.api import PoolBusy
from odx_target.store.log.writer import Log
from odx_target.store.open import PoolOptions
from odx_target.store.segments import directory
from odx_target.store.segments.segment_file import DirectorySegment
from tests.native.built import compiled
from tests.settings import searching
from tests.store.pools import Directory, block, blocks

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")

SIZE = 300
OPTIONS = PoolOptions(segment_blocks=1200, cleaning=False)
Act: TypeAlias = tuple[str, int]

acts = st.tuples(
    st.sampled_from(["write", "write", "write", "remember", "freeze", "commit", "commit", "flush", "flush at commit", "age"]),
    st.sampled_from([1, 1, 1, 2, 5, 60, 280]),
)


class Side(Directory):
    """A pool in a directory that is taken for one in memory. Its batches are committed natively, or in Python."""

    def __init__(self, path: Path, *, is_native: bool) -> None:
        super().__init__(path, OPTIONS)
        assert isinstance(self.log._native, compiled.BatchWriter)
        if not is_native:
            self.log._native = None
        self.volume = self.pool.create_volume("a", SIZE, {})
        self.committed: list[int] = []
        self.commit()
        self._value = 0

    @property
    def log(self) -> Log:
        return self.pool.log

    def commit(self) -> None:
        self.committed.append(self.pool.commit())
        self.environment.settle()

    def do(self, act: Act) -> None:
        kind, count = act
        self._value += 1
        match kind:
            case "write":
                self.write(self._value * 7 % (SIZE - count), blocks(*range(self._value, self._value + count)))
            case "remember":
                self.pool.remember("key", bytes(count * 30))
            case "freeze":
                self.volume.freeze()
            case "commit":
                self.commit()
            case "flush":
                self.environment.run(self.pool.flush())
            case "flush at commit":
                self.log.must_sync = self.pool.flushes_at_once
                self.commit()
            case "age":  # Too old for a shared header.
                self.environment.advance(11)

    def write(self, at: int, data: bytes) -> None:
        while True:
            try:
                self.volume.write(at, [data])
            except PoolBusy:
                self.environment.settle()
                continue
            break

    @property
    def state(self) -> object:
        log, filling, flusher = self.log, self.log.filling, self.pool._flusher
        numbers = filling.next_osn, filling.pending_place, filling.unused_blocks, filling._shared_room_bytes, filling._slot
        counters = log.header_blocks, log.data_blocks, log.written_blocks, flusher.written_osn, flusher.durable_osn
        dirty = sorted(segment.number for segment in flusher.dirty)
        return numbers, counters, dirty, log.chain.position, len(filling.parts), self.committed

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.path.glob("**/*.segment"))}


@pytest.fixture(autouse=True)
def _in_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "is_in_memory", lambda _: True)
        yield


@pytest.fixture(name="opened")
def _opened(tmp_path: Path) -> Callable[..., Side]:
    return lambda *, is_native=True: Side(tmp_path / str(is_native), is_native=is_native)


def test_both_commit_the_same(opened: Callable[..., Side]) -> None:
    native, python = opened(), opened(is_native=False)

    @searching(15)
    @given(st.lists(acts, max_size=15))
    def compare(found: list[Act]) -> None:
        for act in found:
            native.do(act)
            python.do(act)
            assert native.state == python.state
        for each in (native, python):
            each.commit()
        assert native.state == python.state

    compare()
    assert native.files == python.files
    native.kill()
    native.open()
    assert native.pool.recovered_osn == python.log.next_osn
    native.close()
    python.close()


def test_batches_are_committed_natively(opened: Callable[..., Side], monkeypatch: pytest.MonkeyPatch) -> None:
    side = opened()
    monkeypatch.setattr(Log, "_write_open_batch", lambda *_: pytest.fail("written in Python"))
    for count in (1, 1, 1, 30, 200, 1):
        side.write(0, blocks(*range(count)))
        side.commit()
    side.pool.remember("key", b"value")
    side.commit()
    side.kill()
    side.open()
    assert side.pool.remembered("key") == b"value"
    assert b"".join(side.environment.run(side.pool.volumes["a"].read(0, 200))) == blocks(0, *range(1, 200))
    side.close()


def test_a_missing_page_is_written_in_python_with_the_same_header(opened: Callable[..., Side]) -> None:
    """The next header must contain the checksum of this one."""
    native, python = opened(), opened(is_native=False)
    for side in (native, python):
        segment = side.log.filling.segment
        assert isinstance(segment, DirectorySegment)
        size_bytes = segment.path.stat().st_size
        side.write(0, block(1))
        if side is native:
            os.truncate(segment.path, 0)  # The committed blocks are lost, but the present batch must not be.
        assert side.log.filling.parts
        side.commit()
        os.truncate(segment.path, size_bytes)
        side.write(1, block(2))
        side.commit()
    assert native.state == python.state
    position = native.log.chain.position
    ends = [side.files[f"{position.segment:010d}.segment"][: position.block << 12] for side in (native, python)]
    assert ends[0][-2 << 12 :] == ends[1][-2 << 12 :]


def test_other_batches_are_left_to_python(opened: Callable[..., Side]) -> None:
    side = opened()
    writer = compiled.BatchWriter(side.log)
    assert not writer.commit_now(), "an empty batch"
    side.write(0, block(1))
    (part,) = side.log.filling.parts
    for target, name, value in (
        (side.log.unwritten, "is_stalled", True),
        (side.log._health, "failure", "a reason"),
        (part, "header", bytearray(4096)),
        (part, "header_blocks", 2),
        (part, "segment", SimpleNamespace(number=1)),
        (part, "segment", SimpleNamespace(number=1, mapping=None)),
        (side.log.filling, "parts", [part, part]),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(target, name, value)
            before = side.state
            assert not writer.commit_now(), name
            assert side.state == before
    assert writer.commit_now()
    side.commit()
    side.close()


def test_a_commit_that_fails_after_the_copy_is_repeated_with_the_same_header(opened: Callable[..., Side]) -> None:
    """A header that contained its own checksum would end the log before it."""
    side = opened()
    side.write(0, block(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side.pool._flusher, "dirty", frozenset())
        before = side.state
        with pytest.raises(SystemError):
            side.pool.commit()
        assert side.state == before
    side.commit()
    side.kill()
    side.open()
    assert b"".join(side.environment.run(side.pool.volumes["a"].read(0, 1))) == block(1)
    side.close()


@pytest.mark.parametrize("arguments", [(), (1, 2), (SimpleNamespace(),)])
def test_arguments(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        compiled.BatchWriter(*arguments)
