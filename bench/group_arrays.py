"""Two arrays with a group and their witness, each a process of its own, for the benches of synchronous replication."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.remote_copies import odx
from tests.interop.links import LINK
from tests.interop.serving import Served, serve

from odx_target.target.control.client import request

GROUP = "db"
TIMEOUT_S = 120.0
LOOK_S = 0.05
END_TIMEOUT_S = 20.0


NANOSECOND_S = 1e-9


class Used(NamedTuple):
    """Seconds of the processor that an array has used: its first thread, which is the event loop, and all its other threads."""

    loop_s: float
    threads_s: float


def used(pid: int) -> Used:
    """Return what an array has used so far. Threads that have ended do not count."""
    loop_s = threads_s = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            task_s = int((task / "schedstat").read_text().split()[0]) * NANOSECOND_S
        except OSError:  # The thread has just ended.
            continue
        if int(task.name) == pid:
            loop_s += task_s
        else:
            threads_s += task_s
    return Used(loop_s, threads_s)


@dataclass
class Three:
    """The arrays `a` and `b`, and the witness. The LUN `db` of `a` has the number 0."""

    folder: Path
    a: Served
    b: Served
    witness: subprocess.Popen[bytes]

    def create(self) -> None:
        """Make the group."""
        odx("group", "create", self.folder / "a", GROUP, "--volume", "db", "--path", "b", "--witness", "w", "--lun", "db=7")

    def delete(self) -> None:
        odx("group", "delete", self.folder / "a", GROUP)

    def status(self) -> dict[str, Any]:
        """Return the status of the group at `a`."""
        return request(self.folder / "a", "group-status", {"name": GROUP})  # A process would use a processor for a while.

    def wait_in_sync(self) -> float:
        """Wait until both members are in sync. Returns the time."""
        began_s = time.monotonic()
        while self.status()["condition"] != "in sync":
            assert time.monotonic() < began_s + TIMEOUT_S, "the group is not in sync"
            time.sleep(LOOK_S)
        return time.monotonic() - began_s


@contextmanager
def three_arrays(folder: Path, size: str) -> Iterator[Three]:
    """Run the arrays, paired with each other. The volume of the group is a LUN of `a`, and the group is not made yet."""
    served: list[Served] = []
    witness: subprocess.Popen[bytes] | None = None
    try:
        served.append(serve(folder / "a", [f"db={size}", "own=1M"], log_path=folder / "a.log", options=LINK))
        served.append(
            serve(folder / "b", ["other=1M"], log_path=folder / "b.log", options=(*LINK, "--pair", str(folder / "a")))
        )
        command = [sys.executable, "-m", "odx_target", "witness", str(folder / "w"), "--link", "127.0.0.1:0"]
        command += ["--pair", str(folder / "a"), "--pair", str(folder / "b")]
        with (folder / "w.log").open("w") as log:
            witness = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        began_s = time.monotonic()
        while not all(_is_paired(folder / name) for name in "ab"):
            assert time.monotonic() < began_s + TIMEOUT_S, "the arrays are not paired"
            time.sleep(LOOK_S)
        yield Three(folder, *served, witness)
    finally:
        if witness is not None:
            witness.kill()
            witness.wait(END_TIMEOUT_S)
        for each in served:
            each.kill()


def _is_paired(pool: Path) -> bool:
    paths = odx("path", "list", pool)["paths"]
    return len(paths) == 2 and all(path["state"] == "connected" for path in paths)
