"""The link port of a running array."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from odx_target.target.config.settings import Portal
from odx_target.target.job_nursery import JobNursery
from odx_target.target.listening_sockets import bind_portals, close_sockets
from odx_target.target.peers.peering import STOP_TIME_S, open_peering
from odx_target.target.trio_environment import TrioEnvironment

if TYPE_CHECKING:
    from odx_target.target.array import Array


@asynccontextmanager
async def serve_peers(address: Portal, array: "Array") -> AsyncIterator[Portal]:
    """Open the link port and the paths of an array while the body runs. Yields the actual address.

    Raises OSError if the address cannot be bound.
    """
    bound = await bind_portals([address])
    try:
        async with trio.open_nursery() as nursery:
            jobs = JobNursery()
            await nursery.start(jobs.run)
            # Peers answer in real time, so links do not use a clock that testers advance.
            environment = TrioEnvironment(jobs.nursery)
            maker = array.copy_manager.copies.issuer.maker
            peering = await open_peering(array.pool, environment, maker, array.reporter, array.make_durable)
            await array.make_durable()
            peering.start(bound[0], jobs.nursery)
            array.peering = peering
            try:
                yield bound[0].address
            finally:
                array.peering = None
                peering.stop()
                with trio.CancelScope(shield=True):
                    await trio.sleep(STOP_TIME_S)
                    await jobs.stop()
    finally:
        close_sockets(bound)
