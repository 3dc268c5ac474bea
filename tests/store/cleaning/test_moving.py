"""Tests that moved blocks are found at their new places, that shared nodes stay shared, and that faults lose nothing."""

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, Modelled, machine_with
from tests.store.pools import Machine, block, blocks, read, when_ready

from odx_target.store.api import DamagedBlock, PoolDamaged, PoolFull, TroubleKind
from odx_target.store.catalogue.memory import CatalogueContent
from odx_target.store.cleaning.live_marking import Live
from odx_target.store.cleaning.moving import PIECE_BLOCKS, STEPS_OF_A_COMMIT, STEPS_OF_A_SEGMENT, pieces
from odx_target.store.cleaning.relocating import Moves
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.segments.segment import PLACE_BITS
from odx_target.turns import STEPS_OF_A_TURN


def clean(machine: Machine) -> None:
    cleaner = machine.pool.cleaner
    cleaner._rest_until = float("-inf")
    cleaner._need._gained_nothing_at = None
    cleaner._start()
    machine.environment.settle()
    assert not cleaner._is_at_work


def mostly_dead(size_blocks: int = 400, kept_every: int = 8) -> tuple[Machine, Modelled]:
    """A pool without a limit in which a share of the blocks of the first segments is live."""
    machine = machine_with(None, cleaning=False)
    model = Modelled(machine, size_blocks)
    model.fill()
    for at in range(size_blocks):
        if at % kept_every:
            model.write(at)
            model.end_turn()
    machine.pool.cleaner._need._is_enabled = True
    return machine, model


def segments_of(machine: Machine) -> set[int]:
    roots = machine.pool.contents.checkpoint({}, {}, {}).roots()
    return {
        place >> PLACE_BITS for root in roots for _, leaf in root.leaves() for place, _ in leaf.runs(0, LEAF_BLOCKS) if place
    }


def test_live_blocks_are_moved_and_their_segments_freed() -> None:
    machine, model = mostly_dead()
    before = len(machine.pool.supply.size_blocks)
    clean(machine)
    assert machine.pool.cleaner.mover.moved_blocks > 0
    assert machine.pool.supply.freed >= 5
    assert len(machine.pool.supply.size_blocks) < before
    assert segments_of(machine) <= machine.pool.supply.segments.keys()
    model.check()
    machine.kill()
    model.check()
    machine.reopen()
    model.check()


def test_a_crash_between_the_move_and_the_checkpoint_loses_nothing() -> None:
    machine, model = mostly_dead()
    machine.checkpoint()
    machine.disk.failing.add("save")
    clean(machine)
    assert machine.pool.cleaner.mover.moved_blocks > 0
    assert machine.pool.supply.freed == 0
    model.check()
    machine.kill()
    model.check()
    clean(machine)
    assert machine.pool.supply.freed > 0
    model.check()


def test_relocated_leaves_are_saved_although_they_keep_their_numbers() -> None:
    machine, model = mostly_dead()
    machine.checkpoint()
    stored = {leaf.stored for _, leaf in next(iter(machine.pool.contents.volumes.values())).map.leaves()}
    clean(machine)
    leaves = [leaf for _, leaf in next(iter(machine.pool.contents.volumes.values())).map.leaves()]
    assert {leaf.stored for leaf in leaves} == stored
    assert machine.pool.contents.relocated == []
    machine.lose_power()
    model.check()


def test_frozen_maps_still_share_their_nodes() -> None:
    machine, model = mostly_dead(1500)
    first = model.volume.freeze(durable=True)
    model.write(0)
    second = model.volume.freeze(durable=True)
    maps = [machine.pool.contents.frozen_maps[each.identifier].root for each in (first, second)]
    before = [[leaf for _, leaf in each.leaves()] for each in maps]
    assert before[0][1] is before[1][1]
    content = read(machine, first, 0, 1500)
    clean(machine)
    assert machine.pool.supply.freed > 0
    after = [[leaf for _, leaf in each.leaves()] for each in maps]
    assert [list(map(id, each)) for each in after] == [list(map(id, each)) for each in before]
    assert read(machine, first, 0, 1500) == content
    model.check()
    assert segments_of(machine) <= machine.pool.supply.segments.keys()
    machine.kill()
    model.check()
    assert read(machine, machine.pool.frozen_maps[first.identifier], 0, 1500) == content


def test_a_damaged_block_keeps_its_segment() -> None:
    machine, model = mostly_dead()
    place = model.volume._map.place(0)
    number, at = place >> PLACE_BITS, place & ((1 << PLACE_BITS) - 1)
    machine.disk.files[number].content[at * 4096] ^= 1
    clean(machine)
    assert machine.pool.supply.freed > 2
    assert number in machine.pool.supply.segments
    assert TroubleKind.NOT_CLEANED in {each.kind for each in machine.pool.status().met}
    with pytest.raises(DamagedBlock):
        read(machine, model.volume, 0, 1)
    assert read(machine, model.volume, 1, 399) == blocks(*model.values[1:])


def test_damage_in_a_dead_block_does_not_matter() -> None:
    machine, model = mostly_dead()
    place = model.volume._map.place(0)
    number, at = place >> PLACE_BITS, (place & ((1 << PLACE_BITS) - 1)) + 1
    machine.disk.files[number].content[at * 4096] ^= 1
    clean(machine)
    assert number not in machine.pool.supply.segments
    model.check()


def test_a_slow_read_keeps_its_segments_until_it_ends() -> None:
    machine, model = mostly_dead()
    reading = model.volume.read(0, 8)
    expected = blocks(*model.values[:8])
    pinned = machine.pool.reader.pins.segments()
    model.write(0, 8)
    model.end_turn()
    cleaner = machine.pool.cleaner
    cleaner._start()
    machine.environment.settle()
    assert pinned & machine.pool.supply.segments.keys()
    assert pinned & set(machine.disk.files)
    assert b"".join(machine.environment.run(reading)) == expected
    del reading
    machine.environment.advance(10)
    clean(machine)
    assert not pinned & machine.pool.supply.segments.keys()
    model.check()


def test_a_block_that_is_overwritten_while_it_is_moved_keeps_its_new_data() -> None:
    machine, model = mostly_dead()
    cleaner = machine.pool.cleaner
    cleaner._start()
    for at in range(0, 400, 8):
        for _ in range(3):
            machine.environment.step()
        model.write(at)
        machine.pool.commit()
    machine.environment.settle()
    model.check()
    machine.kill()
    model.check()


def test_a_pool_may_be_closed_while_it_is_cleaned() -> None:
    for steps in range(0, 60, 7):
        machine, model = mostly_dead(200)
        machine.pool.cleaner._start()
        for _ in range(steps):
            machine.environment.step()
        machine.reopen()
        model.check()


def test_without_cleaning_nothing_is_freed() -> None:
    machine = machine_with(None, cleaning=False)
    model = Modelled(machine, 100)
    for _ in range(20):
        model.fill()
    assert machine.pool.supply.freed == 0


def test_pieces_are_at_most_so_long_and_have_all_runs() -> None:
    runs = [Live(*run) for run in [(0, 3), (5, 1), (250, 10), (300, 900), (2000, 1)]]
    found = list(pieces(runs))
    assert all(piece.end - piece.first <= PIECE_BLOCKS for piece in found)
    assert all(piece.first == piece.runs[0][0] and piece.end == sum(piece.runs[-1]) for piece in found)
    single = [at + index for piece in found for at, count, _ in piece.runs for index in range(count)]
    assert single == [at + index for at, count, _ in runs for index in range(count)]


def full(limit: int = 8) -> tuple[Machine, Modelled]:
    """A pool with a limit that is full of live data."""
    machine = machine_with(limit)
    model = Modelled(machine, limit * SEGMENT_BLOCKS)
    with pytest.raises(PoolFull):
        model.fill()
    model.values = [int.from_bytes(read(machine, model.volume, at, 1)[:8], "little") for at in range(model.size_blocks)]
    return machine, model


def test_a_full_pool_comes_back_by_unmap() -> None:
    machine, model = full()
    when_ready(machine.environment, lambda: model.unmap(0, 200))
    model.end_turn()
    model.write(200, 100)
    model.end_turn()
    model.check()


def test_a_full_pool_comes_back_by_the_deletion_of_a_volume() -> None:
    machine, _ = full()
    machine.pool.delete_volume("a")
    machine.pool.commit()
    machine.environment.settle()
    other = Modelled(machine, 300, "b")
    other.fill()
    other.check()


def fill_often(model: Modelled) -> None:
    for _ in range(10):
        model.fill()


def test_a_full_pool_comes_back_by_the_release_of_a_frozen_map() -> None:
    machine = machine_with(8)
    model = Modelled(machine, 200)
    model.fill()
    frozen = model.volume.freeze()
    with pytest.raises(PoolFull):
        fill_often(model)
    model.values = [int.from_bytes(read(machine, model.volume, at, 1)[:8], "little") for at in range(200)]
    frozen.release()
    model.fill()
    model.check()


def test_a_pool_whose_records_used_up_the_reserve_comes_back() -> None:
    machine, model = full(4)
    for index in range(3 * SEGMENT_BLOCKS):
        when_ready(machine.environment, lambda at=index: model.unmap(at % 150, 1))
        machine.pool.commit()
        machine.environment.settle()
    model.write(0, 50)
    model.end_turn()
    model.check()
    machine.kill()
    model.check()
    assert block(0) == bytes(4096)


def test_a_cleaner_that_finds_no_sealed_segment_does_not_keep_writers_waiting() -> None:
    machine = machine_with(3)
    model = Modelled(machine, 400)
    with pytest.raises(PoolFull):
        fill_often(model)
    model.volume.unmap(0, 1)
    machine.pool.log.sealed_segments = list  # type: ignore[method-assign]
    with pytest.raises(PoolFull):
        model.write(0, 100)


def test_a_lost_catalogue_of_a_cleaned_pool_is_noticed() -> None:
    machine, _ = mostly_dead()
    clean(machine)
    assert 1 not in machine.pool.supply.segments
    machine.disk.catalogue_content = CatalogueContent()
    with pytest.raises(PoolDamaged):
        machine.kill()
    assert len(machine.disk.files) > 2


def test_the_status_counts_the_work_of_the_cleaner() -> None:
    machine, model = mostly_dead()
    clean(machine)
    status = machine.pool.status().cleaning
    assert status is not None
    assert status.host_blocks == model.next_value - 1
    assert status.moved_blocks == machine.pool.cleaner.mover.moved_blocks > 0
    assert status.write_amplification == (status.host_blocks + status.moved_blocks) / status.host_blocks
    assert status.freed_segments >= status.recycled_segments
    assert 0 < status.live_blocks <= 400
    assert status.dead_blocks > 0


def test_a_relocated_block_is_no_difference() -> None:
    machine, model = mostly_dead(1500)
    first = model.volume.freeze()
    model.write(0)
    second = model.volume.freeze()
    before = list(machine.pool.differences(first, second))
    machine.pool.cleaner._start()
    while machine.pool.cleaner._is_at_work:
        machine.environment.step()
        assert list(machine.pool.differences(first, second)) == before
    assert machine.pool.supply.freed > 0


def test_turns_are_short_while_a_pool_is_cleaned() -> None:
    machine, model = mostly_dead(1500)
    turns = machine.pool.turns
    least: list[int] = []
    next_turn = turns.next

    async def noted() -> None:
        least.append(turns.left)
        await next_turn()

    turns.next = noted  # type: ignore[method-assign]
    clean(machine)
    assert len(least) > 3
    assert min(least) > -turns.of_a_turn
    model.check()


def test_a_segment_with_one_live_block_takes_steps_for_its_search_and_its_commit() -> None:
    """Otherwise the blocks of many such segments would be moved in one turn, which would take much longer than a usual one."""
    machine, model = mostly_dead()
    number, at = divmod(model.volume._map.place(0), 1 << PLACE_BITS)
    turns, mover = machine.environment.turns, machine.pool.cleaner.mover
    moves = Moves({number: SEGMENT_BLOCKS})
    turns.left = STEPS_OF_A_TURN

    async def no_pause() -> None:
        raise AssertionError("one block does not take a whole turn")

    machine.environment.run(mover.move(number, [Live(at, 1, 0)], moves, no_pause))
    assert moves.count_blocks == 1
    assert STEPS_OF_A_TURN - turns.left >= STEPS_OF_A_SEGMENT + STEPS_OF_A_COMMIT
