"""Functions that open streams to portals."""

from collections.abc import Awaitable, Callable

import trio

from odx_target.initiator.errors import ConnectFailed
from odx_target.initiator.url import Portal
from odx_target.iscsi.host_names import look_up_error

Connect = Callable[[Portal], Awaitable[trio.abc.Stream]]


async def connect_tcp(portal: Portal) -> trio.abc.Stream:
    """Open a TCP connection. Raises OSError, even for a host name that cannot be encoded for the resolver."""
    try:
        return await trio.open_tcp_stream(portal.host, portal.port)
    except UnicodeError as error:
        raise look_up_error(portal.host, error) from error


async def connected(portal: Portal, timeout_s: float, connect: Connect) -> trio.abc.Stream:
    """Return the stream that `connect` opens within the timeout. Raises ConnectFailed."""
    try:
        with trio.fail_after(timeout_s):
            return await connect(portal)
    except trio.TooSlowError as error:
        raise ConnectFailed(f"{portal}: no connection in {timeout_s:g} s") from error
    except OSError as error:
        raise ConnectFailed(f"{portal}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """Return the text of an error. The library trio puts the errors for all addresses of a host name into one group. Return the
    text of the first error in such a group.
    """
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    plain = cause if isinstance(cause, OSError) else error
    return (plain.strerror or str(plain)).rpartition(": ")[2].lower()
