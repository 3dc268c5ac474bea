"""An array in this process, in memory, on a free port, and initiators for it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import Portal as RemotePortal
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.file_descriptors import DEFAULT_SOCKETS

LUNS = (LunConfig("first", 1 << 20), LunConfig("second", 1 << 20, 4096))
OPTIONS = SessionOptions(isid=random_isid(b"tests"))


@asynccontextmanager
async def running(config: Config | None = None, *, max_sockets: int = DEFAULT_SOCKETS) -> AsyncIterator[Array]:
    """Run an array with two LUNs of 1 MiB, one with blocks of 512 bytes, one of 4096 bytes."""
    config = config or Config(luns=LUNS)
    async with Array(replace(config, portals=(Portal(port=0),)), open_pool=open_pool, max_sockets=max_sockets) as array:
        yield array


def remote_portal(array: Array) -> RemotePortal:
    return RemotePortal(array.portals[0].host, array.portals[0].port)


def session_with(array: Array, options: SessionOptions = OPTIONS) -> AbstractAsyncContextManager[InitiatorSession]:
    return open_session(remote_portal(array), array.config.iqn, options)


async def settled(session: InitiatorSession, lun: int = 0) -> InitiatorSession:
    """Return the session after it has reported the unit attention of a new session."""
    result = await session.execute(lun, bytes(6))
    assert result.sense, "a new nexus is told of the power on"
    return session


def is_good(result: CommandResult) -> bool:
    return result.status == 0
