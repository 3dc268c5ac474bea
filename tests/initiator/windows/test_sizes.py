"""The sizes of commands, compared with a second, simple implementation of the rules; and files cut into descriptors."""

from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.initiator.copying.token_commands import BlockRange
from odx_target.initiator.windows.copying.capability import (
    Capability,
    information_after_write_bytes,
    populate_size,
    write_size,
)
from odx_target.initiator.windows.copying.layout import FileLayout, count_blocks
from odx_target.initiator.windows.settings import WindowsSettings

MIB = 1 << 20
ranges = st.sampled_from([0, 1, 8, 63, 64, 65, 4095, 65535])
blocks = st.one_of(st.just(0), st.integers(1, 1 << 40), st.sampled_from([0x4000, 0x10000, 0x20000, 0x80000, 0x7FFFF, 0x80001]))
lifetimes = st.sampled_from([0, 1, 60])


def smallest(*limits: int) -> int:
    return min(limits)


@settings(max_examples=200, deadline=None)
@given(ranges, blocks, blocks, lifetimes, st.sampled_from([512, 4096]))
def test_sizes(most: int, maximum: int, optimum: int, lifetime_s: int, block_bytes: int) -> None:
    capability = Capability(most, 0, 0, maximum, optimum)
    wish = WindowsSettings(token_lifetime_s=lifetime_s)
    unlimited = 1 << 70
    populate = populate_size(capability, wish)
    write = write_size(capability, block_bytes, wish)
    by_optimum = optimum if optimum and not lifetime_s else unlimited
    assert min(populate.blocks, unlimited) == smallest(maximum or (1 << 64) - 1, by_optimum, unlimited)
    large = 256 * MIB // block_bytes
    cap = 64 * MIB // block_bytes if not optimum else optimum if optimum < large else large
    assert write.blocks == smallest(maximum or unlimited, cap)
    assert populate.descriptors == write.descriptors == smallest(64, most or 64)


def test_allocation_after_a_write() -> None:
    lengths = {
        most: information_after_write_bytes(Capability(most, 0, 0, 0, 0), WindowsSettings()) for most in (0, 8, 64, 65535)
    }
    assert lengths == {0: 0xFFFF, 8: 0x298, 64: 0x618, 65535: 0xFFFF}


extents = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 50)), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None)
@given(extents, st.integers(1, 5), st.integers(1, 200))
def test_descriptors_walk_through_a_file_without_gap(parts: list[tuple[int, int]], most: int, at_once: int) -> None:
    layout = FileLayout(tuple(BlockRange(lba, count) for lba, count in parts), 512)
    expected = [lba + at for lba, count in parts for at in range(count)]
    found: list[int] = []
    while len(found) < len(expected):
        piece = layout.descriptors(len(found) * 512, layout.size_bytes - len(found) * 512, most, at_once)
        assert 0 < len(piece) <= most
        assert 0 < count_blocks(piece) <= at_once
        found += [part.lba + at for part in piece for at in range(part.count_blocks)]
    assert found == expected


def test_a_range_descriptor_counts_in_32_bits() -> None:
    layout = FileLayout((BlockRange(7, (1 << 33) + 5),), 512)
    parts = layout.descriptors(0, layout.size_bytes, 64, 1 << 64)
    assert [part.count_blocks for part in parts] == [0xFFFFFFFF, 0xFFFFFFFF, 7]
    assert [part.lba for part in parts] == [7, 7 + 0xFFFFFFFF, 7 + 2 * 0xFFFFFFFF]
