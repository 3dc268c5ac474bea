"""The contract of `store.api`, for the log store in memory, on a disk and in a directory, and for the pool of other tests."""

from pathlib import Path

import pytest
from tests.scsi.memory_pool import MemoryPool
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.conformance import *  # noqa: F403
from tests.store.conformance import Kept
from tests.store.conformance_digests import *  # noqa: F403
from tests.store.conformance_sharing import *  # noqa: F403
from tests.store.conformance_snapshots import *  # noqa: F403
from tests.store.pools import Directory, Machine

from odx_target.store.open import open_memory_pool


class InMemory:
    """A log store in memory."""

    def __init__(self, path: Path) -> None:
        self.environment = VirtualEnvironment()
        self.pool = self.environment.run(open_memory_pool(self.environment))

    def reopen(self) -> bool:
        return False


class OnDisk(Machine):
    """A log store on a simulated disk, which is killed: the log is replayed."""

    def __init__(self, path: Path) -> None:
        super().__init__()

    def reopen(self) -> bool:  # type: ignore[override]
        self.pool.commit()
        self.kill()
        return True


class InDirectory(Directory):
    """A log store in a directory, which is closed: the checkpoint is loaded."""

    def __init__(self, path: Path) -> None:
        super().__init__(path / "pool")

    def reopen(self) -> bool:
        self.close()
        self.open()
        return True


class Naive:
    """The pool of the tests of SCSI and copies."""

    def __init__(self, path: Path) -> None:
        self.environment = VirtualEnvironment()
        self.pool = MemoryPool(self.environment)
        self.pool.delete_volume("volume")

    def reopen(self) -> bool:
        return False


@pytest.fixture(params=[InMemory, OnDisk, InDirectory, Naive])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    made: Kept = request.param(tmp_path)
    return made
