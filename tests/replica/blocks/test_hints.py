"""Tests of the table of hints against a dict: it finds what it has not lost, and uses no more than its memory."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.blocks.hints import BUCKET_HINTS, HINT_BYTES, Hints
from tests.settings import searching

keys = st.integers(0, 30).map(lambda n: random.Random(n).randbytes(16))


@searching(25)
@given(st.lists(st.tuples(keys, st.integers(0, 100))))
def test_a_large_table_finds_the_last_hint(steps: list[tuple[bytes, int]]) -> None:
    hints, model = Hints(10_000), {}
    for key, place in steps:
        if place:
            hints.note(key, [place])
            model[key] = place
        else:
            hints.forget(key)
            model.pop(key, None)
    for key, _ in steps:
        assert hints.find(key) == [model.get(key, 0)]


def test_many_at_once() -> None:
    generator = random.Random(1)
    fingerprints, places = generator.randbytes(16 * 1000), list(range(1, 1001))
    hints = Hints(8000)
    hints.note(fingerprints, places)
    assert sum(found == place for found, place in zip(hints.find(fingerprints), places, strict=True)) > 990
    assert not any(hints.find(generator.randbytes(16 * 1000)))
    assert hints.find(b"") == []


def test_a_full_table_keeps_as_many_hints_as_it_has_room_for() -> None:
    generator = random.Random(2)
    hints = Hints(64)
    fingerprints = generator.randbytes(16 * 1000)
    hints.note(fingerprints, range(1, 1001))
    found = [place for place in hints.find(fingerprints) if place]
    assert len(found) == 64
    assert max(found) > 900


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_memory(count: int) -> None:
    assert Hints(count).size_bytes == -(-count // BUCKET_HINTS) * BUCKET_HINTS * HINT_BYTES


def test_tables_of_former_paths_are_forgotten() -> None:
    tables = HintTables(8)
    first, second = tables.of(b"one"), tables.of(b"other")
    tables.keep([b"other", b"new"])
    assert tables.of(b"other") is second
    assert tables.of(b"one") is not first
