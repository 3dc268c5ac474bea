"""Members and witnesses that break one rule each. The model must notice it."""

from collections.abc import Sequence
from dataclasses import replace

from odx_target.replica.membership.member import NO_PROMISE, Member
from odx_target.replica.membership.messages import (
    Action,
    ChangeAnswer,
    FlushStream,
    LeaseGranted,
    LeaseReleased,
    LeaseRequest,
    MemberRecord,
    Message,
    RegisterIs,
    Seed,
)
from odx_target.replica.membership.register import Change, Register
from odx_target.replica.membership.witness import MemberRequest, Witness, WitnessRecord


class ServesWithoutLease(Member):
    """Rule 1."""

    def serves(self, now_s: float) -> bool:
        self.lease_until_s = now_s + 1
        return super().serves(now_s)


class BreaksItsPromise(Member):
    """Rule 2: takes over although it has granted a lease."""

    def on_time(self, now_s: float) -> Sequence[Action]:
        self.promise = NO_PROMISE
        self._take_over_at_s = now_s
        return super().on_time(now_s)


class WitnessBreaksItsPromise(Witness):
    """Rule 2: the witness agrees although it has granted a lease."""

    def has_promised(self, now_s: float) -> bool:
        return False


class WitnessForgetsItsPromise(Witness):
    """Rule 2: a witness that starts does not wait for the leases that it may have granted before."""

    def __init__(self, members: tuple[str, str], record: WitnessRecord, now_s: float) -> None:
        super().__init__(members, record, now_s)
        self._promise_until_s = now_s


class TakesOverUnproven(Member):
    """Rule 2: takes over with a stream that it has not compared."""

    def may_take_over(self, now_s: float) -> bool:
        proven, self.is_proven = self.is_proven, True
        try:
            return super().may_take_over(now_s)
        finally:
            self.is_proven = proven


class GrantsDuringItsRequest(Member):
    """Rule 3: grants a lease while the witness may make it the primary."""

    def _grants(self, request: LeaseRequest) -> bool:
        own, self.request = self.request, None
        try:
            return super()._grants(request)
        finally:
            self.request = own


class WitnessTakesOldRequests(Witness):
    """Rule 3: a request that was refused succeeds when a copy of it arrives later."""

    def receive(self, request: MemberRequest, now_s: float) -> Message | None:
        self.record = replace(self.record, last={})
        return super().receive(request, now_s)


class GrantsAtOnce(Member):
    """Rule 4: grants leases before the witness knows its new life."""

    def _grants(self, request: LeaseRequest) -> bool:
        known, self.is_known_to_witness = self.is_known_to_witness, True
        try:
            return super()._grants(request)
        finally:
            self.is_known_to_witness = known


class WitnessMixesLives(Witness):
    """Rule 4: a request of an earlier life still counts."""

    def _is_of_newest_life(self, request: MemberRequest) -> bool:
        super()._is_of_newest_life(request)
        return True


class DropsByItself(Member):
    """Rule 5: does not wait until the witness has answered that the peer is not in sync any more."""

    @property
    def needs_peer(self) -> bool:
        return super().needs_peer and not self._requests_change(Change.DROP)

    def acknowledges(self, now_s: float) -> bool:
        return self.serves(now_s)


class AddsWithoutWaiting(Member):
    """Rule 6: waits for the peer only after it knows that the peer was added."""

    @property
    def needs_peer(self) -> bool:
        return self.peer in self.register.in_sync


class ForgetsThatItAdds(Member):
    """Rule 6: the note that it adds the peer does not survive a crash."""

    def __init__(self, name: str, peer: str, record: MemberRecord, now_s: float) -> None:
        super().__init__(name, peer, replace(record, is_adding=False), now_s)


class TrustsItsStream(Member):
    """Rule 7: believes after a start that its stream is complete."""

    def __init__(self, name: str, peer: str, record: MemberRecord, now_s: float) -> None:
        super().__init__(name, peer, record, now_s)
        self.is_proven = True


class GrantsToOldEpochs(Member):
    """Rule 8: grants a lease to the primary of another epoch."""

    def _grants(self, request: LeaseRequest) -> bool:
        return self.is_known_to_witness and self.request is None and request.member == self.peer


class WitnessGrantsToOldEpochs(Witness):
    """Rule 8: grants a lease to a primary that does not know that the peer is in sync, or another one is the primary."""

    def _grants(self, request: LeaseRequest, register: Register) -> bool:
        return True


class DoesNotFlush(Member):
    """Serves alone without having flushed what the other member had too."""

    def _keep(self, record: MemberRecord) -> list[Action]:
        return [each for each in super()._keep(record) if not isinstance(each, FlushStream)]

    def change(self, change: Change, now_s: float) -> Sequence[Action]:
        return [each for each in super().change(change, now_s) if not isinstance(each, FlushStream)]


class ReleasesNewLeases(Member):
    """Ends its promise by a release of an earlier life."""

    def _lease_released(self, released: LeaseReleased) -> None:
        self.promise = NO_PROMISE


class UsesReleasedLeases(Member):
    """Uses a lease that it has released."""

    def _lease_granted(self, granted: LeaseGranted) -> None:
        self._released_at_s = float("-inf")
        super()._lease_granted(granted)


class BelievesLostWitness(Member):
    """Believes an answer of a record that the witness has lost since."""

    def _answered(self, answer: ChangeAnswer, now_s: float) -> Sequence[Action]:
        return super()._answered(replace(answer, witness=self.record.witness), now_s)

    def _witness_knows(self, message: RegisterIs, now_s: float) -> Sequence[Action]:
        return super()._witness_knows(replace(message, witness=self.record.witness), now_s)


class WitnessTakesOneSeed(Witness):
    """A witness that has lost its disk believes the first member."""

    def _seed(self, request: Seed, now_s: float) -> None:
        for member in self._members:
            super()._seed(replace(request, member=member), now_s)


class WitnessPromisesNothingToSeeds(Witness):
    """A new witness does not wait for the leases that another one has granted before."""

    def _seed(self, request: Seed, now_s: float) -> None:
        before = self._promise_until_s
        super()._seed(request, now_s)
        self._promise_until_s = before


class WitnessTrustsItsCopy(Witness):
    """A witness whose store is an old copy believes it, although a member in sync knows a newer register."""

    def _is_older_than(self, request: MemberRequest) -> bool:
        return False


MUTANTS: tuple[type[Member] | type[Witness], ...] = (
    ServesWithoutLease,
    BreaksItsPromise,
    WitnessBreaksItsPromise,
    WitnessForgetsItsPromise,
    TakesOverUnproven,
    GrantsDuringItsRequest,
    WitnessTakesOldRequests,
    GrantsAtOnce,
    WitnessMixesLives,
    DropsByItself,
    AddsWithoutWaiting,
    ForgetsThatItAdds,
    TrustsItsStream,
    GrantsToOldEpochs,
    WitnessGrantsToOldEpochs,
    DoesNotFlush,
    ReleasesNewLeases,
    UsesReleasedLeases,
    BelievesLostWitness,
    WitnessTakesOneSeed,
    WitnessPromisesNothingToSeeds,
    WitnessTrustsItsCopy,
)
