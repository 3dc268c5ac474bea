"""On a slow disk, only the commands that need the disk wait."""

import threading
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from odx_target.cli.serving.serve import open_pool
from odx_target.environment import Work
from odx_target.initiator import cdb
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment_file import DirectorySegment
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.trio_environment import THREADS, TrioEnvironment
from tests.target.running import is_good, session_with, settled

MIB = 1 << 20
TIMEOUT_S = 60


@pytest.mark.parametrize("busy", Work)
async def test_work_whose_threads_are_busy_holds_up_no_other_work(busy: Work) -> None:
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    def wait() -> None:
        begun.release()
        assert go_on.wait(TIMEOUT_S)

    async def wait_in_thread() -> None:
        await environment.in_thread(wait, work=busy)

    async with trio.open_nursery() as nursery:
        environment = TrioEnvironment(nursery)
        for _ in range(2 * THREADS[busy]):
            nursery.start_soon(wait_in_thread)
        for _ in range(THREADS[busy]):
            assert await trio.to_thread.run_sync(begun.acquire, True, TIMEOUT_S)
        for work in set(Work) - {busy}:
            assert await environment.in_thread(lambda: "done", work=work) == "done"
        go_on.set()


async def write_for_ever(session: InitiatorSession, written: list[int]) -> None:
    for at in range(30):
        assert is_good(await session.execute(0, cdb.write_16(at * 2048, 2048), bytes([at + 1]) * MIB))
        written.append(at)


async def test_a_write_waits_for_its_segment_and_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No host gets an error, and only the writer has to wait."""
    config = Config(
        pool_dir=tmp_path / "pool", luns=(LunConfig("a", 64 * MIB),), portals=(Portal(port=0),), pool_limit_bytes=64 * MIB
    )
    may_make = threading.Event()
    may_make.set()
    create = DirectorySegments.create

    def create_slowly(store: DirectorySegments, number: int, size_blocks: int) -> DirectorySegment:
        assert may_make.wait(TIMEOUT_S)
        return create(store, number, size_blocks)

    monkeypatch.setattr(DirectorySegments, "create", create_slowly)
    written: list[int] = []
    async with Array(config, open_pool=open_pool) as array, session_with(array) as session, trio.open_nursery() as nursery:
        await settled(session)
        may_make.clear()
        nursery.start_soon(write_for_ever, session, written)
        await waiting(array)
        assert len(written) < 30
        for at in written:
            answer = await session.execute(0, cdb.read_16(at * 2048, 8), data_in_bytes=4096)
            assert answer.data_in == bytes([at + 1]) * 4096
        assert is_good(await session.execute(0, cdb.write_16(0, 0)))
        assert len(array.logical_units[0].tasks.tasks()) == 1
        may_make.set()
    assert written == list(range(30))


async def waiting(array: Array) -> None:
    """Wait until a command waits."""
    while not array.logical_units[0].tasks.tasks():
        await wait_all_tasks_blocked()
