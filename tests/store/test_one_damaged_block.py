"""One damaged block fails its own reads, and nothing else: cleaner, scrub, checkpoints, copies and snapshots go on."""

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, Modelled, machine_with
from tests.store.pools import Machine, block, read, write

from odx_target.store.api import BLOCK_BYTES, DamagedBlock, Trouble, TroubleKind

SIZE = 400
DAMAGED = 168


@pytest.fixture
def pool() -> tuple[Machine, Modelled, int]:
    """A pool whose first segments are mostly dead, with one damaged live block; and the segment of this block."""
    machine = machine_with(None, cleaning=False)
    model = Modelled(machine, SIZE)
    model.fill()
    for at in range(SIZE):
        if at % 8:
            model.write(at)
            model.end_turn()
    machine.flush()
    value = block(model.values[DAMAGED])
    for number, file in machine.disk.files.items():
        at = bytes(file.content).find(value)
        if at >= 0:
            file.content[at + 7] ^= 1
            file.durable[at + 7] ^= 1
            machine.pool.cleaner._need._is_enabled = True
            return machine, model, number
    raise AssertionError("not there")


def check(machine: Machine, model: Modelled) -> None:
    """Check that all blocks except the damaged block have their values."""
    volume = machine.pool.volumes["a"]
    for at, count in ((0, DAMAGED), (DAMAGED + 1, SIZE - DAMAGED - 1)):
        assert read(machine, volume, at, count) == b"".join(map(block, model.values[at : at + count]))
    for at, count in ((DAMAGED, 1), (0, SIZE), (DAMAGED - 3, 5)):
        with pytest.raises(DamagedBlock) as raised:
            read(machine, volume, at, count)
        assert raised.value.block == DAMAGED


def test_the_cleaner_frees_all_other_segments(pool: tuple[Machine, Modelled, int]) -> None:
    machine, model, number = pool
    troubles: list[Trouble] = []
    machine.pool.on_trouble.append(troubles.append)
    sealed = len(machine.pool.log.sealed_segments())
    machine.pool.cleaner._start()
    machine.environment.settle()
    assert machine.pool.supply.freed >= 5
    assert number in machine.pool.supply.segments
    assert sealed > 10
    assert {trouble.kind for trouble in troubles} == {TroubleKind.NOT_CLEANED}
    check(machine, model)
    machine.kill()
    check(machine, model)
    for _ in range(20):
        model.write(0, SEGMENT_BLOCKS)
        model.end_turn()
    check(machine, model)
    machine.reopen()
    check(machine, model)


def test_scrubs_checkpoints_copies_and_snapshots_go_on(pool: tuple[Machine, Modelled, int]) -> None:
    machine, model, _ = pool
    volume = machine.pool.volumes["a"]
    troubles: list[Trouble] = []
    machine.pool.on_trouble.append(troubles.append)
    progress = machine.pool.scrubber.start(1 << 30)
    machine.environment.advance(1000)
    assert progress.is_complete
    assert progress.damaged_blocks == 1
    assert [(each.kind, each.volume, each.block) for each in troubles] == [(TroubleKind.DAMAGED_BLOCK, "a", DAMAGED)]
    snapshot = volume.snapshot("monday")
    copy = machine.pool.create_volume("b", SIZE, {}, snapshot)
    copy.copy_from(volume.freeze(), 0, 8, SIZE - 8)
    machine.pool.commit()
    machine.checkpoint()
    machine.flush()
    for source, at in ((snapshot, DAMAGED), (copy, DAMAGED + 8)):
        assert read(machine, source, at + 1, 20) == b"".join(map(block, model.values[DAMAGED + 1 : DAMAGED + 21]))
        with pytest.raises(DamagedBlock):
            read(machine, source, at, 1)
    write(machine, volume, DAMAGED, [block(1)])
    machine.pool.commit()
    model.values[DAMAGED] = 1
    model.check()
    assert len(read(machine, volume, DAMAGED, 1)) == BLOCK_BYTES
    assert not machine.pool.status().checkpoint_error
