"""The native writer writes the same bytes to the log and the same places into the map as the writer in Python."""

from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES, PoolBusy, PoolFailed, PoolFull
from odx_target.store.map.leaf import LEAF_BLOCKS, Leaf
from odx_target.store.open import PoolOptions
from odx_target.store.volumes.volume import LogVolume
from tests.native.built import compiled
from tests.settings import searching
from tests.store.pools import Machine, block, blocks, read

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")

SIZE = 2 * LEAF_BLOCKS + 7
SEGMENT_BLOCKS = 1500
"""Blocks of a segment: more than a part of the open batch can take, so that both kinds of limits are reached."""
OPTIONS = PoolOptions(segment_blocks=SEGMENT_BLOCKS, cleaning=False)
Act: TypeAlias = tuple[str, int, int]

acts = st.tuples(
    st.sampled_from(
        ["write", "write", "write", "two buffers", "scatter", "sequence", "commit", "freeze", "unmap", "read", "listen"]
    ),
    st.integers(0, 40) | st.integers(LEAF_BLOCKS - 20, LEAF_BLOCKS + 20) | st.integers(0, SIZE - 1),
    st.sampled_from([1, 1, 1, 2, 3, 16, 64, 300, 950, LEAF_BLOCKS, LEAF_BLOCKS + 1]),
)


class Side:
    """A pool with one volume that is written natively, or in Python."""

    def __init__(self, *, is_native: bool) -> None:
        self.machine = Machine(OPTIONS)
        self.volume = volume_of(self.machine)
        assert isinstance(self.volume._writer, compiled.BlockWriter)
        if not is_native:
            self.volume._writer = None
        self.noted: list[object] = []
        self._value = 0

    def do(self, act: Act) -> None:
        kind, at, count = act
        count = min(count, SIZE - at)
        self._value += 1
        match kind:
            case "write":
                self.write(at, count)
            case "two buffers":
                self.write(at, count, parts=2)
            case "scatter":
                for each in range(at % 7, min(at + 300, SIZE), 2):
                    self.write(each, 1)
            case "sequence":
                for each in range(at, min(at + 40, SIZE)):
                    self.write(each, 1)
            case "commit":
                self.machine.pool.commit()
            case "freeze":
                self.volume.freeze()
            case "unmap":
                self.volume.unmap(at, count)
            case "read":
                self.noted.append(self.volume.read_now(at, count))
            case "listen":
                listen(self)

    def write(self, at: int, count: int, parts: int = 1) -> None:
        data = blocks(*(self._value * 1000 + index for index in range(count)))
        cut = len(data) // parts // 8 * 8
        buffers = [data] if parts == 1 else [data[:cut], data[cut:]]
        while True:
            try:
                self.volume.write(at, buffers)
            except PoolBusy:
                self.machine.environment.settle()
                continue
            break

    @property
    def state(self) -> object:
        filling = self.machine.pool.log.filling
        numbers = filling.next_osn, filling.pending_place, filling.unused_blocks, len(filling.parts)
        parts = [(part.room_bytes, part.records, list(part.checksums), b"".join(part.data)) for part in filling.parts]
        return numbers, parts, self.volume.block_map.runs(0, SIZE), self.noted

    @property
    def contents(self) -> dict[int, bytes]:
        return {number: bytes(file.content) for number, file in self.machine.disk.files.items()}


def volume_of(machine: Machine) -> LogVolume:
    volume = machine.pool.create_volume("a", SIZE, {})
    machine.pool.commit()
    machine.environment.settle()
    return volume


def listen(side: Side) -> None:
    """Freeze the volume before its next change, once."""

    def listener(at: int, count: int) -> None:
        side.noted.append((at, count))
        side.volume.on_change.remove(listener)
        side.volume.freeze()

    side.volume.on_change.append(listener)


@searching(25)
@given(st.lists(acts, max_size=15))
def test_both_writers_write_the_same(found: list[Act]) -> None:
    native, python = Side(is_native=True), Side(is_native=False)
    for act in found:
        native.do(act)
        python.do(act)
        assert native.state == python.state
    for side in (native, python):
        side.machine.pool.commit()
    assert native.contents == python.contents
    native.machine.kill()
    assert native.machine.pool.volumes["a"].block_map.runs(0, SIZE) == python.volume.block_map.runs(0, SIZE)


def usual(machine: Machine) -> tuple[LogVolume, Callable[[int, bytes], bool]]:
    """Return a volume whose first leaf may be changed, and its native write."""
    volume = volume_of(machine)
    volume.write(0, [block(1)])
    volume.write(LEAF_BLOCKS, [block(1)])
    assert volume.native_writes is not None
    writer, block_map, number = volume.native_writes
    return volume, lambda at, data: writer.write_now(block_map, number, at, data)


def test_usual_writes_are_written_natively() -> None:
    machine = Machine(OPTIONS)
    volume, write_now = usual(machine)
    for at, count in ((0, 1), (5, 70), (LEAF_BLOCKS - 1, 1), (LEAF_BLOCKS, 2), (3, 1)):
        assert write_now(at, blocks(*range(count)))
    machine.pool.commit()
    assert write_now(7, block(9)), "the first write of a batch"
    machine.pool.commit()
    assert read(machine, volume, 6, 3) == blocks(1, 9, 3)


@pytest.mark.parametrize(
    ("at", "size_bytes"),
    [
        (0, 0),
        (0, BLOCK_BYTES - 1),
        (0, BLOCK_BYTES + 1),
        (-1, BLOCK_BYTES),
        (1 << 64, BLOCK_BYTES),
        (-(1 << 64), BLOCK_BYTES),
        (SIZE, BLOCK_BYTES),
        (SIZE - 1, 2 * BLOCK_BYTES),
        (LEAF_BLOCKS - 1, 2 * BLOCK_BYTES),
        (0, LEAF_BLOCKS * BLOCK_BYTES),
        (2 * LEAF_BLOCKS, BLOCK_BYTES),
    ],
)
def test_other_ranges_are_left(at: int, size_bytes: int) -> None:
    is_left(Machine(OPTIONS), at, bytes(size_bytes))


def is_left(machine: Machine, at: int, data: bytes, arrange: Callable[[LogVolume], object] = lambda _: None) -> None:
    volume, write_now = usual(machine)
    arrange(volume)
    before = machine.pool.log.next_osn, volume.block_map.runs(0, SIZE)
    assert not write_now(at, data)
    assert (machine.pool.log.next_osn, volume.block_map.runs(0, SIZE)) == before


def test_a_leaf_that_must_be_copied_is_left() -> None:
    is_left(Machine(OPTIONS), 0, block(1), LogVolume.freeze)


def test_a_write_while_leaves_must_be_saved_first_is_left() -> None:
    machine = Machine(OPTIONS)
    tally = machine.pool.contents.tally
    is_left(machine, 0, block(1), lambda _: setattr(tally, "due", tally.made))


def writer_without_room(machine: Machine, error: Exception) -> compiled.BlockWriter:
    def refuse(_count_blocks: int) -> None:
        raise error

    return compiled.BlockWriter(machine.pool.log.filling, refuse, PoolBusy, machine.pool.contents.tally, 10)


def test_a_write_that_must_wait_is_left() -> None:
    machine = Machine(OPTIONS)
    volume, _ = usual(machine)
    writer = writer_without_room(machine, PoolBusy("room is being made"))
    assert not writer.write_now(volume.block_map, volume.number, 0, block(2))


@pytest.mark.parametrize("error", [PoolFull("full"), PoolFailed("failed"), KeyboardInterrupt()])
def test_a_refusal_is_raised(error: Exception) -> None:
    machine = Machine(OPTIONS)
    volume, _ = usual(machine)
    before = machine.pool.log.next_osn, volume.block_map.runs(0, SIZE)
    with pytest.raises(type(error)):
        writer_without_room(machine, error).write_now(volume.block_map, volume.number, 0, block(2))
    assert (machine.pool.log.next_osn, volume.block_map.runs(0, SIZE)) == before


def test_a_write_that_does_not_fit_into_the_part_is_divided_in_python() -> None:
    machine = Machine(OPTIONS)
    volume, write_now = usual(machine)
    assert write_now(0, blocks(*range(900)))
    assert not write_now(0, blocks(*range(900)))
    volume.write(0, [blocks(*range(900))])
    assert len(machine.pool.log.filling.parts) > 1
    assert read(machine, volume, 0, 900) == blocks(*range(900))


@pytest.mark.parametrize("is_hole", [False, True])
def test_most_sequential_writes_move_only_the_bound_between_two_runs(monkeypatch: pytest.MonkeyPatch, *, is_hole: bool) -> None:
    machine = Machine(OPTIONS)
    volume, write_now = usual(machine)
    if not is_hole:
        assert write_now(0, blocks(*range(1, 801)))
    machine.pool.commit()
    assign, calls = Leaf.assign, list[int]()
    monkeypatch.setattr(Leaf, "assign", lambda leaf, index, *others: (calls.append(index), assign(leaf, index, *others)))
    for at in range(100, 140, 2):
        assert write_now(at, blocks(5000 + at, 5001 + at))
    assert calls == [100]
    machine.pool.commit()
    rest = blocks(*[0] * 60) if is_hole else blocks(*range(141, 201))
    assert read(machine, volume, 100, 100) == blocks(*range(5100, 5140)) + rest


def test_volumes_with_listeners_or_compression_have_no_native_writer() -> None:
    machine = Machine(OPTIONS)
    volume = volume_of(machine)
    volume.on_change.append(lambda _at, _count: None)
    assert volume.native_writes is None
    volume.on_change.clear()
    assert volume.native_writes is not None
    volume.change_attributes({"compression": "lz4"})
    assert volume.native_writes is None


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (1, 2, 3, 10),
        (1, 2, PoolBusy, 3),
        (1, 2, 3, 4, 10),
        (1, 2, PoolBusy, 3, 0),
        (1, 2, PoolBusy, 3, 11),
        (1, 2, PoolBusy, 3, "10"),
    ],
)
def test_arguments_of_a_writer(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, ValueError)):
        compiled.BlockWriter(*arguments)
