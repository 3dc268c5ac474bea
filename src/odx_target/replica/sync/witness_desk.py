"""The witness of groups whose members are other arrays. Its records are durable before their answers are sent."""

from collections.abc import Awaitable, Callable

from odx_target.environment import Environment, Event
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.membership.messages import ChangeRequest, LeaseRequest, LifeBegan, Message, Seed
from odx_target.replica.membership.witness import Witness, WitnessRecord
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.sync.courier import receive_messages
from odx_target.replica.sync.group_records import WITNESS_PREFIX, InvalidGroupRecord, decode_witness, encode_witness
from odx_target.replica.sync.limits import MAX_GROUPS
from odx_target.store.api import Pool, PoolFailed, StoreError

RETRY_S = 0.1

ABSENT = "absent"
"""Code of the refusal of a request about a group that this array does not know."""


class _Seat:
    """The witness of one group."""

    def __init__(self, members: tuple[str, str], witness: Witness) -> None:
        self.members = members
        self.witness = witness
        self.kept = witness.record
        self.busy: Event | None = None


class WitnessDesk:
    """The groups for which this array is the witness. `unreadable` has the names of groups whose records are damaged."""

    def __init__(self, pool: Pool, environment: Environment) -> None:
        self._pool = pool
        self._environment = environment
        self._seats: dict[str, _Seat] = {}
        self.unreadable: list[str] = []
        for key in pool.remembered_keys(WITNESS_PREFIX):
            name = key.removeprefix(WITNESS_PREFIX)
            try:
                members, record = decode_witness(name, pool.remembered(key) or b"")
            except InvalidGroupRecord:
                self.unreadable.append(name)
            else:
                self._seats[name] = _Seat(members, Witness(members, record, environment.monotonic()))

    def record(self, name: str) -> WitnessRecord:
        """Return the record of a group. Raises KeyError."""
        return self._seats[name].kept

    def add(self, name: str, members: tuple[str, str], record: WitnessRecord) -> None:
        """Become the witness of a group. The caller commits and flushes the pool. Raises StoreError."""
        if name in self._seats:
            raise StoreError(f"the array is the witness of a group {name} already")
        if len(self._seats) >= MAX_GROUPS:
            raise StoreError(f"the array is the witness of {MAX_GROUPS} groups, which is the limit")
        self._pool.remember(WITNESS_PREFIX + name, encode_witness(members, record))
        self._seats[name] = _Seat(members, Witness(members, record, self._environment.monotonic()))

    def renew(self, name: str, members: tuple[str, str], number: int) -> None:
        """Become the witness of a group whose register its members must tell first. The caller commits the pool.

        Raises StoreError if the array is the witness of another group with this name.
        """
        present = self._seats.get(name)
        if present is not None and set(present.members) != set(members):
            raise StoreError(f"the array is the witness of another group {name} already")
        if present is not None:
            self.remove(name)
        self.add(name, members, WitnessRecord(number, None))

    def remove(self, name: str) -> None:
        """Be the witness of a group no longer. The caller commits the pool. Raises KeyError if the array is not its witness."""
        if name in self.unreadable:
            self.unreadable.remove(name)
        else:
            del self._seats[name]
        self._pool.forget(WITNESS_PREFIX + name)

    @property
    def members(self) -> dict[str, tuple[str, str]]:
        """The members of each group, which are named by the identities of their pools."""
        return {name: seat.members for name, seat in self._seats.items()}

    def has(self, name: str, member: bytes) -> bool:
        """True if this array is the witness of a group with this member, which is named by the identity of its pool."""
        return name in self._seats and member.hex() in self._seats[name].members

    async def serve(self, path: Path, exchange: Exchange, name: str) -> None:
        """Serve the channel of a member. Raises LinkError."""
        seat = self._seats.get(name)
        member = path.settings.peer_pool.hex()
        if seat is None or member not in seat.members:
            raise RequestDenied(ABSENT, "this array is not the witness of the group")
        await receive_messages(exchange, self._taker(name, seat, member))

    def _taker(self, name: str, seat: _Seat, member: str) -> Callable[[Message], Awaitable[Message | None]]:
        async def take(message: Message) -> Message | None:
            if not isinstance(message, LifeBegan | LeaseRequest | ChangeRequest | Seed):
                raise PeerFault("a member sends a message that only a witness sends")
            if message.member != member:
                raise PeerFault("a member sends a message of another member")
            while seat.busy is not None:
                await seat.busy.wait()
            self._check_present(name, seat)
            answer = seat.witness.receive(message, self._environment.monotonic())
            if seat.witness.record is not seat.kept:
                await self._keep(name, seat)
                self._check_present(name, seat)
            return answer

        return take

    def _check_present(self, name: str, seat: _Seat) -> None:
        """Check that a seat was not removed. Raises RequestDenied."""
        if self._seats.get(name) is not seat:
            raise RequestDenied(ABSENT, "this array is not the witness of the group any more")

    async def _keep(self, name: str, seat: _Seat) -> None:
        """Make the record durable. Raises RequestDenied if the pool has failed, so that no answer is sent."""
        busy = seat.busy = self._environment.event()
        try:
            while seat.kept is not seat.witness.record and self._seats.get(name) is seat:
                record = seat.witness.record
                try:
                    self._pool.remember(WITNESS_PREFIX + name, encode_witness(seat.members, record))
                    await self._pool.committed()
                    await self._pool.flush()
                except PoolFailed as error:
                    raise RequestDenied("storage", "the witness cannot write to its disk") from error
                except StoreError:
                    await self._environment.sleep(RETRY_S)
                else:
                    seat.kept = record
        finally:
            seat.busy = None
            busy.set()
