"""A path to a peer: it dials the peer, accepts the peer's connections, and keeps one link."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import NamedTuple

from odx_target.environment import Environment, Event
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import ConnectionEnded
from odx_target.replica.link.events import Ended
from odx_target.replica.link.hello import NEEDS_OPERATOR, Farewell, Hello, Side, check_of
from odx_target.replica.link.limits import AWAITED_RETRY_S
from odx_target.replica.link.reconnection import Dialling, Reconnection
from odx_target.replica.link.session import Session
from odx_target.replica.link.throttle import Throttle
from odx_target.replica.link.trial import Trial
from odx_target.replica.paths.connection import Connection, DialFailed, Dialler
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.settings import MAX_PATH_CONNECTIONS, PathSettings
from odx_target.replica.paths.waker import Waker

NEXT_KEY = "the peer has the new key of the path already, and this array takes it over"
"""Reason in the status of a connected path whose pairing was not finished here, until the path connects again."""

OTHER_KEY = "the peer has another key of the path, so equal data is sent again; use path rekey at both arrays"
"""Reason in the status of a connected path whose new key only one array has, because the other one missed the last frame."""


class PathState(Enum):
    """State of a path. The value is the word for a person."""

    CONNECTED = "connected"
    WAITING = "waiting"
    """No link is open. The path dials again, or waits for the peer to dial."""


class PathStatus(NamedTuple):
    """The state of a path, and the reason of its last failure, or what is wrong although it is connected; or an empty text."""

    state: PathState
    reason: str
    since_s: float
    """Wall clock time of the last change of the state."""
    sent_bytes: int
    received_bytes: int
    """Bytes of all links since the start of the array."""


class PathCallbacks(NamedTuple):
    """Functions that a path calls. `serve` serves a request of the peer, see `Serve`.

    `on_change` is called with one line when the link opens, and when it has ended or could not be opened.
    """

    serve: "Callable[[Path, Exchange, Mapping[str, Json]], Awaitable[None]]"
    on_change: "Callable[[Path, str], None]"
    on_internal_error: Callable[[Exception], None]
    on_new_key: "Callable[[Path], None]" = lambda _: None
    """Called when the link opens and the peer has the next secret of the path already."""


class Path:
    """The path. The owner runs `run` in the background until `remove` is called."""

    def __init__(
        self, settings: PathSettings, hello: Hello, environment: Environment, dialler: Dialler, callbacks: PathCallbacks
    ) -> None:
        self.settings = settings
        self.link: Link | None = None
        """The open link. None if there is none."""
        self.throttle = Throttle(settings.rates, environment.monotonic())
        self.trial = Trial()
        """The trial of the compression of data."""
        self._hello = hello
        self._environment = environment
        self._dialler = dialler
        self._callbacks = callbacks
        self._reconnection = Reconnection(environment.entropy, environment.monotonic())
        self._waker = Waker(environment)
        self._links: dict[Link, None] = {}
        self._waiting: list[Event] = []
        self._is_removed = False
        self._reason = ""
        self._since_s = environment.time()
        self._sent_bytes = self._received_bytes = 0

    async def run(self) -> None:
        """Dial the peer whenever no link is open, until the path is removed."""
        while not self._is_removed:
            reconnection = self._reconnection
            if self.settings.address is None or reconnection.state is not Dialling.WAITING:
                await self._waker.wait()
            elif self._environment.monotonic() < reconnection.dial_at_s:
                await self._waker.wait(reconnection.dial_at_s)
            else:
                await self._dial()

    async def accept(self, connection: Connection) -> None:
        """Carry a connection that the peer has dialled, until it ends. If the peer has too many, close it."""
        if len(self._links) >= MAX_PATH_CONNECTIONS:
            connection.close()
        else:
            await self._carry(connection, Side.ACCEPTOR)

    async def opened(self) -> Link:
        """Wait until a link is open, and return it. Raises ConnectionEnded if the path is removed."""
        while self.link is None:
            if self._is_removed:
                raise ConnectionEnded(f"the path {self.settings.name} was removed")
            event = self._environment.event()
            self._waiting.append(event)
            await event.wait()
        return self.link

    def change(self, settings: PathSettings) -> None:
        """Use new settings at once. If the certificates or secrets differ, the links end, and the path connects again."""
        former, self.settings = self.settings, settings
        self.throttle.rates = settings.rates
        if _identity(former) != _identity(settings):
            self._end_links("the path has a new key")
        for link in self._links:
            link.wake()  # The links may wait for the former rate.
        if former.address != settings.address:
            self.dial_now()

    def await_link(self) -> None:
        """Dial again within AWAITED_RETRY_S, because hosts wait for the link."""
        self._reconnection.dial_by(self._environment.monotonic() + AWAITED_RETRY_S)
        self._waker.wake()

    def dial_now(self) -> None:
        """Dial without a further delay."""
        self._reconnection.dial_now(self._environment.monotonic())
        self._waker.wake()

    def remove(self) -> None:
        """End the links of the path, and dial no more."""
        self._is_removed = True
        self._end_links("the path was removed, or the array stops")
        self._wake_all()

    def _end_links(self, reason: str) -> None:
        for link in list(self._links):
            link.end(Farewell.STOPPING, reason)

    @property
    def status(self) -> PathStatus:
        state = PathState.WAITING if self.link is None else PathState.CONNECTED
        sent_bytes = self._sent_bytes + sum(link.session.sent_bytes for link in self._links)
        received_bytes = self._received_bytes + sum(link.session.received_bytes for link in self._links)
        return PathStatus(state, self._reason, self._since_s, sent_bytes, received_bytes)

    async def _dial(self) -> None:
        self._reconnection.dial()
        dialled = self.settings
        try:
            connection = await self._dialler.dial(dialled)
        except DialFailed as error:
            self._failed(str(error), needs_operator=error.needs_operator)
            return
        if _identity(dialled) != _identity(self.settings):
            # The peer was authenticated by its former certificate.
            connection.close()
            self._failed("the path has a new key", needs_operator=False)
            return
        self._environment.start_soon(self._carry, connection, Side.DIALLER)

    async def _carry(self, connection: Connection, side: Side) -> None:
        if self._is_removed:
            connection.close()
            return
        environment, callbacks = self._environment, self._callbacks
        hello = replace(self._hello, secret_check=check_of(self.settings.secret))
        session = Session(side, hello, self.settings.peer_pool, self.throttle, environment.monotonic())
        serve = partial(callbacks.serve, self)
        link = Link(session, connection, environment, serve, self._opened, callbacks.on_internal_error)
        self._links[link] = None
        try:
            ended = await link.run()
        finally:
            del self._links[link]
            self._sent_bytes += session.sent_bytes
            self._received_bytes += session.received_bytes
        self._ended(link, ended)

    def _opened(self, link: Link) -> None:
        """Keep a new link, or the former one. Both sides make the same choice."""
        former = self.link
        if former is not None and not self._is_preferred(link, former):
            link.end(Farewell.DUPLICATE, "another connection of the path is open")
            return
        self.link = link
        self._reconnection.connected()
        if former is not None:
            former.end(Farewell.DUPLICATE, "a newer connection of the path is open")
            return
        check = b"" if link.session.peer is None else link.session.peer.secret_check
        is_equal, next_secret = check in (b"", check_of(self.settings.secret)), self.settings.next_secret
        has_next = not is_equal and next_secret != b"" and check == check_of(next_secret)
        self._changed("" if is_equal else NEXT_KEY if has_next else OTHER_KEY)
        self._callbacks.on_change(self, "connected")
        if has_next:
            self._callbacks.on_new_key(self)

    def _is_preferred(self, link: Link, former: Link) -> bool:
        """True if a new link replaces the former one: if the same array has dialled both, or if the array with the smaller pool
        identity has dialled the new one.
        """
        if link.session.side is former.session.side:
            return True
        return (link.session.side is Side.DIALLER) == (self._hello.pool < self.settings.peer_pool)

    def _ended(self, link: Link, ended: Ended) -> None:
        if self.link is link:
            self.link = None
            self._failed(ended.text, needs_operator=ended.code in NEEDS_OPERATOR)
        elif self.link is None and link.session.side is Side.DIALLER and self._reconnection.state is Dialling.DIALLING:
            self._failed(ended.text, needs_operator=ended.code in NEEDS_OPERATOR)

    def _failed(self, reason: str, *, needs_operator: bool) -> None:
        if self._is_removed:
            return
        if self.link is not None:
            self._reconnection.connected()
            return
        self._reconnection.failed(self._environment.monotonic(), needs_operator=needs_operator)
        if reason != self._reason:
            self._changed(reason)
            self._callbacks.on_change(self, reason)
        self._wake_all()

    def _changed(self, reason: str) -> None:
        self._reason = reason
        self._since_s = self._environment.time()
        self._wake_all()

    def _wake_all(self) -> None:
        self._waker.wake()
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()


def _identity(settings: PathSettings) -> tuple[bytes, bytes]:
    """Return what a pairing has made. Links of a former pairing must not be used."""
    return settings.peer_certificate, settings.secret
