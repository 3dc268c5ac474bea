"""Tests that no data in a segment is overwritten by later data, checkpoints, upkeep or another process.

There is one exception: if a process is killed between the footer and the cut, the next process writes the same footer again.
"""

from random import Random

import pytest
from tests.sim import simulated_disk
from tests.store.pools import Machine, block, when_ready, write

from odx_target.store.api import Volume

SIZE_BLOCKS = 64
STEPS = 300


class Written:
    """The bytes that were written, by file and offset. A new segment with the number of a deleted one is a different file."""

    def __init__(self) -> None:
        self.files: list[object] = []  # References keep Python from using the same id for two files.
        self.pieces: dict[int, dict[int, bytes]] = {}

    def note(self, file: object, offset: int, data: bytes) -> None:
        self.files.append(file)
        pieces = self.pieces.setdefault(id(file), {})
        if pieces.get(offset) != data:
            end = offset + len(data)
            assert not any(at < end and offset < at + len(piece) for at, piece in pieces.items()), "written over"
        pieces[offset] = bytes(data)


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
    assert len(written.pieces) > 8
