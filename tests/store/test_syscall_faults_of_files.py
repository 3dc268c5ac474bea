"""Makes each system call fail, at each place where it is made, while a pool is opened, checked, cleaned, renewed or repaired.

An opening, a check or a renewal then ends with a StoreError of one line, or succeeds. When the fault is over, the pool opens
with all its data. A cleaner goes on when the fault is over.
"""

import errno
import fcntl
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Directory, block, read, when_ready

from odx_target.store.api import OutOfResources, PoolBusy, PoolFull, Refused, StoreError, Unwritable
from odx_target.store.cleaning.cleaner import RETRY_S
from odx_target.store.open import PoolOptions, check_directory_pool, open_directory_pool
from odx_target.store.opening.directory_pool import CATALOGUE_NAME
from odx_target.store.opening.renewal import renew_identity
from odx_target.store.repairing.directory_repair import repairing
from odx_target.store.segments.supply import REFUSED_S

FILES_IN_MEMORY = True
OPTIONS = PoolOptions(segment_blocks=32, descriptors=2, limit_bytes=24 * 32 * 4096)
UNCLEANED = PoolOptions(segment_blocks=32, descriptors=2, cleaning=False)
SIZE = 200
MAX_OCCURRENCES = math.ceil(9 * float(os.environ.get("ODX_TEST_STEPS", "1")))
"""Number of the occurrences of one call that fail. ODX_TEST_STEPS multiplies this number."""
ERRNOS = (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES)

CALLS: dict[str, Any] = {
    # call: the object whose attribute is the call
    **dict.fromkeys(("open", "fsync", "fdatasync", "truncate", "pwritev", "preadv", "posix_fallocate", "statvfs"), os),
    "flock": fcntl,
    **dict.fromkeys(("rename", "unlink", "stat", "iterdir", "mkdir", "read_bytes", "hardlink_to", "touch", "chmod"), Path),
}


class Fault:
    """A call that fails once, at a certain occurrence. `count` is the number of its calls."""

    def __init__(self, at: int | None, number: int) -> None:
        self.at = at
        self.count = 0
        self._number = number

    def is_due(self) -> bool:
        return self.count - 1 == self.at

    def wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.is_due():
                raise OSError(self._number, os.strerror(self._number))
            return real(*arguments, **options)

        return call


class AlwaysFault(Fault):
    """A call that fails always."""

    def __init__(self, number: int) -> None:
        super().__init__(None, number)

    def is_due(self) -> bool:
        return True


@contextmanager
def failing(call: str, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(CALLS[call], call, fault.wrapped(getattr(CALLS[call], call)))
        yield


@pytest.fixture(scope="module")
def filled(module_path: Path) -> Path:
    """A pool with a part of the log after its checkpoint, whose process was killed."""
    directory = Directory(module_path / "pool", UNCLEANED)
    directory.pool.create_volume("a", SIZE, {})
    for value in (1, 2):
        for at in range(0, SIZE, value):
            write(directory, at, value)
        if value == 1:
            directory.environment.run(directory.pool.checkpoint())
    directory.environment.run(directory.pool.flush())
    directory.kill()
    return directory.path


def write(directory: Directory, at: int, value: int) -> None:
    volume = directory.pool.volumes["a"]
    when_ready(directory.environment, lambda: volume.write(at, [block(1000 * value + at)]))
    directory.pool.commit()
    directory.environment.settle()


def check_content(directory: Directory) -> None:
    found = read(directory, directory.pool.volumes["a"], 0, SIZE)
    assert found == b"".join(block(2000 + at if at % 2 == 0 else 1000 + at) for at in range(SIZE))


def check_opens(path: Path) -> None:
    directory = Directory(path, UNCLEANED)
    check_content(directory)
    directory.close()


def open_and_close(path: Path) -> None:
    environment = VirtualEnvironment()
    pool = environment.run(open_directory_pool(path, environment, UNCLEANED))
    environment.run(pool.close())


def check(path: Path) -> None:
    assert check_directory_pool(path, lambda _: None).is_sound


def renew(path: Path) -> None:
    environment = VirtualEnvironment()
    renew_identity(path, environment.entropy, keep_volumes=False)


ACTS: dict[str, Callable[[Path], None]] = {"opening": open_and_close, "check": check, "renewal": renew}


def faults(count: int) -> list[tuple[int, int]]:
    """Return occurrences of a call that is made `count` times, each with an errno. Few occurrences get several errnos."""
    if not count:
        return []
    stride = -(-count // MAX_OCCURRENCES)
    chosen = list(range(0, count, stride))
    return [(chosen[at % len(chosen)], ERRNOS[at % len(ERRNOS)]) for at in range(max(len(chosen), len(ERRNOS)))]


def check_each_fault(
    call: str,
    act: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    copy: Callable[[Path], Path],
    check_copy: Callable[[Path], None],
) -> None:
    """Make each call of an act fail once, on a copy of a pool of its own. `copy` makes a copy in a new folder, and returns the
    directory of the pool in this folder.
    """
    counted = Fault(None, 0)
    path = copy(folder / "counted")
    with failing(call, counted, monkeypatch):
        act(path)
    for at, number in faults(counted.count):
        place = folder / f"{errno.errorcode[number]}-{at}"
        path = copy(place)
        refusal = ""
        with failing(call, Fault(at, number), monkeypatch):
            try:
                act(path)
            except StoreError as error:
                refusal = str(error)
        assert "\n" not in refusal
        check_copy(path)
        rmtree(place)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("call", CALLS)
def test_each_call_fails_once(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch, call: str, act: str) -> None:
    check_each_fault(call, ACTS[act], monkeypatch, tmp_path, lambda to: Path(copytree(filled, to)), check_opens)


def damage_catalogue(path: Path) -> None:
    catalogue = path / CATALOGUE_NAME
    catalogue.write_bytes(b"damaged" + catalogue.read_bytes()[7:])


def repair(path: Path) -> None:
    with repairing(path, lambda _: None) as found:
        if found.plan.checkpoint is not None:
            found.carry_out()


@pytest.mark.parametrize("call", CALLS)
def test_each_call_of_a_repair_fails_once(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    copytree(filled, tmp_path / "counted")
    damage_catalogue(tmp_path / "counted")
    counted = Fault(None, 0)
    with failing(call, counted, monkeypatch):
        repair(tmp_path / "counted")
    check_opens(tmp_path / "counted")
    for at, number in faults(counted.count):
        path = tmp_path / f"{errno.errorcode[number]}-{at}"
        copytree(filled, path)
        damage_catalogue(path)
        with failing(call, Fault(at, number), monkeypatch), suppress(StoreError, OSError):
            repair(path)
        repair(path)
        check_opens(path)
        rmtree(path)


CLEANING = ("open", "rename", "stat", "statvfs", "truncate", "posix_fallocate")
"""Calls whose failure never ends the writing of a pool."""


@pytest.mark.parametrize("number", ERRNOS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("call", CLEANING)
def test_a_call_that_fails_while_the_pool_is_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    directory = Directory(tmp_path / "pool", OPTIONS)
    environment, pool = directory.environment, directory.pool
    volume = pool.create_volume("a", SIZE, {})
    model = dict.fromkeys(range(SIZE), 0)

    def write_some(first: int, count: int) -> None:
        for value in range(first, first + count):
            at = value * 7 % SIZE
            with suppress(PoolBusy, PoolFull, OutOfResources, Refused, Unwritable):
                volume.write(at, [block(value)])
                model[at] = value
                pool.commit()
            environment.advance(0.01)

    write_some(1, 700)
    assert pool.cleaner.status().freed_segments > 0
    fault = AlwaysFault(number)
    with failing(call, fault, monkeypatch):
        write_some(2000, 700)
    assert fault.count, "the call was made"
    assert pool.failure is None
    environment.advance(max(REFUSED_S, RETRY_S))
    for at in range(SIZE):
        when_ready(environment, lambda at=at: volume.write(at, [block(9000 + at)]))  # type: ignore[misc]
        pool.commit()
        environment.settle()
        model[at] = 9000 + at
    write_some(20_000, 700)
    assert sum(value >= 20_000 for value in model.values()) == SIZE, "the pool goes on"
    wanted = b"".join(block(model[at]) for at in range(SIZE))
    assert read(directory, volume, 0, SIZE) == wanted
    directory.kill()
    directory.open()
    assert read(directory, directory.pool.volumes["a"], 0, SIZE) == wanted
    directory.close()


@pytest.mark.parametrize("number", ERRNOS, ids=lambda number: errno.errorcode[number])
def test_files_that_could_not_be_deleted_are_deleted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    directory = Directory(tmp_path / "pool", OPTIONS)
    environment, pool = directory.environment, directory.pool

    def fill(name: str, size_blocks: int) -> None:
        volume = pool.create_volume(name, size_blocks, {})
        for at in range(size_blocks):
            when_ready(environment, lambda at=at: volume.write(at, [block(at)]))  # type: ignore[misc]
            pool.commit()
            environment.advance(0.01)

    fill("a", 2 * SIZE)
    fault = AlwaysFault(number)
    with failing("unlink", fault, monkeypatch):
        pool.delete_volume("a")
        pool.commit()
        environment.advance(1.0)
    assert fault.count, "the call was made"
    environment.advance(RETRY_S)
    fill("b", 3 * SIZE)  # This needs the room of the deleted files.
    directory.kill()
    directory.open()
    wanted = b"".join(block(at) for at in range(3 * SIZE))
    assert read(directory, directory.pool.volumes["b"], 0, 3 * SIZE) == wanted
    directory.close()
