"""The naive model of an array: the content of each volume and snapshot as numbers, one for each 512 bytes.

A *cell* is 512 bytes that one number determines. Most cells repeat their number, so they can be compressed. A cell whose number
has the bit NOISE looks random and cannot be compressed. 0 is a cell of zeros. So a torn block, or a block of another place, is
detected. Arrays of cells are replaced and never changed, so that a moment keeps them without a copy.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

CELL_BYTES = 512
WORDS_OF_A_CELL = CELL_BYTES // 8
CELLS_OF_A_BLOCK = 8

Cells = np.ndarray[Any, np.dtype[np.uint64]]
Indexes = np.ndarray[Any, np.dtype[np.int64]]


def zeros(count: int) -> Cells:
    return np.zeros(count, dtype=np.uint64)


def numbered(first: int, count: int) -> Cells:
    return np.arange(first, first + count, dtype=np.uint64)


NOISE = 1 << 48
"""Bit of the number of a cell that cannot be compressed."""

_FACTORS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_PLACES = np.arange(WORDS_OF_A_CELL, dtype=np.uint64)[None, :] * np.uint64(_FACTORS[1])
_PLACES[0, 0] = 0


def words_of_cells(cells: Cells) -> Cells:
    """Return the words of each cell. The first word of a cell is its number."""
    words = np.repeat(cells, WORDS_OF_A_CELL).reshape(-1, WORDS_OF_A_CELL)
    noisy = (cells & np.uint64(NOISE)) != 0
    if noisy.any():
        numbers = words[noisy]
        mixed = (numbers * np.uint64(_FACTORS[0])) ^ _PLACES
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(_FACTORS[2])
        mixed ^= mixed >> np.uint64(32)
        mixed[:, 0] = numbers[:, 0]
        words[noisy] = mixed
    return words


def data_of_cells(cells: Cells) -> bytes:
    return words_of_cells(cells).astype("<u8").tobytes()


class Torn(AssertionError):
    """A cell does not contain the words of one number."""


def cells_of_data(data: bytes) -> Cells:
    """Return the cells of data that was read. Raises Torn."""
    words = np.frombuffer(data, dtype="<u8").reshape(-1, WORDS_OF_A_CELL)
    cells = words[:, 0].astype(np.uint64)
    wrong = (words != words_of_cells(cells)).any(axis=1)
    if wrong.any():
        cell = int(np.nonzero(wrong)[0][0])
        raise Torn(f"cell {cell} is torn: {sorted(set(words[cell].tolist()))}")
    return cells


class Settings(NamedTuple):
    """The settings of a volume that an operator may change. `lun` is None if hosts cannot use the volume."""

    name: str = ""
    lun: int | None = None
    is_read_only: bool = False
    compression: str = "off"
    tier: str = "fast"


class VolumeContent(NamedTuple):
    """A volume. `unit` is the number of cells of a logical block of its LUN."""

    cells: Cells
    unit: int
    settings: Settings = Settings()

    @property
    def size_blocks(self) -> int:
        return -(-len(self.cells) // CELLS_OF_A_BLOCK)


class SnapshotContent(NamedTuple):
    """A snapshot. `schedule` is the identifier of the schedule that made it, or empty. `order` grows with time."""

    name: str
    volume_identity: bytes
    cells: Cells
    unit: int
    holds: tuple[str, ...] = ()
    schedule: str = ""
    order: int = 0

    @property
    def content(self) -> VolumeContent:
        return VolumeContent(self.cells, self.unit)


@dataclass(eq=False)
class Change:
    """A change of some cells of a volume that has not ended: each cell has its former or its new number."""

    volume: str
    indexes: Indexes
    new: Cells


@dataclass
class Moment:
    """The state of the array at one moment. `changes` are the changes that were under way.

    The keys of volumes do not change when a volume is renamed. `schedules` has the stored form of each schedule by its name.
    `plans` has the names of the own schedules of volumes, by the keys of the volumes.
    """

    volumes: dict[str, VolumeContent] = field(default_factory=dict)
    snapshots: dict[bytes, SnapshotContent] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    schedules: dict[str, str] = field(default_factory=dict)
    plans: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def copy(self) -> "Moment":
        return Moment(dict(self.volumes), dict(self.snapshots), self.changes, dict(self.schedules), dict(self.plans))

    def difference(self, found: "Moment") -> str | None:
        """Describe the first difference of a state that was found on the disk. Returns None if it may be this moment."""
        if self.volumes.keys() != found.volumes.keys():
            return f"volumes {sorted(found.volumes)} instead of {sorted(self.volumes)}"
        if self.snapshots.keys() != found.snapshots.keys():
            return f"{len(found.snapshots)} snapshots, not the {len(self.snapshots)} expected"
        if self.schedules != found.schedules:
            return f"schedules {found.schedules} instead of {self.schedules}"
        if self.plans != found.plans:
            return f"plans {found.plans} instead of {self.plans}"
        for name, expected in self.volumes.items():
            if expected.settings != found.volumes[name].settings:
                return f"volume {name}: {found.volumes[name].settings} instead of {expected.settings}"
            wrong = difference_of(expected, found.volumes[name], [each for each in self.changes if each.volume == name])
            if wrong is not None:
                return f"volume {name}: {wrong}"
        for guid, snapshot in self.snapshots.items():
            other = found.snapshots[guid]
            names, others = (each._replace(cells=None, order=0) for each in (snapshot, other))
            if names != others:
                return f"snapshot {others} instead of {names}"
            wrong = difference_of(snapshot.content, other.content, [])
            if wrong is not None:
                return f"snapshot {snapshot.name!r}: {wrong}"
        return None


def difference_of(expected: VolumeContent, found: VolumeContent, changes: list[Change]) -> str | None:
    if expected.unit != found.unit or len(expected.cells) != len(found.cells):
        return f"{len(found.cells)} cells in units of {found.unit} instead of {len(expected.cells)} in units of {expected.unit}"
    wrong = expected.cells != found.cells
    if not wrong.any():
        return None
    for change in changes:
        wrong[change.indexes] &= found.cells[change.indexes] != change.new
    if not wrong.any():
        return None
    cell = int(np.nonzero(wrong)[0][0])
    return (
        f"cell {cell} of {len(wrong)} is {found.cells[cell]} instead of {expected.cells[cell]}; {wrong.sum()} cells are wrong"
    )


@dataclass(eq=False)
class TokenContent:
    """A token: the data that it represents, and the time until which it certainly is valid."""

    data: bytes
    cells: Cells
    volume: str
    is_persistent: bool
    is_vulnerable: bool
    timeout_s: float
    valid_until_s: float
    made_s: float
    created: int
    """Number of the moment at which it was made."""
    was_written: bool = False
    """True if its source has changed, which ends a change vulnerable token."""
    is_of_deleted: bool = False
    """True if its volume was deleted, and another volume may have the same name. A crash may undo the deletion."""
    has_ended: bool = False
    may_have_ended: bool = False
    survives_restart: bool = True
    """False if the wall clock was set since the token was made, which may end the token at a restart."""


class History:
    """The moments to which a recovery may return: the last that is certainly durable, and all since then.

    Moments are numbered from 0. `flushed` is the last moment that survives a loss of power, and `committed` the last one that
    survives the death of the process.
    """

    def __init__(self, now: Moment) -> None:
        self.first = 0
        self.moments = [now.copy()]
        self.committed = self.flushed = 0

    @property
    def last(self) -> int:
        return self.first + len(self.moments) - 1

    def mark(self, now: Moment) -> None:
        self.moments.append(now.copy())

    def note_flushed(self, number: int) -> None:
        """Note that a moment is durable, and forget the moments before it."""
        self.flushed = max(self.flushed, number)
        self.committed = max(self.committed, self.flushed)
        del self.moments[: self.flushed - self.first]
        self.first = self.flushed

    def find(self, found: Moment, least: int) -> tuple[int | None, str]:
        """Return the latest moment from `least` on that was found on the disk, or None and the difference from the last."""
        wrong = ""
        for number in range(self.last, least - 1, -1):
            difference = self.moments[number - self.first].difference(found)
            if difference is None:
                return number, ""
            wrong = wrong or difference
        return None, wrong

    def begin_again(self, number: int, now: Moment, *, is_durable: bool) -> None:
        """Continue from the moment to which a recovery has returned."""
        if is_durable:
            self.first, self.moments = number, [now.copy()]
            self.committed = self.flushed = number
            return
        del self.moments[number - self.first + 1 :]
        self.moments[-1] = now.copy()
        self.committed = number
