"""The stream of a primary to the other member: it connects, ships, resynchronises, and adds or drops the other member."""

from collections import Counter
from collections.abc import Callable, Sequence

from odx_target.copymgr.tokens.adopted import AdoptedTokens
from odx_target.environment import Environment
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, LinkError, PeerFault
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.messages import shortened
from odx_target.replica.membership.messages import Action, RegisterNews
from odx_target.replica.membership.register import Change
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.waker import Waker
from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.replica.sync.anchors.anchoring import Anchoring
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.anchors.changed_blocks import ChangedRange, TooManyRanges, received_changes
from odx_target.replica.sync.group_records import GroupSettings
from odx_target.replica.sync.group_volumes import GroupVolumes
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.replica.sync.positions import contains, reached
from odx_target.replica.sync.stream.resync import blocks_to_ship, content_since, whole_content
from odx_target.replica.sync.stream.shipping import NeedsResync
from odx_target.replica.sync.stream.snapshot_chain import SnapshotChain, newest_snapshots
from odx_target.replica.sync.stream.stream_messages import STREAM_REQUEST, Greeting, greeting_document, read_greeting
from odx_target.replica.sync.stream.stream_meter import StreamMeter, decode_peer_time
from odx_target.replica.sync.stream.stream_sender import StreamSender, Walk
from odx_target.store.api import BLOCK_BYTES, Pool, Snapshot, StoreError

RETRY_S = 0.25
"""Pause before the stream is opened again."""

FAILED = "failed"
"""Code of the refusal of a member that cannot make the changes of the primary."""


class OutgoingStream:
    """Runs while the member is the primary. `on_progress` is called when replies may be due."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        settings: GroupSettings,
        driver: MemberDriver,
        anchors: Anchors,
        volumes: GroupVolumes,
        tokens: AdoptedTokens,
        path: Callable[[], Path | None],
        on_progress: Callable[[], None],
    ) -> None:
        self.sender: StreamSender | None = None
        """The sender of the open stream."""
        self.resyncs: Counter[str] = Counter()
        """Number of resyncs that have begun, by the content that they ship."""
        self.resync_kind: str | None = None
        """The content that the present resync ships. None if none runs."""
        self.meter = StreamMeter()
        self.anchors = anchors
        self.anchoring = Anchoring(pool, environment, anchors, self.fail_peer, on_progress)
        self._pool = pool
        self._environment = environment
        self._settings = settings
        self._driver = driver
        self._volumes = volumes
        self._tokens = tokens
        self._path = path
        self._on_progress = on_progress
        self._exchange: Exchange | None = None
        self._flushes: dict[int, Callable[[], None]] = {}
        self._preparations: dict[int, Callable[[str], None]] = {}
        self._last_question = 0
        self._must_ship_everything = False
        self._peer_snapshots: set[bytes] = set()
        self._must_drop = ""
        self.is_isolated = False
        """True if a person has isolated the other member: it is dropped, and not resynchronised."""
        self._joins_at_osn: int | None = None
        self._heard_at_s = environment.monotonic()
        self._waker = Waker(environment)
        self._is_stopped = False

    @property
    def needs_peer(self) -> bool:
        """True if replies wait until the other member has the changes: it is in sync, or is about to be."""
        return self._driver.member.needs_peer or self._joins_at_osn is not None

    @property
    def peer_osn(self) -> int:
        """The other member has all changes up to this OSN, as far as the present stream has told."""
        return -1 if self.sender is None else self.sender.peer_osn

    def close(self) -> None:
        """End the present stream, because the register has changed."""
        if self._exchange is not None:
            self._exchange.abandon()

    def stop(self) -> None:
        self._is_stopped = True
        self.close()
        self._waker.wake()

    def fail_peer(self, reason: str) -> None:
        """Drop the other member soon, because it cannot continue."""
        self._must_drop = reason

    def note_register(self) -> None:
        """Begin with a new register: the other member gets the whole time to answer."""
        self._heard_at_s = self._environment.monotonic()
        self._must_drop = ""
        self._must_ship_everything = False
        self.close()
        self._waker.wake()

    async def run(self) -> None:
        """Open the stream again and again, as long as the array runs."""
        while not self._is_stopped:
            path = self._path()
            link = None if path is None else path.link
            if link is not None and self._may_open and not (self.is_isolated and not self.is_peer_in_sync):
                await self._try(link)
            await self._waker.wait(self._environment.monotonic() + RETRY_S)

    @property
    def is_peer_in_sync(self) -> bool:
        """True if the register names the other member as one in sync."""
        member = self._driver.member
        return member.peer in member.register.in_sync

    @property
    def _may_open(self) -> bool:
        """True if a stream of the present register may begin."""
        member = self._driver.member
        is_handing_over = member.request is not None and member.request.change is Change.HAND_OVER
        return member.is_primary and not self._driver.is_settling and not is_handing_over

    async def _try(self, link: Link) -> None:
        try:
            await self._session(link)
        except NeedsResync as error:
            self._must_drop = str(error)
        except RequestDenied as denied:
            if denied.code == FAILED:
                self._must_drop = str(denied)
        except (LinkError, StoreError):
            pass  # A next stream begins soon; if the pool has failed, the member does not serve any more.

    def tick(self) -> None:
        """Drop the other member if it is silent for too long, or cannot continue. Add it if it has everything."""
        driver, now_s = self._driver, self._environment.monotonic()
        sender, member = self.sender, driver.member
        if sender is not None and sender.peer_osn >= self._pool.committed_osn - 1:
            self._heard_at_s = now_s
        is_silent = now_s - self._heard_at_s > self._settings.out_of_sync_s
        must_drop = is_silent or self.is_isolated or self._must_drop
        if member.is_primary and self.is_peer_in_sync and must_drop:
            driver.post(self._drop)
        elif self._joins_at_osn is not None:
            driver.post(self._add)
        elif sender is not None and sender.is_complete and driver.serves and self.is_peer_in_sync:
            self.anchoring.take_if_due(sender.shipped_osn, self._volumes.present)

    def _drop(self, now_s: float) -> Sequence[Action]:
        return self._driver.member.change(Change.DROP, now_s)

    def _add(self, now_s: float) -> Sequence[Action]:
        """Request to add the other member, if it has everything that hosts were told."""
        if self.sender is None or self._joins_at_osn is None or self.sender.peer_osn < self._joins_at_osn:
            return ()
        return self._driver.member.change(Change.ADD, now_s)

    def flush_peer(self, done: Callable[[], None]) -> None:
        """Ask the other member to make durable what was shipped. `done` is called when it has. Raises ChannelEnded."""
        if self._exchange is None or self.sender is None:  # A resync may not have begun yet.
            return
        self._last_question += 1
        self._flushes[self._last_question] = done
        self._exchange.send(Kind.FLUSH, self._last_question)

    def prepare_peer(self, body: bytes, done: Callable[[str], None]) -> None:
        """Ask the other member if it can make a change. `done` is called with the reason if it cannot, and with an empty text
        if it can. Raises ChannelEnded.
        """
        if self._exchange is None or self.sender is None:
            return
        self._last_question += 1
        self._preparations[self._last_question] = done
        self._exchange.send(Kind.PREPARE, self._last_question, body)

    async def _session(self, link: Link) -> None:
        """Carry one stream. Raises LinkError, NeedsResync, StoreError."""
        driver = self._driver
        member, register = driver.member, driver.member.register
        if member.peer not in register.in_sync and driver.serves:
            driver.open_position()  # A resync refers to the own log, also if no host has changed anything yet.
        end_osn = self._pool.committed_osn - 1 if driver.position.is_open else driver.position.osn
        position = driver.position.closed(end_osn)
        document = {"request": STREAM_REQUEST, "group": self._settings.name}
        greeting = Greeting(register, position, member.is_proven, tuple(self.anchors.guids), self._volumes.identities)
        exchange = await link.request({**document, **greeting_document(greeting)}, TrafficClass.SYNCHRONOUS)
        self._exchange = exchange
        try:
            answer = read_greeting(await exchange.answered())
            if self._is_stopped:
                return
            if answer.register != register or member.register != register or not self._may_open:
                driver.deliver(RegisterNews(answer.register))
                return
            if member.peer not in register.in_sync:
                self._must_drop = ""
                if driver.serves and not member.record.is_adding:
                    await self._resync(exchange, answer)
                return
            self._peer_snapshots = set(answer.snapshots)
            found = reached(answer.position, position)
            if found is None:
                if contains(position, answer.position):
                    member.compared(end_osn, end_osn)
                raise NeedsResync("the streams of both members have different histories")
            first_osn, reach_osn = found[0] + 1, found[1]
            member.compared(end_osn, reach_osn)
            if member.is_proven and end_osn >= reach_osn:
                self.meter.begin()
                await self._carry(exchange, answer.volumes, first_osn, reach_osn, None)
        except PeerFault as fault:
            raise exchange.violated(fault) from None
        finally:
            self._exchange = None
            exchange.close(drop_waiting=True)

    async def _resync(self, exchange: Exchange, theirs: Greeting) -> None:
        """Bring the content to a member that is out of sync: what has changed since a common anchor, or everything."""
        pool, environment, volumes = self._pool, self._environment, self._volumes.present()
        identities = self._volumes.identities
        guid = None
        if not self._must_ship_everything and identities[: len(theirs.volumes)] == theirs.volumes:
            guid = self.anchors.newest_common(theirs.anchors, len(theirs.volumes))
        self._peer_snapshots = set(theirs.snapshots)
        exchange.send(Kind.RESYNC, 0, guid or b"")
        maps = None if guid is None else self.anchors.maps(guid)
        kind = "everything" if maps is None else "since an anchor"
        self.resyncs[kind] += 1
        changes: Sequence[ChangedRange] = ()
        if maps is not None:
            try:
                changes = await received_changes(exchange, len(volumes))
            except TooManyRanges:
                self._must_ship_everything = True
                raise
        total_blocks = await blocks_to_ship(exchange, pool, environment, volumes, maps, changes)
        chain = SnapshotChain(pool, volumes, maps or (), theirs.snapshots)
        tokens = self._tokens.records(volumes)
        if maps is None:
            walk = whole_content(exchange, pool, environment, volumes, tokens)
        else:
            walk = content_since(exchange, pool, environment, volumes, changes, chain, tokens)
        if self._volumes.identities != identities:
            raise ChannelEnded("the group got other volumes while its resync was planned")
        if self._driver.serves:
            self._driver.open_position()
            first_osn = pool.committed_osn
            self.resync_kind = kind
            self.meter.begin(total_blocks * BLOCK_BYTES)
            self._peer_snapshots.update(chain.guids)
            await self._carry(exchange, identities, first_osn, first_osn - 1, walk, is_held=bool(chain.guids))

    @property
    def local_snapshots(self) -> list[Snapshot] | None:
        """Those of the newest snapshots of the group that the other member does not have. None if it is not connected.

        Snapshots stay local that were taken while a resync shipped content, or before a resync of everything.
        """
        if self.sender is None:
            return None
        known = self._peer_snapshots | self.sender.taken_snapshots
        guids = newest_snapshots(self._volumes.remaining())
        found = [self._pool.snapshots[guid] for guid in guids if guid not in known]
        return [each for each in found if KEPT_ATTRIBUTE not in each.attributes]

    async def _carry(
        self,
        exchange: Exchange,
        identities: Sequence[bytes],
        first_osn: int,
        reach_osn: int,
        walk: Walk | None,
        *,
        is_held: bool = False,
    ) -> None:
        """Ship, and take the answers, until the stream ends. With a `walk`, the other member is then added."""
        sender = StreamSender(
            self._pool,
            self._environment,
            exchange,
            identities,
            first_osn,
            walk,
            self._on_progress,
            own=self._volumes.identities,
            is_held=is_held,
            group=self._settings.name,
            reach_osn=reach_osn,
            meter=self.meter,
        )
        self.sender = sender
        failures: list[Exception] = []
        self._environment.start_soon(_run_sender, sender, exchange, failures)
        try:
            while (frame := await exchange.receive()) is not None:
                exchange.consumed(frame)
                self._heard_at_s = self._environment.monotonic()
                self._take(frame, sender, is_resync=walk is not None)
        except ChannelEnded:
            if not failures:
                raise
        finally:
            sender.close()
            self.sender = None
            self.resync_kind = None
            self._joins_at_osn = None
            self._flushes.clear()
            self._preparations.clear()
            self._on_progress()
        for failure in failures:
            raise failure

    def _take(self, frame: Frame, sender: StreamSender, *, is_resync: bool) -> None:
        """Act on an answer of the other member. Raises PeerFault."""
        if frame.kind is Kind.SHIPPED:
            self.meter.acknowledged(frame.argument, decode_peer_time(frame.body), self._heard_at_s)
            sender.acknowledged(frame.argument)
        elif frame.kind is Kind.COMPLETE:
            sender.completed(frame.argument)
            if sender.is_complete:
                self.resync_kind = None
            if is_resync and sender.is_complete:
                self._joins_at_osn = self._pool.committed_osn - 1
        elif frame.kind is Kind.ANCHORED:
            self.anchoring.reported(bytes(frame.body))
        elif frame.kind is Kind.FLUSHED:
            self._flushes.pop(frame.argument, _nothing)()
            self._on_progress()
        elif frame.kind is Kind.PREPARED:
            self._preparations.pop(frame.argument, _nothing)(shortened(bytes(frame.body).decode(errors="replace")))
            self._on_progress()
        else:
            raise PeerFault(f"{frame.kind.name} is not allowed in a stream")


async def _run_sender(sender: StreamSender, exchange: Exchange, failures: list[Exception]) -> None:
    """Run a sender. Its failure ends the exchange, and then the task that owns both."""
    try:
        await sender.run()
    except (LinkError, StoreError) as error:
        failures.append(error)
    finally:
        exchange.abandon()


def _nothing(*_: object) -> None:
    pass
