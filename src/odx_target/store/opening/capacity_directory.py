"""The directory of the capacity tier of a pool.

- `tier.json`: the identity of the pool to which the tier belongs, the directory of this pool, and the directory of the tier.
- `lock`: a file that a process locks while it has the pool open.
- `segments/`: the segments of the tier.

The head of the pool has the path of this directory. If the directory of a pool is copied, the copy still names the directory of
the original. The tier then shows by the two paths in `tier.json` that it belongs to the original.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from odx_target.store.error_kinds import ErrorKind, kind_of, of_write, passes
from odx_target.store.errors import PoolDamaged, StoreError
from odx_target.store.opening.directory_pool import (
    HEAD_NAME,
    LOCK_NAME,
    SEGMENTS_NAME,
    DirectoryLock,
    is_unused,
    sync_directory,
)
from odx_target.store.opening.format_head import Head, decode_head
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment import SegmentStore
from odx_target.store.segments.tiers import TieredSegments

TIER_NAME = "tier.json"

FORMAT_VERSION = 1

_NEW_TIER_NAME = f"{TIER_NAME}.new"

_BEFORE_TIER = frozenset({LOCK_NAME, SEGMENTS_NAME, _NEW_TIER_NAME})
"""Files that a crash may leave in the directory of a new tier before `tier.json` is written."""


class CapacitySegments(DirectorySegments):
    """The segments of the capacity tier. The lock of the directory is released when the segments are closed."""

    def __init__(self, directory: Path, max_held: int, lock: DirectoryLock) -> None:
        super().__init__(directory, max_held)
        self._lock = lock

    def close(self) -> None:
        super().close()
        self._lock.release()


class _Tier(NamedTuple):
    """The content of `tier.json`."""

    identity: str
    pool: str
    directory: str


def with_capacity(
    fast: SegmentStore, pool: Path, head: Head, wanted: Path | None, max_held: int, *, may_write: bool = True
) -> tuple[SegmentStore, str]:
    """Return the segments of a pool in both tiers, and the path of the capacity tier for the head of the pool.

    `wanted` is the directory that the operator has named. None means the directory in the head. If the pool has no capacity
    tier, returns `fast` and an empty path. If `may_write` is False, `tier.json` is not changed, even if its paths are wrong.
    """
    if wanted is None and not head.capacity_directory:
        return fast, ""
    directory = _resolved(Path(wanted or head.capacity_directory), pool.resolve() / SEGMENTS_NAME)
    may_make = wanted is not None and not head.capacity_directory
    capacity = open_capacity(directory, pool.resolve(), head, max_held, may_make=may_make, may_write=may_write)
    return TieredSegments(fast, capacity), str(directory)


def _resolved(directory: Path, segments: Path) -> Path:
    """Return the absolute path of a capacity tier. `segments` is the directory with the segments of the fast tier."""
    try:
        resolved = directory.resolve()
    except (RuntimeError, ValueError) as error:
        raise StoreError(f"{str(directory)!r} cannot be the directory of a capacity tier: {error}") from None
    if resolved.is_relative_to(segments):
        raise StoreError(f"{resolved} is in the directory of the segments, so it cannot be the capacity tier of the pool")
    return resolved


def open_capacity(
    directory: Path, pool: Path, head: Head, max_held: int, *, may_make: bool, may_write: bool = True
) -> CapacitySegments:
    """Open the capacity tier in a directory. If the pool has no tier yet, `may_make` decides whether one may be made.
    `may_write` decides whether wrong paths in `tier.json` are corrected.

    Both paths are absolute. Raises StoreError if the directory does not have the tier of this pool, and PoolInUse if another
    process uses it. Raises OSError.
    """
    tier = _read(directory)
    if tier is None:
        if not may_make:
            raise StoreError(
                f"{directory / TIER_NAME} is missing: the pool in {pool} needs this capacity tier; "
                "mount its disk, or start the array with --capacity-tier and its new directory; "
                "if the disk is lost for ever, use odx-target pool repair --without-capacity"
            )
        _require_empty(directory)
    elif tier.identity != head.identity.hex():
        raise StoreError(f"{directory} is the capacity tier of another pool, which was in {tier.pool}")
    lock = DirectoryLock(directory)
    try:
        if tier is not None:
            _check_owner(tier, directory, pool)
        segments = directory / SEGMENTS_NAME
        if tier is None:
            segments.mkdir(exist_ok=True)
        elif not segments.is_dir():
            raise PoolDamaged(f"{segments} is missing")
        present = _Tier(head.identity.hex(), str(pool), str(directory))
        if tier is None or (may_write and tier != present):
            _write(directory, present)
        return CapacitySegments(segments, max_held, lock)
    except BaseException:
        lock.release()
        raise


def require_lost(head: Head, pool: Path) -> None:
    """Raise StoreError if a pool has no capacity tier, or if its capacity tier can still be found. Also raises StoreError after
    an error that does not mean that the disk is lost, such as a missing permission.
    """
    directory = head.capacity_directory
    if not directory:
        raise StoreError(f"the pool in {pool} has no capacity tier")
    try:
        (Path(directory) / TIER_NAME).stat()
    except ValueError:
        return  # No file can have this name.
    except OSError as error:
        if passes(error) or kind_of(error) is ErrorKind.REFUSAL:
            raise of_write(f"looking for the capacity tier in {directory}", error) from error
        return
    raise StoreError(f"the capacity tier of the pool is still in {directory}; unmount it first if it is lost")


def _check_owner(tier: _Tier, directory: Path, pool: Path) -> None:
    """Raise StoreError if the tier belongs to another copy of the pool, which still exists."""
    if tier.directory == str(directory) and tier.pool != str(pool):
        try:
            other = decode_head((Path(tier.pool) / HEAD_NAME).read_bytes(), HEAD_NAME)
        except (OSError, PoolDamaged):
            return
        if other.identity.hex() == tier.identity:
            raise StoreError(
                f"{directory} is the capacity tier of the pool in {tier.pool}, of which {pool} is a copy; "
                "copy the tier too, and start the array with --capacity-tier and the directory of this copy"
            )


def _require_empty(directory: Path) -> None:
    """Make the directory if it is absent. Raises StoreError if it contains other files."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in directory.iterdir()}
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{directory} is not a directory") from None
    if HEAD_NAME in names:
        raise StoreError(f"{directory} is a pool, so it cannot be the capacity tier of a pool")
    segments = directory / SEGMENTS_NAME
    if not names <= _BEFORE_TIER or (segments.is_dir() and not is_unused(segments)):
        raise StoreError(f"{directory} is not empty and not the capacity tier of a pool")


def _read(directory: Path) -> _Tier | None:
    """Read `tier.json`. Returns None if it does not exist. Raises PoolDamaged, OSError."""
    path = directory / TIER_NAME
    try:
        fields = json.loads(path.read_bytes())
        tier = _Tier(fields["identity"], fields["pool"], fields["directory"])
        is_ours = fields["what"] == "odx-target capacity tier" and all(type(each) is str and "\0" not in each for each in tier)
        version = fields["format"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        is_ours, version = False, 0
    if not is_ours:
        raise PoolDamaged(f"{path} is damaged or does not describe a capacity tier")
    if version != FORMAT_VERSION:
        raise PoolDamaged(f"{path} has format {version}, this program knows {FORMAT_VERSION}")
    return tier


def _write(directory: Path, tier: _Tier) -> None:
    """Replace `tier.json` durably. Raises OSError."""
    fields = {"what": "odx-target capacity tier", "format": FORMAT_VERSION, **tier._asdict()}
    new = directory / _NEW_TIER_NAME
    with new.open("wb") as file:
        file.write(json.dumps(fields, indent=2).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(directory / TIER_NAME)
    sync_directory(directory)
