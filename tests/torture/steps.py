"""The steps of a run: plain lists of a name and numbers, so that a run can be written to a file and shortened.

A step does not depend on the steps before it: each number is reduced to what exists when the step is done. So a run without
some of its steps is a run too.
"""

import errno
from collections.abc import Callable
from random import Random
from typing import Any

Step = list[Any]
"""Name and arguments of a step."""

MAX_CELLS = 512
"""Largest size of a volume in cells: 64 blocks."""

MAX_BLOCKS = 40

ERRORS = (errno.EIO, errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOMEM)

FAILING = (
    *("write", "sync", "create", "seal", "save", "commit", "delete", "read", "recycle"),
    *("capacity-write", "capacity-sync", "capacity-create", "capacity-seal", "capacity-delete", "capacity-read"),
)


def lun(random: Random) -> int:
    return random.randrange(4)


def place(random: Random) -> int:
    """A place in a volume, in 4 KiB blocks or in 512-byte blocks."""
    return random.choice((random.randrange(64) * 8, random.randrange(MAX_CELLS)))


def count(random: Random) -> int:
    """A number of cells."""
    return random.choice((1, 8, 8, random.randint(1, 24), 8 * random.randint(1, MAX_BLOCKS)))


def rarely(random: Random, times: int) -> int:
    return int(random.randrange(times) == 0)


def size(random: Random) -> int:
    """A size of a volume in cells."""
    return random.choice((8 * random.randint(1, 64), random.randint(1, MAX_CELLS)))


def ranges(random: Random) -> list[list[int]]:
    return [[place(random), count(random)] for _ in range(random.choice((1, 1, 1, 2, 3)))]


def waits(random: Random) -> int:
    """1 if the next step begins only when this command has ended."""
    return int(random.randrange(3) > 0)


def fields(random: Random) -> list[int]:
    """Numbers that choose the calendar of a schedule, the snapshots that it keeps, and if it is a default and is enabled."""
    return [random.randrange(4), random.randint(1, 4), rarely(random, 2), rarely(random, 4)]


KINDS: dict[str, tuple[int, Callable[[Random], list[Any]]]] = {
    "write": (300, lambda r: [lun(r), place(r), count(r), rarely(r, 20), waits(r), rarely(r, 3)]),
    "read": (160, lambda r: [lun(r), place(r), count(r)]),
    "unmap": (60, lambda r: [lun(r), ranges(r), waits(r)]),
    "write_same": (30, lambda r: [lun(r), place(r), count(r), r.randrange(3), waits(r)]),
    "compare_and_write": (60, lambda r: [lun(r), place(r), r.choice((1, 8, 8, 16)), rarely(r, 4)]),
    "populate": (60, lambda r: [lun(r), ranges(r), r.choice((0, 0, 1, 2, 2)), r.choice((0, 0, 5, 600))]),
    "redeem": (90, lambda r: [r.randrange(64), lun(r), ranges(r), rarely(r, 4) * r.randrange(64), rarely(r, 6), waits(r)]),
    "write_zeros": (10, lambda r: [lun(r), ranges(r), waits(r)]),
    "snapshot": (25, lambda r: [lun(r), r.randrange(6)]),
    "snapshot_all": (8, lambda r: [r.randrange(6)]),
    "delete_snapshot": (30, lambda r: [r.randrange(64)]),
    "rename_snapshot": (4, lambda r: [r.randrange(64), r.randrange(6)]),
    "restore": (15, lambda r: [lun(r), r.randrange(64)]),
    "clone": (12, lambda r: [lun(r), r.randrange(3), r.randrange(64), r.randrange(3)]),
    "create": (60, lambda r: [lun(r), size(r), r.choice((1, 8)), r.randrange(3)]),
    "delete": (3, lambda r: [lun(r)]),
    "resize": (20, lambda r: [lun(r), size(r)]),
    "rename_volume": (5, lambda r: [lun(r), r.randrange(8)]),
    "set_compression": (6, lambda r: [lun(r), r.randrange(3)]),
    "set_tier": (12, lambda r: [lun(r), r.randrange(2)]),
    "set_read_only": (6, lambda r: [lun(r), rarely(r, 3)]),
    "remove_lun": (6, lambda r: [lun(r)]),
    "add_lun": (14, lambda r: [lun(r), r.choice((-1, r.randrange(8), 300))]),
    "renumber_lun": (6, lambda r: [lun(r), r.choice((r.randrange(8), 256, 16383))]),
    "hold": (6, lambda r: [r.randrange(64), r.randrange(3)]),
    "unhold": (10, lambda r: [r.randrange(64), r.randrange(3)]),
    "abort": (12, lambda r: [r.randrange(4)]),
    "reset_lun": (4, lambda r: [lun(r)]),
    "tick": (12, lambda r: [r.choice((1, 15, 60, 60, 180))]),
    "add_schedule": (8, lambda r: [r.randrange(4), *fields(r), [lun(r)] * r.randrange(2)]),
    "change_schedule": (4, lambda r: [r.randrange(4), *fields(r)]),
    "remove_schedule": (2, lambda r: [r.randrange(4)]),
    "assign_schedules": (4, lambda r: [lun(r), r.randrange(9)]),
    "run_schedule": (4, lambda r: [r.randrange(4)]),
    "change_templates": (2, lambda r: [[[r.randrange(6), *fields(r)] for _ in range(r.randrange(3))]]),
    "downtime": (3, lambda r: [r.choice((1, 59, 61, 600, 3000)), rarely(r, 2)]),
    "differences": (12, lambda r: [r.randrange(64), r.randrange(64), r.choice((1, 5, 100)), rarely(r, 2) * r.randrange(64)]),
    "space": (8, lambda r: [r.randrange(64), r.randint(0, 40)]),
    "look_at_all": (5, lambda r: []),
    "sanitize": (12, lambda r: [lun(r), r.randrange(3), rarely(r, 2)]),
    "flush": (25, lambda r: [lun(r)]),
    "checkpoint": (12, lambda r: []),
    "clean": (14, lambda r: [r.randint(0, 30)]),
    "scrub": (2, lambda r: []),
    "few_turns": (30, lambda r: [r.randint(1, 12)]),
    "settle": (15, lambda r: []),
    "advance": (10, lambda r: [r.choice((1, 10, 100, 1000, 40_000, 130_000))]),
    "jump_clock": (1, lambda r: [r.choice((-3600, -1, 60, 86_400))]),
    "crash": (6, lambda r: [rarely(r, 3), r.randrange(2), again(r), rarely(r, 4)]),
    "crash_in": (12, lambda r: [r.choice((0, r.randrange(4), r.randrange(40)))]),
    "restart": (3, lambda r: [rarely(r, 2)]),
    "disk_fails": (6, lambda r: [r.choice(FAILING), r.choice(ERRORS), r.randint(1, 4)]),
    "more_room": (2, lambda r: []),
}
"""The share of each kind of step in thousandths or so, and a function that chooses its arguments."""

_NAMES = list(KINDS)
_SHARES = [share for share, _ in KINDS.values()]


def again(random: Random) -> list[int]:
    """Numbers of operations of the disk after which the next openings crash."""
    return [random.randrange(30) for _ in range(random.choice((0, 0, 1, 2)))]


def steps_of(seed: int, count_steps: int) -> list[Step]:
    """Choose the steps of a run."""
    random = Random(f"steps {seed}")
    names = random.choices(_NAMES, _SHARES, k=count_steps)
    return [[name, *KINDS[name][1](random)] for name in names]
