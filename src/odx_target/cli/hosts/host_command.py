"""The common part of the subcommands that act as a host: options, sessions to targets, and error messages of one line."""

import re
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar, TypeVarTuple

import trio
import typer

from odx_target.cli.failure import CommandFailure, Interrupted, first_error
from odx_target.cli.hosts.credentials import (
    ChapSecretFile,
    ChapUser,
    Credentials,
    TargetChapSecretFile,
    TargetChapUser,
    credentials_of,
    with_given,
)
from odx_target.cli.signatures import extended, parameter
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import BadUrl, ConnectFailed, InitiatorError
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import DEFAULT_INITIATOR_NAME, SessionOptions, random_isid, with_credentials
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import IscsiUrl, parse_url

LOGOUT_TIMEOUT_S = 1.0
"""Maximum time to wait for the answer to a logout after an interrupt."""

DEFAULT_COMMAND_TIMEOUT_S = 60.0

# Any characters that a login can carry are allowed, so that testers can find out which names a target accepts.
_INITIATOR_NAME = re.compile(r"(?:iqn|eui|naa)\.[!-~]{1,219}")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

InitiatorName = Annotated[str, typer.Option("--initiator-name", metavar="IQN", help="Initiator name to log in with.")]
CommandTimeout = Annotated[
    float,
    typer.Option("--command-timeout", min=0.1, metavar="SECONDS", help="Abort a command that has no answer after this time."),
]


@dataclass(frozen=True, slots=True)
class Host:
    """The session options and the credentials of the host that a command acts as."""

    options: SessionOptions
    credentials: Credentials

    def url(self, text: str, parameter: str) -> IscsiUrl:
        """Read a URL of the command line, and fill in users and secrets from options and environment. Raises
        typer.BadParameter.
        """
        try:
            return with_given(parse_url(text), self.credentials, parameter)
        except BadUrl as bad:
            raise typer.BadParameter(str(bad), param_hint=parameter) from None


def as_host(
    initiator_name: str = DEFAULT_INITIATOR_NAME, *, command_timeout: bool = True
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return a decorator that adds the options of a host to a command. The command receives these options as its argument
    `who`, a Host.
    """
    rows = [
        parameter("initiator_name", InitiatorName, initiator_name),
        *([parameter("command_timeout", CommandTimeout, DEFAULT_COMMAND_TIMEOUT_S)] if command_timeout else []),
        parameter("chap_user", ChapUser, None),
        parameter("chap_secret_file", ChapSecretFile, None),
        parameter("target_chap_user", TargetChapUser, None),
        parameter("target_chap_secret_file", TargetChapSecretFile, None),
    ]

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        return extended(function, rows, lambda bound, **given: bound(who=_host(**given)), without=["who"])

    return decorate


def _host(initiator_name: str, command_timeout: float = DEFAULT_COMMAND_TIMEOUT_S, **chap: Any) -> Host:
    return Host(options(initiator_name, command_timeout), credentials_of(**chap))


def options(initiator_name: str, command_timeout_s: float) -> SessionOptions:
    """Return the session options of a host. Each call uses a new ISID, so that commands that run at the same time do not end
    each other's sessions.

    Raises typer.BadParameter if `initiator_name` is not an iSCSI name.
    """
    if not _INITIATOR_NAME.fullmatch(initiator_name):
        raise typer.BadParameter(f"{initiator_name!r} is not an iSCSI name (iqn., eui. or naa.)", param_hint="--initiator-name")
    return SessionOptions(
        random_isid(secrets.token_bytes(5)),
        initiator_name=initiator_name,
        command_timeout_s=command_timeout_s,
        logout_timeout_s=LOGOUT_TIMEOUT_S,
        entropy=secrets.token_bytes,
    )


def run(function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
    """Run the work of a command. If the work raises a group of exceptions, only the first exception is raised.

    SIGINT and SIGTERM cancel the work, which can then log out and clean up. Raises CommandFailure instead of InitiatorError,
    and Interrupted after a signal.
    """
    try:
        return trio.run(_run_until_signal, function, arguments)
    except BaseExceptionGroup as group:
        error = first_error(group)
        raise (CommandFailure(str(error)) if isinstance(error, InitiatorError) else error) from None
    except InitiatorError as error:
        raise CommandFailure(str(error)) from None


async def _run_until_signal(function: Callable[[*Ts], Awaitable[T]], arguments: tuple[*Ts]) -> T:
    results: list[T] = []
    received: list[int] = []

    async def watch() -> None:
        async for number in signals:
            received.append(number)
            nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            results.append(await function(*arguments))
            nursery.cancel_scope.cancel()
    if not results:
        raise Interrupted(received[0])
    return results[0]


@asynccontextmanager
async def open_target(target: IscsiUrl, wishes: SessionOptions) -> AsyncIterator[InitiatorSession]:
    """Open a session to the target of a URL. Raises InitiatorError. If the login fails, the error message names the portal."""
    is_open = False
    try:
        async with open_session(target.portal, target.target_name, with_credentials(wishes, target)) as session:
            is_open = True
            yield session
    except InitiatorError as error:
        if is_open or isinstance(error, ConnectFailed):
            raise
        raise InitiatorError(f"{target.portal}: {error}") from error


@asynccontextmanager
async def open_disks(source: IscsiUrl, destination: IscsiUrl, wishes: SessionOptions) -> AsyncIterator[tuple[Disk, Disk]]:
    """Open two logical units. Two logical units of the same target use one session."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_target(source, wishes))
        other = session
        if replace(source, lun=destination.lun) != destination:
            again = replace(wishes, isid=random_isid(secrets.token_bytes(5)))
            other = await stack.enter_async_context(open_target(destination, again))
        yield await _probe(session, source), await _probe(other, destination)


async def _probe(session: InitiatorSession, place: IscsiUrl) -> Disk:
    return await Disk.probe(session.logical_unit(place.lun), trio.sleep, str(place))
