"""The native reader of scattered runs returns the same blocks as a read of each run, and None for blocks that are not usual."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS
from tests.native.built import compiled
from tests.native.mapped import BLOCKS, Mapped, mapped_file

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Mapped]:
    made = mapped_file(tmp_path / "segment")
    yield made
    made.segment.mapping.close()


def gathered(mapped: Mapped, runs: object, segment: int = 1) -> bytearray | None:
    found: bytearray | None = mapped.reader.gather_now(segment, runs)
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 16), st.just(0)), max_size=20), st.booleans())
def test_the_runs_follow_each_other(mapped: Mapped, runs: list[tuple[int, int, int]], is_tuple: bool) -> None:
    runs = [(block, min(count, BLOCKS - block), pairs) for block, count, pairs in runs]
    content = b"".join(mapped.content[block * BLOCK_BYTES : (block + count) * BLOCK_BYTES] for block, count, _ in runs)
    assert gathered(mapped, tuple(runs) if is_tuple else runs) == content


def test_a_damaged_block_and_an_unknown_segment_give_nothing(mapped: Mapped) -> None:
    with mapped.path.open("r+b") as file:
        file.write(b"changed")
    assert gathered(mapped, [(1, 2), (0, 1)]) is None
    assert gathered(mapped, [(1, 2)]) == mapped.content[BLOCK_BYTES : 3 * BLOCK_BYTES]
    assert gathered(mapped, [(1, 2)], segment=2) is None
    assert gathered(mapped, [(BLOCKS - 1, 2)]) is None


@pytest.mark.parametrize(
    ("segment", "runs", "error"),
    [
        (1, [(0,)], TypeError),
        (1, [[0, 1]], TypeError),
        (1, [("0", 1)], TypeError),
        (1, 5, TypeError),
        ("1", [], TypeError),
        (1, [(-1, 1)], ValueError),
        (1, [(0, 0)], ValueError),
        (1, [(1, MAX_SEGMENT_BLOCKS)], ValueError),
        (1, [(0, MAX_SEGMENT_BLOCKS), (0, 1)], ValueError),
        (1 << 63, [(0, 1)], ValueError),
        (-1, [], OverflowError),
    ],
)
def test_wrong_arguments_are_refused(mapped: Mapped, segment: object, runs: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        mapped.reader.gather_now(segment, runs)


def test_a_wrong_number_of_arguments_is_refused(mapped: Mapped) -> None:
    with pytest.raises(TypeError):
        mapped.reader.gather_now(1)


def test_runs_get_consecutive_places() -> None:
    cells = array("Q", [0] * 10)
    assert compiled.place_runs(cells, [(7, 2, 0), (1, 1)], 100) == 3
    assert list(cells) == [0, 102, 0, 0, 0, 0, 0, 100, 101, 0]
    assert compiled.place_runs(cells, (), 100) == 0


@pytest.mark.parametrize(
    ("cells", "runs", "place", "error"),
    [
        (array("Q", [0] * 10), [(9, 2)], 1, ValueError),
        (array("Q", [0] * 10), [(1, 0)], 1, ValueError),
        (array("Q", [0] * 10), [(1,)], 1, TypeError),
        (array("Q", [0] * 10), 5, 1, TypeError),
        (array("Q", [0] * 10), [(1, 1)], -1, OverflowError),
        (bytes(80), [(1, 1)], 1, BufferError),
    ],
)
def test_runs_outside_the_cells_get_no_places(cells: object, runs: object, place: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        compiled.place_runs(cells, runs, place)
