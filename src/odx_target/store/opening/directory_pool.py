"""The files of a pool in a local directory.

- `pool.json`: the head, which has the format, identity and epoch of the pool. In a new pool, the head is written last.
- `lock`: a file that is locked by the process that has the pool open.
- `catalogue.sqlite`: the last checkpoint.
- `segments/`: the files of the log.
"""

import os
from contextlib import suppress
from pathlib import Path

from odx_target.store.errors import HeadDamaged, PoolDamaged, PoolInUse, StoreError
from odx_target.store.opening.format_head import check_unchanged, decode_head
from odx_target.store.segments.file_system import PROBE_NAME

try:
    import fcntl
except ImportError:  # Windows has no such locks.
    fcntl = None  # type: ignore[assignment]

HEAD_NAME = "pool.json"
LOCK_NAME = "lock"
CATALOGUE_NAME = "catalogue.sqlite"
SEGMENTS_NAME = "segments"

_NEW_HEAD_NAME = f"{HEAD_NAME}.new"

_BEFORE_HEAD = frozenset({LOCK_NAME, SEGMENTS_NAME, CATALOGUE_NAME, f"{CATALOGUE_NAME}-journal", _NEW_HEAD_NAME})
"""Files that a crash may leave in the directory of a new pool before the head is written."""


class DirectoryHead:
    """The head of a pool, in the file `pool.json`. A new head is written to a second file, which is then renamed to
    `pool.json`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def describe(self) -> str:
        return str(self._directory / HEAD_NAME)

    def read(self) -> bytes | None:
        try:
            return (self._directory / HEAD_NAME).read_bytes()
        except FileNotFoundError:
            return None

    def replace(self, expected: bytes | None, document: bytes) -> None:
        check_unchanged(self.read(), expected, self.describe())
        new = self._directory / _NEW_HEAD_NAME
        with new.open("wb") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self._directory / HEAD_NAME)
        sync_directory(self._directory)


class DirectoryLock:
    """An exclusive lock on the directory of a pool. The lock ends when `release` is called or the process ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock. Raises PoolInUse if another process, or another pool of this process, has the lock. Raises StoreError
        if the system has no locks for files.
        """
        if fcntl is None:
            raise StoreError("pools in directories need a system with flock; here, pools can only be in memory")
        self._descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise PoolInUse(f"{directory} is in use by another process") from None
        except OSError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def prepare(directory: Path) -> None:
    """Make the directory if it does not exist. Raises HeadDamaged if it contains a pool without a head. Raises StoreError if it
    contains other files.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in directory.iterdir()}
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{directory} is not a directory") from None
    if HEAD_NAME not in names and not names <= _BEFORE_HEAD:
        check_head(directory)
        raise StoreError(f"{directory} is not empty and not a pool")


def check_head(directory: Path) -> None:
    """Raise HeadDamaged if a directory contains the segments of a pool but no head."""
    segments = directory / SEGMENTS_NAME
    if not (directory / HEAD_NAME).exists() and segments.is_dir() and not is_unused(segments):
        raise HeadDamaged(f"{directory / HEAD_NAME} is missing")


def prepare_segments(directory: Path, *, is_new: bool) -> Path:
    """Return the directory of segments. If the pool is new, make the directory.

    Raises PoolDamaged if an existing pool has no directory of segments.
    """
    segments = directory / SEGMENTS_NAME
    if is_new:
        segments.mkdir(exist_ok=True)
        check_head(directory)
        sync_directory(directory)
    elif not segments.is_dir():
        raise PoolDamaged(f"{segments} is missing")
    return segments


def free_name(path: Path) -> Path:
    """Return a path that does not exist: the given path, or the same path with a number."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def is_unused(segments: Path) -> bool:
    """True if a directory of segments has no files, except one that a crash may have left there."""
    return all(path.name == PROBE_NAME for path in segments.iterdir())


def log_bytes(directory: Path) -> int:
    """Return the total size of the segments of a pool in both tiers. Segments that cannot be read do not count."""
    directories = [directory]
    with suppress(OSError, PoolDamaged):
        capacity = decode_head((directory / HEAD_NAME).read_bytes(), HEAD_NAME).capacity_directory
        directories += [Path(capacity)] if capacity else []
    size_bytes = 0
    for each in directories:
        with suppress(OSError):
            size_bytes += sum(path.stat().st_size for path in (each / SEGMENTS_NAME).iterdir())
    return size_bytes


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
