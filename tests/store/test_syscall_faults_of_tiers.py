"""Makes each system call fail, at each place where it is made, while a pool with two tiers is made, opened or checked."""

import errno
import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from tests.store.pools import Directory, block, read
from tests.store.test_syscall_faults_of_files import (
    CALLS,
    UNCLEANED,
    Fault,
    check,
    check_each_fault,
    failing,
    faults,
    open_and_close,
)

from odx_target.store.api import StoreError
from odx_target.store.opening.capacity_directory import TIER_NAME
from odx_target.store.opening.directory_pool import HEAD_NAME
from odx_target.store.volumes.tier_attribute import TIER_ATTRIBUTE, Tier

FILES_IN_MEMORY = True
SIZE = 100
ACTS = {"opening": open_and_close, "check": check}


@pytest.fixture(scope="module")
def filled(module_path: Path) -> Path:
    """The folder of a pool with data in its capacity tier, whose process was killed."""
    options = replace(UNCLEANED, cleaning=True, capacity_directory=module_path / "tier")
    directory = Directory(module_path / "pool", options)
    volume = directory.pool.create_volume("a", SIZE, {TIER_ATTRIBUTE: Tier.CAPACITY})
    for at in range(SIZE):
        volume.write(at, [block(at)])
        directory.pool.commit()
        directory.environment.settle()
    directory.pool.cleaner._start()
    directory.environment.advance(10.0)
    assert directory.pool.supply.capacity.numbers
    volume.write(7, [block(7)])
    directory.environment.run(directory.pool.flush())
    directory.kill()
    return module_path


def copied(folder: Path, to: Path) -> Path:
    """Copy the folder of a pool and of its tier, and give the copy its own paths. Returns the directory of the pool."""
    copytree(folder, to)
    change_json(to / "pool" / HEAD_NAME, capacity_directory=str(to / "tier"))
    change_json(to / "tier" / TIER_NAME, pool=str(to / "pool"), directory=str(to / "tier"))
    return to / "pool"


def change_json(path: Path, **fields: str) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def check_opens(path: Path) -> None:
    directory = Directory(path, UNCLEANED)
    assert read(directory, directory.pool.volumes["a"], 0, SIZE) == b"".join(map(block, range(SIZE)))
    directory.close()


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("call", CALLS)
def test_each_call_fails_once(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch, call: str, act: str) -> None:
    check_each_fault(call, ACTS[act], monkeypatch, tmp_path, partial(copied, filled), check_opens)


@pytest.mark.parametrize("call", CALLS)
def test_each_call_fails_once_while_the_tier_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def make(folder: Path) -> None:
        directory = Directory(folder / "pool", replace(UNCLEANED, capacity_directory=folder / "tier"))
        try:
            if "a" not in directory.pool.volumes:
                directory.pool.create_volume("a", SIZE, {TIER_ATTRIBUTE: Tier.CAPACITY})
        finally:
            directory.close()

    counted = Fault(None, 0)
    with failing(call, counted, monkeypatch):
        make(tmp_path / "counted")
    for at, number in faults(counted.count):
        folder = tmp_path / f"{errno.errorcode[number]}-{at}"
        with failing(call, Fault(at, number), monkeypatch), suppress(StoreError):
            make(folder)
        make(folder)
        directory = Directory(folder / "pool", UNCLEANED)
        assert directory.pool.supply.capacity.is_present
        assert "a" in directory.pool.volumes
        directory.close()
        rmtree(folder)
