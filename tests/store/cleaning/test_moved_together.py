"""Runs that are moved with one call have the same records, places and data as runs that are written one by one."""

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import searching
from tests.store.cleaning.cleaned_pools import Modelled, machine_with
from tests.store.pools import blocks

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.cleaning.relocating import Moves
from odx_target.store.log.open_batch import block_checksums
from odx_target.store.log.records import MOVED
from odx_target.store.segments.places import Places
from odx_target.store.segments.segment import PLACE_BITS

SOURCE, SOURCE_BLOCKS = 7, 3000
SEGMENT_BLOCKS = 300

gaps = st.integers(0, 5)
counts = st.sampled_from([1, 1, 1, 2, 3, 20, 100])
runs_of_piece = st.lists(st.tuples(gaps, counts), min_size=1, max_size=200)


def placed(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Make runs (block, count_blocks) of pairs of a gap and a count."""
    runs, block = [], 0
    for gap, count in found:
        if block + gap + count > SOURCE_BLOCKS:
            break
        runs.append((block + gap, count))
        block += gap + count
    return runs


class Side:
    """A pool whose open batch may already have some written blocks."""

    def __init__(self, written_blocks: int) -> None:
        self.machine = machine_with(None, SEGMENT_BLOCKS)
        self.filling = self.machine.pool.log.filling
        volume = self.machine.pool.create_volume("a", 1000, {})
        if written_blocks:
            volume.write(0, [blocks(*range(written_blocks))])

    @property
    def state(self) -> object:
        filling = self.filling
        parts = [
            (part.block, part.room_bytes, part.records, list(part.checksums), b"".join(part.data)) for part in filling.parts
        ]
        return filling.next_osn, filling.pending_place, filling.unused_blocks, parts


def data_of(runs: list[tuple[int, int]]) -> list[bytes]:
    return [blocks(*range(block, block + count)) for block, count in runs]


@searching(60)
@given(runs_of_piece, st.sampled_from([0, 0, 1, 50, 150, 290, 299]))
def test_runs_that_fit_are_moved_as_if_they_were_written_one_by_one(found: list[tuple[int, int]], written: int) -> None:
    runs = placed(found)
    together, singly = Side(written), Side(written)
    before, data = together.state, data_of(runs)
    place = together.filling.move(SOURCE, runs, data, array("I", block_checksums(data)))
    if place is None:
        assert together.state == before
        return
    pieces = []
    for (block, count), part in zip(runs, data, strict=True):
        pieces += singly.filling.write(SOURCE, block, [part], count, MOVED)
    if len(singly.filling.parts) == len(together.filling.parts):
        assert together.state == singly.state
        assert pieces[0][1] == place
    records = [record for part in together.filling.parts for record in part.records]
    assert together.filling.next_osn == singly.filling.next_osn - len(pieces) + len(runs)
    assert len(records) == together.filling.next_osn - together.filling.parts[0].first_osn
    together.machine.pool.commit()
    content = together.machine.disk.files[place >> PLACE_BITS].content
    count_blocks = sum(count for _, count in runs)
    start = (place & (1 << PLACE_BITS) - 1) * BLOCK_BYTES
    assert content[start : start + count_blocks * BLOCK_BYTES] == b"".join(data)


def test_runs_that_do_not_fit_into_a_header_or_a_segment_are_left_to_the_caller() -> None:
    side = Side(1)
    many = [(2 * at, 1) for at in range(200)]
    assert side.filling.move(SOURCE, many, data_of(many), array("I", bytes(800))) is None
    assert side.filling.move(SOURCE, [(0, 299)], data_of([(0, 299)]), array("I", bytes(4 * 299))) is None
    assert side.filling.move(SOURCE, many[:100], data_of(many[:100]), array("I", bytes(400))) is not None


@searching(60)
@given(runs_of_piece, st.integers(1, 1 << 40))
def test_runs_are_noted_as_if_they_were_noted_one_by_one(found: list[tuple[int, int]], place: int) -> None:
    runs = placed(found)
    together, singly = Moves({SOURCE: SOURCE_BLOCKS}), Moves({SOURCE: SOURCE_BLOCKS})
    together.note_runs(SOURCE, runs, place)
    for block, count in runs:
        singly.note(SOURCE, block, place, count)
        place += count
    assert together.count_blocks == singly.count_blocks
    old: Places = np.arange(SOURCE_BLOCKS, dtype=np.int64) + (SOURCE << PLACE_BITS)
    assert (together.present(old) == singly.present(old)).all()


@pytest.mark.parametrize("are_together", [True, False])
def test_a_pool_has_the_same_data_after_either_move(monkeypatch: pytest.MonkeyPatch, *, are_together: bool) -> None:
    machine = machine_with(12)
    if not are_together:
        monkeypatch.setattr(machine.pool.cleaner.mover._log, "move", lambda *_: None)
    model = Modelled(machine, 400)
    for _ in range(3):
        model.fill(4)
        for at in range(0, 400, 3):
            model.write(at)
            model.end_turn()
    assert machine.pool.cleaner.mover.moved_blocks > 0
    model.check()
    machine.kill()
    model.check()
