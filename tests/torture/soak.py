"""Days of mixed work under the virtual clock, after which space and memory must be as they were after the first day.

Every hour has reads, writes, unmaps, tokens and their copies, and snapshots of an operator, of an hourly, a daily and a weekly
schedule, which delete their old snapshots. Most volumes are compressed. Every day has a clone, a restore, a scrub, a restart,
missed runs of schedules, and changes of sizes, names, LUNs, compression, holds and schedules. At the end of a day, all
snapshots are deleted, all tokens expire, all volumes are written anew, and everything is counted.
"""

import gc
import tempfile
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from odx_target.store.catalogue import transactional
from odx_target.store.open import LogPool, open_directory_pool
from tests.torture.array import ArrayUnderTorture
from tests.torture.run import Difference, Run
from tests.torture.seeds import new_run
from tests.torture.setup import Setup
from tests.torture.steps import KINDS, Step

HOUR_MS = 3_600_000
HOUR_MINUTES = 60
HOURS_OF_A_DAY = 24
KEPT_SNAPSHOTS = 2
VOLUME_CELLS = 256

HOURLY = ("write", "read", "unmap", "write_same", "compare_and_write", "populate", "redeem", "flush", "differences", "space")

SCHEDULES: tuple[Step, ...] = (
    ["add_schedule", 0, 0, 4, 1, 0, []],
    ["add_schedule", 1, 2, 2, 0, 0, [0, 1]],
    ["add_schedule", 2, 3, 2, 1, 0, []],
)
"""An hourly and a weekly schedule for all volumes, and a daily one for two volumes."""

MAX_GROWTH = 1.05
"""Largest ratio of a number at the end of a later day to the number at the end of the first day."""

SWEEP_AFTER_NODES = 200
"""Number of new nodes between two sweeps of the catalogue. With the usual number, a soak of a week would not reach a sweep."""

SLACK = {
    "objects": 3000,
    "segments": 8,
    "used_bytes": 8 << 17,
    "nodes": 2 * SWEEP_AFTER_NODES,
    "descriptors": 12,
    "catalogue_bytes": 1 << 18,
}
"""Growth that is no leak: caches, segments that are being filled or wait to be freed, and nodes that the next sweep deletes."""


class ArrayInDirectory(ArrayUnderTorture):
    """An array on a real directory, so that files and descriptors can be counted."""

    path: Path

    def open_pool(self) -> Coroutine[Any, Any, LogPool]:
        return open_directory_pool(self.path, self.environment, self.options)


@dataclass
class Counted:
    """The numbers of the objects that an array has."""

    objects: int
    frozen_maps: int
    snapshots: int
    tokens: int
    records: int
    remembered: int
    segments: int
    used_bytes: int
    nodes: int
    parts: int
    catalogue_bytes: int
    descriptors: int


def soak(seed: int, days: int, steps_of_an_hour: int) -> list[Counted]:
    """Do the work of some days, and return the counts at the end of each. Raises Difference if a later day holds more."""
    random = Random(f"soak {seed}")
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(transactional, "SWEEP_AFTER_NODES", SWEEP_AFTER_NODES),
    ):
        run = new_run(Setup(seed, 100, None, 500, 600))
        run.array.abandon()
        run.array.__class__ = ArrayInDirectory
        run.array.path = Path(folder) / "pool"  # type: ignore[attr-defined]
        run.array.open()
        run.now.volumes.clear()
        for step in (*_volumes(), *SCHEDULES):
            run.do(step)
        counted: list[Counted] = []
        for _ in range(days):
            _day(run, random, steps_of_an_hour)
            counted.append(_count(run))
            _compare(counted[0], counted[-1], len(counted))
        run.array.close()
    return counted


def _volumes() -> list[Step]:
    return [["create", number, VOLUME_CELLS, (1, 8)[number % 2], number % 3] for number in range(4)]


def _day(run: Run, random: Random, steps_of_an_hour: int) -> None:
    for hour in range(HOURS_OF_A_DAY):
        for name in random.choices(HOURLY, [KINDS[each][0] for each in HOURLY], k=steps_of_an_hour):
            run.do([name, *KINDS[name][1](random)])
        run.do(["snapshot_all", hour % (KEPT_SNAPSHOTS + 1)])
        for guid, content in list(run.now.snapshots.items()):
            if content.name == f"s{(hour + 1) % (KEPT_SNAPSHOTS + 1)}":
                run.do(["delete_snapshot", sorted(run.now.snapshots).index(guid)])
        run.do(["tick", HOUR_MINUTES])
        for step in _daily(hour, random):
            run.do(step)
    _end_of_day(run)


def _daily(hour: int, random: Random) -> list[Step]:
    pick = random.randrange(64)
    steps: dict[int, list[Step]] = {
        4: [["clone", 3, pick % 2, pick, pick % 3]],
        6: [["hold", pick, 0], ["hold", pick + 5, 1], ["rename_volume", pick % 4, 4 + pick % 4]],
        8: [["restore", pick % 3, pick]],
        10: [["remove_lun", pick % 4], ["add_lun", pick % 4, -1], ["renumber_lun", (pick + 1) % 4, 300]],
        12: [["resize", pick % 4, VOLUME_CELLS // 2], ["resize", pick % 4, VOLUME_CELLS]],
        14: [
            ["set_compression", pick % 4, pick % 3],
            ["set_read_only", 2, 1],
            ["write", 2, 0, 8, 0, 1],
            ["set_read_only", 2, 0],
        ],
        16: [["scrub"], ["tick", 3 * HOUR_MINUTES]],
        18: [["change_schedule", 1, 2, 1 + pick % 2, 0, 0], ["assign_schedules", pick % 4, pick % 9], ["run_schedule", 1]],
        20: [["look_at_all"], ["restart", 0]],
        22: [["assign_schedules", pick % 4, 8]],
    }
    return steps.get(hour, [])


def _end_of_day(run: Run) -> None:
    for index, guid in enumerate(sorted(run.now.snapshots)):
        for owner in run.now.snapshots[guid].holds:
            run.do(["unhold", index, int(owner.removeprefix("owner "))])
    while run.now.snapshots:
        run.do(["delete_snapshot", 0])
    for number in range(4):
        run.do(["delete", number])
        run.do(_volumes()[number])
        for place in range(0, VOLUME_CELLS, 64):
            run.do(["write", number, place, 64, 0, 1, place // 64 % 2])
    for _ in range(3):
        run.do(["advance", 25 * HOUR_MS])
        run.do(["checkpoint"])
        run.do(["clean", 0])
    run.do(["look_at_all"])
    run.do(["flush", 0])
    run.tokens.clear()


def _count(run: Run) -> Counted:
    array = run.array
    del run.history.moments[:-1]
    run.history.first = run.history.flushed = run.history.committed = run.history.last
    array.environment.background = [job for job in array.environment.background if not job.done]
    gc.collect()
    pool, copies = array.pool, array.manager.copies
    execute = pool._catalogue._connection.execute  # type: ignore[attr-defined]
    return Counted(
        objects=len(gc.get_objects()),
        frozen_maps=len(pool.contents.frozen_maps),
        snapshots=len(pool.snapshots),
        tokens=len(copies.tokens.live) + len(copies.tokens.tombstones),
        records=len(copies.records),
        remembered=len(pool.contents.remembered),
        segments=len(pool.supply.segments),
        used_bytes=pool.used_bytes,
        nodes=execute("SELECT count(*) FROM node").fetchone()[0],
        parts=execute("SELECT count(*) FROM part").fetchone()[0],
        catalogue_bytes=sum(path.stat().st_size for path in array.path.glob("catalogue*")),  # type: ignore[attr-defined]
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
    )


def _compare(first: Counted, now: Counted, day: int) -> None:
    before = asdict(first)
    for name, number in asdict(now).items():
        if number > before[name] * MAX_GROWTH + SLACK.get(name, 0):
            raise Difference(f"after day {day}, {name} is {number:,}; after day 1 it was {before[name]:,}")
