"""A group of volumes at one of its two members: what hosts may do with it, and the tasks that keep both members equal."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from odx_target.copymgr.tokens.adopted import AdoptedTokens
from odx_target.environment import Buffer, Environment
from odx_target.replica.link.errors import LinkError
from odx_target.replica.membership.messages import Message, Receiver
from odx_target.replica.membership.register import Change
from odx_target.replica.membership.timing import PROMISE_S
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.courier import Courier, receive_messages
from odx_target.replica.sync.departures import Departures
from odx_target.replica.sync.group_records import GroupRecords, GroupSettings
from odx_target.replica.sync.group_states import GroupState, NotServing
from odx_target.replica.sync.group_volumes import GroupVolumes
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.replica.sync.progress import Progress
from odx_target.replica.sync.stream.incoming_stream import IncomingStream
from odx_target.replica.sync.stream.outgoing_stream import OutgoingStream
from odx_target.replica.sync.switchover import Switchover
from odx_target.store.api import Pool, PoolBusy, StoreError, Volume

NEVER_S = float("-inf")

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
        self.anchors = anchors = Anchors(pool, settings.name)
        self.list = GroupVolumes(pool, records, anchors, settings)
        """The list of the volumes, and what is called when it changes."""
        self._register = self.driver.member.register
        self._was_adding = False
        self._begins_until_s = NEVER_S
        """The time until which a new primary has not been without its first lease for too long."""
        self.monotonic = environment.monotonic
        self.progress = Progress(pool, environment, settings, self.driver)
        self._active = 0
        self.is_idle: Callable[[], bool] = lambda: True
        """Function that returns True if no command of a host is under way that does not use the methods of this class."""
        self.tokens = AdoptedTokens(pool, environment, settings.name)
        """The persistent tokens of the other member."""
        self.outgoing = OutgoingStream(
            pool, environment, settings, self.driver, anchors, self.list, self.tokens, self.path_to_peer, self._shipped
        )
        self.outgoing.is_isolated = records.is_isolated
        self.departures = Departures(pool, records, self.list, self.driver, self.outgoing)
        self.incoming = IncomingStream(pool, environment, records, self.driver, anchors, self.list, self.tokens)
        self._switchover = Switchover(
            pool, environment, self.driver, self.outgoing, self.progress, lambda: not self._active and self.is_idle()
        )
        self._couriers = {
            Receiver.PEER: Courier(settings.name, environment, self.path_to_peer, self.driver.deliver),
            Receiver.WITNESS: Courier(settings.name, environment, self.path_to_witness, self.driver.deliver),
        }

    def start(self) -> None:
        """Begin the life of the member, in background jobs."""
        self._environment.start_soon(self.driver.run)
        self._environment.start_soon(self.outgoing.run)
        for courier in self._couriers.values():
            self._environment.start_soon(courier.run)

    def stop(self) -> None:
        """End the life of the member."""
        self.driver.stop()
        self.outgoing.stop()
        self.incoming.close()
        for courier in self._couriers.values():
            courier.stop()
        self.progress.wake()

    def remove(self) -> None:
        """End the membership, and forget it. The volumes stay. The caller commits the pool."""
        self.stop()
        self.records.remove()
        self.anchors.remove()
        self.tokens.remove()

    @property
    def settings(self) -> GroupSettings:
        """The present settings. The volumes in them may change."""
        return self.list.settings

    @property
    def state(self) -> GroupState:
        """The present state of the member for hosts."""
        member = self.driver.member
        if self.driver.serves and not self._switchover.is_under_way:
            return GroupState.SERVING
        if member.is_primary:
            if self._switchover.is_under_way:
                return GroupState.HANDING_OVER
            now_s = self._environment.monotonic()
            is_settling = now_s < self._begins_until_s or (self.driver.is_settling and member.serves(now_s))
            return GroupState.SETTLING if is_settling else GroupState.WAITING
        if member.request is not None and member.request.change is Change.PROMOTE:
            return GroupState.TAKING_OVER
        return GroupState.STANDBY if member.is_in_sync else GroupState.OUT_OF_SYNC

    def path_to_peer(self) -> Path | None:
        """Return the path to the other member, if there is one."""
        return self._path_to(self.settings.peer_pool)

    def path_to_witness(self) -> Path | None:
        """Return the path to the witness, if there is one."""
        return self._path_to(self.settings.witness_pool)

    def change_witness(self, witness_pool: bytes) -> None:
        """Use another witness, which does not know the register, or whose record was lost. The caller makes the pool durable.

        Both members must agree before that witness decides anything. May raise the exceptions of `Volume.write`.
        """
        if witness_pool != self.settings.witness_pool:
            self.list.change_witness(witness_pool)
            self._couriers[Receiver.WITNESS].restart()

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
        with self.command():
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
        await self.settled()
        with self.command():
            while True:
                await self.settled()
                self.require_service()
                try:
                    change()
                    break
                except PoolBusy:
                    await room_made()
            await self._pool.committed()
            await self.acknowledged(self._pool.committed_osn)

    async def flush(self) -> None:
        """Make everything durable that was acknowledged, on all members in sync. Raises NotServing, StoreError."""
        with self.command():
            await self.flush_members()

    async def flush_members(self) -> None:
        """Make everything durable that was done before, on all members in sync, for a command that was let in before.

        Raises NotServing, StoreError.
        """
        give_up_s = self.progress.give_up_s
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
        await self.progress.next_change(give_up_s)

    async def acknowledged(self, osn: int) -> None:
        """Wait until hosts may be told of all changes with a lower OSN. Raises NotServing if that is never known."""
        give_up_s = self.progress.give_up_s
        while not (self.driver.acknowledges and (not self.outgoing.needs_peer or self.outgoing.peer_osn >= osn - 1)):
            await self.progress.next_change(give_up_s)

    async def settled(self) -> None:
        """Wait for the moment to end in which a change of the group becomes durable. Raises NotServing."""
        give_up_s = self.progress.give_up_s
        while self.state is GroupState.SETTLING:
            await self.progress.next_change(give_up_s)

    def require_service(self) -> None:
        """Check that hosts may be served now. Raises NotServing, StoreError."""
        if self.state is not GroupState.SERVING:
            raise NotServing(f"the group {self.settings.name} is {self.state.value} here")
        self.driver.open_position()

    async def switchover(self) -> None:
        """Make the other member the primary, without a moment at which hosts get an error from both. Raises NotServing, also if
        this takes longer than MAX_HAND_OVER_S, because new commands are refused meanwhile.
        """
        self.require_service()
        await self._switchover.run()

    async def drop_other(self, reason: str) -> None:
        """Drop the other member, which is resynchronised at once. Raises NotServing."""
        self.require_service()
        if self.outgoing.needs_peer:
            self.outgoing.fail_peer(reason)
            await self.until_alone()

    async def until_alone(self) -> None:
        """Wait until the other member is dropped. Raises NotServing."""
        await self.progress.until(
            lambda: not self.outgoing.needs_peer and not self.driver.is_settling,
            "the witness has not answered, and the other member is dropped when it does",
        )

    def keep_isolation(self, *, is_isolated: bool) -> None:
        """Begin or end the isolation of the other member, and remember it. Raises the exceptions of `Volume.write`."""
        if self.outgoing.is_isolated != is_isolated:
            self.records.keep_isolation(is_isolated=is_isolated)
            self.outgoing.is_isolated = is_isolated

    @contextmanager
    def command(self) -> Iterator[None]:
        """Count a command of a host while it is under way. Raises NotServing, StoreError."""
        self.require_service()
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            self.progress.wake()

    async def serve_membership(self, exchange: Exchange) -> None:
        """Serve the channel on which the other member sends messages. Raises LinkError."""

        async def take(message: Message) -> None:
            self.driver.deliver(message)

        await receive_messages(exchange, take)

    def _send(self, receiver: Receiver, message: Message) -> None:
        self._couriers[receiver].send(message)

    def _changed(self) -> None:
        """Act on a call of the member: end streams of former registers, and let waiting commands go on."""
        record = self.driver.member.record
        if record.register != self._register or (self._was_adding and not record.is_adding):
            if self._register.primary != record.register.primary == self.driver.member.name:
                self._begins_until_s = self._environment.monotonic() + PROMISE_S
            self._register = record.register
            self.outgoing.note_register()
            self.incoming.close()
        with suppress(StoreError):  # Tried again at the next call of the member.
            if self.driver.member.is_primary:
                self.incoming.preparation.undo()
            else:
                self.keep_isolation(is_isolated=False)
        self._was_adding = record.is_adding
        self.progress.wake()

    def _tick(self) -> None:
        """Do what is due: add, drop or obey the other member, and let commands end that have waited for too long."""
        self.outgoing.tick()
        self._switchover.tick()
        with suppress(StoreError):  # Tried again at the next tick.
            self.departures.finish()
        self.progress.wake()

    def _shipped(self) -> None:
        """Wake commands that wait, and hand over as soon as none is left."""
        self.progress.advance()
        self._switchover.shipped()
