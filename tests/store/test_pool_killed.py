"""Tests that all committed data survives if a process is killed while it writes."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.store.pools import Directory, block, blocks

from odx_target.store.open import PoolOptions

SIZE = 4096
STEPS = 700

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.store.test_pool_killed import write_for_ever
write_for_ever(Path(sys.argv[2]), int(sys.argv[3]))
"""


def write_for_ever(path: Path, first: int) -> None:
    """Write the blocks of a volume again and again, each with the number of its step. Print each step after its commit."""
    directory = Directory(path, PoolOptions(segment_blocks=256, checkpoint_blocks=500))
    pool = directory.pool
    volume = pool.volumes.get("a") or pool.create_volume("a", SIZE, {})
    step = first
    while True:
        volume.write(step % SIZE, [block(step)])
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


def run_until(path: Path, first: int, stop: int) -> int:
    """Run the program, and kill it when it has printed the step `stop`. Returns the last step that it printed."""
    root = Path(__file__).parents[2]
    arguments = [sys.executable, "-c", PROGRAM, str(root), str(path), str(first)]
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
