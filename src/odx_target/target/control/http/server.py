"""The server of the HTTP control port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import hypercorn.trio
import trio
from hypercorn.config import Config as ServerConfig

from odx_target.target.config.settings import Portal
from odx_target.target.control.http.application import application
from odx_target.target.control.operations import OPERATIONS
from odx_target.target.control.server import Perform
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from odx_target.target.listening_sockets import bind_portals, close_sockets

IDLE_TIMEOUT_S = 60
"""Maximum time between two requests on a connection, as on the control socket."""

REQUEST_TIMEOUT_S = 10
"""Maximum time that a client may take to send a request."""


@asynccontextmanager
async def serve_http(address: Portal, perform: Perform, token: str) -> AsyncIterator[Portal]:
    """Serve the HTTP control port while the body runs. Yields the address with the actual port. Raises OSError."""
    operations = (*OPERATIONS.values(), *STORAGE_OPERATIONS.values())
    (listening,) = bound = await bind_portals([address])
    descriptor = listening.socket.detach()  # The server owns and closes it.
    config = ServerConfig()
    config.bind = [f"fd://{descriptor}"]
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_TIMEOUT_S
    config.read_timeout = REQUEST_TIMEOUT_S
    config.graceful_timeout = 0
    web = cast(Any, application(operations, perform, token))
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(hypercorn.trio.serve, web, config)
            yield listening.address
            nursery.cancel_scope.cancel()
    finally:
        close_sockets(bound)
