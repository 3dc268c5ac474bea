"""Tests that no data in a segment is overwritten by later data, checkpoints, upkeep or another process.

There are two exceptions: if a process is killed between the footer and the cut, the next process writes the same footer again.
And headers are added to the zeros of a block that begins with a header.
"""

from random import Random

import pytest
from tests.sim import simulated_disk
from tests.sim.simulated_disk import sectors
from tests.store.pools import Machine, block, when_ready, write

from odx_target.store.api import BLOCK_BYTES, Volume
from odx_target.store.log.batch import MAGIC

SIZE_BLOCKS = 64
STEPS = 300


class Written:
    """The blocks that were written, by file and number. A new segment with the number of a deleted one is a different file."""

    def __init__(self) -> None:
        self.files: list[object] = []  # References keep Python from using the same id for two files.
        self.blocks: dict[int, dict[int, bytes]] = {}
        self.count_added = 0

    def note(self, file: object, offset: int, data: bytes) -> None:
        self.files.append(file)
        blocks = self.blocks.setdefault(id(file), {})
        for at, part in sectors(offset, data, BLOCK_BYTES):
            number, start = divmod(at, BLOCK_BYTES)
            former = blocks.get(number)
            new = bytearray(former or BLOCK_BYTES)
            new[start : start + len(part)] = part
            if former is not None and new != former:
                changed = [index for index in range(BLOCK_BYTES) if new[index] != former[index]]
                assert former.startswith(MAGIC), "written over"
                assert not any(former[index] for index in changed), "written over"
                self.count_added += 1
            blocks[number] = bytes(new)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    written = Written()
    write_file = simulated_disk._File.write

    def noted(file: simulated_disk._File, offset: int, data: bytes) -> None:
        written.note(file, offset, data)
        write_file(file, offset, data)

    monkeypatch.setattr(simulated_disk._File, "write", noted)
    return written


def change(machine: Machine, random: Random) -> None:
    """Do a random step: mostly a write, sometimes another change of the log or upkeep of its segments."""
    volume: Volume = machine.pool.volumes["a"]
    at = random.randrange(SIZE_BLOCKS - 8)
    match random.randrange(12):
        case 0:
            when_ready(machine.environment, lambda: volume.unmap(at, random.randrange(1, 8)))
        case 1:
            frozen = volume.freeze()
            when_ready(machine.environment, lambda: volume.copy_from(frozen, at, 0, 8) and None)
            frozen.release()
        case 2:
            machine.flush()
        case 3:
            machine.checkpoint()
        case 4:
            machine.reopen()
        case 5:
            machine.kill()
        case _:
            write(machine, volume, at, [block(random.randrange(1 << 30)) * random.randrange(1, 8)])
            machine.pool.commit()


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_written_twice_at_one_place(written: Written, seed: int) -> None:
    machine, random = Machine(seed=seed), Random(seed)
    machine.pool.create_volume("a", SIZE_BLOCKS, {})
    machine.pool.commit()
    for _ in range(STEPS):
        change(machine, random)
    machine.close()
    assert len(written.files) > STEPS // 2
    assert len(written.blocks) > 8
    assert written.count_added > STEPS // 10
