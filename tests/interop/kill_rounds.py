"""Kills a server with SIGKILL while hosts write, round after round on one pool, and verifies every acknowledged write.

    python -m tests.interop.kill_rounds --rounds 200

After each kill, the check of the pool must be clean, and the next server must have all acknowledged writes. The pool has a
limit, so that the cleaner works too.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from odx_target.store.open import check_directory_pool
from tests.interop.blocks import read_blocks
from tests.interop.libiscsi import Initiator
from tests.interop.programs import run
from tests.interop.serving import IQN, Served, serve
from tests.interop.test_kill import LOAD_TIMEOUT_S, LUN_BYTES, LUNS, REGION_BLOCKS, Writer, load

POOL_LIMIT = "640M"
MAX_ACKNOWLEDGED = 400
"""Largest number of acknowledged writes before a kill. The number of a round is chosen at random."""

SILENCE_S = 600.0
"""Further time in which the server must answer at least one write, also on a machine that is very busy."""

LOG_CHARACTERS = 4000
QEMU_BLOCKS = 1024
QEMU_LBA = 4096


class Lost(AssertionError):
    """An acknowledged write is lost, or the check of the pool is not clean."""


@dataclass
class KillCounts:
    rounds: int = 0
    acknowledged: int = 0
    checked_blocks: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        return (
            f"{self.rounds} kills, {self.acknowledged:,} acknowledged writes, {self.checked_blocks:,} blocks checked, "
            f"{self.seconds:.0f} s"
        )


def login(served: Served, *luns: int) -> Initiator:
    session = Initiator(served.portal, IQN, name="iqn.2026-11.example:one")
    for lun in luns:
        session.ready(lun)
    return session


def kill_rounds(
    folder: Path,
    rounds: int,
    seed: int,
    report: Callable[[KillCounts], None],
    goes_on: Callable[[], bool] = lambda: True,
) -> KillCounts:
    """Do the rounds in an empty folder, while `goes_on` returns True. Raises AssertionError."""
    source = random.Random(seed)
    settings = folder / "serve.toml"
    settings.write_text("soft-thresholds = []\n")  # The writers expect no unit attention about the room of the pool.
    options = ["--config", str(settings), "--pool-limit", POOL_LIMIT]
    writers = [Writer(0, 0, 1), Writer(0, 3 * REGION_BLOCKS + 5, 2), Writer(1, LUN_BYTES // 512 - REGION_BLOCKS, 3)]
    counts, began_s = KillCounts(), time.monotonic()
    for number in range(rounds):
        if not goes_on():
            break
        served = serve(folder / "pool", LUNS, log_path=folder / "serve.log", options=options)
        try:
            _verify(served, writers, number)
            run("qemu-io", "-f", "raw", "-t", "none", "-c", f"write -P {number % 250 + 1} 16M 4M", "-c", "flush", served.url(2))
            counts.acknowledged += _load_and_kill(served, writers, source.randint(1, MAX_ACKNOWLEDGED))
        except AssertionError as error:
            raise Lost(f"{error}; the log of the server ends with:\n{served.log[-LOG_CHARACTERS:]}") from error
        finally:
            served.kill()
        pool = check_directory_pool(folder / "pool", lambda _: None)
        if not pool.is_sound:
            raise Lost(f"after kill {number + 1}, the check found {pool.complaints}, {pool.lost[:3]}")
        counts.checked_blocks += pool.checked_blocks
        counts.rounds += 1
        counts.seconds = time.monotonic() - began_s
        report(counts)
    served = serve(folder / "pool", LUNS, log_path=folder / "serve.log")
    try:
        _verify(served, writers, counts.rounds)
        if served.stop() != 0:
            raise Lost("the last server has not ended well")
    finally:
        served.kill()
    return counts


def _load_and_kill(served: Served, writers: list[Writer], count: int) -> int:
    """Write until the hosts have `count` answers, and kill the server. Returns the number of answers."""
    answers = 0
    lock = threading.Lock()

    def job(writer: Writer, session: Initiator) -> Callable[[Callable[[], None]], None]:
        def work(called: Callable[[], None]) -> None:
            def counted() -> None:
                nonlocal answers
                with lock:
                    answers += 1
                called()

            writer.run(session, counted)

        return work

    with ExitStack() as sessions:
        jobs = []
        for writer in writers:
            session = login(served, writer.lun)
            sessions.callback(session.abandon)
            jobs.append(job(writer, session))
        with load(jobs, count) as reached:
            try:
                # A busy machine may need longer for all of them. Then the server is killed after fewer answers.
                if not (reached.wait(LOAD_TIMEOUT_S) or answers or reached.wait(SILENCE_S) or answers):
                    raise Lost(f"the server has not answered a single write in {LOAD_TIMEOUT_S + SILENCE_S:.0f} s")
            finally:
                served.kill()
    return answers


def _verify(served: Served, writers: list[Writer], number: int) -> None:
    session = login(served, 0, 1, 2)
    try:
        for writer in writers:
            writer.check(session)
        data = read_blocks(session, 2, QEMU_LBA, QEMU_BLOCKS, 4096)
        if number and data != bytes([(number - 1) % 250 + 1]) * len(data):
            raise Lost("the data that qemu-io has flushed is lost")
    finally:
        session.abandon()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.interop.kill_rounds",
        description="Kill a server while hosts write, and verify that it keeps every acknowledged write.",
    )
    parser.add_argument("--rounds", type=int, default=200, help="number of kills; default: %(default)s")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of the random choices; default: the time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = kill_rounds(Path(folder), arguments.rounds, arguments.seed, lambda each: print(each.line(), flush=True))
    print(f"seed {arguments.seed}: {counts.line()}, nothing was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
