"""Tests that a server without free descriptors reports BUSY to hosts, and loses no data."""

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from odx_target.initiator import cdb
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import Portal
from tests.interop.serving import IQN, Served, serve

GOOD, BUSY = 0x00, 0x08
MIB = 1 << 20
MIB_BLOCKS = MIB // 512
OPTIONS = ("--pool-limit", "256M")
COUNT_MIB = 24


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "pool", tmp_path / "log"


@pytest.fixture
def ended() -> Iterator[list[Served]]:
    """A list of servers that are killed after the test."""
    servers: list[Served] = []
    yield servers
    for server in servers:
        server.kill()


@asynccontextmanager
async def host(server: Served, name: bytes) -> AsyncIterator[InitiatorSession]:
    address, _, port = server.portal.rpartition(":")
    async with open_session(Portal(address, int(port)), IQN, SessionOptions(isid=random_isid(name))) as session:
        await session.execute(0, bytes(6))
        yield session


async def write(session: InitiatorSession, at_mib: int, value: int) -> int:
    result = await session.execute(0, cdb.write_16(at_mib * MIB_BLOCKS, MIB_BLOCKS), bytes([value]) * MIB)
    return result.status


async def read(session: InitiatorSession, at_mib: int) -> tuple[int, bytes]:
    result = await session.execute(0, cdb.read_16(at_mib * MIB_BLOCKS, MIB_BLOCKS), data_in_bytes=MIB)
    return result.status, bytes(result.data_in)


async def test_strangers_cost_no_host_its_writes(paths: tuple[Path, Path], ended: list[Served]) -> None:
    server = serve(paths[0], ["a=1G"], log_path=paths[1], options=OPTIONS, descriptors=64)
    ended.append(server)
    address, _, port = server.portal.rpartition(":")
    async with host(server, b"first") as session:
        strangers = [await trio.open_tcp_stream(address, int(port)) for _ in range(70)]
        assert [await write(session, at, at + 1) for at in range(COUNT_MIB)] == [GOOD] * COUNT_MIB
        async with host(server, b"second") as second:
            assert await write(second, 0, 1) == GOOD
        for stranger in strangers:
            with suppress(trio.BrokenResourceError):
                await stranger.aclose()
    async with host(server, b"third") as session:
        for at in range(COUNT_MIB):
            assert await read(session, at) == (GOOD, bytes([at + 1]) * MIB)
    assert server.stop() == 0
    assert server.log.count("too many open sockets") <= 2, "a line a minute"


async def test_a_want_of_descriptors_passes(paths: tuple[Path, Path], ended: list[Served]) -> None:
    first = serve(paths[0], ["a=1G"], log_path=paths[1], options=OPTIONS)
    ended.append(first)
    async with host(first, b"first") as session:
        assert [await write(session, at, at + 1) for at in range(COUNT_MIB)] == [GOOD] * COUNT_MIB
    assert first.stop() == 0
    server = serve(paths[0], log_path=paths[1], options=OPTIONS)
    ended.append(server)
    pid = server.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    async with host(server, b"second") as session:
        open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, limits[1]))
        cold = [(await read(session, at))[0] for at in range(0, COUNT_MIB, 8)]
        assert set(cold) <= {GOOD, BUSY}
        assert BUSY in cold
        written = [await write(session, 100 + at, 99) for at in range(100)]
        assert set(written) == {GOOD, BUSY}
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        while await write(session, 100, 99) == BUSY:  # After a refusal the pool waits a moment before it tries again.
            continue
        for at in range(COUNT_MIB):
            assert await read(session, at) == (GOOD, bytes([at + 1]) * MIB)
        for at, status in enumerate(written):
            found, data = await read(session, 100 + at)
            assert found == GOOD
            assert status != GOOD or data == bytes([99]) * MIB
    assert server.stop() == 0
