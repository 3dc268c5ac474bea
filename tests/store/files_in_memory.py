"""Folders for pools in a file system in memory, for modules of tests that write to the disk thousands of times.

Such a module has FILES_IN_MEMORY = True. `tests/store/conftest.py` imports these fixtures, so that pytest finds them.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from odx_target.store.segments import directory

MEMORY = "/dev/shm"
MIN_FREE_BYTES = 1 << 30


@pytest.fixture(scope="module")
def files_in_memory(request: pytest.FixtureRequest) -> str | None:
    """A file system in memory, if the module wants it by FILES_IN_MEMORY, and if there is one with enough room."""
    if not getattr(request.module, "FILES_IN_MEMORY", False) or not os.access(MEMORY, os.W_OK):
        return None
    room = os.statvfs(MEMORY)
    return MEMORY if room.f_bavail * room.f_frsize >= MIN_FREE_BYTES else None


@pytest.fixture(scope="module")
def module_path(module_path: Path, files_in_memory: str | None) -> Iterator[Path]:
    if files_in_memory is None:
        yield module_path
        return
    with tempfile.TemporaryDirectory(dir=files_in_memory, prefix="odx-target-") as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(tmp_path: Path, files_in_memory: str | None) -> Iterator[Path]:
    if files_in_memory is None:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=files_in_memory, prefix="odx-target-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def as_on_a_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the store of a module with FILES_IN_MEMORY read, sync and preallocate as on a disk with cached files.

    In a file system in memory, it would map the segments, sync them in the event loop, and never look for cached data.
    """
    if getattr(request.module, "FILES_IN_MEMORY", False):
        monkeypatch.setattr(directory, "is_in_memory", lambda _: False)
        monkeypatch.setattr(os, "RWF_NOWAIT", 0)  # File systems in memory may refuse the flag.
