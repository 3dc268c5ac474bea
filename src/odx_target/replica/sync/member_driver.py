"""The member of a group in a running array: its record and its position are durable before anybody learns of them.

All calls of the member are made one after the other by one task, because its actions must be done before its next call.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from odx_target.environment import Environment
from odx_target.replica.membership.member import Member
from odx_target.replica.membership.messages import Action, Keep, MemberRecord, Message, Receiver, Send
from odx_target.replica.paths.waker import Waker
from odx_target.replica.snapshots.moments import moment_text
from odx_target.replica.sync.group_records import GroupRecords
from odx_target.replica.sync.limits import MAX_UNSETTLED_MESSAGES
from odx_target.replica.sync.positions import NO_POSITION, StreamPosition, opened
from odx_target.store.api import Pool, PoolFailed, StoreError

TICK_S = 0.25
"""Interval at which the member is told the time."""

RETRY_S = 0.1
"""Pause before a record is written again that the pool could not take."""

Call = Callable[[float], Sequence[Action]]
"""A call of the member at a time of the monotonic clock."""


class MemberDriver:
    """Runs one life of a member. `send` sends a message, which may be lost. `on_change` is called after each call of
    the member, and `on_tick` after each interval.

    `handed_over_osn` is the end of the own part of the stream, which is noted before the member hands over.
    """

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        records: GroupRecords,
        peer: str,
        send: Callable[[Receiver, Message], None],
        on_change: Callable[[], None],
        on_tick: Callable[[], None],
    ) -> None:
        self.position = records.position()
        self.handed_over_osn: int | None = None
        self.is_settling = True
        """True while a record becomes durable. The member does not serve meanwhile."""
        self.failure = ""
        """The reason why the member can never act again in this life."""
        self._pool = pool
        self._environment = environment
        self._records = records
        self._send = send
        self._on_change = on_change
        self._on_tick = on_tick
        self._calls: deque[Call] = deque()
        self._waker = Waker(environment)
        self._tick_at_s = environment.monotonic()
        self._is_stopped = False
        record = records.member()
        self.member = Member(pool.identity.hex(), peer, replace(record, life=record.life + 1), environment.monotonic())

    def post(self, call: Call) -> None:
        """Call the member soon. The call is dropped if too many wait."""
        if len(self._calls) < MAX_UNSETTLED_MESSAGES:
            self._calls.append(call)
            self._waker.wake()

    def deliver(self, message: Message) -> None:
        """Pass a received message to the member soon."""
        self.post(lambda now_s: self.member.receive(message, now_s))

    def stop(self) -> None:
        self._is_stopped = True
        self._waker.wake()

    @property
    def has_ended(self) -> bool:
        """True if the member was stopped, and no record is being made durable, so that nothing changes any more."""
        return self._is_stopped and not self.is_settling

    @property
    def serves(self) -> bool:
        """True if hosts may be served now, see `Member.serves`."""
        return self._may_act and self.member.serves(self._environment.monotonic())

    @property
    def acknowledges(self) -> bool:
        """True if hosts may be told now what is done, see `Member.acknowledges`."""
        return self._may_act and self.member.acknowledges(self._environment.monotonic())

    @property
    def _may_act(self) -> bool:
        """True if no record is being made durable, and the pool has lost nothing that it had accepted."""
        return not self.is_settling and not self.failure and self._pool.failure is None

    async def run(self) -> None:
        """Begin the life, and carry it until the array stops or the pool fails."""
        try:
            await self._begin()
            while not self._is_stopped:
                await self._act()
        except PoolFailed as error:
            self.failure = str(error)
            self._on_change()

    async def _begin(self) -> None:
        """Make the new life durable, together with the end of a stream that may have lost its last changes."""
        self.position = self.position.closed(self._pool.recovered_osn - 1)
        await self._keep(self.member.record, self.position)
        self.is_settling = False
        self._on_change()

    async def _act(self) -> None:
        now_s = self._environment.monotonic()
        if self._calls:
            call = self._calls.popleft()
        elif now_s >= self._tick_at_s:
            self._tick_at_s = now_s + TICK_S
            self._on_tick()
            call = self.member.on_time
        else:
            await self._waker.wait(self._tick_at_s)
            return
        former = self.member.record
        actions = call(now_s)
        self.is_settling = any(not isinstance(action, Send) for action in actions)
        for action in actions:
            await self._do(action, former)
        self.is_settling = False
        self._on_change()

    async def _do(self, action: Action, former: MemberRecord) -> None:
        if isinstance(action, Send):
            self._send(action.receiver, action.message)
        elif isinstance(action, Keep):
            position = await self._position_after(former, action.record)
            is_forced = position == NO_POSITION and action.record.register.was_forced_after(former.register)
            await self._keep(action.record, position, has_diverged=is_forced)
        else:
            await self._durable()

    async def _position_after(self, former: MemberRecord, record: MemberRecord) -> StreamPosition | None:
        """Return the new position of the stream after a change of the register, or None if it stays as it is."""
        name = self.member.name
        is_primary, was_primary = record.register.primary == name, former.register.primary == name
        if is_primary and not was_primary:
            await self._until_done(self._pool.committed)
            return opened(self._pool.identity, self.position, self._pool.committed_osn)
        if was_primary and not is_primary and name not in record.register.in_sync:
            return NO_POSITION
        if was_primary and not is_primary:
            await self._until_done(self._pool.committed)
            end_osn, self.handed_over_osn = self.handed_over_osn, None
            return self.position.closed(self._pool.committed_osn - 1 if end_osn is None else end_osn)
        return None

    def open_position(self) -> None:
        """Note that the stream grows with the own log, before the first change of a host. Raises StoreError."""
        if not self.position.is_open:
            position = opened(self._pool.identity, self.position, self._pool.committed_osn)
            self._records.keep_position(position)
            self.position = position

    async def _keep(self, record: MemberRecord, position: StreamPosition | None, *, has_diverged: bool = False) -> None:
        """Make the records durable, and try again as long as the pool cannot take them. Raises PoolFailed.

        If `has_diverged` is True, this member may have told hosts of changes that the new primary lacks.
        """
        while True:
            try:
                if has_diverged:
                    self._records.keep_divergence(moment_text(self._environment.time()))
                self._records.keep_member(record)
                if position is not None:
                    self._records.keep_position(position)
            except PoolFailed:
                raise
            except StoreError:
                await self._environment.sleep(RETRY_S)
            else:
                break
        if position is not None:
            self.position = position
        await self._durable()

    async def _durable(self) -> None:
        """Make everything durable that the pool has. Raises PoolFailed."""
        await self._until_done(self._pool.committed)
        await self._until_done(self._pool.flush)

    async def _until_done(self, call: Callable[[], Awaitable[object]]) -> None:
        """Await a call of the pool, and repeat it as long as it fails. Raises PoolFailed."""
        while True:
            try:
                await call()
            except PoolFailed:
                raise
            except StoreError:
                await self._environment.sleep(RETRY_S)
            else:
                return
