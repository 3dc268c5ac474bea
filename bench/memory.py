"""Measures the memory of a serving process (RSS) under hosts and strangers that send many requests and receive nothing.

    python -m bench.memory                 runs all loads, each against its own server
    python -m bench.memory silent readers  runs the loads whose names contain one of these words

`before` is the memory after the start, with a LUN filled. `most` is the largest memory during the load. `after` is the memory a
few seconds after all connections were closed. The pool in /dev/shm belongs to the kernel and is not included.
"""

import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio
from bench.ending import end_by_sigterm
from rich.console import Console
from rich.table import Table
from tests.interop.serving import IQN, Served, serve
from tests.target.raw_peer import KEYS, RawPeer

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list
from odx_target.iscsi.limits import MAX_CONNECTIONS
from odx_target.iscsi.pdu.headers import NopOut, ReadyToTransfer
from odx_target.iscsi.pdu.opcodes import Opcode

KIB, MIB = 1 << 10, 1 << 20
LUN_MIB = 64
BLOCK_BYTES = 512
WINDOW = 128
"""Number of commands that a host may send before it gets a response."""

STALLED_S = 1.0
"""Time after which a send is taken to be blocked, because all buffers of the array and the kernel are full."""

SETTLE_S = 3.0
COUNT_STRANGERS = 10_000
WAVE = 60
COUNT_TOKENS = 100_000
TOKENS_AT_ONCE = 64

Load = Callable[[Served], Awaitable[None]]


def rss_mib(served: Served, field: str = "VmRSS") -> float:
    """Memory of the server in MiB: VmRSS is the present value, VmHWM the largest value so far."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:")) / KIB


def forget_peak(served: Served) -> None:
    Path(f"/proc/{served.process.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def socket_to(served: Served) -> AsyncIterator[trio.SocketStream]:
    host, _, port = served.portal.rpartition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def peers(served: Served, stack: AsyncExitStack, keys: dict[str, str]) -> list[RawPeer]:
    """Open as many sessions as the array accepts."""
    made = []
    for number in range(MAX_CONNECTIONS):
        stream = await stack.enter_async_context(socket_to(served))
        peer = await RawPeer(stream, IQN, number).log_in({**KEYS, **keys})
        made.append(await peer.settle())
    return made


async def send_until_stalled(peer: RawPeer, pieces: list[bytes]) -> None:
    with trio.move_on_after(STALLED_S * 10):
        for piece in pieces:
            await peer.stream.send_all(piece)


async def all_send(served: Served, keys: dict[str, str], pieces: Callable[[RawPeer], list[bytes]]) -> None:
    async with AsyncExitStack() as stack:
        sessions = await peers(served, stack, keys)
        async with trio.open_nursery() as nursery:
            for peer in sessions:
                nursery.start_soon(send_until_stalled, peer, pieces(peer))
        await trio.sleep(STALLED_S)


async def writers_that_never_read(served: Served) -> None:
    """Send commands with 256 KiB of immediate data, and pings whose data the array returns."""
    data = bytes(256 * KIB)

    def pieces(peer: RawPeer) -> list[bytes]:
        ping = peer.encode(NopOut(immediate=True, initiator_task_tag=0xF0000000, cmd_sn=peer.cmd_sn), data)
        write = [peer.encode(peer.write(cdb.write_16(0, 512), len(data)), data) for _ in range(WINDOW)]
        return write + [ping] * 32

    await all_send(served, {"FirstBurstLength": "262144"}, pieces)


async def snackers_that_never_read(served: Served) -> None:
    """Send SNACK PDUs without data. The array answers each with a Reject of twice its size."""
    snacks = bytes([Opcode.SNACK_REQUEST, 0x80]).ljust(48, b"\0") * 4096
    await all_send(served, {}, lambda _: [snacks] * 64)


async def readers_that_take_nothing(served: Served) -> None:
    def pieces(peer: RawPeer) -> list[bytes]:
        blocks = 16 * MIB // BLOCK_BYTES
        return [peer.encode(peer.read(cdb.read_16(0, blocks), blocks * BLOCK_BYTES)) for _ in range(WINDOW)]

    await all_send(served, {"MaxBurstLength": "16776192"}, pieces)


async def readers_of_1_mib(served: Served) -> None:
    def pieces(peer: RawPeer) -> list[bytes]:
        return [peer.encode(peer.read(cdb.read_16(0, MIB // BLOCK_BYTES), MIB)) for _ in range(WINDOW)]

    await all_send(served, {"MaxBurstLength": "1048576"}, pieces)


async def stop_in_the_middle(peer: RawPeer, size_bytes: int) -> None:
    """Send write commands, then all requested data except the last segment of each command."""
    segment = bytes(256 * KIB)
    writes = {}
    for _ in range(WINDOW):
        command = peer.write(cdb.write_16(0, size_bytes // BLOCK_BYTES), size_bytes)
        command.final = True
        writes[command.initiator_task_tag] = command
        await peer.send(command)
    with trio.move_on_after(STALLED_S * 10):
        while (received := await peer.next()) is not None:
            asked = received[0]
            if not isinstance(asked, ReadyToTransfer):
                continue
            end = asked.buffer_offset + asked.desired_data_transfer_length
            for data_sn, at in enumerate(range(asked.buffer_offset, end, len(segment))):
                if at + len(segment) >= size_bytes:
                    break
                command = writes[asked.initiator_task_tag]
                pdu = peer.data_out(command, asked.target_transfer_tag, at, final=at + len(segment) >= end)
                pdu.data_sn = data_sn
                await peer.send(pdu, segment[: end - at])


async def all_stop_in_the_middle(served: Served, size_bytes: int) -> None:
    async with AsyncExitStack() as stack:
        sessions = await peers(served, stack, {"InitialR2T": "Yes", "MaxBurstLength": "1048576", "MaxOutstandingR2T": "8"})
        async with trio.open_nursery() as nursery:
            for peer in sessions:
                nursery.start_soon(stop_in_the_middle, peer, size_bytes)


async def writers_of_1_mib_that_stop(served: Served) -> None:
    await all_stop_in_the_middle(served, MIB)


async def writers_of_16_mib_that_stop(served: Served) -> None:
    await all_stop_in_the_middle(served, 16 * MIB)


async def unsolicited_bursts_that_stop(served: Served) -> None:
    half = bytes(252 * KIB)

    def pieces(peer: RawPeer) -> list[bytes]:
        made = []
        for _ in range(WINDOW):
            command = peer.write(cdb.write_16(0, 512), 256 * KIB, final=False)
            made.append(peer.encode(command))
            made.append(peer.encode(peer.data_out(command, 0xFFFFFFFF, final=False), half))
        return made

    await all_send(served, {"FirstBurstLength": "262144"}, pieces)


async def silent_strangers(served: Served, words: bytes = b"") -> None:
    for _ in range(COUNT_STRANGERS // WAVE):
        async with AsyncExitStack() as stack:
            for _ in range(WAVE):
                stream = await stack.enter_async_context(socket_to(served))
                if words:
                    await stream.send_all(words)
        await trio.sleep(0)


async def strangers_with_half_a_login(served: Served) -> None:
    async with socket_to(served) as stream:
        login = RawPeer(stream, IQN, 1).login_request()
    await silent_strangers(served, login[: len(login) // 2])


async def hosts_that_come_and_go(served: Served) -> None:
    for _ in range(20):
        async with AsyncExitStack() as stack:
            await peers(served, stack, {})


async def tokens(served: Served) -> None:
    """Make as many tokens as the array can keep, and more, which it refuses."""
    async with socket_to(served) as stream:
        peer = await (await RawPeer(stream, IQN, 1).log_in()).settle()
        for first in range(0, COUNT_TOKENS, TOKENS_AT_ONCE):
            for number in range(first, first + TOKENS_AT_ONCE):
                parameters = populate_token_list([BlockRange(number % 1000, 8)], inactivity_timeout_s=3600)
                command = peer.write(cdb.populate_token(number, len(parameters)), len(parameters))
                await peer.send(command, parameters)
            for _ in range(TOKENS_AT_ONCE):
                await peer.next()


LOADS: dict[str, Load] = {
    "64 writers that never read": writers_that_never_read,
    "64 senders of SNACK that never read": snackers_that_never_read,
    "64 readers of 16 MiB that take nothing": readers_that_take_nothing,
    "64 readers of 1 MiB that take nothing": readers_of_1_mib,
    "64 writers of 1 MiB that stop in the middle": writers_of_1_mib_that_stop,
    "64 writers of 16 MiB that stop in the middle": writers_of_16_mib_that_stop,
    "64 writers that stop in unsolicited data": unsolicited_bursts_that_stop,
    f"{COUNT_STRANGERS} silent sockets": silent_strangers,
    f"{COUNT_STRANGERS} sockets with half a login": strangers_with_half_a_login,
    "1280 logins, 64 at a time": hosts_that_come_and_go,
    f"{COUNT_TOKENS} tokens": tokens,
}


async def fill(served: Served) -> None:
    async with socket_to(served) as stream:
        peer = await (await RawPeer(stream, IQN, 1).log_in({**KEYS, "FirstBurstLength": "262144"})).settle()
        for number in range(LUN_MIB * 4):
            data = number.to_bytes(4, "big") * (64 * KIB)
            await peer.status_of(peer.write(cdb.write_16(number * 512, 512), len(data)), data)


async def measure(served: Served, load: Load) -> tuple[float, float, float]:
    await fill(served)
    await trio.sleep(SETTLE_S)
    before = rss_mib(served)
    forget_peak(served)
    await load(served)
    await trio.sleep(SETTLE_S)
    return before, rss_mib(served, "VmHWM"), rss_mib(served)


def main(words: list[str]) -> int:
    console = Console(width=110)
    table = Table(title="resident memory of the serving process, MiB")
    for heading in ("load", "before", "most", "after"):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    for name, load in LOADS.items():
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="odx-bench-") as folder:
            path = Path(folder)
            served = serve(path / "pool", [f"bench={LUN_MIB}M"], log_path=path / "log")
            try:
                figures = trio.run(measure, served, load)
            finally:
                served.kill()
        console.print(f"{name}: " + " ".join(f"{figure:.0f}" for figure in figures), highlight=False)
        table.add_row(name, *(f"{figure:.0f}" for figure in figures))
    console.print(table)
    return 0


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
