"""Two initiators with one interface: libiscsi, and the initiator of this project."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from odx_target.initiator.errors import CommandTimedOut, InitiatorError, LoginFailed, ProtocolViolation
from odx_target.initiator.session.opening import discover, open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import Portal
from tests.interop import libiscsi

TIMEOUT_S = 1
"""Timeout of a command. libiscsi counts whole seconds."""

NO_ANSWER = "no answer"
LOST = "the connection ends"
REFUSED = "the login is refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a command in words, and its data."""

    outcome: str
    data: bytes = b""


class Session(Protocol):
    """A session that has reported its unit attentions."""

    async def execute(self, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> Answer:
        """Send a command to LUN 0. A command without a status has the outcome NO_ANSWER, or names the end of the session."""
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """An initiator. `open(portal, target, digests)` opens a session, and raises Refused; `discover(portal)` returns names."""

    name: str
    open: Callable[[str, str, bool], AbstractAsyncContextManager[Session]]
    discover: Callable[[str], Awaitable[list[str]]]


class Refused(Exception):
    """The login failed."""


def sense_words(sense: bytes) -> str:
    """Return sense data of the fixed format as key/ASC/ASCQ."""
    return f"{sense[2] & 15:X}/{sense[12]:02X}/{sense[13]:02X}"


class _LibiscsiSession:
    def __init__(self, session: libiscsi.Initiator) -> None:
        self._session = session

    async def execute(self, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> Answer:
        try:
            result = self._session.execute(0, cdb, data_out, data_in_bytes)
        except libiscsi.CommandTimedOut:
            return Answer(NO_ANSWER)
        except libiscsi.LibiscsiError:
            return Answer(LOST)
        return Answer(result.outcome, result.data_in)


@asynccontextmanager
async def _open_libiscsi(portal: str, target: str, digests: bool) -> AsyncIterator[Session]:
    digest = libiscsi.HeaderDigest.CRC32C_OR_NONE if digests else libiscsi.HeaderDigest.NONE
    try:
        session = libiscsi.Initiator(portal, target, header_digest=digest, timeout_s=TIMEOUT_S)
    except libiscsi.LibiscsiError as error:
        raise Refused from error
    try:
        session.ready(0)
        yield _LibiscsiSession(session)
    finally:
        session.abandon()


async def _discover_libiscsi(portal: str) -> list[str]:
    return [name.decode("latin-1") for name in libiscsi.discover(portal, timeout_s=TIMEOUT_S)]


class _OurSession:
    def __init__(self, session: InitiatorSession) -> None:
        self._session = session

    async def execute(self, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> Answer:
        try:
            result = await self._session.execute(0, cdb, data_out, data_in_bytes)
        except CommandTimedOut:
            return Answer(NO_ANSWER)
        except ProtocolViolation as error:
            return Answer(f"violation: {error.breach.name.lower().replace('_', ' ')}")
        except InitiatorError:
            return Answer(LOST)
        words = sense_words(result.sense) if result.sense else f"status {result.status:02X}h"
        return Answer("good" if result.status == 0 else words, bytes(result.data_in))


def _options(digests: bool) -> SessionOptions:
    return SessionOptions(
        random_isid(secrets.token_bytes(5)),
        header_digest=digests,
        data_digest=digests,
        command_timeout_s=TIMEOUT_S,
        login_timeout_s=TIMEOUT_S * 5,
        logout_timeout_s=TIMEOUT_S,
    )


@asynccontextmanager
async def _open_ours(portal: str, target: str, digests: bool) -> AsyncIterator[Session]:
    host, _, port = portal.rpartition(":")
    try:
        async with open_session(Portal(host, int(port)), target, _options(digests)) as session:
            await session.execute(0, bytes(6))  # its unit attention
            yield _OurSession(session)
    except LoginFailed as error:
        raise Refused from error


async def _discover_ours(portal: str) -> list[str]:
    host, _, port = portal.rpartition(":")
    return [found.name for found in await discover(Portal(host, int(port)), _options(digests=False))]


LIBISCSI = Client("libiscsi", _open_libiscsi, _discover_libiscsi)
OURS = Client("the initiator of this project", _open_ours, _discover_ours)
CLIENTS = (OURS, LIBISCSI)
