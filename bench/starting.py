"""Measures starts: `serve` until the first login, and arrays in a running process.

    python -m bench.starting serve [FOLDER]     seconds from the start of `serve` to the end of the first login, medians of 5
    python -m bench.starting arrays [FOLDER]    seconds and MiB for each of 20 arrays in one process

The memory of an array does not include the mapped pages of its pool. They are the files of a pool in memory, and are not needed
a second time.

The pools are in a new folder in FOLDER, which is /dev/shm by default.
"""

import argparse
import compileall
import json
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from bench.ending import end_by_sigterm
from bench.load.login import LoggedIn
from tests.interop.serving import serve

import odx_target
from odx_target.cli.serving.logging import configure_logging
from odx_target.cli.serving.serve import open_pool
from odx_target.initiator.url import parse_url
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal

MEMORY = "/dev/shm"
REPEATS = 5
ARRAYS = 20
LUN_BYTES = 1 << 30

Figures = dict[str, float]


def first_login_s(pool: Path, log_path: Path) -> float:
    """Start `serve` on a pool, and return the seconds until a host has logged in."""
    began_s = time.perf_counter()
    served = serve(pool, ["disk=1G"], log_path=log_path)
    try:
        session = LoggedIn(parse_url(served.url(0)), 0, digests=False)
        elapsed_s = time.perf_counter() - began_s
        session.socket.close()
        served.stop()
    finally:
        served.kill()
    return elapsed_s


def serve_starts(folder: Path) -> Figures:
    """Start `serve` on new pools, and on pools that are there. All modules are compiled first, as an installation does."""
    compileall.compile_dir(Path(odx_target.__file__).parent, quiet=2)
    pools = [folder / f"pool{number}" for number in range(REPEATS)]
    new = [first_login_s(pool, folder / "log") for pool in pools]
    existing = [first_login_s(pool, folder / "log") for pool in pools]
    return {
        "new pool, s": round(statistics.median(new), 3),
        "existing pool, s": round(statistics.median(existing), 3),
    }


def resident_mib() -> tuple[float, float]:
    """Resident memory of this process in MiB: without the mapped pages of files in memory, and these pages."""
    sizes = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, of_files, in_memory = (int(sizes[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "RssShmem"))
    return own + of_files, in_memory


async def array_starts(folder: Path) -> Figures:
    """Start arrays in this process, each with its own pool, LUN and portal."""
    configure_logging("error")
    before_mib, pages_before_mib = resident_mib()
    times_s = []
    async with AsyncExitStack() as stack:
        for number in range(ARRAYS):
            config = Config(folder / f"pool{number}", (LunConfig("disk", LUN_BYTES),), (Portal(port=0),), log_level="error")
            began_s = time.perf_counter()
            await stack.enter_async_context(Array(config, open_pool=open_pool))
            times_s.append(time.perf_counter() - began_s)
        after_mib, pages_after_mib = resident_mib()
    return {
        "first array, ms": round(times_s[0] * 1e3, 2),
        "further array, ms": round(statistics.median(times_s[1:]) * 1e3, 2),
        "memory of an array, MiB": round((after_mib - before_mib) / ARRAYS, 2),
        "mapped pages of its pool, MiB": round((pages_after_mib - pages_before_mib) / ARRAYS, 2),
    }


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["serve", "arrays"])
    parser.add_argument("folder", nargs="?", metavar="FOLDER", default=MEMORY)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="odx-starting-") as name:
        figures = serve_starts(Path(name)) if options.kind == "serve" else trio.run(array_starts, Path(name))
    print(json.dumps(figures))


if __name__ == "__main__":
    end_by_sigterm()
    main(sys.argv[1:])
