"""One channel of a link, for the code that requests or serves something."""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from odx_target.environment import Buffer, Environment, Event
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import ChannelEnded, LinkError, PeerFault
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import NO_FLAGS, Flag, Kind
from odx_target.replica.link.session import Session

NO_RIGHT = "right"
"""Code of the refusal of a request for which the path does not give the peer the right."""

UNKNOWN_REQUEST = "unknown"
"""Code of the refusal of a request that the array does not know."""


class RequestDenied(LinkError):
    """A request is refused. `code` is one word for programs, and the message is one line for a person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Exchange:
    """One channel. One task at a time may wait in `receive`.

    `on_output` is called when the session has something to send, and `on_fault` to end the link. `open_exchanges` has all
    exchanges of the link. The owner must call `close` when the exchange is over.
    """

    def __init__(
        self,
        number: int,
        session: Session,
        environment: Environment,
        on_output: Callable[[], None],
        on_fault: Callable[[PeerFault], None],
        open_exchanges: "dict[int, Exchange]",
    ) -> None:
        self.number = number
        self._session = session
        self._environment = environment
        self._on_output = on_output
        self._on_fault = on_fault
        self._open_exchanges = open_exchanges
        self._inbox: deque[Frame] = deque()
        self._answer: Mapping[str, Json] | None = None
        self._failure: LinkError | None = None
        self._is_closed = False
        self._arrival: Event | None = None
        self._space: Event | None = None
        self.max_wait_s = float("inf")
        """Time for which `answered`, `receive` and `room` wait for the peer. Then the exchange ends."""
        self.progress: Callable[[], int] | None = None
        """Returns a number that changes while the peer works for the exchange elsewhere. Then the time begins again."""
        self._seen_progress = 0
        self._waits_since_s: float | None = None

    @property
    def is_open(self) -> bool:
        """True if neither side has closed the channel, and the link is not lost."""
        return not self._is_closed

    @property
    def has_room(self) -> bool:
        """True if another frame may be sent now."""
        return self._session.has_room(self.number)

    async def answered(self) -> Mapping[str, Json]:
        """Wait for the answer to the own request. Raises RequestDenied and ChannelEnded."""
        while self._answer is None:
            self._raise_if_over()
            await self._wait_for_arrival()
        self._waits_since_s = None
        return self._answer

    async def receive(self) -> Frame | None:
        """Wait for the next frame. Returns None if the peer has closed the channel.

        Raises ChannelEnded if the link is lost, and RequestDenied if the peer cannot go on with the exchange.

        When the memory of the frame is free again, call `consumed`.
        """
        while not self._inbox:
            if self._failure is not None:
                raise self._failure
            if self._is_closed:
                return None
            await self._wait_for_arrival()
        self._waits_since_s = None
        return self._inbox.popleft()

    def received_now(self) -> Frame | None:
        """Return the next frame if it has arrived already."""
        return self._inbox.popleft() if self._inbox else None

    def violated(self, fault: PeerFault) -> PeerFault:
        """End the link, because a frame of the peer violates the rules of the exchange. Returns the exception to raise."""
        self._on_fault(fault)
        return fault

    def consumed(self, frame: Frame) -> None:
        """Note that a received frame needs no more memory."""
        self._session.consumed(self.number, frame.size_bytes)
        if self._session.has_output:
            self._on_output()

    async def room(self) -> None:
        """Wait until another frame may be sent. Raises ChannelEnded."""
        while not self.has_room:
            if self._failure is not None:
                raise self._failure
            self._note_wait()
            self._space = self._space or self._environment.event()
            await self._space.wait()
        self._waits_since_s = None

    def answer(self, document: Mapping[str, Json]) -> None:
        """Accept the request of the peer. Raises ChannelEnded."""
        self._session.answer(self.number, document)
        self._on_output()

    def refuse(self, code: str, text: str) -> None:
        """Refuse the request of the peer, also after an answer. Raises ChannelEnded."""
        self._session.refuse(self.number, code, text)
        self._on_output()

    def revoke(self, denied: RequestDenied) -> None:
        """Refuse the request of the peer while it is served. The serving task gets `denied` when it waits the next time."""
        with suppress(ChannelEnded):
            self.refuse(denied.code, str(denied))
        self.note_end(denied)

    def send(self, kind: Kind, argument: int = 0, body: Buffer = b"", flags: Flag = NO_FLAGS) -> None:
        """Send a frame. The caller must not change `body`. Await `room` before. Raises ChannelEnded."""
        self._session.send(self.number, kind, argument, body, flags)
        self._on_output()

    def widen(self, size_bytes: int) -> int:
        """Grant the peer more credit; see `Session.widen`. Raises ChannelEnded."""
        credit_bytes = self._session.widen(self.number, size_bytes)
        self._on_output()
        return credit_bytes

    def close(self, *, drop_waiting: bool = False) -> None:
        """End the exchange after the waiting frames, or without them."""
        self._is_closed = True
        if self._open_exchanges.get(self.number) is self:
            del self._open_exchanges[self.number]
            self._session.close(self.number, drop_waiting=drop_waiting)
        self._on_output()

    def abandon(self) -> None:
        """End the exchange at once. Tasks that wait for it get ChannelEnded, unlike after `close` by its only task."""
        self.close(drop_waiting=True)
        self.note_end(ChannelEnded("the exchange was ended by this array"))

    def note_answer(self, document: Mapping[str, Json]) -> None:
        self._answer = document
        self._arrived()

    def note_frame(self, frame: Frame) -> None:
        self._inbox.append(frame)
        self._arrived()

    def note_end(self, failure: LinkError | None = None) -> None:
        """Note that the peer has closed the channel, has refused the request, or that the link is lost."""
        self._is_closed = True
        self._failure = self._failure or failure
        self._arrived()
        self.note_sent()

    def note_sent(self) -> None:
        """Note that frames were sent, so that there may be room for others."""
        if self._space is not None:
            self._space.set()
            self._space = None

    def check_time(self, now_s: float) -> None:
        """End the exchange if it waits for the peer for too long."""
        if self.progress is not None and self._waits_since_s is not None:
            present = self.progress()
            if present != self._seen_progress:
                self._seen_progress, self._waits_since_s = present, now_s
        if self._waits_since_s is not None and now_s - self._waits_since_s >= self.max_wait_s:
            self.note_end(ChannelEnded(f"the peer has not continued for {self.max_wait_s:.0f} s"))

    def _note_wait(self) -> None:
        if self._waits_since_s is None:
            self._waits_since_s = self._environment.monotonic()

    def _raise_if_over(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise ChannelEnded("the peer has closed the channel without an answer")

    async def _wait_for_arrival(self) -> None:
        self._note_wait()
        self._arrival = self._environment.event()
        await self._arrival.wait()

    def _arrived(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None
