"""A member of a group: when it serves hosts, when it grants a lease to the other member, and when it takes over."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from odx_target.replica.membership.messages import (
    Action,
    ChangeAnswer,
    ChangeRequest,
    FlushStream,
    Keep,
    LeaseGranted,
    LeaseReleased,
    LeaseRequest,
    LifeBegan,
    MemberRecord,
    Message,
    Receiver,
    RegisterIs,
    RegisterNews,
    RegisterUnknown,
    Seed,
    Send,
)
from odx_target.replica.membership.register import Change, Register
from odx_target.replica.membership.timing import LEASE_S, PROMISE_S, RENEWAL_INTERVAL_S, RETRY_INTERVAL_S

NEVER_S = float("-inf")
FOREVER_S = float("inf")


class _Promise(NamedTuple):
    """A promise to support no other primary until `until_s`: the answer to a request of a life of the primary."""

    until_s: float
    life: int
    sent_at_s: float


NO_PROMISE = _Promise(NEVER_S, 0, NEVER_S)


class Member:
    """One life of a member, from a start of its array to the next.

    `record` is the record of the earlier life with `life` raised by one, and is durable. All times are of the member's own
    monotonic clock. Each method that returns actions needs them done in their order, before the next call.

    The rules, by which at most one member serves at a time, and no acknowledged change is lost:

    1. While the peer is in sync, the primary serves only with a lease (`serves`).
    2. A member takes over only if it is in sync and proven, and has promised nothing (`may_take_over`).
    3. From its request to take over until the answer, it grants no lease and takes no changes (`_grants`, `takes_changes`).
    4. After a start it grants no lease before the witness has answered, so that requests of the earlier life are void.
    5. Only the witness can decide that the peer is no longer in sync; until then changes of hosts wait (`acknowledges`).
    6. From before its request to add the peer, the primary waits for it as for a peer in sync (`needs_peer`).
    7. After a start it is unproven until it has compared its stream with a peer in sync (`compared`).
    8. A request of another epoch is granted nothing; the stream ends a connection with a peer of another epoch.
    """

    def __init__(self, name: str, peer: str, record: MemberRecord, now_s: float) -> None:
        self.name = name
        self.peer = peer
        self.record = record
        self.is_proven = self._is_alone
        self.is_known_to_witness = False
        self.request: ChangeRequest | None = None
        """The request for a change that the witness has not answered yet."""
        self.promise = NO_PROMISE
        self.lease_until_s = NEVER_S
        self._released_at_s = NEVER_S
        self._requests = 0
        self._witness_heard_at_s = NEVER_S
        self._take_over_at_s = now_s + PROMISE_S
        self._renew_at_s = self._retry_at_s = now_s

    @property
    def register(self) -> Register:
        """The newest register that the member knows."""
        return self.record.register

    @property
    def is_primary(self) -> bool:
        """True if the member is the primary, as far as it knows."""
        return self.register.primary == self.name

    @property
    def is_in_sync(self) -> bool:
        """True if the member is in sync, as far as it knows."""
        return self.name in self.register.in_sync

    @property
    def needs_peer(self) -> bool:
        """True if the peer must have a change before a host is told that the change is made (rule 6)."""
        return self.peer in self.register.in_sync or self.record.is_adding

    def serves(self, now_s: float) -> bool:
        """True if the member may read and write for hosts."""
        return (
            self.is_primary
            and now_s >= self.promise.until_s
            and not self._requests_change(Change.HAND_OVER)
            and (not self.needs_peer or (self.is_proven and now_s < self.lease_until_s))
        )

    @property
    def serves_until_s(self) -> float:
        """The time until which a member that serves now may go on without another call of this object."""
        return self.lease_until_s if self.needs_peer else FOREVER_S

    def acknowledges(self, now_s: float) -> bool:
        """True if the member may tell hosts that changes are made which it has, and which the peer has if it is needed."""
        return self.serves(now_s) and not self._requests_change(Change.DROP)

    @property
    def takes_changes(self) -> bool:
        """True if the member may acknowledge the stream of the primary. Changes after its flush would be lost with it."""
        return not self._requests_change(Change.PROMOTE)

    def may_take_over(self, now_s: float) -> bool:
        """True if the member may ask the witness to become the primary (rule 2)."""
        return (
            not self.is_primary
            and self.is_in_sync
            and self.is_proven
            and self.is_known_to_witness
            and self.request is None
            and now_s >= self.promise.until_s
        )

    def receive(self, message: Message, now_s: float) -> Sequence[Action]:
        """Act on a message of the peer or of the witness."""
        if isinstance(message, LeaseRequest):
            return self._lease_requested(message, now_s)
        if isinstance(message, LeaseGranted):
            self._lease_granted(message)
        elif isinstance(message, LeaseReleased):
            self._lease_released(message)
        elif isinstance(message, RegisterNews):
            return self._learned(message.register, now_s)
        elif isinstance(message, RegisterIs):
            return self._witness_knows(message, now_s)
        elif isinstance(message, ChangeAnswer):
            return self._answered(message, now_s)
        elif isinstance(message, RegisterUnknown):
            return self._witness_lost(message)
        return ()

    def on_time(self, now_s: float) -> Sequence[Action]:
        """Do what is due: repeat requests, renew leases, take over from a primary that is silent."""
        found: list[Action] = []
        if now_s >= self._take_over_at_s and self.may_take_over(now_s):
            found += self.change(Change.PROMOTE, now_s)
        elif now_s >= self._retry_at_s:
            self._retry_at_s = now_s + RETRY_INTERVAL_S
            if not self.is_known_to_witness:
                found.append(Send(Receiver.WITNESS, LifeBegan(self.name, self.record.life)))
            if self.request is not None:
                found.append(Send(Receiver.WITNESS, self.request))
        if now_s >= self._renew_at_s:
            self._renew_at_s = now_s + RENEWAL_INTERVAL_S
            found += self._renewals(now_s)
        return found

    def change(self, change: Change, now_s: float) -> Sequence[Action]:
        """Request a change of the register. Nothing happens if the member may not request it now.

        DROP and PROMOTE leave one member alone, so it first flushes what both have. For ADD, the caller has made sure that the
        peer has everything that was acknowledged; for HAND_OVER, that the peer has everything.
        """
        if not self._may_request(change, now_s):
            return ()
        self._requests += 1
        self.request = ChangeRequest(
            self.name, self.record.life, self._requests, change, self.register.changed(change, self.name, self.peer)
        )
        self._retry_at_s = now_s + RETRY_INTERVAL_S
        self._take_over_at_s = now_s + RENEWAL_INTERVAL_S
        found: list[Action] = []
        if change is Change.ADD:
            found += self._keep(replace(self.record, is_adding=True))
        if change in (Change.DROP, Change.PROMOTE):
            found.append(FlushStream())
        if change is Change.HAND_OVER:
            self.lease_until_s, self._released_at_s = NEVER_S, now_s
            found.append(Send(Receiver.PEER, LeaseReleased(self.name, self.record.life, now_s)))
        return [*found, Send(Receiver.WITNESS, self.request)]

    def may_be_forced(self, now_s: float) -> bool:
        """True if `force` makes this member a primary that is alone: the present one has no lease that this member has granted,
        or this member is the primary, and does not serve because it has no lease.
        """
        if self.is_primary:
            return self.needs_peer and now_s >= self.lease_until_s
        return now_s >= self.promise.until_s

    def force(self, now_s: float) -> Sequence[Action]:
        """Become the primary at once, and alone, because a person says that the other member does not serve any more. Nothing
        happens if `may_be_forced` is False.

        The witness is told when it answers. The other member learns the new epoch from it, or from this member.
        """
        if not self.may_be_forced(now_s):
            return ()
        self.request = None
        self._renew_at_s = now_s
        return self._keep(
            replace(self.record, register=self.register.changed(Change.FORCE, self.name, self.peer), is_adding=False)
        )

    def compared(self, own_position: int, peer_position: int) -> None:
        """Note the positions at which the streams of both members end, in the present epoch (rule 7).

        A member in sync that has all that the peer has is proven. The caller first brings the peer's longer stream here.
        """
        if self.is_in_sync and own_position >= peer_position:
            self.is_proven = True

    def caught_up(self) -> None:
        """Note that the primary has brought the whole stream to this member in its present life, before it is added."""
        self.is_proven = True

    def fell_behind(self) -> None:
        """Note that the primary brings the stream to this member from the beginning."""
        self.is_proven = False

    @property
    def _is_alone(self) -> bool:
        return self.register.in_sync == {self.name} and not self.record.is_adding

    def _renewals(self, now_s: float) -> Sequence[Action]:
        """Return requests for leases. A member that needs none asks the witness whether it still has its register.

        A primary that is alone has a lease of the witness all the same, so that it goes on serving when the peer is added.
        """
        request = LeaseRequest(self.name, self.record.life, self.register.epoch, now_s)
        if self.is_primary and self.needs_peer and self.is_proven:
            return [Send(receiver, request) for receiver in Receiver]
        question = Send(Receiver.WITNESS, LifeBegan(self.name, self.record.life))
        return [question, Send(Receiver.WITNESS, request)] if self.is_primary and self.is_proven else [question]

    def _may_request(self, change: Change, now_s: float) -> bool:
        if self.request is not None or not self.is_known_to_witness:
            return False
        if change is Change.PROMOTE:
            return self.may_take_over(now_s)
        if change is Change.ADD and now_s >= self._witness_heard_at_s + PROMISE_S:
            return False  # A witness that is away would not answer, and hosts would wait meanwhile.
        if change is Change.ADD and now_s >= self.lease_until_s:
            return False  # The primary would refuse hosts, because it needs a lease as soon as it needs the peer.
        return self.is_proven and not self.record.is_adding and self.register.allows(change, self.name, self.peer)

    def _requests_change(self, change: Change) -> bool:
        return self.request is not None and self.request.change is change

    def _lease_requested(self, request: LeaseRequest, now_s: float) -> Sequence[Action]:
        if not self._grants(request):
            return [Send(Receiver.PEER, RegisterNews(self.register))]
        self.promise = _Promise(now_s + PROMISE_S, request.life, request.sent_at_s)
        self._take_over_at_s = self.promise.until_s
        return [Send(Receiver.PEER, LeaseGranted(request.life, request.sent_at_s))]

    def _grants(self, request: LeaseRequest) -> bool:
        """True if the member promises the primary not to take over for a while (rules 3, 4 and 8)."""
        return (
            self.is_known_to_witness
            and self.request is None
            and self.is_in_sync
            and request.epoch == self.register.epoch
            and request.member == self.register.primary == self.peer
        )

    def _lease_granted(self, granted: LeaseGranted) -> None:
        if granted.life == self.record.life and granted.sent_at_s > self._released_at_s:
            self.lease_until_s = max(self.lease_until_s, granted.sent_at_s + LEASE_S)

    def _lease_released(self, released: LeaseReleased) -> None:
        """End a promise whose lease the peer will not use. A lease that the peer requested later, or in a later life, stays."""
        if (self.promise.life, self.promise.sent_at_s) <= (released.life, released.sent_at_s):
            self.promise = NO_PROMISE

    def _witness_knows(self, message: RegisterIs, now_s: float) -> Sequence[Action]:
        if message.witness != self.record.witness or message.life != self.record.life:
            return ()
        is_first, self.is_known_to_witness = not self.is_known_to_witness, True
        self._witness_heard_at_s = now_s
        found = list(self._learned(message.register, now_s))
        if message.register.epoch < self.register.epoch and self._is_alone and self.is_primary:
            found.append(self._tell_of_force())
        if is_first and self.record.is_adding:  # The request of an earlier life is void.
            found += self._keep(replace(self.record, is_adding=False))
        return found

    def _tell_of_force(self) -> Send:
        """Send the present register to the witness, because it is newer than that of the witness since `force`."""
        self._requests += 1
        request = ChangeRequest(self.name, self.record.life, self._requests, Change.FORCE, self.register)
        return Send(Receiver.WITNESS, request)

    def _answered(self, answer: ChangeAnswer, now_s: float) -> Sequence[Action]:
        if answer.witness != self.record.witness or answer.life != self.record.life:
            return ()
        self._witness_heard_at_s = now_s
        refused = None
        if self.request is not None and answer.number == self.request.number:
            refused = None if answer.is_done else self.request.change
            self.request = None
        if refused is Change.PROMOTE:  # The lease of the witness ends somewhat later than the own promise.
            self._take_over_at_s = now_s + RETRY_INTERVAL_S
        found = list(self._learned(answer.register, now_s))
        if found and answer.is_done and not self.is_primary:  # The new primary does not wait until it asks the witness.
            found.append(Send(Receiver.PEER, RegisterNews(self.register)))
        if refused is Change.ADD and self.record.is_adding:
            found += self._keep(replace(self.record, is_adding=False))
        return found

    def _learned(self, register: Register, now_s: float) -> Sequence[Action]:
        """Take over a newer register. A request of an older epoch can no longer succeed, or has succeeded.

        A register that names anybody but the two members is ignored, because it would end the group.
        """
        if register.epoch <= self.register.epoch or not {register.primary, *register.in_sync} <= {self.name, self.peer}:
            return ()
        if self.request is not None and self.request.register.epoch <= register.epoch:
            self.request = None
        found = self._keep(replace(self.record, register=register, is_adding=False))
        self.is_proven &= self.is_in_sync
        self._renew_at_s, self._take_over_at_s = now_s, now_s + PROMISE_S
        # Hosts wait for the first lease of a new primary.
        return [*found, *self._renewals(now_s)] if self.is_primary else found

    def _witness_lost(self, unknown: RegisterUnknown) -> Sequence[Action]:
        """Help a witness that has lost its record. From now on, all answers of the lost record are ignored."""
        if unknown.life != self.record.life or unknown.witness in self.record.lost_witnesses:
            return ()
        found: list[Action] = []
        if unknown.witness != self.record.witness:
            self.request = None
            self.is_known_to_witness = False
            lost = self.record.lost_witnesses | {self.record.witness}
            found += self._keep(replace(self.record, witness=unknown.witness, lost_witnesses=lost))
        seed = Seed(self.name, self.record.life, unknown.witness, self.register)
        return [*found, Send(Receiver.WITNESS, seed)]

    def _keep(self, record: MemberRecord) -> list[Action]:
        """Keep a record. A member that is alone from now on flushes the stream, because nobody else has the changes."""
        was_alone, self.record = self._is_alone, record
        self.is_proven |= self._is_alone
        return [FlushStream(), Keep(record)] if self._is_alone and not was_alone else [Keep(record)]
