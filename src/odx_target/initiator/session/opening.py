"""Opening of sessions: connect, log in, and log out at the end."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import trio

from odx_target.initiator.session.connecting import Connect, connect_tcp, connected
from odx_target.initiator.session.connection import InitiatorConnection
from odx_target.initiator.session.discovered import DiscoveredTarget
from odx_target.initiator.session.login import Login
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.redirection import enter_where_redirected
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import Portal


@asynccontextmanager
async def open_session(
    portal: Portal, target_name: str | None, options: SessionOptions, connect: Connect | None = None
) -> AsyncIterator[InitiatorSession]:
    """Open a session with a target, and log out and close it at the end. If `target_name` is None, open a discovery session.

    If the target redirects the login, the login is repeated at the new portal. `connect` opens the stream. By default the
    stream is a TCP connection. Raises ConnectFailed, LoginFailed, ConnectionLost.
    """

    def open_at(place: Portal) -> AbstractAsyncContextManager[InitiatorSession]:
        return session_of(InitiatorConnection(Login(options, target_name)), place, options, connect)

    async with AsyncExitStack() as stack:
        yield await enter_where_redirected(stack, portal, open_at)


@asynccontextmanager
async def session_of(
    connection: InitiatorConnection, portal: Portal, options: SessionOptions, connect: Connect | None = None
) -> AsyncIterator[InitiatorSession]:
    """Open a session that uses the `connection` of the caller. Raises LoginRedirected, and the same errors as
    `open_session`.
    """
    stream = await connected(portal, options.connect_timeout_s, connect or connect_tcp)
    session = InitiatorSession(stream, connection, options)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        try:
            await session.log_in()
            yield session
        except Exception as error:
            # The nursery would put the error into an exception group, so the error is raised again outside the nursery.
            failure = error
        finally:
            await session.log_out()
            with trio.CancelScope(shield=True):
                # Cancelled must not be raised here, because it would replace a KeyboardInterrupt that is being raised.
                await trio.aclose_forcefully(stream)
            session.stop()
    if failure is not None:
        raise failure


async def discover(portal: Portal, options: SessionOptions, connect: Connect | None = None) -> list[DiscoveredTarget]:
    """Return the targets that a portal reports. Raises ConnectFailed, LoginFailed, ConnectionLost, BadAnswer."""
    async with open_session(portal, None, options, connect) as session:
        return await session.send_targets()
