"""The witness of a group: it keeps the register, and grants leases to the primary."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from odx_target.replica.membership.messages import (
    ChangeAnswer,
    ChangeRequest,
    LeaseGranted,
    LeaseRequest,
    LifeBegan,
    Message,
    RegisterIs,
    RegisterUnknown,
    Seed,
)
from odx_target.replica.membership.register import Change, Register
from odx_target.replica.membership.timing import PROMISE_S

NEVER_S = float("-inf")

NUMBER_BYTES = 7
"""Length of the random number of the record of a witness. It fits into a number of a message."""

MemberRequest: TypeAlias = LifeBegan | LeaseRequest | ChangeRequest | Seed


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest request for a change that the witness has answered, and whether it made the change."""

    number: int
    is_done: bool


@dataclass(frozen=True, slots=True)
class WitnessRecord:
    """The state that a witness keeps durably about a group.

    `number` is random, and new if the witness has lost its disk; `register` is then None. `lives` has the newest life of each
    member, `last` its newest request for a change in this life.
    """

    number: int
    register: Register | None
    lives: Mapping[str, int] = field(default_factory=dict)
    last: Mapping[str, LastChange] = field(default_factory=dict)


class Witness:
    """The witness of one group. `record` must be durable before an answer is sent.

    `now_s` is the time at which it starts. It may have granted leases just before, which it does not know any more.
    """

    def __init__(self, members: tuple[str, str], record: WitnessRecord, now_s: float) -> None:
        self.record = record
        self._members = members
        self._promise_until_s = now_s + PROMISE_S
        self._seeds: dict[str, Register] = {}

    def receive(self, request: MemberRequest, now_s: float) -> Message | None:
        """Return the answer to a message of a member, or None if there is no answer."""
        if request.member not in self._members or not self._is_of_newest_life(request):
            return None
        if isinstance(request, Seed):
            self._seed(request, now_s)
        if self._is_older_than(request):
            self._lose_register()
        register = self.record.register
        if register is None:  # A seed gets no answer: the member would send another one at once.
            return None if isinstance(request, Seed) else RegisterUnknown(self.record.number, request.life)
        if isinstance(request, ChangeRequest):
            return self._change(request, register, now_s)
        if isinstance(request, LeaseRequest) and self._grants(request, register):
            self._promise_until_s = now_s + PROMISE_S
            return LeaseGranted(request.life, request.sent_at_s)
        return RegisterIs(self.record.number, request.life, register)

    def has_promised(self, now_s: float) -> bool:
        """True if a lease may exist that this witness has granted."""
        return now_s < self._promise_until_s

    def _is_of_newest_life(self, request: MemberRequest) -> bool:
        """True if a message is not from an earlier life of its sender. Requests of earlier lives are void."""
        known = self.record.lives.get(request.member, 0)
        if request.life > known:
            last = {member: each for member, each in self.record.last.items() if member != request.member}
            self.record = replace(self.record, lives={**self.record.lives, request.member: request.life}, last=last)
        return request.life >= known

    def _grants(self, request: LeaseRequest, register: Register) -> bool:
        return register.primary == request.member and register.epoch == request.epoch

    def _change(self, request: ChangeRequest, register: Register, now_s: float) -> ChangeAnswer | None:
        """Compare and set. A repeated request gets the same answer, and an older one than the newest gets none."""
        last = self.record.last.get(request.member)
        if last is None or request.number > last.number:
            is_done = self._allows(request, register, now_s)
            last = LastChange(request.number, is_done)
            self.record = replace(
                self.record,
                register=request.register if is_done else register,
                last={**self.record.last, request.member: last},
            )
            register = request.register if is_done else register
        if request.number < last.number:
            return None
        return ChangeAnswer(self.record.number, request.life, request.number, last.is_done, register)

    def _allows(self, request: ChangeRequest, register: Register, now_s: float) -> bool:
        (peer,) = (each for each in self._members if each != request.member)
        if request.change is Change.FORCE:
            alone = replace(register, epoch=request.register.epoch, primary=request.member, in_sync=frozenset({request.member}))
            return request.register == alone and request.register.epoch > register.epoch
        return (
            register.allows(request.change, request.member, peer)
            and request.register == register.changed(request.change, request.member, peer)
            and not (request.change is Change.PROMOTE and self.has_promised(now_s))
        )

    def _is_older_than(self, request: MemberRequest) -> bool:
        """True if a member in sync knows a newer register than this one. The store of the witness is then an old copy, because
        a member learns of a register only after the witness has made it durable. A change by force is no sign of that.
        """
        known = self.record.register
        if known is None:
            return False
        if isinstance(request, ChangeRequest) and request.change in (Change.DROP, Change.PROMOTE, Change.HAND_OVER):
            epoch = request.register.epoch - 1
        elif isinstance(request, LeaseRequest):
            epoch = request.epoch
        else:
            return False
        return epoch > known.epoch and not replace(known, epoch=epoch).was_forced_after(known)

    def _lose_register(self) -> None:
        """Forget the register, so that both members must agree on one. The number is new, and voids former answers."""
        number = int.from_bytes(hashlib.sha256(b"lost record:%d" % self.record.number).digest()[:NUMBER_BYTES], "little")
        self.record = WitnessRecord(number, None, self.record.lives)
        self._seeds.clear()

    def _seed(self, request: Seed, now_s: float) -> None:
        """Take the register on which both members agree. The new epoch voids all changes that were requested before.

        The members may have leases that the former record or another witness has granted before they sent their seeds.
        """
        if self.record.register is None and request.witness == self.record.number:
            self._seeds[request.member] = request.register
            if len(self._seeds) == len(self._members) and len(set(self._seeds.values())) == 1:
                agreed = replace(request.register, epoch=request.register.epoch + 1)
                self.record = replace(self.record, register=agreed, last={})
                self._promise_until_s = now_s + PROMISE_S
                self._seeds.clear()
