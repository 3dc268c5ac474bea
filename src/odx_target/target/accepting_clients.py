"""Accepting the clients of a listening socket, for the control socket and for the metrics."""

from collections.abc import Awaitable, Callable

import trio

from odx_target.store.error_kinds import reason
from odx_target.target.reporter import Reporter

ACCEPT_PAUSE_S = 0.1
"""Pause after a failure of accept(). The cause may last, and retries without a pause would use all CPU time."""


async def accept_all(
    listener: trio.SocketListener, serve: Callable[[trio.SocketStream], Awaitable[None]], nursery: trio.Nursery, trouble: str
) -> None:
    """Accept clients until the task is cancelled, and run `serve` for each client.

    If a client cannot be accepted, other clients and the array are not affected, and the warning `trouble` is logged.
    """
    reporter = Reporter(trio.current_time)
    while True:
        try:
            stream = await listener.accept()
        except OSError as error:
            reporter.report("warning", trouble, error=reason(error))
            await trio.sleep(ACCEPT_PAUSE_S)
        else:
            nursery.start_soon(serve, stream)
