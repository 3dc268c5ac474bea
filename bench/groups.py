"""Measures synchronous replication: `make bench-sync`. Prints one line of JSON.

    python -m bench.groups loss 8|64|256    writes of this many KiB at depth 32, without a group and in one
    python -m bench.groups threads 8|64|256 the same, with the threads that links have if there are more processors
    python -m bench.groups resync           rate at which a new member gets its content
    python -m bench.groups takeover         time from `kill -9` of the primary to the first write at the other member

Both arrays, the witness and the host run on this machine, so they share its cores. The kernel accounts the processor time of
each thread: that of the event loops, and of the other threads of both arrays. It depends little on the number of cores. So the
longest of these times bounds the loss with a core each for the loop of the primary, its other threads, the other member and the
host.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import trio
from bench.group_arrays import Three, three_arrays, used
from bench.link_arrays import MEMORY
from bench.load.run import run_load
from bench.load.shape import Shape

from odx_target.initiator import cdb
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.url import parse_url
from odx_target.replica.edge.tls_connection import THREAD_VARIABLE

KIB, MIB = 1 << 10, 1 << 20
SIZE_MIB = 256
DEPTH = 32
SECONDS = 4.0
ROUNDS = 3
RESYNC_MIB = 512
TAKEOVER_LIMIT_S = 60.0
RETRY_S = 0.02
TINTRI_LOSS = {8: 43, 64: 11, 256: 6}
"""Percent of the writes that Tintri's synchronous replication costs, by the KiB of a write."""


def cores() -> int:
    return len(os.sched_getaffinity(0))


def writes(three: Three, size_bytes: int) -> dict[str, float]:
    """Run writes at the primary. Returns their number per second, and the microseconds of the processor for each of them."""
    pids = {"P": three.a.process.pid, "S": three.b.process.pid}
    before = {name: used(pid) for name, pid in pids.items()}
    ran = run_load(three.a.url(0), Shape(size_bytes, DEPTH, write_percent=100), duration_s=SECONDS)
    found = {"writes/s": ran.commands / ran.seconds, "host us": 1e6 * ran.client_busy * ran.seconds / ran.commands}
    for name, pid in pids.items():
        for part, after_s, before_s in zip(("loop", "threads"), used(pid), before[name], strict=True):
            found[f"{name} {part} us"] = 1e6 * (after_s - before_s) / ran.commands
    return found


def longest_us(row: dict[str, float]) -> float:
    """Return the time for a write of the busiest of four cores: the loop of P, its other threads, S, and the host."""
    return max(row["P loop us"], row["P threads us"], row["S loop us"] + row["S threads us"], row["host us"])


def loss(kib: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, three_arrays(Path(name), f"{SIZE_MIB}M") as three:
        run_load(three.a.url(0), Shape(MIB, 4, write_percent=100, is_random=False), count=SIZE_MIB)
        alone: list[dict[str, float]] = []
        grouped: list[dict[str, float]] = []
        for _ in range(ROUNDS):  # in turn, because the speed of a shared machine changes
            alone.append(writes(three, kib * KIB))
            three.create()
            three.wait_in_sync()
            grouped.append(writes(three, kib * KIB))
            status = three.status()
            assert status["condition"] == "in sync", "the other member was dropped during the measurement"
            three.delete()
        best, best_grouped = (max(each, key=lambda row: row["writes/s"]) for each in (alone, grouped))
        latency = status["latency"]
        return {
            "cores": cores(),
            "writes/s alone": best["writes/s"],
            "writes/s in a group": best_grouped["writes/s"],
            "loss %": 100 * (1 - best_grouped["writes/s"] / best["writes/s"]),
            "loss % with a core each": 100 * (1 - longest_us(best) / longest_us(best_grouped)),
            "Tintri's loss %": TINTRI_LOSS[kib],
            "P loop us alone": best["P loop us"],
            "added to the P loop us": best_grouped["P loop us"] - best["P loop us"],
            **{name: value for name, value in best_grouped.items() if name.endswith(" us")},
            "link us": 1e6 * (latency["link_s"] or 0.0),
            "peer us": 1e6 * (latency["peer_s"] or 0.0),
        }


def resync() -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, three_arrays(Path(name), f"{RESYNC_MIB}M") as three:
        run_load(three.a.url(0), Shape(MIB, 4, write_percent=100, is_random=False), count=RESYNC_MIB)
        three.create()
        elapsed_s = three.wait_in_sync()
        return {"cores": cores(), "MB/s": RESYNC_MIB * MIB / elapsed_s / 1e6}


def takeover() -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, three_arrays(Path(name), f"{SIZE_MIB}M") as three:
        three.create()
        three.wait_in_sync()
        run_load(three.a.url(0), Shape(64 * KIB, DEPTH, write_percent=100), duration_s=1.0)
        three.a.kill()
        killed_s = time.monotonic()
        trio.run(_write_at, three.b.url(7))
        return {"cores": cores(), "s": time.monotonic() - killed_s}


async def _write_at(url: str) -> None:
    """Write at a LUN again and again until a write succeeds."""
    address = parse_url(url)
    with trio.fail_after(TAKEOVER_LIMIT_S):
        async with open_session(address.portal, address.target_name, SessionOptions(isid=random_isid(b"bench"))) as session:
            while True:
                try:
                    result = await session.execute(address.lun, cdb.write_16(0, 8), bytes(4096))
                except InitiatorError:
                    result = None
                if result is not None and result.status == 0:
                    return
                await trio.sleep(RETRY_S)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.groups", description="Measure synchronous replication.")
    parser.add_argument("name", choices=["loss", "threads", "resync", "takeover"])
    parser.add_argument("kib", nargs="?", type=int, choices=[8, 64, 256], default=8)
    words = parser.parse_args()
    if words.name == "threads":
        os.environ[THREAD_VARIABLE] = "1"
    found = loss(words.kib) if words.name in ("loss", "threads") else resync() if words.name == "resync" else takeover()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
