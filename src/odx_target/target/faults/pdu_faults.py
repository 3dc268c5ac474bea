"""Faults of PDUs: they are injected between the protocol and the socket of each connection, in both directions."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from odx_target.environment import Buffer, Environment
from odx_target.iscsi.session.session_registry import Session
from odx_target.target.faults.effects import Effects
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.pauses import Pauses
from odx_target.target.faults.pdu_queue import PduQueue
from odx_target.target.faults.rules import FaultRules
from odx_target.target.faults.wire_pdu import Digests, WirePdu, cut_pdus
from odx_target.target.server.pdu_filters import InputFilter, OutputFilter, Receive, TakeOutput


class FilteredConnection(Protocol):
    """The part of a connection that its filters use."""

    @property
    def session(self) -> Session | None: ...

    @property
    def digests(self) -> tuple[bool, bool]:
        """True for each digest of the connection, of headers and of data, that is in use."""

    def filter_pdus(self, output: OutputFilter, received: InputFilter) -> None:
        """Pass all PDUs that are sent or received through two filters."""

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> bool:
        """Start a task of the connection. Returns False if the connection has ended."""

    async def go_on(self) -> None:
        """Execute the commands of PDUs that a filter has passed on, and send the output."""

    def end_after_output(self) -> None:
        """End the connection after the present output has been sent."""


class PduFaults:
    """Puts filters into all connections as soon as there is a rule about PDUs. A connection keeps its filters."""

    def __init__(
        self,
        rules: FaultRules,
        environment: Environment,
        effects: Effects,
        connections: Callable[[], Iterable[FilteredConnection]],
    ) -> None:
        self._rules = rules
        self._pauses = Pauses(rules, environment)
        self._effects = effects
        self._connections = connections
        self._filtered: set[FilteredConnection] = set()
        rules.on_change.append(self.watch_all)

    def watch_all(self) -> None:
        """Filter the PDUs of all connections, if there are rules about PDUs."""
        if not self._rules.active(Point.PDU):
            return
        present = set(self._connections())
        self._filtered &= present
        for connection in present - self._filtered:
            self._filtered.add(connection)
            _Filters(self._rules, self._pauses, self._effects, connection).install()


class _Filters:
    """The two filters of one connection."""

    def __init__(self, rules: FaultRules, pauses: Pauses, effects: Effects, connection: FilteredConnection) -> None:
        self._rules = rules
        self._connection = connection
        self._sent = PduQueue(pauses, self._begin_pause_of_output, connection.end_after_output, effects.restart)
        self._received = PduQueue(pauses, self._begin_pause_of_input, connection.end_after_output, effects.restart)
        self._unprocessed = b""
        """Bytes of received PDUs that the protocol has not processed yet, because too much output waits."""
        self._receive: Receive | None = None
        self._now_s = 0.0

    def install(self) -> None:
        self._connection.filter_pdus(self._filter_output, self._filter_input)

    def _filter_output(self, take: TakeOutput) -> list[Buffer]:
        buffers = take()
        if self._sent.is_empty and not self._rules.active(Point.PDU):
            return buffers
        for pdu in cut_pdus(b"".join(buffers), Digests(*self._connection.digests)):
            self._sent.add(pdu, self._rules.hits(self._occurrence(pdu, is_received=False)))
        return list(self._sent.take())

    def _filter_input(self, receive: Receive, view: memoryview, now_s: float) -> int:
        self._receive, self._now_s = receive, now_s
        if self._received.is_empty and not self._unprocessed and not self._rules.active(Point.PDU):
            return receive(view, now_s)
        consumed_bytes = 0
        digests = Digests(*self._connection.digests)
        for pdu in cut_pdus(view, digests):
            consumed_bytes += len(pdu.content)
            self._received.add(pdu, self._rules.hits(self._occurrence(pdu, is_received=True)))
            self._pass_on()
            if Digests(*self._connection.digests) != digests:  # the login has ended, so the next PDUs have digests
                break
        self._pass_on()
        return consumed_bytes

    def _pass_on(self) -> None:
        """Make the protocol process the received PDUs that may pass."""
        assert self._receive is not None
        self._unprocessed += b"".join(self._received.take())
        if self._unprocessed:
            count_bytes = self._receive(memoryview(self._unprocessed), self._now_s)
            self._unprocessed = self._unprocessed[count_bytes:]

    def _occurrence(self, pdu: WirePdu, *, is_received: bool) -> Occurrence:
        session = self._connection.session
        return Occurrence(
            Point.PDU,
            pdu=pdu.opcode,
            is_received=is_received,
            initiator="" if session is None else session.initiator_name,
            target="" if session is None else session.target_name,
            isid="" if session is None else session.isid.hex(),
        )

    def _begin_pause_of_output(self, wait: Callable[[], Awaitable[None]]) -> None:
        async def pause() -> None:
            await wait()
            self._sent.pause_ended()
            await self._connection.go_on()

        self._connection.start_soon(pause)

    def _begin_pause_of_input(self, wait: Callable[[], Awaitable[None]]) -> None:
        async def pause() -> None:
            await wait()
            self._received.pause_ended()
            self._pass_on()
            await self._connection.go_on()

        self._connection.start_soon(pause)
