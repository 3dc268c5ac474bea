"""The native encoder of batch headers gives the same bytes as the encoder in Python."""

from array import array

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from odx_target.store.log.batch import MAX_HEADER_BLOCKS, SHARED, encode_header, header_blocks
from tests.native.built import compiled
from tests.settings import searching

IDENTITY = bytes(range(16))

numbers32 = st.integers(0, (1 << 32) - 1)
numbers64 = st.integers(0, (1 << 64) - 1)


@searching(200)
@given(
    st.binary(min_size=16, max_size=16),
    st.tuples(numbers64, numbers32, numbers32, numbers64, numbers64, numbers32),
    st.integers(0, 3),
    st.lists(st.binary(max_size=60) | st.just(bytes(20)), max_size=30),
    st.lists(numbers32, max_size=40) | st.integers(0, 3000).map(lambda count: list(range(count))),
    st.integers(0, 3),
)
def test_both_encoders_make_the_same_header(
    identity: bytes, fields: tuple[int, ...], flags: int, records: list[bytes], checksums: list[int], more_blocks: int
) -> None:
    blocks = header_blocks(sum(map(len, records)), len(checksums))
    assume(blocks == 1 or not flags & SHARED)
    blocks += more_blocks
    arguments = identity, *fields, flags, records, array("I", checksums), blocks
    assert compiled.encode_header(*arguments) == encode_header(*arguments)


def changed(index: int, value: object) -> list[object]:
    arguments: list[object] = [IDENTITY, 1, 1, 0, 1, 0, 0, False, [bytes(20)], array("I", [1]), 1]
    arguments[index] = value
    return arguments


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, IDENTITY[1:]),
        (0, "sixteen letters!"),
        (1, -1),
        (1, 1 << 64),
        (2, 1 << 32),
        (5, "1"),
        (7, "1"),
        (7, 1 << 16),
        (7, -1),
        (8, (bytes(20),)),
        (8, ["record"]),
        (8, [bytes(4096)]),
        (9, [1]),
        (9, array("I", range(1000))),
        (10, 0),
        (10, MAX_HEADER_BLOCKS + 1),
    ],
)
def test_arguments_that_fit_no_header(index: int, value: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        compiled.encode_header(*changed(index, value))


def test_the_number_of_arguments() -> None:
    with pytest.raises(TypeError):
        compiled.encode_header(IDENTITY)
