"""Redirected logins (RFC 7143 11.13.5). Redirections are followed up to a limit, and never to the same portal twice."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from odx_target.initiator.errors import ConnectFailed, InitiatorError, LoginFailed
from odx_target.initiator.url import Portal

MAX_REDIRECTIONS = 8
"""Maximum number of redirections in one login. Arrays redirect once to spread hosts over portals. An array that has moved may
redirect a few more times."""

T = TypeVar("T")


class LoginRedirected(LoginFailed):
    """The target redirects the login to `portals`. The initiator uses the first portal that it can reach.

    `place` is the name of the target.
    """

    def __init__(self, message: str, place: str, portals: Sequence[Portal]) -> None:
        super().__init__(message)
        self.place = place
        self.portals = portals


async def enter_where_redirected(
    stack: AsyncExitStack, portal: Portal, open_at: Callable[[Portal], AbstractAsyncContextManager[T]]
) -> T:
    """Enter a session at a portal, or at the portal to which the target redirects the login.

    If a redirection has several addresses, the first address that accepts a connection is used. Raises LoginFailed if the
    redirections form a circle, or if there are too many. Otherwise, if no portal works, raises the error of the last attempt.
    The message of each error lists the portals that were tried.
    """
    way = [portal]
    others: list[Portal] = []
    place = ""
    while True:
        try:
            return await stack.enter_async_context(open_at(way[-1]))
        except LoginRedirected as redirected:
            others, place = _unvisited(way, redirected), redirected.place
        except ConnectFailed as failure:
            if not others:
                if place:
                    failure.args = (f"{place}: {failure}",)
                raise _on_the_way(failure, way) from failure.__cause__
        except InitiatorError as failure:
            raise _on_the_way(failure, way) from failure.__cause__
        way.append(others.pop(0))


def _unvisited(way: list[Portal], redirected: LoginRedirected) -> list[Portal]:
    others = [portal for portal in dict.fromkeys(redirected.portals) if portal not in way]
    if not others:
        raise LoginFailed(f"{redirected}: a circle ({_shown([*way, redirected.portals[0]])})")
    if len(way) > MAX_REDIRECTIONS:
        raise LoginFailed(f"{redirected}: more than {MAX_REDIRECTIONS} redirections ({_shown(way)})")
    return others


def _on_the_way(failure: InitiatorError, way: list[Portal]) -> InitiatorError:
    """Return the failure. If the login was redirected, the message of the failure lists the portals that were tried."""
    if len(way) > 1:
        failure.args = (f"{failure}, redirected {_shown(way)}",)
    return failure


def _shown(way: list[Portal]) -> str:
    return " -> ".join(map(str, way))
