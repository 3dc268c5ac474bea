"""Tests of the table of hints against a dict: it finds what it has not lost, and uses no more than its memory."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.blocks.formats import FINGERPRINT_BYTES
from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.blocks.hints import BUCKET_HINTS, HINT_BYTES, Hints
from tests.settings import searching

keys = st.integers(0, 30).map(lambda n: random.Random(n).randbytes(16))


@searching(25)
@given(st.lists(st.tuples(keys, st.integers(1, 100))))
def test_a_large_table_finds_the_last_hint(steps: list[tuple[bytes, int]]) -> None:
    hints, model = Hints(10_000), {}
    for key, place in steps:
        hints.note(key, [place])
        model[key] = place
    for key, place in model.items():
        assert hints.find(key) == [place]


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


def test_hints_of_one_call_that_share_a_bucket_keep_their_places() -> None:
    hints = Hints(BUCKET_HINTS)
    draw = random.Random(3)
    fingerprints = [draw.randbytes(FINGERPRINT_BYTES) for _ in range(BUCKET_HINTS)]
    places = list(range(1, BUCKET_HINTS + 1))
    hints.note(b"".join(fingerprints), places)
    assert hints.find(b"".join(fingerprints)) == places
    hints.note(fingerprints[0] * 3, [50, 60, 70])
    assert hints.find(b"".join(fingerprints)) == [70, *places[1:]]
    hints.note(draw.randbytes(FINGERPRINT_BYTES * 20), [1000] * 20)
    assert sum(place == 1000 for place in hints._places[0].tolist()) >= 1
    hints.note(b"", [])
    with pytest.raises(ValueError, match="each fingerprint"):
        hints.note(fingerprints[0], [])


def test_a_hint_that_replaces_the_one_with_its_tag_takes_no_free_slot() -> None:
    hints, draw = Hints(BUCKET_HINTS), random.Random(5)
    fingerprints = [draw.randbytes(FINGERPRINT_BYTES) for _ in range(BUCKET_HINTS - 1)]
    hints.note(b"".join(fingerprints), list(range(1, BUCKET_HINTS)))
    last = (2**64 - 1).to_bytes(8, "little") + bytes(8)  # Its tag is that of a free slot.
    hints.note(b"".join([*fingerprints, last]), list(range(11, BUCKET_HINTS + 11)))
    assert hints.find(b"".join([*fingerprints, last])) == list(range(11, BUCKET_HINTS + 11))
    hints = Hints(BUCKET_HINTS)
    hints.note(fingerprints[0], [1])
    hints.note(fingerprints[0] + last, [2, 3])
    assert hints.find(fingerprints[0] + last) == [2, 3]


def test_a_table_finds_almost_all_of_as_many_hints_as_it_has() -> None:
    """Four of five, because some buckets get more than eight hints."""
    hints, draw = Hints(4096), random.Random(4)
    fingerprints = [draw.randbytes(FINGERPRINT_BYTES) for _ in range(4096)]
    for at in range(0, 4096, 256):
        hints.note(b"".join(fingerprints[at : at + 256]), list(range(at + 1, at + 257)))
    found = hints.find(b"".join(fingerprints))
    assert sum(place == number for number, place in enumerate(found, 1)) > 4096 * 4 // 5
    assert all(place in (0, number) for number, place in enumerate(found, 1))
