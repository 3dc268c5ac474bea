"""Measures the link between two arrays, over TCP and TLS on this machine. Prints one line of JSON.

    python -m bench.link_rates tcp|tls          MB/s of a connection with writes of 256 KiB, between two processes
    python -m bench.link_rates frames           the same, as DATA frames on a channel of a link
    python -m bench.link_rates requests         microseconds from a request to its answer, one after the other
    python -m bench.link_rates fill KIND        MB/s of the data of a snapshot that is copied: new, unasked or known

The data of `fill` is half random and half zeros, in each block. With `known`, the receiver has all blocks already, at other
places. With `unasked`, the sender offers no fingerprints.
"""

import argparse
import json
import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

import trio
from bench.link_arrays import BenchArray, PeerProcess, two_arrays

from odx_target.replica.blocks.fill import Fill
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import WINDOW_BYTES
from odx_target.replica.edge.certificates import make_certificate
from odx_target.replica.edge.tls import OwnCertificate, client_context, server_context, tls_connection
from odx_target.replica.edge.tls_connection import TlsConnection
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.hello import Farewell, Hello, Side
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.session import Session
from odx_target.replica.link.throttle import Rates, Throttle
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.link import Link, Serve
from odx_target.replica.paths.path import Path as ArrayPath
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.trio_environment import TrioEnvironment

WRITE_BYTES = 256 << 10
SECONDS = 2.0
ROUNDS = 3
REQUESTS = 2000
BLOCKS = 32768
"""Size of the copied snapshots: 128 MiB."""

RANDOM_BYTES = BLOCK_BYTES // 2
HINTS = 1 << 17


def _send_plain(port: int) -> None:
    data = bytes(WRITE_BYTES)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            connection.sendall(data)


async def _dialled(port: int, own: OwnCertificate, pinned: bytes) -> TlsConnection:
    """Return a new TLS connection to a port of this machine."""
    plain = socket.create_connection(("127.0.0.1", port))
    connection = tls_connection(plain, client_context(own, pinned), is_server=False)
    await connection.handshake()
    return connection


def _send_tls(port: int, own: OwnCertificate, pinned: bytes) -> None:
    async def send() -> None:
        connection = await _dialled(port, own, pinned)
        data = [bytes(WRITE_BYTES)]
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            await connection.send(data)
        connection.close()

    trio.run(send)


def plain_rate() -> float:
    """Return the MB/s of a plain connection, from another process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = multiprocessing.get_context("spawn").Process(target=_send_plain, args=(server.getsockname()[1],))
        process.start()
        connection, _ = server.accept()
        buffer, received, began = bytearray(1 << 20), 0, time.perf_counter()
        while size := connection.recv_into(buffer):
            received += size
        elapsed_s = time.perf_counter() - began
        process.join(timeout=30)
        connection.close()
    return received / elapsed_s / 1e6


def _session(side: Side) -> Session:
    pools = {Side.DIALLER: b"d" * 16, Side.ACCEPTOR: b"a" * 16}
    other = Side.ACCEPTOR if side is Side.DIALLER else Side.DIALLER
    return Session(
        side, Hello(pools[side], bytes(16)), pools[other], Throttle(Rates(), trio.current_time()), trio.current_time()
    )


def _link(connection: TlsConnection, side: Side, serve: Serve, jobs: trio.Nursery) -> tuple[Link, trio.Event]:
    """Run a link on a connection. The event is set when the link has opened."""
    opened = trio.Event()
    link = Link(_session(side), connection, TrioEnvironment(jobs), serve, lambda _: opened.set(), _raise)
    jobs.start_soon(link.run)
    return link, opened


def _raise(error: Exception) -> None:
    raise error


async def _refuse(exchange: Exchange, _document: Mapping[str, Json]) -> None:
    exchange.refuse("unknown", "")


def _send_frames(port: int, own: OwnCertificate, pinned: bytes) -> None:
    """Send DATA frames for some seconds."""

    async def send() -> None:
        connection = await _dialled(port, own, pinned)
        async with trio.open_nursery() as jobs:
            link, opened = _link(connection, Side.DIALLER, _refuse, jobs)
            await opened.wait()
            exchange = await link.request({"request": "sink"}, TrafficClass.SNAPSHOT)
            body, end = bytes(WRITE_BYTES), time.perf_counter() + SECONDS
            while time.perf_counter() < end:
                await exchange.room()
                exchange.send(Kind.DATA, 0, body)
            exchange.close()
            while link.session.has_channels:
                await trio.sleep(0.01)
            jobs.cancel_scope.cancel()
        connection.close()

    trio.run(send)


def _serve_requests(port: int, own: OwnCertificate, pinned: bytes) -> None:
    async def answer(exchange: Exchange, _document: Mapping[str, Json]) -> None:
        exchange.answer({})

    async def serve() -> None:
        connection = await _dialled(port, own, pinned)
        async with trio.open_nursery() as jobs:
            link, _ = _link(connection, Side.DIALLER, answer, jobs)
            while link.ended is None:
                await trio.sleep(0.01)
            jobs.cancel_scope.cancel()

    trio.run(serve)


def _with_peer(peer: Callable[[int, OwnCertificate, bytes], None], body: Callable[[TlsConnection], Awaitable[float]]) -> float:
    """Run `peer` in another process, and `body` with the connection that it has made."""
    ours, theirs = make_certificate(), make_certificate()

    async def run() -> float:
        with socket.create_server(("127.0.0.1", 0)) as server:
            arguments = (server.getsockname()[1], theirs, ours.certificate)
            process = multiprocessing.get_context("spawn").Process(target=peer, args=arguments)
            process.start()
            plain, _ = await trio.to_thread.run_sync(server.accept)
            connection = tls_connection(plain, server_context(ours, [theirs.certificate]), is_server=True)
            await connection.handshake()
            found = await body(connection)
            connection.close()
            process.join(timeout=30)
            return found

    return trio.run(run)


def tls_rate() -> float:
    """Return the MB/s of a TLS connection."""

    async def receive(connection: TlsConnection) -> float:
        received, began = 0, time.perf_counter()
        while data := await connection.receive():
            received += len(data)
        return received / (time.perf_counter() - began) / 1e6

    return _with_peer(_send_tls, receive)


def frame_rate() -> float:
    """Return the MB/s of DATA frames on one channel."""

    async def receive(connection: TlsConnection) -> float:
        received, ended = [0, 0.0], trio.Event()

        async def sink(exchange: Exchange, _document: Mapping[str, Json]) -> None:
            exchange.answer({})
            exchange.widen(WINDOW_BYTES)
            began = time.perf_counter()
            while (frame := await exchange.receive()) is not None:
                received[0] += frame.size_bytes
                exchange.consumed(frame)
            received[1] = time.perf_counter() - began
            ended.set()

        async with trio.open_nursery() as jobs:
            _link(connection, Side.ACCEPTOR, sink, jobs)
            await ended.wait()
            await trio.sleep(0.1)
            jobs.cancel_scope.cancel()
        return received[0] / received[1] / 1e6

    return _with_peer(_send_frames, receive)


def request_us() -> float:
    """Return the mean time from a request to its answer in microseconds."""

    async def ask(connection: TlsConnection) -> float:
        async with trio.open_nursery() as jobs:
            link, opened = _link(connection, Side.ACCEPTOR, _refuse, jobs)
            await opened.wait()
            began = time.perf_counter()
            for _ in range(REQUESTS):
                (await link.request({"request": "nothing"}, TrafficClass.TOKEN)).close()
            elapsed_s = time.perf_counter() - began
            link.end(Farewell.STOPPING, "")
            await trio.sleep(0.1)
            jobs.cancel_scope.cancel()
        return elapsed_s / REQUESTS * 1e6

    return _with_peer(_serve_requests, ask)


async def fill_rates(kind: str) -> dict[str, float]:
    """Copy a snapshot of the peer. Returns MB/s of its data, and the bytes of the link as a part of the data."""
    async with two_arrays() as (own, peer, path):
        hints = Hints(HINTS)
        if kind == "known":
            await own_copy(own, peer, path, hints)
        guid = bytes.fromhex((await peer.ask("fill", name="new", blocks=BLOCKS, seed=5, random_bytes=RANDOM_BYTES))["guid"])
        if kind == "unasked":
            await peer.ask("offer nothing")
        volume = own.pool.create_volume("copy", BLOCKS, {})
        before, began = path.status, time.perf_counter()
        fill = Fill(own.pool, path, volume, guid, hints, own.environment)
        await fill.run(0, BLOCKS)
        elapsed_s = time.perf_counter() - began
        after = path.status
        assert fill.lost_blocks == 0
        link_bytes = after.received_bytes - before.received_bytes + after.sent_bytes - before.sent_bytes
        size_bytes = BLOCKS * BLOCK_BYTES
        return {"MB/s": size_bytes / elapsed_s / 1e6, "link bytes per byte": link_bytes / size_bytes}


async def own_copy(own: BenchArray, peer: PeerProcess, path: ArrayPath, hints: Hints) -> None:
    """Copy a snapshot with the same data, in another order."""
    values = {"name": "former", "blocks": BLOCKS, "seed": 5, "random_bytes": RANDOM_BYTES, "rotated": 999}
    guid = bytes.fromhex((await peer.ask("fill", **values))["guid"])
    volume = own.pool.create_volume("former", BLOCKS, {})
    await Fill(own.pool, path, volume, guid, hints, own.environment).run(0, BLOCKS)


MEASURED: dict[str, Callable[[], float]] = {"tcp": plain_rate, "tls": tls_rate, "frames": frame_rate, "requests": request_us}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.link_rates", description="Measure the link between two arrays.")
    commands = parser.add_subparsers(dest="name", required=True)
    for each in MEASURED:
        commands.add_parser(each)
    commands.add_parser("fill").add_argument("kind", choices=["new", "unasked", "known"])
    arguments = parser.parse_args()
    if arguments.name == "fill":
        print(json.dumps(trio.run(fill_rates, arguments.kind)))
        return
    values = sorted(MEASURED[arguments.name]() for _ in range(ROUNDS))
    name = "us" if arguments.name == "requests" else "MB/s"
    print(json.dumps({name: values[len(values) // 2], "lowest": values[0], "highest": values[-1]}))


if __name__ == "__main__":
    main()
