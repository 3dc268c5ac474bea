"""Measures how long the reads of one host take beside crowds of connections, and the memory of such connections.

    python -m bench.crowds                 beside each crowd, each against its own server
    python -m bench.crowds silent slow     beside the crowds whose names contain one of these words

The host reads 4 KiB at a time, one read after the other. `connections` is the number of connections of the crowd that the array
keeps open. The memory of one of them is the growth of the resident memory of the server, divided by their number.
"""

import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio
from bench.ending import end_by_sigterm
from bench.memory import KIB, rss_mib, socket_to
from rich.console import Console
from rich.table import Table
from tests.interop.serving import IQN, Served, serve
from tests.target.raw_peer import RawPeer

from odx_target.initiator import cdb
from odx_target.iscsi.limits import MAX_LOGINS
from odx_target.iscsi.pdu.headers import ScsiDataIn

READS = 2000
COUNT_SILENT = 1000
COUNT_SESSIONS = 60
BLOCKS_OF_4_KIB, BLOCKS_OF_1_MIB = 8, 2048
UNREAD_READS = 32

Crowd = Callable[[Served], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def nobody(_: Served) -> AsyncIterator[int]:
    yield 0


@asynccontextmanager
async def silent_connections(served: Served) -> AsyncIterator[int]:
    """Open connections that send nothing. The array keeps the last of them."""
    async with AsyncExitStack() as stack:
        for _ in range(COUNT_SILENT):
            await stack.enter_async_context(socket_to(served))
        yield min(COUNT_SILENT, MAX_LOGINS)


@asynccontextmanager
async def slow_logins(served: Served) -> AsyncIterator[int]:
    """Send a byte of each login in a tenth of a second."""
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        for number in range(MAX_LOGINS - 1):
            stream = await stack.enter_async_context(socket_to(served))
            nursery.start_soon(_send_slowly, stream, RawPeer(stream, IQN, number).login_request())
        yield MAX_LOGINS - 1
        nursery.cancel_scope.cancel()


async def _send_slowly(stream: trio.SocketStream, login: bytes) -> None:
    for byte in login:
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.1)


async def _sessions(served: Served, stack: AsyncExitStack) -> list[RawPeer]:
    made = []
    for number in range(COUNT_SESSIONS):
        stream = await stack.enter_async_context(socket_to(served))
        made.append(await (await RawPeer(stream, IQN, number).log_in()).settle())
    return made


@asynccontextmanager
async def idle_sessions(served: Served) -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        yield len(await _sessions(served, stack))


@asynccontextmanager
async def sessions_that_read_nothing(served: Served) -> AsyncIterator[int]:
    """Send reads of 1 MiB, and receive no data."""
    async with AsyncExitStack() as stack:
        sessions = await _sessions(served, stack)
        for peer in sessions:
            reads = [peer.encode(peer.read(cdb.read_16(0, BLOCKS_OF_1_MIB), 1 << 20)) for _ in range(UNREAD_READS)]
            await peer.stream.send_all(b"".join(reads))
        yield len(sessions)


@asynccontextmanager
async def writers_that_stop(served: Served) -> AsyncIterator[int]:
    """Send writes of 64 KiB, and none of their data."""
    async with AsyncExitStack() as stack:
        sessions = await _sessions(served, stack)
        for peer in sessions:
            writes = [peer.write(cdb.write_16(4096, 128), 1 << 16, final=False) for _ in range(UNREAD_READS)]
            await peer.stream.send_all(b"".join(map(peer.encode, writes)))
        yield len(sessions)


CROWDS: dict[str, Crowd] = {
    "nobody": nobody,
    f"{COUNT_SILENT} silent connections": silent_connections,
    f"{MAX_LOGINS - 1} slow logins": slow_logins,
    f"{COUNT_SESSIONS} idle sessions": idle_sessions,
    f"{COUNT_SESSIONS} sessions that read nothing": sessions_that_read_nothing,
    f"{COUNT_SESSIONS} writers that stop": writers_that_stop,
}


async def latencies_us(peer: RawPeer) -> list[float]:
    """Read READS times, and return the sorted times in microseconds."""
    found = []
    for number in range(READS):
        began_s = time.perf_counter()
        await peer.send(peer.read(cdb.read_16(number % 128 * BLOCKS_OF_4_KIB, BLOCKS_OF_4_KIB), 4096))
        received = await peer.take(ScsiDataIn)
        assert received.has_status
        found.append((time.perf_counter() - began_s) * 1e6)
    return sorted(found)


async def measure(served: Served, crowd: Crowd) -> tuple[int, float, float, float]:
    """Return the number of connections, the median and the 99th percentile of the reads, and the memory of a connection."""
    async with socket_to(served) as stream:
        host = await (await RawPeer(stream, IQN, 200).log_in()).settle()
        await latencies_us(host)
        before_mib = rss_mib(served)
        async with crowd(served) as count:
            found = await latencies_us(host)
            grown_kib = (rss_mib(served) - before_mib) * KIB
    return count, found[len(found) // 2], found[len(found) * 99 // 100], grown_kib / max(count, 1)


def main(words: list[str]) -> int:
    console = Console(width=110)
    table = Table(title=f"{READS} reads of 4 KiB beside a crowd")
    for heading in ("crowd", "connections", "median, us", "99 %, us", "KiB a connection"):
        table.add_column(heading, justify="left" if heading == "crowd" else "right")
    for name, crowd in CROWDS.items():
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="odx-bench-") as folder:
            path = Path(folder)
            served = serve(path / "pool", ["bench=64M"], log_path=path / "log")
            try:
                count, median, late, memory_kib = trio.run(measure, served, crowd)
            finally:
                served.kill()
        table.add_row(name, str(count), f"{median:.0f}", f"{late:.0f}", f"{memory_kib:.0f}")
    console.print(table)
    return 0


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
