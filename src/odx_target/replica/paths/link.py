"""One connection of a path, with tasks that receive, send and watch the time."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeAlias

from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, LinkError, PeerFault
from odx_target.replica.link.events import Answered, Closed, Ended, Event, Opened, Received, Requested, RequestRefused
from odx_target.replica.link.hello import Farewell
from odx_target.replica.link.session import Session
from odx_target.replica.paths.connection import Connection, ConnectionLost
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.waker import Waker

GOODBYE_TIMEOUT_S = 1.0
"""Time in which the last bytes of a connection must be sent. After it, the connection is closed without them."""

Serve: TypeAlias = Callable[[Exchange, Mapping[str, Json]], Awaitable[None]]
"""Serves a request of the peer: it calls `Exchange.answer` and runs the exchange, or raises RequestDenied."""


class Link:
    """A session on a connection. `on_opened` is called when both sides have agreed.

    `serve` runs in a background job for each request of the peer. If it raises an exception that it should not raise,
    `on_internal_error` is called, and the request is refused.
    """

    def __init__(
        self,
        session: Session,
        connection: Connection,
        environment: Environment,
        serve: Serve,
        on_opened: "Callable[[Link], None]",
        on_internal_error: Callable[[Exception], None],
    ) -> None:
        self.session = session
        self.ended: Ended | None = None
        """The reason of the end. None until the link has ended."""
        self._connection = connection
        self._environment = environment
        self._serve = serve
        self._on_opened = on_opened
        self._on_internal_error = on_internal_error
        self._exchanges: dict[int, Exchange] = {}
        self._output = Waker(environment)

    async def run(self) -> Ended:
        """Carry the session until it ends, and return the reason."""
        self._environment.start_soon(self._send)
        self._environment.start_soon(self._watch_time)
        try:
            while self.ended is None:
                data = await self._connection.receive()
                if data:
                    self._handle(self.session.receive(data, self._environment.monotonic()))
                else:
                    self._note_ended(self.session.lost("the peer has closed the connection"))
        except ConnectionLost as error:
            self._note_ended(self.session.lost(str(error)))
        finally:
            if self.ended is None:
                self.end(Farewell.STOPPING, "the array stops")
                self._connection.close()
        assert self.ended is not None
        return self.ended

    def begin(self, document: Mapping[str, Json], traffic_class: TrafficClass, max_wait_s: float = float("inf")) -> Exchange:
        """Open an exchange with a request. The caller awaits `Exchange.answered`, and closes the exchange.

        `max_wait_s` is the time for which this side waits for the answer, and then for each frame of the peer. Raises
        ConnectionEnded and TooManyChannels.
        """
        exchange = self._exchange(self.session.open(document, traffic_class))
        exchange.max_wait_s = max_wait_s
        self._output.wake()
        return exchange

    async def request(
        self, document: Mapping[str, Json], traffic_class: TrafficClass, max_wait_s: float = float("inf")
    ) -> Exchange:
        """Open an exchange with a request, and wait for the answer, which `Exchange.answered` then returns at once.

        `max_wait_s` is that of `begin`. Raises RequestDenied if the peer refuses the request. Raises ChannelEnded,
        ConnectionEnded and TooManyChannels.
        """
        exchange = self.begin(document, traffic_class, max_wait_s)
        try:
            await exchange.answered()
        except BaseException:
            exchange.close(drop_waiting=True)
            raise
        return exchange

    def end(self, code: Farewell, text: str) -> None:
        """End the link from this side. Its last bytes are still sent in the background."""
        self._note_ended(self.session.end(code, text))

    def wake(self) -> None:
        """Send what may be sent now, because the throttle has changed."""
        self._output.wake()

    def _exchange(self, number: int) -> Exchange:
        exchange = Exchange(number, self.session, self._environment, self._output.wake, self._violated, self._exchanges)
        self._exchanges[number] = exchange
        return exchange

    def _violated(self, fault: PeerFault) -> None:
        self.end(Farewell.FAULT, str(fault))

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if self.ended is None:
                self._happened(event)
        if self.session.has_output:
            self._output.wake()

    def _happened(self, event: Event) -> None:
        match event:
            case Opened():
                self._on_opened(self)
            case Ended():
                self._note_ended(event)
            case Requested(number, _, document):
                self._environment.start_soon(self._serve_one, self._exchange(number), document)
            case Answered(number, document):
                self._exchanges[number].note_answer(document)
            case RequestRefused(number, code, text):
                self._exchanges[number].note_end(RequestDenied(code, text))
            case Received(frame):
                self._exchanges[frame.channel].note_frame(frame)
            case Closed(number):
                self._exchanges.pop(number).note_end()

    def _note_ended(self, ended: Ended | None) -> None:
        if ended is None:
            return
        self.ended = ended
        for exchange in self._exchanges.values():
            exchange.note_end(ChannelEnded(f"the link has ended: {ended.text}"))
        self._exchanges.clear()
        self._output.wake()

    async def _serve_one(self, exchange: Exchange, document: Mapping[str, Json]) -> None:
        try:
            await self._serve(exchange, document)
        except RequestDenied as denied:
            self._refuse(exchange, denied.code, str(denied))
        except PeerFault as fault:
            self._violated(fault)
        except ChannelEnded:
            pass
        except Exception as error:
            self._on_internal_error(error)
            self._refuse(exchange, "internal", "the array has an internal error")
        finally:
            exchange.close()

    def _refuse(self, exchange: Exchange, code: str, text: str) -> None:
        """Refuse a request, also after its answer. The peer may have closed the channel already."""
        with suppress(LinkError):
            exchange.refuse(code, text)

    async def _send(self) -> None:
        """Send the output of the session, until the session has ended and its last bytes are sent."""
        session, environment = self.session, self._environment
        try:
            while session.has_output or self.ended is None:
                if not session.has_output:
                    await self._output.wait()
                    continue
                session.throttle.advance(environment.monotonic(), environment.time())
                output = session.take_output()
                if output:
                    await self._connection.send(output)
                    for exchange in list(self._exchanges.values()):
                        exchange.note_sent()
                else:
                    await self._output.wait(session.throttle.ready_at_s)
        except ConnectionLost as error:
            self._note_ended(session.lost(str(error)))
        finally:
            self._connection.close()

    async def _watch_time(self) -> None:
        """Send PING when it is due, notice a dead peer, and close a connection that does not end."""
        while self.ended is None:
            await self._environment.sleep(max(0.0, self.session.deadline_s - self._environment.monotonic()))
            now_s = self._environment.monotonic()
            self._handle(self.session.time_passed(now_s))
            for exchange in list(self._exchanges.values()):
                exchange.check_time(now_s)
        await self._environment.sleep(GOODBYE_TIMEOUT_S)
        self._connection.close()
