"""Commands that take several turns of the event loop have the same result for any number of steps in a turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scsi.array import UnitUnderTest, code_of
from tests.scsi.test_provisioning import parameter_list, write_same

BLOCKS = 64


def filled(steps: int) -> UnitUnderTest:
    unit = UnitUnderTest(size_store_blocks=BLOCKS)
    for block in range(BLOCKS):
        unit.volume.write(block, [b"\xaa" * 4096])
    unit.environment.turns.of_a_turn = unit.environment.turns.left = steps
    return unit


def unmap_cdb(data: bytes) -> bytes:
    return b"\x42" + bytes(6) + len(data).to_bytes(2, "big")


ranges = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)), max_size=30)


@given(ranges, st.integers(1, 40))
def test_unmap_makes_the_same_holes_whatever_a_turn_allows(ranges: list[tuple[int, int]], steps: int) -> None:
    unit = filled(steps)
    data = parameter_list(*ranges)
    assert unit.command(unmap_cdb(data), data).status == 0
    zeros = {lba for first, count in ranges for lba in range(first, first + count)}
    content = b"".join(unit.volume.blocks.get(block, bytes(4096)) for block in range(BLOCKS))
    assert [lba for lba in range(BLOCKS * 8) if not any(content[lba * 512 : (lba + 1) * 512])] == sorted(zeros)
    if len(ranges) > steps:
        assert unit.environment.turns.taken


def test_unmap_that_is_aborted_between_two_turns_leaves_the_rest_alone() -> None:
    unit = filled(3)
    data = parameter_list(*((lba * 8, 8) for lba in range(20)))
    unit.volume.on_change.append(lambda block, _count: unit.server.abort_task(unit.nexus, 0, 5) if block == 7 else None)
    unit.environment.turns.left = 0
    started = unit.start(unmap_cdb(data), data, tag=5)
    unit.environment.advance(1.0)
    assert started.reply.status == 0x40
    assert sorted(unit.volume.blocks) == list(range(8, BLOCKS))


@pytest.mark.parametrize("edge", [(17, 3), (17, 15), (16, 8), (20, 40)])
@pytest.mark.parametrize("count_steps", range(6))
def test_unmap_that_is_aborted_while_it_waits_for_its_turn_changes_nothing_more(
    edge: tuple[int, int], count_steps: int
) -> None:
    unit = filled(1)
    data = parameter_list(edge, (0, 8))
    started = unit.start(unmap_cdb(data), data, tag=5)
    for _ in range(count_steps):
        unit.environment.step()
    was_aborted = unit.server.abort_task(unit.nexus, 0, 5)
    before = dict(unit.volume.blocks)
    unit.environment.advance(1.0)
    assert started.reply.status == (0x40 if was_aborted else 0)
    if was_aborted:
        assert unit.volume.blocks == before


@pytest.mark.parametrize("cdb", [write_same(0, 100), write_same(0, 100, 1), b"\x9e\x12" + bytes(10) + b"\x40"])
def test_what_has_no_steps_left_waits_for_the_next_turn(cdb: bytes) -> None:
    unit = filled(1000)
    unit.environment.turns.left = 0
    started = unit.start(cdb, b"" if cdb[0] == 0x9E or cdb[1] else bytes(512))
    assert not started.is_done
    assert len(unit.volume.blocks) == BLOCKS
    unit.environment.settle()
    assert started.reply.status == 0
    assert unit.environment.turns.taken == 1


def test_a_range_is_checked_before_any_turn_is_waited_for() -> None:
    unit = filled(1)
    unit.environment.turns.left = 0
    data = parameter_list((0, 8), (BLOCKS * 8, 1))
    assert code_of(unit.start(unmap_cdb(data), data).reply) == (5, 0x21, 0)
