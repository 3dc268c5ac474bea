"""Makes every system call of the store fail with each relevant errno.

A row of the table has the expected exception. In all cases, acknowledged data must stay readable during the fault, after it and
after a restart, and a pool that has not failed must go on as soon as the fault is over.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Directory, block, read, when_ready

from odx_target.store.api import BLOCK_BYTES, OutOfResources, PoolFailed, PoolFull, Refused, StoreError, Unreadable, Unwritable
from odx_target.store.open import PoolOptions, open_directory_pool
from odx_target.store.segments.supply import REFUSED_S

FILES_IN_MEMORY = True
OPTIONS = PoolOptions(segment_blocks=32, descriptors=2)
SIZE = 120
OLD = 48
"""Number of blocks that were written and flushed before the fault and are not in memory, so that a read needs the disk."""

ERRNOS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR)

Kinds = frozenset[type[StoreError]]
NOTHING: Kinds = frozenset()
SCARCE: Kinds = frozenset({OutOfResources})
FULL: Kinds = frozenset({PoolFull})
UNWRITABLE: Kinds = frozenset({Unwritable})
UNREADABLE: Kinds = frozenset({Unreadable})
FAILED: Kinds = frozenset({PoolFailed})

TABLE: dict[str, tuple[Kinds, ...]] = {
    # call: the errors that users of the pool see, for EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EIO, EINTR
    "open": (SCARCE, SCARCE, SCARCE, SCARCE | FULL, SCARCE | FULL, UNREADABLE | UNWRITABLE, SCARCE),
    "posix_fallocate": (SCARCE, SCARCE, SCARCE, FULL, FULL, UNWRITABLE, SCARCE),
    "pwritev": (SCARCE, SCARCE, SCARCE, FULL, FULL, FAILED, SCARCE),
    "preadv": (SCARCE, SCARCE, SCARCE, SCARCE, SCARCE, UNREADABLE, SCARCE),
    "fdatasync": (FAILED, FAILED, FAILED, FAILED, FAILED, FAILED, NOTHING),
    "fsync": (FAILED, FAILED, FAILED, FAILED, FAILED, FAILED, NOTHING),
    "truncate": (NOTHING,) * 7,
    "statvfs": (NOTHING,) * 7,
    "unlink": (NOTHING,) * 7,
    "sqlite": (SCARCE, SCARCE, SCARCE, FULL, FULL, UNWRITABLE, UNWRITABLE),
}
ROWS = [(call, number, kinds) for call, row in TABLE.items() for number, kinds in zip(ERRNOS, row, strict=True)]

SQLITE_CODES = {
    # Errors of SQLite for an errno. CANTOPEN has no errno, so the store opens the file itself to find the cause.
    errno.EMFILE: sqlite3.SQLITE_CANTOPEN,
    errno.ENFILE: sqlite3.SQLITE_CANTOPEN,
    errno.ENOMEM: sqlite3.SQLITE_IOERR_NOMEM,
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EIO: sqlite3.SQLITE_IOERR,
    errno.EINTR: sqlite3.SQLITE_IOERR,
}


class FailingConnection:
    """A connection to a database on which every transaction fails."""

    def __init__(self, real: sqlite3.Connection, number: int) -> None:
        self._real = real
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement.startswith("BEGIN"):
            error = sqlite3.OperationalError(os.strerror(self._number))
            error.sqlite_errorcode = SQLITE_CODES[self._number]
            raise error
        return self._real.execute(statement, *arguments)


class Work:
    """A pool in use, with the acknowledged writes, the attempted writes, and the observed errors."""

    def __init__(self, path: Path) -> None:
        self.directory = Directory(path, OPTIONS)
        self.acknowledged: dict[int, int] = {}
        self.tried: dict[int, set[int]] = {}
        self.seen: set[type[StoreError]] = set()
        self.directory.pool.create_volume("a", SIZE, {})
        self.write(range(OLD))
        self.run(lambda: self.environment.run(self.pool.checkpoint()))
        self.directory.close()
        self.directory.open()
        assert not self.seen

    @property
    def environment(self) -> VirtualEnvironment:
        return self.directory.environment

    @property
    def pool(self) -> Any:
        return self.directory.pool

    @property
    def volume(self) -> Any:
        return self.pool.volumes["a"]

    def run(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except StoreError as error:
            self.seen.add(type(error))
            return False
        return True

    def write(self, blocks: range, value: int = 1) -> None:
        """Write blocks one by one, and note each block that would be acknowledged to a host."""
        for at in blocks:
            data = block(1000 * value + at)
            if self.run(lambda at=at, data=data: when_ready(self.environment, lambda: self.volume.write(at, [data]))):  # type: ignore[misc]
                self.tried.setdefault(at, set()).add(1000 * value + at)
                if self.run(self.pool.commit):
                    self.acknowledged[at] = 1000 * value + at
            self.environment.settle()

    def everything(self) -> None:
        """Do all kinds of work: reads from the disk, writes that fill segments, a flush, a checkpoint, deletion of segments."""
        for at in range(0, OLD, 16):
            self.run(lambda at=at: self.environment.run(self.volume.read(at, 3)))  # type: ignore[misc]
        self.write(range(40, 100), value=2)
        self.pool.usage()
        self.environment.advance(REFUSED_S)
        self.run(lambda: self.environment.run(self.pool.flush()))
        self.run(lambda: self.environment.run(self.pool.checkpoint()))
        self.write(range(90, SIZE), value=3)

    def check(self) -> None:
        data = read(self.directory, self.volume, 0, SIZE)
        for at in range(SIZE):
            found = int.from_bytes(data[at * BLOCK_BYTES :][:8], "little")
            wanted = {self.acknowledged.get(at, 0)}
            assert found in wanted | self.tried.get(at, set()), f"block {at} is {found}, not {wanted}"


@contextmanager
def fault(call: str, number: int, work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Make a call fail while the body runs. With EINTR, the call succeeds at the third attempt."""
    calls: list[int] = []

    def fail(*_arguments: object, **_options: object) -> Any:
        calls.append(number)
        raise OSError(number, os.strerror(number))

    def fail_twice(real: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: object, **options: object) -> Any:
            if len(calls) % 3 < 2:
                fail()
            calls.append(0)
            return real(*arguments, **options)

        return failing

    owner: Any = Path if call == "unlink" else os
    with monkeypatch.context() as patch:
        if call == "sqlite":
            catalogue = work.pool._catalogue
            patch.setattr(catalogue, "_connection", FailingConnection(catalogue._connection, number))
            calls.append(number)
        elif number == errno.EINTR:
            patch.setattr(owner, call, fail_twice(getattr(owner, call)))
        else:
            patch.setattr(owner, call, fail)
        yield calls


def test_the_store_takes_the_files_for_those_of_a_disk(tmp_path: Path) -> None:
    assert not Work(tmp_path / "pool").pool.supply.store.syncs_at_once


@pytest.mark.parametrize(
    ("call", "number", "kinds"), ROWS, ids=[f"{call}-{errno.errorcode[number]}" for call, number, _ in ROWS]
)
def test_a_call_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, kinds: Kinds) -> None:
    work = Work(tmp_path / "pool")
    with fault(call, number, work, monkeypatch) as calls:
        work.everything()
        if call == "unlink":
            work.directory.close()
    assert calls, "the call was made"
    assert work.seen == kinds
    if call == "unlink":
        work.directory.open()
    elif PoolFailed in kinds:
        assert work.pool.failure is not None
        assert "\n" not in work.pool.failure
        work.check()
        work.directory.kill()
        work.directory.open()
    work.environment.advance(REFUSED_S)
    work.environment.run(work.pool.committed())
    work.check()
    work.seen.clear()
    work.write(range(SIZE), value=4)
    assert not work.seen, "the pool goes on"
    assert len(work.acknowledged) == SIZE
    work.environment.run(work.pool.flush())
    work.environment.run(work.pool.checkpoint())
    work.directory.close()
    work.directory.open()
    work.tried.clear()
    work.check()
    work.directory.close()


OPENING = [
    (call, number)
    for call in ("open", "fsync", "flock", "rename", "mkdir")
    for number in ERRNOS
    if (call, number) != ("fsync", errno.EINTR)
]
"""Calls that fail when a pool is made, with errno. EINTR of a sync is left out, because it is repeated until it succeeds."""


@pytest.mark.parametrize(("call", "number"), OPENING, ids=[f"{call}-{errno.errorcode[number]}" for call, number in OPENING])
def test_a_pool_that_cannot_be_made_now_can_be_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_arguments: object, **_options: object) -> Any:
        raise OSError(number, os.strerror(number))

    environment = VirtualEnvironment()
    owner: Any = {"rename": Path, "mkdir": Path, "flock": fcntl}.get(call, os)
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, fail)
        with pytest.raises(StoreError) as refused:
            environment.run(open_directory_pool(tmp_path / "pool", environment, OPTIONS))
    assert "\n" not in str(refused.value)
    assert os.strerror(number) in str(refused.value) or isinstance(refused.value, Refused)
    directory = Directory(tmp_path / "pool", OPTIONS)
    directory.pool.create_volume("a", 10, {}).write(0, [block(1)])
    directory.pool.commit()
    directory.close()
