"""Two arrays for the benches of the link: one in this process, and its peer in a process of its own.

The peer is a program (`python -m bench.link_arrays FOLDER`) that reads requests as lines of JSON and prints one line of JSON
for each. Both are paired without a path key, by their certificates.
"""

import json
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial, partialmethod
from pathlib import Path
from random import Random
from subprocess import PIPE
from typing import Any

import trio
from bench.full_volume import make_full_volume, make_small_volume, when_ready

from odx_target.replica.blocks.sender import OfferPolicy
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.path import Path as ArrayPath
from odx_target.replica.paths.settings import Address, PathSettings
from odx_target.store.api import BLOCK_BYTES, Snapshot, Volume
from odx_target.store.open import LogPool, PoolOptions, open_directory_pool
from odx_target.target.config.settings import Portal
from odx_target.target.job_nursery import JobNursery
from odx_target.target.listening_sockets import bind_portals
from odx_target.target.peers.peering import Peering, open_peering
from odx_target.target.reporter import Reporter
from odx_target.target.trio_environment import TrioEnvironment

MEMORY = "/dev/shm"
RUN_BLOCKS = 64
"""Number of blocks of one write of the benches."""


@dataclass
class BenchArray:
    """An array with a link port, as far as its peers see it."""

    pool: LogPool
    peering: Peering
    environment: TrioEnvironment
    address: Address

    @property
    def identity(self) -> dict[str, Any]:
        own = self.peering.identity
        return {
            "port": self.address.port,
            "pool": own.pool.hex(),
            "maker": own.maker.hex(),
            "certificate": own.certificate.hex(),
        }

    def trust(self, peer: Mapping[str, Any], secret: bytes, *, dials: bool, rates: Rates | None = None) -> ArrayPath:
        """Add the path to a peer, as a pairing does."""
        address = Address("127.0.0.1", int(peer["port"])) if dials else None
        pool, maker, certificate = (bytes.fromhex(peer[name]) for name in ("pool", "maker", "certificate"))
        return self.peering.paths.add(PathSettings("peer", address, pool, maker, certificate, secret, rates=rates or Rates()))

    async def filled(self, name: str, blocks: int, seed: int, random_bytes: int, rotated: int = 0) -> Snapshot:
        """Make a volume and a snapshot of it. The first `random_bytes` of each block are random, and the rest is zero.

        The blocks of two volumes with the same seed are equal, but `rotated` blocks further.
        """
        volume = self.pool.create_volume(name, blocks, {})
        random = Random(seed)
        for block in range(0, blocks, RUN_BLOCKS):
            count = min(RUN_BLOCKS, blocks - block)
            for number in range(count):
                data = random.randbytes(random_bytes).ljust(BLOCK_BYTES, b"\0")
                await write(volume, (block + number + rotated) % blocks, [data])
        snapshot = volume.snapshot("s")
        await self.pool.flush()
        return snapshot


async def write(volume: Volume, block: int, data: list[bytes]) -> None:
    """Write blocks, and wait while the pool makes room."""
    await when_ready(volume, lambda: volume.write(block, data))


@asynccontextmanager
async def bench_array(folder: Path) -> AsyncIterator[BenchArray]:
    """Open an array on a pool in a folder while the body runs."""
    (listening,) = await bind_portals([Portal("127.0.0.1", 0)])
    async with trio.open_nursery() as nursery:
        jobs = JobNursery()
        await nursery.start(jobs.run)
        environment = TrioEnvironment(jobs.nursery)
        pool = await open_directory_pool(folder, environment, PoolOptions(cleaning=False))
        maker = secrets.token_bytes(16)
        peering = await open_peering(pool, environment, maker, Reporter(trio.current_time), pool.committed)
        peering.start(listening, jobs.nursery)
        yield BenchArray(pool, peering, environment, Address("127.0.0.1", listening.address.port))
        peering.stop()
        await pool.close()
        await jobs.stop()
        nursery.cancel_scope.cancel()


class PeerProcess:
    """The peer in its own process."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._received = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, operation: str, **values: object) -> dict[str, Any]:
        """Send a request, and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        await self._process.stdin.send_all(json.dumps({"operation": operation, **values}).encode() + b"\n")
        with trio.fail_after(600):
            while b"\n" not in self._received:
                data = await self._process.stdout.receive_some()
                assert data, "the peer has ended"
                self._received += data
        line, _, self._received = self._received.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def two_arrays(rates: Rates | None = None) -> AsyncIterator[tuple[BenchArray, PeerProcess, ArrayPath]]:
    """Run two paired and connected arrays. `rates` is the throttle of the peer, which sends."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with trio.open_nursery() as nursery:
            command = [sys.executable, "-m", "bench.link_arrays", str(Path(folder) / "peer")]
            process = await nursery.start(partial(trio.run_process, command, stdin=PIPE, stdout=PIPE))
            peer = PeerProcess(process)
            try:
                async with bench_array(Path(folder) / "own") as own:
                    identity, secret = await peer.ask("identity"), secrets.token_bytes(32)
                    limit = None if rates is None else rates.off_peak
                    await peer.ask("trust", peer=own.identity, secret=secret.hex(), limit=limit)
                    path = own.trust(identity, secret, dials=True)
                    with trio.fail_after(30):
                        await path.opened()
                    yield own, peer, path
            finally:
                process.terminate()
                nursery.cancel_scope.cancel()


async def _serve(folder: Path) -> None:
    async with bench_array(folder) as array:
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            request = json.loads(line)
            answer = await _answer(array, request)
            print(json.dumps(answer), flush=True)


async def _answer(array: BenchArray, request: Mapping[str, Any]) -> dict[str, Any]:
    match request["operation"]:
        case "identity":
            return array.identity
        case "trust":
            rates = Rates(request["limit"])
            array.trust(request["peer"], bytes.fromhex(request["secret"]), dials=False, rates=rates)
            return {}
        case "fill":
            names = ("name", "blocks", "seed", "random_bytes")
            snapshot = await array.filled(*(request[name] for name in names), rotated=request.get("rotated", 0))
            return {"guid": snapshot.guid.hex()}
        case "offer nothing":
            OfferPolicy.__init__ = partialmethod(OfferPolicy.__init__, is_on=False)  # type: ignore[assignment, method-assign]
            return {}
        case "full":
            volume = await make_full_volume(array.pool, await make_small_volume(array.pool), "full", request["blocks"])
            former = volume.snapshot("former")
            await write(volume, request["blocks"] // 2, [bytes(range(256)) * (BLOCK_BYTES // 256)])
            present = volume.snapshot("present")
            await array.pool.flush()
            return {"former": former.guid.hex(), "present": present.guid.hex()}
        case "sent":
            path = next(iter(array.peering.paths.values()))
            return {"sent_bytes": path.status.sent_bytes, "processor_s": time.process_time()}
    raise ValueError(request["operation"])


if __name__ == "__main__":
    trio.run(_serve, Path(sys.argv[1]))
