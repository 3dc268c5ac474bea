"""The receiving end of a stream: makes the shipped changes in the own pool, keeps the position, and acknowledges."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.link.errors import ChannelEnded, LinkError, PeerFault
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import Flag, Kind
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.sync.group_records import GroupRecords
from odx_target.replica.sync.limits import MAX_WAITING_ANCHORS, MAX_WAITING_FLUSHES, STEPS_OF_A_BLOCK
from odx_target.replica.sync.positions import StreamPosition
from odx_target.replica.sync.stream.background_answers import BackgroundAnswers
from odx_target.replica.sync.stream.items import Shipment, decode_shipment
from odx_target.replica.sync.stream.preparation import Preparation
from odx_target.replica.sync.stream.relog import NotApplied, Relog
from odx_target.replica.sync.stream.stream_meter import encode_peer_time
from odx_target.store.api import BLOCK_BYTES, Pool, PoolFailed, Scarcity, StoreError, Volume

RETRY_S = 0.1
CREDIT_BYTES = 4 << 20
"""Additional credit of the primary: the changes that may be under way."""

MAX_FRAMES_AT_ONCE = 32
"""Maximum number of frames whose changes are committed together."""


class StreamReceiver:
    """Receives one stream over `exchange`. `volumes` is the list that `relog` changes, if the group gets others.
    `start` is the position of this member, whose log is that of the primary.

    If `is_resync` is True, the content is not a prefix of the stream before COMPLETE, so no position is kept before.
    `keep` is called with each new position after it was remembered. `on_complete` is called with the OSN of a COMPLETE.
    """

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: GroupRecords,
        exchange: Exchange,
        relog: Relog,
        preparation: Preparation,
        volumes: Sequence[Volume],
        start: StreamPosition,
        keep: Callable[[StreamPosition], None],
        on_complete: Callable[[int], None],
        *,
        is_resync: bool,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._exchange = exchange
        self._relog = relog
        self._preparation = preparation
        self._volumes = volumes
        self._position = start
        self._keep = keep
        self._on_complete = on_complete
        self._is_resync = is_resync
        self._flushes = BackgroundAnswers(environment, self._flush, MAX_WAITING_FLUSHES)
        self._reports = BackgroundAnswers(environment, self._report_anchors, MAX_WAITING_ANCHORS)
        self._shipped_osn: int | None = None
        """OSN after which the next frame begins. None until the first frame, because the primary chooses the begin."""

    async def run(self) -> None:
        """Receive until the exchange ends. Raises LinkError."""
        exchange = self._exchange
        exchange.widen(CREDIT_BYTES)
        while (frame := await exchange.receive()) is not None:
            frames = [frame]
            while len(frames) < MAX_FRAMES_AT_ONCE and (more := exchange.received_now()) is not None:
                frames.append(more)
            await self._take(frames)

    async def _take(self, frames: list[Frame]) -> None:
        """Make the changes of some frames, commit them together, and answer."""
        began_s = self._environment.monotonic()
        shipments = [self._shipment(frame) for frame in frames]
        await self._note_reach(shipments)
        position = self._position
        shipped: int | None = None
        completed: int | None = None
        flushes: list[int] = []
        prepared: list[tuple[int, str]] = []
        for frame, shipment in zip(frames, shipments, strict=True):
            for item in () if shipment is None else shipment.items:
                await self._pool.turns.next_if_spent()
                self._pool.turns.take(1 + len(item.data) // BLOCK_BYTES * STEPS_OF_A_BLOCK)
                await self._relog.apply(item)
            if frame.kind is Kind.FLUSH:
                flushes.append(frame.argument)
            elif frame.kind is Kind.PREPARE:
                prepared.append((frame.argument, await self._prepare(frame)))
            elif frame.kind is Kind.COMPLETE or frame.flags & Flag.END:
                if frame.argument < position.osn:
                    raise self._exchange.violated(PeerFault("the positions of a stream go back"))
                position = position.at(frame.argument, max(frame.argument, position.reach_osn))
                if frame.kind is Kind.COMPLETE:
                    completed = frame.argument
                else:
                    shipped = frame.argument
            self._exchange.consumed(frame)
        if position != self._position and (not self._is_resync or completed is not None):
            await self._remember(position)
        self._position = position
        await self._until_done(self._pool.committed)
        if completed is not None:
            await self._complete(completed)
        await self._answer(shipped, completed, flushes, self._environment.monotonic() - began_s)
        for argument, reason in prepared:
            await self._send(Kind.PREPARED, argument, reason.encode())
        for guid in self._relog.take_reports():
            await self._reports.add(guid)

    async def _prepare(self, frame: Frame) -> str:
        """Prepare a change, and return why it cannot be made, or an empty text."""
        reasons: list[str] = []
        await self._relog.tried(lambda: reasons.append(self._preparation.prepare(frame.body)), self._volumes[0].room_made)
        return reasons[-1]

    def _shipment(self, frame: Frame) -> Shipment | None:
        """Decode a frame, and check that it continues the stream. Returns None for a frame without changes."""
        if frame.kind is not Kind.SHIP:
            if frame.kind not in (Kind.COMPLETE, Kind.FLUSH, Kind.PREPARE):
                raise self._exchange.violated(PeerFault(f"{frame.kind.name} is not allowed in a stream"))
            if frame.kind is Kind.COMPLETE:
                self._shipped_osn = frame.argument
            return None
        shipment = decode_shipment(frame.body)
        if self._shipped_osn is not None and shipment.previous_osn != self._shipped_osn:
            raise self._exchange.violated(PeerFault(f"changes after {self._shipped_osn} are missing in a stream"))
        self._shipped_osn = frame.argument if frame.flags & Flag.END else shipment.previous_osn
        return shipment

    async def _note_reach(self, shipments: Sequence[Shipment | None]) -> None:
        """Remember how far the effects of some frames reach, before any of them is in the pool.

        If this array is interrupted, it has effects of changes that it will not have acknowledged.
        """
        reach_osn = max([self._position.reach_osn, *(each.reach_osn for each in shipments if each is not None)])
        if reach_osn == self._position.reach_osn:
            return
        position = self._position.at(self._position.osn, reach_osn)
        if self._is_resync:
            self._position = position
        else:
            await self._remember(position)

    async def _remember(self, position: StreamPosition) -> None:
        await self._relog.tried(lambda: self._records.keep_position(position), self._volumes[0].room_made)
        self._position = position
        self._keep(position)

    async def _complete(self, osn: int) -> None:
        """End a resync: from now on, this member has the whole stream, and keeps it through a loss of power."""
        if self._is_resync:
            await self._until_done(self._pool.flush)
            self._is_resync = False
        self._relog.check_wanted()
        self._on_complete(osn)

    async def _answer(self, shipped: int | None, completed: int | None, flushes: Sequence[int], took_s: float) -> None:
        self._relog.check_wanted()
        if shipped is not None:
            await self._send(Kind.SHIPPED, shipped, encode_peer_time(took_s))
        if completed is not None:
            await self._send(Kind.COMPLETE, completed)
        for argument in flushes:
            await self._flushes.add(argument)

    async def _send(self, kind: Kind, argument: int, body: bytes = b"") -> None:
        """Send an answer when there is room for it. Raises ChannelEnded, also if the stream is not wanted any more by then."""
        await self._exchange.room()
        self._relog.check_wanted()
        if not self._exchange.is_open:
            raise ChannelEnded("the primary has ended the stream")
        self._exchange.send(kind, argument, body)

    async def _flush(self, arguments: list[int]) -> None:
        """Make durable what was shipped before some FLUSH, while the stream goes on."""
        try:
            await self._until_done(self._pool.flush)
            for argument in arguments:
                await self._send(Kind.FLUSHED, argument)
        except LinkError:
            self._exchange.abandon()

    async def _report_anchors(self, guids: list[bytes]) -> None:
        """Report the newest anchor when it is durable, with the digests of its maps. Otherwise the primary takes others."""
        with suppress(LinkError, StoreError):
            await self._until_done(self._pool.flush)
            anchors = self._relog.anchors
            digests = [await each.digest() for each in (None if anchors is None else anchors.maps(guids[-1])) or ()]
            if digests:
                await self._send(Kind.ANCHORED, 0, guids[-1] + b"".join(digests))

    async def _until_done(self, call: Callable[[], Awaitable[object]]) -> None:
        """Await a call of the pool, and repeat it as long as a resource is missing. Raises NotApplied."""
        while True:
            try:
                await call()
            except PoolFailed as error:
                raise NotApplied(str(error)) from error
            except Scarcity:
                await self._environment.sleep(RETRY_S)
            except StoreError as error:
                raise NotApplied(str(error)) from error
            else:
                return
