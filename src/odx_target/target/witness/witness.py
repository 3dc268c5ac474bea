"""A running witness: the part of an array that other arrays need to decide who serves a group."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from odx_target.copymgr.tokens.issuer import maker_identity
from odx_target.replica.grouping.luns import NoLuns
from odx_target.store.api import Pool
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal
from odx_target.target.job_nursery import JobNursery
from odx_target.target.listening_sockets import Listening, bind_portals, close_sockets
from odx_target.target.peers.peering import STOP_TIME_S, Peering, open_peering
from odx_target.target.peers.socket_pairing import pair_with_pool
from odx_target.target.reporter import Reporter
from odx_target.target.trio_environment import TrioEnvironment

MAX_WITNESS_BYTES = 64 << 20
"""Maximum size of the log of a witness. It has a few small records for each group, and the cleaner frees the former ones."""

OpenPool = Callable[[TrioEnvironment, Config], Awaitable[Pool]]


class WitnessArray:
    """A witness, with those attributes of an array that the operations on paths and groups use."""

    def __init__(
        self,
        pool: Pool,
        config: Config,
        environment: TrioEnvironment,
        reporter: Reporter,
        peering: Peering,
        address: Portal,
        make_durable: Callable[[], Awaitable[None]],
    ) -> None:
        self.config = config
        self.reporter = reporter
        self.pool = pool
        self.environment = environment
        self.peering = peering
        self.address = address
        self.make_durable = make_durable


@asynccontextmanager
async def serving_witness(
    directory: Path, address: Portal, open_pool: OpenPool, pair: Collection[Path] = ()
) -> AsyncIterator[WitnessArray]:
    """Serve as a witness while the body runs. `open_pool` opens a pool.

    In the background, the witness is paired with the arrays that serve the pools in `pair` on this machine. Raises ConfigError,
    StoreError and OSError.
    """
    config = Config(pool_dir=directory, pool_limit_bytes=MAX_WITNESS_BYTES)
    bound = await bind_portals([address])
    try:
        async with trio.open_nursery() as nursery:
            pool = await open_pool(TrioEnvironment(nursery), config)
            try:
                if pool.volumes:
                    raise ConfigError(f"{directory} is the pool of an array: `odx-target serve` makes this array a witness too")
                async with _peers(pool, config, bound[0], nursery, pair) as witness:
                    yield witness
            finally:
                with trio.CancelScope(shield=True):
                    await pool.close()
                nursery.cancel_scope.cancel()
    finally:
        close_sockets(bound)


@asynccontextmanager
async def _peers(
    pool: Pool, config: Config, listening: Listening, nursery: trio.Nursery, pair: Collection[Path]
) -> AsyncIterator[WitnessArray]:
    """Open the paths and the link port of a witness while the body runs."""
    jobs = JobNursery()
    await nursery.start(jobs.run)
    environment = TrioEnvironment(jobs.nursery)

    async def make_durable() -> None:
        await pool.committed()
        await pool.flush()

    reporter = Reporter(trio.current_time)
    peering = await open_peering(pool, environment, maker_identity(pool.identity), reporter, make_durable)
    peering.serve_grouping(pool, NoLuns())
    await make_durable()
    peering.start(listening, jobs.nursery)
    witness = WitnessArray(pool, config, environment, reporter, peering, listening.address, make_durable)
    peering.pairing_places += pair
    for place in pair:
        jobs.nursery.start_soon(pair_with_pool, place, witness, peering)
    try:
        yield witness
    finally:
        peering.stop()
        with trio.CancelScope(shield=True):
            await trio.sleep(STOP_TIME_S)
            await jobs.stop()
