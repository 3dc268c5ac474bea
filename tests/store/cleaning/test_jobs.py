"""Jobs between the cycles of a cleaner: a writer of a full pool does not wait for their end."""

from random import Random

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, Modelled, machine_with
from tests.store.pools import Machine, blocks, read

from odx_target.store.api import BLOCK_BYTES, PoolBusy, PoolFull
from odx_target.store.cleaning.jobs import GIVES_WAY_S
from odx_target.store.cleaning.walking import Pause
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import PoolOptions

LIMIT_SEGMENTS = 16
LIMIT_BLOCKS = LIMIT_SEGMENTS * SEGMENT_BLOCKS


class LongJob:
    """A job of so many turns. Counts how often it has begun, and how often it has ended."""

    def __init__(self, machine: Machine, turns: int) -> None:
        self.begun = self.ended = self.dropped = 0
        self._turns = turns
        machine.pool.cleaner.add_job(self.run, self._drop)

    async def run(self, pause: Pause) -> None:
        self.begun += 1
        for _ in range(self._turns):
            await pause()
        self.ended += 1

    def _drop(self) -> None:
        self.dropped += 1


@pytest.fixture
def model() -> Modelled:
    machine = machine_with(LIMIT_SEGMENTS)
    model = Modelled(machine, LIMIT_BLOCKS // 2)
    model.fill()
    return model


def write_much(model: Modelled) -> None:
    """Write four times the limit, and wait for nothing but room."""
    random = Random(1)
    for _ in range(LIMIT_BLOCKS):
        at = random.randrange(model.size_blocks // 4) * 4
        model.values[at : at + 4] = values = [model.next_value + index for index in range(4)]
        model.next_value += 4
        while True:
            try:
                model.volume.write(at, [blocks(*values)])
                break
            except PoolBusy:
                waiting = model.machine.environment.spawn(model.volume.room_made())
                while not waiting.done:
                    model.machine.environment.step()
        model.machine.pool.commit()


def test_writers_of_a_full_pool_do_not_wait_for_the_end_of_a_job(model: Modelled) -> None:
    job = LongJob(model.machine, 5_000)
    write_much(model)
    assert not job.ended
    model.machine.environment.settle()
    assert job.begun > 1
    assert job.ended == 1
    model.check()


def test_a_job_ends_although_the_pool_is_always_full(model: Modelled) -> None:
    job = LongJob(model.machine, 5_000)
    write_much(model)
    assert not job.ended
    model.machine.environment.now_s += GIVES_WAY_S
    write_much(model)
    assert job.ended == 1
    model.check()


def test_a_writer_for_whom_there_is_no_room_to_gain_does_not_wait_for_a_job() -> None:
    machine = machine_with(8, segment_blocks=256)
    model = Modelled(machine, 8 * 256)
    with pytest.raises(PoolFull):
        model.fill(64)
    machine.environment.settle()
    job = LongJob(machine, 5_000)
    machine.environment.step()
    with pytest.raises(PoolFull):
        model.volume.write(0, [bytes(64 * BLOCK_BYTES)])
    assert not job.ended


def test_a_closing_pool_drops_a_job_that_gave_way(model: Modelled) -> None:
    job = LongJob(model.machine, 5_000)
    write_much(model)
    model.machine.close()
    assert (job.ended, job.dropped) == (0, 1)


def test_a_settling_that_gave_way_is_repeated() -> None:
    machine = Machine(PoolOptions(segment_blocks=32))
    run, size = machine.environment.run, 3 * LEAF_BLOCKS
    base = run(machine.pool.bases.create("base", size, {}))
    clone = machine.pool.create_volume("a", size, {}, base)
    machine.pool.bases.keep(base, 0, blocks(*range(1, 31)))
    machine.pool.bases.keep(base, 30, size - 30)
    run(machine.pool.committed())
    machine.environment.turns.of_a_turn = 1
    settling = machine.environment.spawn(machine.pool.bases.settle(base))
    while machine.pool.contents.relocations == 0:
        machine.environment.step()
    machine.environment.turns.of_a_turn = 600
    assert machine.pool.cleaner.can_make_room()
    while not settling.done:
        machine.environment.step()
    assert settling.value()
    assert machine.pool.contents.relocations > 1
    assert list(machine.pool.volumes) == ["a"]
    assert read(machine, clone, 0, 31) == blocks(*range(1, 31), 0)
