"""Contradicting limits are refused. The steps of a copy respect their limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.copymgr.commands.lid1_results import operating_parameters
from odx_target.copymgr.commands.third_party_copy_page import third_party_copy_page
from odx_target.copymgr.limits import MAX_NAMEABLE_RANGE_DESCRIPTORS, CopyLimits, CopyOptions
from odx_target.copymgr.operations.step_choice import Destination, StepKind, plan_step
from odx_target.copymgr.tokens.rod_source import FrozenRod, PieceKind, ZeroRod
from odx_target.store.api import BLOCK_BYTES
from tests.copymgr.array import CopyArray
from tests.settings import searching


@pytest.mark.parametrize(
    "fields",
    [
        {"min_inactivity_timeout_s": 0},
        {"min_inactivity_timeout_s": 200},
        {"default_inactivity_timeout_s": 4000},
        {"max_inactivity_timeout_s": 1 << 32, "max_token_lifetime_s": 1 << 32},
        {"max_token_lifetime_s": 3599},
        {"max_range_descriptors": 0},
        {"max_range_descriptors": MAX_NAMEABLE_RANGE_DESCRIPTORS + 1},
        {"max_rod_bytes": BLOCK_BYTES + 512},
        {"max_rod_bytes": BLOCK_BYTES, "optimal_transfer_bytes": 2 * BLOCK_BYTES},
        {"optimal_transfer_bytes": -BLOCK_BYTES},
        {"answer_reserve_s": 4.0},
        {"answer_reserve_s": -1.0},
        {"copy_step_bytes": 0},
        {"remap_step_bytes": 5000},
        {"max_tokens": 0},
        {"max_records_per_nexus": 0},
        {"max_concurrent_copies": 0},
        {"max_concurrent_copies": 1 << 16},
        {"max_cscd_descriptors": 0},
        {"max_cscd_descriptors": 1 << 16},
        {"max_segment_descriptors": 0},
        {"max_segment_descriptors": 1 << 16},
        {"max_descriptor_list_bytes": 0},
        {"max_descriptor_list_bytes": 1 << 32},
        {"max_segment_bytes": 0},
        {"max_segment_bytes": 1 << 32},
    ],
)
def test_limits_that_cannot_be(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="copy limits"):
        CopyLimits(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_inactivity_timeout_s": 0xFFFF_FFFF, "max_token_lifetime_s": 0xFFFF_FFFF},
        {"max_range_descriptors": MAX_NAMEABLE_RANGE_DESCRIPTORS},
        {"max_rod_bytes": 0},
        {"max_rod_bytes": BLOCK_BYTES, "optimal_transfer_bytes": BLOCK_BYTES},
        {"optimal_transfer_bytes": 0},
        {"copy_step_bytes": BLOCK_BYTES, "remap_step_bytes": BLOCK_BYTES},
        {"max_concurrent_copies": 0xFFFF, "max_cscd_descriptors": 0xFFFF, "max_segment_descriptors": 0xFFFF},
        {"max_descriptor_list_bytes": 0xFFFF_FFFF, "max_segment_bytes": 0xFFFF_FFFF},
    ],
)
def test_limits_at_their_edges(fields: dict[str, Any]) -> None:
    """Limits at their edges are accepted, and fit the fields that report them."""
    limits = CopyLimits(**fields)
    assert {name: getattr(limits, name) for name in fields} == fields
    assert operating_parameters(limits)
    assert third_party_copy_page(CopyArray().logical_units[0], limits, CopyOptions())


STEPS = CopyLimits(copy_step_bytes=3 * BLOCK_BYTES, remap_step_bytes=5 * BLOCK_BYTES)


@searching(max_examples=300)
@given(
    extents=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 80)), min_size=1, max_size=5),
    lba=st.integers(0, 100),
    block_bytes=st.sampled_from([512, 4096]),
    offset=st.integers(0, 50),
    can_share=st.booleans(),
    mapped=st.sets(st.integers(0, 63)),
)
def test_steps_cover_a_rod_in_order(
    extents: list[tuple[int, int]], lba: int, block_bytes: int, offset: int, can_share: bool, mapped: set[int]
) -> None:
    array = CopyArray(size_store_blocks=64, block_lengths=(512,))
    for block in mapped:
        array.volume(0).write(block, [bytes([block + 1]) * BLOCK_BYTES])
    rod = FrozenRod(
        array.volume(0).freeze(), [(start * 512 % (60 * 4096), size * 512) for start, size in extents if size * 512]
    )
    assert rod.size_bytes is not None
    rod = FrozenRod(rod.frozen, [(start, min(size, 64 * 4096 - start)) for start, size in rod.extents])
    size_bytes = rod.size_bytes or 0
    position = offset * 512 % size_bytes
    blocks = -(-(size_bytes - position) // block_bytes)
    flat = b"".join(b"".join(rod.frozen.read_now(0, 64) or [])[start : start + size] for start, size in rod.extents)
    steps = 0
    while blocks:
        destination = Destination(lba, blocks, block_bytes, can_share)
        step = plan_step(rod, position, destination, STEPS)
        step_bytes = step.count_blocks * block_bytes
        assert step.lba == lba
        assert step.offset_bytes == position
        assert 1 <= step.count_blocks <= blocks
        if step.kind is StepKind.SHARE:
            assert can_share
            assert step_bytes <= STEPS.remap_step_bytes
            assert step_bytes % BLOCK_BYTES == lba * block_bytes % BLOCK_BYTES == 0
            first = step.source_block * BLOCK_BYTES
            whole = b"".join(rod.frozen.read_now(0, 64) or [])
            assert whole[first : first + step_bytes] == flat[position : position + step_bytes]
        elif step.kind is StepKind.ZERO:
            assert step_bytes <= STEPS.remap_step_bytes
            assert not any(flat[position : position + step_bytes])
        else:
            assert step_bytes <= max(STEPS.copy_step_bytes, block_bytes)
            readable = min(step_bytes, size_bytes - position)
            assert b"".join(rod.read_now(position, readable) or []) == flat[position : position + readable]
        position += step_bytes
        lba += step.count_blocks
        blocks -= step.count_blocks
        steps += 1
    assert steps < 300
    CopyArray.close_all()


def test_neighbouring_extents_become_one() -> None:
    array = CopyArray()
    rod = FrozenRod(array.volume(0).freeze(), [(0, 512), (512, 512), (4096, 0), (1024, 512), (4096, 512), (0, 512)])
    assert rod.extents == [(0, 1536), (4096, 512), (0, 512)]
    assert FrozenRod(rod.frozen, []).size_bytes == 0


def test_zeros_have_no_end() -> None:
    rod = ZeroRod()
    assert rod.piece_at(1 << 70).kind is PieceKind.ZEROS
    assert rod.read_now(5, 3) == [bytes(3)]
    rod.release()
