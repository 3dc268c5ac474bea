"""A group of volumes at one of its two members: what hosts may do with it, and the tasks that keep both members equal."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum

from odx_target.environment import Buffer, Environment, Event
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import LinkError
from odx_target.replica.membership.messages import Action, Message, Receiver
from odx_target.replica.membership.register import Change
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.replica.sync.anchoring import Comparison
from odx_target.replica.sync.anchors import Anchors
from odx_target.replica.sync.courier import Courier, receive_messages
from odx_target.replica.sync.forced_promotion import ForcedPromotion, NoContent, PossibleLoss
from odx_target.replica.sync.group_records import GroupRecords, GroupSettings
from odx_target.replica.sync.group_volumes import GroupVolumes, volume_with
from odx_target.replica.sync.incoming_stream import IncomingStream
from odx_target.replica.sync.limits import GIVE_UP_MARGIN_S, MAX_HAND_OVER_S, MIN_READ_RATE_BYTES, READ_RATE_BYTES
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.replica.sync.outgoing_stream import OutgoingStream
from odx_target.replica.sync.preparation import encode_preparation
from odx_target.replica.sync.reading import AnchorReading, Source, serve_reading
from odx_target.replica.sync.stream_sender import StreamSender
from odx_target.store.api import Pool, PoolBusy, StoreError, Volume


class NotServing(Exception):
    """The member does not serve hosts now, or cannot say whether a change is made. The message is one line."""


class ChangeRefused(Exception):
    """The other member cannot make a change, so that neither member has made it. The message is one line."""


class GroupState(Enum):
    """State of a member for hosts."""

    SERVING = "serving"
    STANDBY = "standby"
    """In sync, and may take over."""
    WAITING = "waiting"
    """The primary, without a lease or before it has compared its stream."""
    OUT_OF_SYNC = "out of sync"
    TAKING_OVER = "taking over"
    HANDING_OVER = "handing over"
    """The primary, which ends the commands under way and then makes the other member the primary."""
    SETTLING = "settling"
    """The primary, for the moment in which a change of the membership becomes durable."""


NO_LIMIT_OSN = 1 << 64
"""All changes have a lower OSN."""


class Group:
    """One group in a running array. `path_to` returns the path to the array with a pool identity.

    Hosts use `read`, `write`, `unmap` and `flush`. Each of them returns when no failover can take its effect back.
    """

    def __init__(
        self, pool: Pool, environment: Environment, settings: GroupSettings, path_to: Callable[[bytes], Path | None]
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._path_to = path_to
        self.records = records = GroupRecords(pool, settings.name)
        peer = settings.peer_pool.hex()
        self.driver = MemberDriver(pool, environment, records, peer, self._send, self._changed, self._tick)
        self._anchors = anchors = Anchors(pool, settings.name)
        self.list = GroupVolumes(pool, records, anchors, settings)
        """The list of the volumes, and what is called when it changes."""
        self._register = self.driver.member.register
        self._was_adding = False
        self._give_up_after_s = settings.out_of_sync_s + GIVE_UP_MARGIN_S
        self.monotonic = environment.monotonic
        self._is_draining = False
        self._flush_asked: tuple[StreamSender, int] | None = None
        self._flushed: tuple[StreamSender, int] | None = None
        """The stream and the OSN up to which the other member has flushed it for a switchover."""
        self._active = 0
        self._progress: Event = environment.event()
        self.on_progress: list[Callable[[], None]] = []
        """Functions that are called when the state or `due_osn` may have changed."""
        self.is_idle: Callable[[], bool] = lambda: True
        """Function that returns True if no command of a host is under way that does not use the methods of this class."""
        self.outgoing = OutgoingStream(
            pool, environment, settings, self.driver, anchors, self.list, lambda: path_to(settings.peer_pool), self._shipped
        )
        self.outgoing.is_isolated = records.is_isolated
        self.incoming = IncomingStream(pool, environment, records, self.driver, anchors, self.list)
        self.reading: AnchorReading | None = None
        """The last reading that `read_and_verify` has begun."""
        self._source = Source(pool, environment, anchors)
        self._forced = ForcedPromotion(pool, environment, anchors, self.volumes, lambda: self.driver.position)
        self._couriers = {
            Receiver.PEER: Courier(settings.name, environment, lambda: path_to(settings.peer_pool), self.driver.deliver),
            Receiver.WITNESS: Courier(settings.name, environment, lambda: path_to(settings.witness_pool), self.driver.deliver),
        }

    def start(self) -> None:
        """Begin the life of the member, in background jobs."""
        self._environment.start_soon(self.driver.run)
        self._environment.start_soon(self.outgoing.run)
        for courier in self._couriers.values():
            self._environment.start_soon(courier.run)

    def stop(self) -> None:
        """End the life of the member."""
        if self.reading is not None:
            self.reading.stop()
        self.driver.stop()
        self.outgoing.stop()
        self.incoming.close()
        for courier in self._couriers.values():
            courier.stop()
        self._wake()

    def remove(self) -> None:
        """End the membership, and forget it. The volumes stay. The caller commits the pool."""
        self.stop()
        self.records.remove()
        self._anchors.remove()

    @property
    def settings(self) -> GroupSettings:
        """The present settings. The volumes in them may change."""
        return self.list.settings

    @property
    def state(self) -> GroupState:
        """The present state of the member for hosts."""
        member = self.driver.member
        if self.driver.serves and not self._is_draining:
            return GroupState.SERVING
        if member.is_primary:
            if self._is_draining:
                return GroupState.HANDING_OVER
            is_settling = self.driver.is_settling and member.serves(self._environment.monotonic())
            return GroupState.SETTLING if is_settling else GroupState.WAITING
        if member.request is not None and member.request.change is Change.PROMOTE:
            return GroupState.TAKING_OVER
        return GroupState.STANDBY if member.is_in_sync else GroupState.OUT_OF_SYNC

    def volumes(self) -> list[Volume]:
        """Return the volumes in the order of the group. Raises StoreError if one of them was deleted."""
        return self.list.present()

    @property
    def due_osn(self) -> int | None:
        """Hosts may be told now of all changes with a lower OSN than this one. None if they can never be told of changes of
        which they were not told yet, because the other member may have taken over without them.
        """
        driver = self.driver
        if driver.acknowledges:
            return self.outgoing.peer_osn + 1 if self.outgoing.needs_peer else NO_LIMIT_OSN
        if driver.failure or self._pool.failure is not None:
            return None
        return 0 if driver.is_settling or driver.member.serves(self._environment.monotonic()) else None

    def admit_change(self) -> None:
        """Prepare the stream for a change by a command that was let in before, which then also waits for `due_osn`.

        A command that was let in goes on while the group hands over. Raises NotServing, StoreError.
        """
        if not self.driver.serves:
            raise NotServing(f"the group {self.settings.name} is {self.state.value} here")
        self.driver.open_position()

    async def read(self, volume: Volume, block: int, count_blocks: int) -> list[Buffer]:
        """Read blocks. Raises NotServing, and the exceptions of `Volume.read`."""
        with self._command():
            data = await volume.read(block, count_blocks)
            await self._pool.committed()
            await self.acknowledged(self._pool.committed_osn)
            return data

    async def write(self, volume: Volume, block: int, data: Sequence[Buffer]) -> None:
        """Write blocks. Raises NotServing, and the exceptions of `Volume.write` but PoolBusy."""
        await self.change(lambda: volume.write(block, data), volume.room_made)

    async def unmap(self, volume: Volume, block: int, count_blocks: int) -> None:
        """Unmap blocks. Raises NotServing, and the exceptions of `Volume.unmap` but PoolBusy."""
        await self.change(lambda: volume.unmap(block, count_blocks), volume.room_made)

    async def change(self, change: Callable[[], object], room_made: Callable[[], Awaitable[None]]) -> None:
        """Make a change of the volumes, and wait until both members have it. Raises NotServing, and those of `change`."""
        with self._command():
            while True:
                self._require_service()
                try:
                    change()
                    break
                except PoolBusy:
                    await room_made()
            await self._pool.committed()
            await self.acknowledged(self._pool.committed_osn)

    async def prepare(self, word: str, document: dict[str, Json]) -> None:
        """Ask the other member, if it is needed, whether it can make a change (the first phase); see `PREPARATIONS`.

        Raises ChangeRefused if it cannot, and then nothing has changed. Raises NotServing, StoreError.
        """
        with self._command():
            give_up_s = self._environment.monotonic() + self._give_up_after_s
            while self.outgoing.needs_peer:
                answers: list[str] = []
                with suppress(LinkError):
                    self.outgoing.prepare_peer(encode_preparation(word, document), answers.append)
                sender = self.outgoing.sender
                while not answers and self.outgoing.needs_peer and self.outgoing.sender is sender:
                    await self._progressed(give_up_s)
                if answers and answers[0]:
                    raise ChangeRefused(f"the other member of the group {self.settings.name} refuses: {answers[0]}")
                if answers:
                    return

    def cancel_preparation(self) -> None:
        """Undo what the other member has prepared, because the change does not follow. If the message is lost, the other member
        does it at the begin of the next stream.
        """
        with suppress(LinkError):
            self.outgoing.prepare_peer(encode_preparation("nothing", {}), lambda _: None)

    async def flush(self) -> None:
        """Make everything durable that was acknowledged, on all members in sync. Raises NotServing, StoreError."""
        with self._command():
            await self.flush_members()

    async def flush_members(self) -> None:
        """Make everything durable that was done before, on all members in sync, for a command that was let in before.

        Raises NotServing, StoreError.
        """
        give_up_s = self._environment.monotonic() + self._give_up_after_s
        await self._pool.committed()
        osn = self._pool.committed_osn
        await self._pool.flush()
        while self.outgoing.needs_peer:
            if self.outgoing.peer_osn < osn - 1:  # The other member flushes what it has.
                await self._progressed_unless_lost(give_up_s)
                continue
            done: list[bool] = []
            with suppress(LinkError):
                self.outgoing.flush_peer(lambda done=done: done.append(True))  # type: ignore[misc]
            sender = self.outgoing.sender
            while not done and self.outgoing.needs_peer and self.outgoing.sender is sender:
                await self._progressed_unless_lost(give_up_s)
            if done:
                break
        while not self.driver.acknowledges:
            await self._progressed_unless_lost(give_up_s)

    async def _progressed_unless_lost(self, give_up_s: float) -> None:
        """Wait until something has changed. Raises NotServing if hosts can never be told of what was done."""
        if self.due_osn is None:
            raise NotServing(f"the group {self.settings.name} is {self.state.value} here")
        await self._progressed(give_up_s)

    async def acknowledged(self, osn: int) -> None:
        """Wait until hosts may be told of all changes with a lower OSN. Raises NotServing if that is never known."""
        give_up_s = self._environment.monotonic() + self._give_up_after_s
        while not (self.driver.acknowledges and (not self.outgoing.needs_peer or self.outgoing.peer_osn >= osn - 1)):
            await self._progressed(give_up_s)

    async def _progressed(self, give_up_s: float) -> None:
        """Wait until something has changed. Raises NotServing if it has no use to wait."""
        has_failed = self.driver.failure or self._pool.failure is not None
        if not self.driver.member.is_primary or has_failed or self._environment.monotonic() >= give_up_s:
            raise NotServing(
                f"the group {self.settings.name} has another primary, has failed, or waits for its other member for too long"
            )
        await self._progress.wait()

    def _require_service(self) -> None:
        """Check that hosts may be served now. Raises NotServing, StoreError."""
        if self.state is not GroupState.SERVING:
            raise NotServing(f"the group {self.settings.name} is {self.state.value} here")
        self.driver.open_position()

    async def switchover(self) -> None:
        """Make the other member the primary, without a moment at which hosts get an error from both. Raises NotServing, also if
        this takes longer than MAX_HAND_OVER_S, because new commands are refused meanwhile.
        """
        give_up_s = self._environment.monotonic() + MAX_HAND_OVER_S
        self._require_service()
        self._is_draining = True
        self._wake()
        try:
            while self.driver.member.is_primary:
                await self._progressed(give_up_s)
        finally:
            self._is_draining = False
            self._wake()

    async def isolate(self) -> None:
        """Go on without the other member, until `resync` is called. Raises NotServing, and the exceptions of `Volume.write`.

        If the witness does not answer, the other member is dropped when it does.
        """
        self._require_service()
        self.records.keep_isolation(is_isolated=True)
        self.outgoing.is_isolated = True
        await self._pool.committed()
        await self._until_alone()

    async def drop_other(self, reason: str) -> None:
        """Drop the other member, which is resynchronised at once. Raises NotServing."""
        self._require_service()
        if self.outgoing.needs_peer:
            self.outgoing.fail_peer(reason)
            await self._until_alone()

    async def _until_alone(self) -> None:
        await self._until(
            lambda: not self.outgoing.needs_peer, "the witness has not answered, and the other member is dropped when it does"
        )

    async def resync(self) -> None:
        """End an isolation, and begin a resync again that is under way. Raises NotServing, and those of `Volume.write`."""
        if not self.driver.member.is_primary:
            raise NotServing(f"the group {self.settings.name} is {self.state.value} here: begin the resync at the primary")
        self._end_isolation()
        await self._pool.committed()
        if not self.outgoing.is_peer_in_sync:
            self.outgoing.close()

    async def verify(self) -> bool:
        """Compare both members at an anchor that is taken now, by digests. Returns True if they are equal. If they are not, the
        other member is dropped, and both members keep the anchor. Raises NotServing.
        """
        return bool((await self._compare()).is_equal)

    async def read_and_verify(self, rate_bytes: int = READ_RATE_BYTES) -> AnchorReading:
        """Verify, and then begin to read and compare all data of both members in the background, as it is at an anchor.

        Each member reads at most `rate_bytes` in a second. If data differs, the other member is dropped at the end. Raises
        ChangeRefused if the rate is too low. Raises NotServing, also if the digests differ or another reading is under way.
        """
        if rate_bytes < MIN_READ_RATE_BYTES:
            raise ChangeRefused(f"the data of a group is read with at least {MIN_READ_RATE_BYTES} bytes in a second")
        if self.reading is not None and not self.reading.is_over:
            raise NotServing(f"the data of the group {self.settings.name} is being read already")
        comparison = await self._compare()
        path = self._path_to(self.settings.peer_pool)
        link = None if path is None else path.link
        if not comparison.is_equal or link is None:
            raise NotServing(f"the members of the group {self.settings.name} are not connected, or have different maps")
        if self.reading is not None and not self.reading.is_over:
            raise NotServing(f"the data of the group {self.settings.name} is being read already")
        self._anchors.pinned = [comparison.guid]
        self.reading = AnchorReading(self._source, comparison.guid, rate_bytes, self._reading_ended)
        self._environment.start_soon(self.reading.run, link, self.settings.name)
        return self.reading

    def _reading_ended(self, reading: AnchorReading) -> None:
        self._anchors.pinned = []
        if reading.count_different:
            with suppress(StoreError):
                self._anchors.suspect()
            self.outgoing.fail_peer("both members read different data at an anchor")
        self._wake()

    async def _compare(self) -> Comparison:
        self._require_service()
        if not self.outgoing.is_peer_in_sync:
            raise NotServing(f"the other member of the group {self.settings.name} is not in sync")
        comparison = self.outgoing.anchoring.request()
        await self._until(lambda: comparison.is_equal is not None, "the other member has reported no digests")
        return comparison

    def possible_loss(self) -> PossibleLoss:
        """Return what hosts may lose if this member is promoted by force now. Raises NotServing if it cannot be."""
        name, member = self.settings.name, self.driver.member
        path = self._path_to(self.settings.peer_pool)
        if member.is_primary:
            raise NotServing(f"this member is the primary of the group {name} already")
        if path is not None and path.link is not None:
            raise NotServing(f"the other member of the group {name} is connected: use a switchover, or stop it first")
        if not member.may_be_forced(self._environment.monotonic()):
            raise NotServing(f"the primary of the group {name} may serve for some seconds more")
        try:
            return self._forced.possible_loss()
        except NoContent as error:
            raise NotServing(f"the group {name} cannot be promoted here: {error}") from error

    async def promote_by_force(self) -> PossibleLoss:
        """Become the primary although neither the other member nor the witness may agree. Returns what hosts may lose.

        A person has made sure that the other member does not serve any more. When that one comes back, it learns the new epoch,
        keeps its own changes in snapshots `diverged-TIME`, and is resynchronised. Raises NotServing, and the exceptions of
        `Volume.write`.
        """
        loss = self.possible_loss()
        self.incoming.close()
        self.incoming.is_refusing = True
        try:
            await self._forced.restore()
            self.driver.post(self.driver.member.force)
            await self._until(lambda: self.driver.serves, "this member has not become the primary")
        except NoContent as error:
            raise NotServing(f"the group {self.settings.name} cannot be promoted here: {error}") from error
        finally:
            self.incoming.is_refusing = False
        return loss

    async def _until(self, is_reached: Callable[[], bool], reason: str) -> None:
        """Wait for a condition, but not for too long. Raises NotServing with the reason."""
        give_up_s = self._environment.monotonic() + self._give_up_after_s
        while not is_reached():
            if self.driver.failure or self._pool.failure is not None or self._environment.monotonic() >= give_up_s:
                raise NotServing(f"the group {self.settings.name}: {reason}")
            await self._progress.wait()

    def _end_isolation(self) -> None:
        if self.outgoing.is_isolated:
            self.records.keep_isolation(is_isolated=False)
            self.outgoing.is_isolated = False

    @contextmanager
    def _command(self) -> Iterator[None]:
        """Count a command of a host while it is under way. Raises NotServing, StoreError."""
        self._require_service()
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            self._wake()

    def _is_drained(self) -> bool:
        """True if no command is under way, and the other member has everything."""
        sender, member = self.outgoing.sender, self.driver.member
        has_all = sender is not None and sender.is_complete and sender.peer_osn >= self._pool.committed_osn - 1
        return not self._active and self.is_idle() and has_all and member.peer in member.register.in_sync

    async def serve_membership(self, exchange: Exchange) -> None:
        """Serve the channel on which the other member sends messages. Raises LinkError."""

        async def take(message: Message) -> None:
            self.driver.deliver(message)

        await receive_messages(exchange, take)

    async def serve_reading(self, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve a reading of an anchor by the other member. Raises LinkError."""
        await serve_reading(self._source, exchange, document)

    async def serve_stream(self, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve the stream of the other member. Raises LinkError."""
        await self.incoming.serve(exchange, document)

    def _send(self, receiver: Receiver, message: Message) -> None:
        self._couriers[receiver].send(message)

    def _changed(self) -> None:
        """Act on a call of the member: end streams of former registers, and let waiting commands go on."""
        record = self.driver.member.record
        if record.register != self._register or (self._was_adding and not record.is_adding):
            self._register = record.register
            self.outgoing.note_register()
            self.incoming.close()
        with suppress(StoreError):  # Tried again at the next call of the member.
            if self.driver.member.is_primary:
                self.incoming.preparation.undo()
            else:
                self._end_isolation()
        self._was_adding = record.is_adding
        self._wake()

    def _tick(self) -> None:
        """Do what is due: add, drop or obey the other member, and let commands end that have waited for too long."""
        self.outgoing.tick()
        if self._is_draining:
            self.driver.post(self._hand_over)
        with suppress(StoreError):  # Tried again at the next tick.
            self.finish_departure()
        self._wake()

    def finish_departure(self) -> None:
        """Forget that a volume has left the group, or delete it, as soon as no failover can bring it back.

        Raises the exceptions of `Volume.write`.
        """
        departure, member = self.records.departure, self.driver.member
        if departure is None:
            return
        if departure.identity not in self.list.identities:
            is_known = not self.outgoing.needs_peer or self.outgoing.peer_osn >= self._pool.committed_osn - 1
            if not (self.driver.serves and is_known) and not (member.is_in_sync and member.is_proven and not member.is_primary):
                return
            volume = volume_with(self._pool, departure.identity)
            if volume is not None and departure.deletes:
                self._pool.delete_volume(volume.name)
        self.records.keep_departure(None)

    def _hand_over(self, now_s: float) -> Sequence[Action]:
        sender = self.outgoing.sender
        if sender is None or not self._is_draining or not self._is_drained() or not self._is_flushed(sender):
            return ()
        actions = self.driver.member.change(Change.HAND_OVER, now_s)
        if actions:
            self.driver.handed_over_osn = sender.shipped_osn
            self.outgoing.close()  # The other member must get nothing after this position.
        return actions

    def _is_flushed(self, sender: StreamSender) -> bool:
        """True if the other member keeps through a loss of power what it has. Otherwise, it is asked to flush.

        A new primary that has lost the end of the stream, and a former one that has started again, could not be compared.
        """
        wanted = (sender, sender.shipped_osn)
        if self._flush_asked != wanted:
            self._flush_asked = wanted

            def flushed() -> None:
                self._flushed = wanted
                self.driver.post(self._hand_over)

            with suppress(LinkError):
                self.outgoing.flush_peer(flushed)
        return self._flushed == wanted

    def _shipped(self) -> None:
        """Wake commands that wait, and hand over as soon as none is left."""
        self._wake()
        if self._is_draining and self.driver.member.request is None and self._is_drained():
            self.driver.post(self._hand_over)

    def _wake(self) -> None:
        progress, self._progress = self._progress, self._environment.event()
        progress.set()
        for function in list(self.on_progress):
            function()
