"""Carries messages of the membership to one array, and back. Messages may be lost."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import LinkError, PeerFault
from odx_target.replica.link.kinds import Kind
from odx_target.replica.membership.messages import Message
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.replica.sync.membership_messages import decode_message, encode_message

MEMBERSHIP_REQUEST = "membership"

RETRY_S = 0.25
"""Pause before the channel is opened again."""


class Courier:
    """Keeps a channel open to the array at the other end of a path. `path` returns the path, or None while there is none."""

    def __init__(
        self, group: str, environment: Environment, path: Callable[[], Path | None], deliver: Callable[[Message], None]
    ) -> None:
        self._group = group
        self._environment = environment
        self._path = path
        self._deliver = deliver
        self._exchange: Exchange | None = None
        self._is_stopped = False

    def send(self, message: Message) -> None:
        """Send a message if the channel is open and has room."""
        if self._exchange is not None:
            _send(self._exchange, message)

    def stop(self) -> None:
        self._is_stopped = True
        self.restart()

    def restart(self) -> None:
        """Open another channel, because `path` returns another path from now on."""
        if self._exchange is not None:
            self._exchange.abandon()

    async def run(self) -> None:
        """Open the channel again and again, until `stop` is called."""
        while not self._is_stopped:
            path = self._path()
            link = None if path is None else path.link
            if path is not None and link is None:
                path.await_link()
            elif link is not None:
                with suppress(LinkError):
                    document = {"request": MEMBERSHIP_REQUEST, "group": self._group}
                    await self._carry(await link.request(document, TrafficClass.SYNCHRONOUS))
            await self._environment.sleep(RETRY_S)

    async def _carry(self, exchange: Exchange) -> None:
        self._exchange = exchange
        try:
            while not self._is_stopped and (frame := await exchange.receive()) is not None:
                exchange.consumed(frame)
                try:
                    self._deliver(decode_message(frame.body))
                except PeerFault as fault:
                    raise exchange.violated(fault) from None
        finally:
            self._exchange = None
            exchange.close()


def _send(exchange: Exchange, message: Message) -> None:
    """Send a message if the channel is open and has room. Otherwise the message is lost."""
    if exchange.is_open and exchange.has_room:
        with suppress(LinkError):
            exchange.send(Kind.MEMBERSHIP, 0, encode_message(message))


async def receive_messages(exchange: Exchange, take: Callable[[Message], Awaitable[Message | None]]) -> None:
    """Serve the channel of a courier: pass its messages to `take`, and send the answers if there is room. Raises LinkError."""
    exchange.answer({})
    while (frame := await exchange.receive()) is not None:
        exchange.consumed(frame)
        answer = await take(decode_message(frame.body))
        if answer is not None:
            _send(exchange, answer)
