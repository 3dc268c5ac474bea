"""Tests that all committed data survives if a process is killed while it writes."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.store.pools import Directory, block, blocks

from odx_target.store.api import PoolBusy, Volume
from odx_target.store.open import PoolOptions

SIZE = 4096
STEPS = 700
TIER_SIZE = 1024
"""Size of the volumes whose tier changes. All their blocks are written again within 128 steps."""

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.store.test_pool_killed import write_for_ever
write_for_ever(Path(sys.argv[2]), int(sys.argv[3]))
"""


def write(directory: Directory, volume: Volume, first: int, step: int, count: int = 1) -> None:
    """Write blocks with the number of a step. After a restart, a part of the map may have to be loaded first."""
    while True:
        try:
            volume.write(first, [block(step)] * count)
        except PoolBusy:
            directory.environment.run(volume.room_made())
        else:
            return


def write_for_ever(path: Path, first: int) -> None:
    """Write the blocks of a volume again and again, each with the number of its step. Print each step after its commit."""
    directory = Directory(path, PoolOptions(segment_blocks=256, checkpoint_blocks=500))
    pool = directory.pool
    volume = pool.volumes.get("a") or pool.create_volume("a", SIZE, {})
    step = first
    while True:
        write(directory, volume, step % SIZE, step)
        pool.remember("step", str(step).encode())
        pool.commit()
        directory.environment.settle()
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()
        step += 1


def test_a_killed_process_loses_nothing_it_committed(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    step = 1
    for stop in (STEPS, 2 * STEPS, 3 * STEPS + 7):
        said = run_until(path, step, stop)
        directory = Directory(path)
        step = int(directory.pool.remembered("step") or b"0")
        assert said <= step <= said + 1, "the last commit may have been cut off before it was said, or not"
        volume = directory.pool.volumes["a"]
        found = b"".join(directory.environment.run(volume.read(0, SIZE)))
        assert found == blocks(*[at if at <= step else 0 for at in range(SIZE)])
        directory.kill()
        step += 1


def move_for_ever(path: Path, first: int) -> None:
    """Write to two volumes and change their tiers again and again, while the cleaner moves their data. Print each step."""
    options = PoolOptions(segment_blocks=64, checkpoint_blocks=200, capacity_directory=path.with_name("tier"))
    directory = Directory(path, options)
    pool = directory.pool
    volumes = [pool.volumes.get(name) or pool.create_volume(name, TIER_SIZE, {}) for name in ("a", "b")]
    step = first
    while True:
        for volume in volumes:
            write(directory, volume, step * 8 % TIER_SIZE, step, 8)
        pool.remember("step", str(step).encode())
        pool.commit()
        if step % 16 == 0:
            volumes[step // 16 % 2].change_attributes({"tier": ("capacity", "fast")[step // 32 % 2]})
        if not pool.cleaner._is_at_work:
            pool.cleaner._start()
        directory.environment.advance(0.01)
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()
        step += 1


def test_a_process_that_is_killed_while_data_moves_between_the_tiers_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    step, moved = 1, 0
    for stop in range(56, 345, 96):  # By turns after the data has moved back, and while most of it is in the tier.
        run_until(path, step, stop, "move_for_ever")
        directory = Directory(path)
        step = int(directory.pool.remembered("step") or b"0")
        for name in ("a", "b"):
            found = b"".join(directory.environment.run(directory.pool.volumes[name].read(0, TIER_SIZE)))
            expected = {at * 8 % TIER_SIZE // 8: at for at in range(1, step + 1)}
            assert found == b"".join(block(expected.get(index, 0)) * 8 for index in range(TIER_SIZE // 8))
        moved += len(directory.pool.supply.capacity.numbers)
        names = {int(each.stem) for each in (tmp_path / "tier" / "segments").iterdir()}
        assert names == directory.pool.supply.capacity.numbers, "incomplete segments are deleted"
        directory.kill()
        step += 1
    assert moved


def run_until(path: Path, first: int, stop: int, function: str = "write_for_ever") -> int:
    """Run a function in a process, and kill it when it has printed the step `stop`. Returns the last step that it printed."""
    root = Path(__file__).parents[2]
    arguments = [sys.executable, "-c", PROGRAM.replace("write_for_ever", function), str(root), str(path), str(first)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = 0
        for line in process.stdout:
            said = int(line)
            if said >= stop:
                process.send_signal(signal.SIGKILL)
                break
        rest = process.stdout.read().split("\n")[:-1]
        return int(rest[-1]) if rest else said
