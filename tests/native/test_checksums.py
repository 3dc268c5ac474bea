"""The native checksums of blocks are those of the library `crc32c`."""

from itertools import accumulate
from random import Random

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log import open_batch
from tests.native.built import compiled

PATTERNS = (bytes(BLOCK_BYTES), b"\xff" * BLOCK_BYTES, bytes(range(256)) * (BLOCK_BYTES // 256))


@pytest.mark.parametrize("block", PATTERNS)
def test_checksums_of_patterns(block: bytes) -> None:
    assert compiled.block_checksums(block) == [crc32c(block)]


@given(st.binary(max_size=64), st.integers(0, BLOCK_BYTES - 64), st.binary(min_size=1, max_size=1))
def test_each_byte_counts(part: bytes, at: int, other: bytes) -> None:
    block = bytearray(other * BLOCK_BYTES)
    block[at : at + len(part)] = part
    assert compiled.block_checksums(memoryview(block)) == [crc32c(block)]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_each_block_has_its_checksum(count: int) -> None:
    content = Random(count).randbytes(count * BLOCK_BYTES)
    blocks = [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]
    assert compiled.block_checksums(content) == [crc32c(block) for block in blocks]


def test_a_part_of_a_buffer_at_an_odd_address() -> None:
    content = Random(0).randbytes(2 * BLOCK_BYTES)
    part = memoryview(content)[3 : 3 + BLOCK_BYTES]
    assert compiled.block_checksums(part) == [crc32c(part)]


@given(st.lists(st.sampled_from([0, 1, 512, BLOCK_BYTES - 512, BLOCK_BYTES, 3 * BLOCK_BYTES]), max_size=6))
def test_checksums_of_a_write_in_several_buffers(sizes: list[int]) -> None:
    content = Random(1).randbytes(sum(sizes))
    ends = list(accumulate(sizes))
    buffers = [content[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    blocks = [content[at : at + BLOCK_BYTES] for at in range(0, len(content) - BLOCK_BYTES + 1, BLOCK_BYTES)]
    assert open_batch.block_checksums(buffers) == [crc32c(block) for block in blocks]


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, BLOCK_BYTES, 9 * BLOCK_BYTES + 5]))
def test_the_checksum_of_any_bytes(part: bytes, before: int, zeros: int) -> None:
    content = bytes(zeros) + part
    assert compiled.crc32c(content) == crc32c(content)
    assert compiled.crc32c(memoryview(bytearray(content)), before) == crc32c(content, before)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), TypeError),
        ((b"", 0, 0), TypeError),
        ((b"", "0"), TypeError),
        ((b"", -1), OverflowError),
        ((b"", 2**32), OverflowError),
        (("text",), TypeError),
        ((memoryview(b"abcd")[::2],), BufferError),
    ],
)
def test_other_arguments_are_refused(arguments: tuple[object, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        compiled.crc32c(*arguments)


@pytest.mark.parametrize("wrong", ["text", 5, None, memoryview(bytes(2 * BLOCK_BYTES))[::2]])
def test_other_objects_are_refused(wrong: object) -> None:
    with pytest.raises((TypeError, BufferError)):
        compiled.block_checksums(wrong)
