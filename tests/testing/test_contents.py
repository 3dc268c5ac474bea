"""The content of LUNs, as a test reads and writes it from inside the array."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.environment import Buffer
from odx_target.store.api import Volume
from odx_target.target import lun_contents
from odx_target.testing import RunningArray, running_array

SIZE_BYTES = 5 << 20


@pytest.fixture(scope="module")
def array() -> Iterator[RunningArray]:
    with running_array(luns={"a": str(SIZE_BYTES), "b": str(SIZE_BYTES), "big": "1T"}) as array:
        yield array


@given(
    st.lists(
        st.tuples(st.integers(0, SIZE_BYTES), st.integers(0, 3 << 20), st.one_of(st.none(), st.binary(min_size=1, max_size=5))),
        max_size=5,
    )
)
def test_fills_and_reads_are_those_of_a_bytearray(array: RunningArray, fills: list[tuple[int, int, bytes | None]]) -> None:
    array.fill("a", b"\0")
    model = bytearray(SIZE_BYTES)
    for offset, size, pattern in fills:
        size = min(size, SIZE_BYTES - offset)
        array.fill("a", pattern, seed=size, offset=offset, size=size)
        data = array.read("a", offset, size) if pattern is None else (pattern * size)[:size]
        assert len(data) == size
        model[offset : offset + size] = data
    assert array.read("a") == model


def test_random_data_depends_on_the_seed_only(array: RunningArray) -> None:
    array.fill("a", None, seed=1)
    array.fill("b", None, seed=1)
    assert array.digest("a") == array.digest("b")
    array.fill("b", None, seed=2)
    assert array.digest("a") != array.digest("b")


def test_a_host_reads_what_the_test_has_written(array: RunningArray) -> None:
    array.write("a", 700, b"inside a block")
    with array.host() as host:
        assert host.read("a", 1, 1)[700 - 512 :][:14] == b"inside a block"


def test_the_digest_of_a_huge_lun_takes_no_reads(array: RunningArray) -> None:
    empty = array.digest("big")
    array.write("big", (1 << 40) - 1, b"x")
    assert array.digest("big") != empty
    array.write("big", (1 << 40) - 1, b"\0")
    assert array.digest("big") == empty


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (SIZE_BYTES, 1), (0, SIZE_BYTES + 1), (SIZE_BYTES + 1, None)])
def test_ranges_outside_the_lun_are_refused_and_change_nothing(array: RunningArray, offset: int, size: int | None) -> None:
    before = array.digest("a")
    with pytest.raises(ValueError, match=f"LUN a has {SIZE_BYTES} bytes"):
        array.read("a", offset, size)
    with pytest.raises(ValueError, match=f"LUN a has {SIZE_BYTES} bytes"):
        array.fill("a", offset=offset, size=size)
    if size is not None:
        with pytest.raises(ValueError, match=f"LUN a has {SIZE_BYTES} bytes"):
            array.write("a", offset, bytes(size))
    assert array.digest("a") == before


def test_an_empty_pattern_is_refused(array: RunningArray) -> None:
    with pytest.raises(ValueError, match="a pattern has at least one byte"):
        array.fill("a", b"")


def test_a_pattern_at_and_past_the_limit(array: RunningArray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lun_contents, "MAX_CHANGE_BYTES", 8)
    array.fill("a", b"12345678", size=16)
    assert array.read("a", 0, 16) == b"12345678" * 2
    with pytest.raises(ValueError, match="a pattern has at most 8 bytes, not 9"):
        array.fill("a", b"123456789", size=16)


def test_a_write_of_a_part_of_a_block_keeps_what_a_host_writes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the block of the store is read from a slow disk. Meanwhile a host writes the whole block."""
    with running_array(luns={"a": "1M"}) as slow:
        slow.fill("a", b"\0")
        unit = slow._service.array.logical_unit_named("a")
        real_read = type(unit.volume).read
        waits = iter([True])

        async def slow_read(volume: Volume, block: int, count_blocks: int) -> list[Buffer]:
            buffers = await real_read(volume, block, count_blocks)  # type: ignore[arg-type]
            if next(waits, False):
                assert unit.blocks.write_now(0, [b"\x22" * 4096])
            return buffers

        monkeypatch.setattr(type(unit.volume), "read", slow_read)
        monkeypatch.setattr(type(unit.volume), "read_now", lambda *_: None)
        slow.write("a", 0, b"\x11" * 512)
        monkeypatch.undo()
        assert slow.read("a", 0, 4096) == b"\x11" * 512 + b"\x22" * 3584
