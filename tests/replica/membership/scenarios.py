"""Short stories about one rule each, for a class of members and a class of witnesses. They fail for a mutant of the rule."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from odx_target.replica.membership.member import Member
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
from odx_target.replica.membership.timing import LEASE_S, PROMISE_S, RETRY_INTERVAL_S
from odx_target.replica.membership.witness import Witness, WitnessRecord

Scenario: TypeAlias = Callable[[type[Member], type[Witness]], None]

BOTH, ALONE = Register(5, "a", frozenset("ab")), Register(5, "a", frozenset("a"))
WITNESS_NUMBER, NEW_NUMBER = 7, 8
LIFE = 3
LATER_S = 1000.0


def started(
    kind: type[Member], name: str, register: Register = BOTH, *, is_known: bool = True, is_proven: bool = True
) -> Member:
    """Return a member that started at 0 s."""
    member = kind(name, "b" if name == "a" else "a", MemberRecord(LIFE, register, WITNESS_NUMBER), 0.0)
    if is_known:
        member.receive(RegisterIs(WITNESS_NUMBER, LIFE, register), 0.0)
    if is_proven:
        member.compared(0, 0)
    return member


def witness_of(kind: type[Witness], register: Register | None = BOTH) -> Witness:
    """Return a witness that started long ago."""
    return kind(("a", "b"), WitnessRecord(WITNESS_NUMBER, register), -LATER_S)


def sent(actions: Iterable[Action]) -> list[Message]:
    """Return the messages among some actions."""
    return [each.message for each in actions if isinstance(each, Send)]


def lease_request(epoch: int = BOTH.epoch, life: int = LIFE, sent_at_s: float = 50.0) -> LeaseRequest:
    return LeaseRequest("a", life, epoch, sent_at_s)


def grants(member: Member, now_s: float, request: LeaseRequest | None = None) -> bool:
    return any(isinstance(each, LeaseGranted) for each in sent(member.receive(request or lease_request(), now_s)))


def promotion(member: Member, now_s: float) -> ChangeRequest | None:
    """Return the request with which a member takes over, if it does."""
    found = [each for each in sent(member.on_time(now_s)) if isinstance(each, ChangeRequest)]
    return found[0] if found else None


def a_primary_serves_as_long_as_its_lease(members: type[Member], _: type[Witness]) -> None:
    primary = started(members, "a")
    assert not primary.serves(10.0)
    primary.receive(LeaseGranted(LIFE, 10.0), 11.0)
    assert primary.serves(10.0 + LEASE_S - 0.01)
    assert not primary.serves(10.0 + LEASE_S)


def a_promise_is_kept(members: type[Member], _: type[Witness]) -> None:
    other = started(members, "b")
    assert grants(other, 50.0)
    assert promotion(other, 50.0 + PROMISE_S - 0.01) is None
    assert promotion(other, 50.0 + PROMISE_S) is not None


def a_witness_keeps_its_promise(members: type[Member], witnesses: type[Witness]) -> None:
    witness, other = witness_of(witnesses), started(members, "b")
    assert isinstance(witness.receive(lease_request(), 50.0), LeaseGranted)
    request = promotion(other, 20.0)
    assert request is not None
    answer = witness.receive(request, 50.0 + PROMISE_S - 0.01)
    assert isinstance(answer, ChangeAnswer)
    assert not answer.is_done


def a_witness_that_starts_waits_for_leases_of_its_earlier_life(members: type[Member], witnesses: type[Witness]) -> None:
    witness = witnesses(("a", "b"), WitnessRecord(WITNESS_NUMBER, BOTH), 10.0)
    request = promotion(started(members, "b"), 20.0)
    assert request is not None
    answer = witness.receive(request, 10.0 + PROMISE_S - 0.01)
    assert isinstance(answer, ChangeAnswer)
    assert not answer.is_done


def an_unproven_member_does_not_take_over(members: type[Member], _: type[Witness]) -> None:
    assert promotion(started(members, "b", is_proven=False), LATER_S) is None


def a_member_that_takes_over_grants_no_lease(members: type[Member], _: type[Witness]) -> None:
    other = started(members, "b")
    assert promotion(other, 20.0) is not None
    assert not grants(other, 21.0)
    assert not other.takes_changes


def a_refused_request_stays_refused(members: type[Member], witnesses: type[Witness]) -> None:
    witness, other = witness_of(witnesses), started(members, "b")
    witness.receive(lease_request(), 50.0)
    request = promotion(other, 20.0)
    assert request is not None
    for now_s in (51.0, LATER_S):
        answer = witness.receive(request, now_s)
        assert isinstance(answer, ChangeAnswer)
        assert not answer.is_done
        other.receive(answer, now_s)
    assert grants(other, LATER_S)


def a_takeover_that_is_refused_is_requested_again_soon(members: type[Member], witnesses: type[Witness]) -> None:
    """The promise of the witness may be some milliseconds younger than that of the member."""
    witness, other = witness_of(witnesses), started(members, "b")
    witness.receive(lease_request(), 50.0)
    request = promotion(other, 54.9)
    assert request is not None
    answer = witness.receive(request, 54.9)
    assert isinstance(answer, ChangeAnswer)
    other.receive(answer, 54.9)
    assert promotion(other, 54.9 + RETRY_INTERVAL_S / 2) is None
    request = promotion(other, 54.9 + RETRY_INTERVAL_S)
    assert request is not None
    answer = witness.receive(request, 54.9 + RETRY_INTERVAL_S)
    assert isinstance(answer, ChangeAnswer)
    assert answer.is_done


def a_member_grants_nothing_before_the_witness_knows_its_life(members: type[Member], _: type[Witness]) -> None:
    other = started(members, "b", is_known=False)
    assert not grants(other, 50.0)
    other.receive(RegisterIs(WITNESS_NUMBER, LIFE - 1, BOTH), 51.0)
    assert not grants(other, 51.0)
    other.receive(RegisterIs(WITNESS_NUMBER, LIFE, BOTH), 52.0)
    assert grants(other, 52.0)


def requests_of_an_earlier_life_are_void(_: type[Member], witnesses: type[Witness]) -> None:
    witness = witness_of(witnesses)
    witness.receive(LifeBegan("b", LIFE), 0.0)
    old = ChangeRequest("b", LIFE - 1, 1, Change.PROMOTE, BOTH.changed(Change.PROMOTE, "b", "a"))
    witness.receive(old, 1.0)
    assert witness.record.register == BOTH


def only_the_witness_decides_who_is_in_sync(members: type[Member], _: type[Witness]) -> None:
    primary = started(members, "a")
    primary.receive(LeaseGranted(LIFE, 50.0), 50.0)
    assert primary.acknowledges(50.0)
    assert sent(primary.change(Change.DROP, 50.0))
    assert not primary.acknowledges(50.0)
    assert primary.needs_peer


def a_member_that_is_added_is_needed_before(members: type[Member], _: type[Witness]) -> None:
    primary = started(members, "a", ALONE)
    primary.receive(RegisterIs(WITNESS_NUMBER, LIFE, ALONE), 49.0)
    primary.receive(LeaseGranted(LIFE, 49.0), 49.0)
    assert primary.serves(49.0 + LEASE_S)
    assert sent(primary.change(Change.ADD, 50.0))
    assert primary.needs_peer
    assert primary.serves(50.0)
    assert not primary.serves(49.0 + LEASE_S)
    again = members("a", "b", primary.record, 60.0)
    assert again.needs_peer
    assert not again.serves(60.0)


def no_member_is_added_without_a_lease(members: type[Member], _: type[Witness]) -> None:
    """Hosts would be refused from then on until the first lease."""
    primary = started(members, "a", ALONE)
    primary.receive(RegisterIs(WITNESS_NUMBER, LIFE, ALONE), 49.0)
    assert not primary.change(Change.ADD, 50.0)
    primary.receive(LeaseGranted(LIFE, 46.0), 49.0)
    assert not primary.change(Change.ADD, 46.0 + LEASE_S)
    assert not primary.needs_peer
    assert primary.serves(50.0)


def a_member_that_starts_is_unproven(members: type[Member], _: type[Witness]) -> None:
    primary = started(members, "a", is_proven=False)
    primary.receive(LeaseGranted(LIFE, 50.0), 50.0)
    assert not primary.serves(50.0)
    primary.compared(3, 4)
    assert not primary.serves(50.0)
    primary.compared(4, 4)
    assert primary.serves(50.0)


def another_epoch_gets_no_lease(members: type[Member], witnesses: type[Witness]) -> None:
    assert not grants(started(members, "b"), 50.0, lease_request(BOTH.epoch - 1))
    assert not isinstance(witness_of(witnesses).receive(lease_request(BOTH.epoch - 1), 50.0), LeaseGranted)


def a_release_ends_only_earlier_promises(members: type[Member], _: type[Witness]) -> None:
    other = started(members, "b")
    assert grants(other, 50.0, lease_request(sent_at_s=50.0))
    for late in (LeaseReleased("a", LIFE, 49.0), LeaseReleased("a", LIFE - 1, 60.0)):
        other.receive(late, 51.0)
        assert not other.may_take_over(52.0)
    other.receive(LeaseReleased("a", LIFE, 51.0), 52.0)
    assert other.may_take_over(52.0)


def a_released_lease_is_not_used(members: type[Member], _: type[Witness]) -> None:
    primary = started(members, "a")
    primary.receive(LeaseGranted(LIFE, 50.0), 50.0)
    (_release, request) = sent(primary.change(Change.HAND_OVER, 51.0))
    assert isinstance(request, ChangeRequest)
    assert not primary.serves(51.0)
    primary.receive(ChangeAnswer(WITNESS_NUMBER, LIFE, request.number, False, BOTH), 51.5)
    primary.receive(LeaseGranted(LIFE, 50.9), 52.0)
    assert not primary.serves(52.0)
    primary.receive(LeaseGranted(LIFE, 51.8), 52.0)
    assert primary.serves(52.0)


def answers_of_a_lost_record_are_ignored(members: type[Member], _: type[Witness]) -> None:
    other = started(members, "b")
    request = promotion(other, 20.0)
    assert request is not None
    (seed,) = sent(other.receive(RegisterUnknown(NEW_NUMBER, LIFE), 21.0))
    assert seed == Seed("b", LIFE, NEW_NUMBER, BOTH)
    other.receive(ChangeAnswer(WITNESS_NUMBER, LIFE, request.number, True, request.register), 22.0)
    other.receive(RegisterIs(WITNESS_NUMBER, LIFE, request.register), 22.0)
    assert other.register == BOTH
    assert not sent(other.receive(RegisterUnknown(WITNESS_NUMBER, LIFE), 23.0))


def who_stays_alone_has_flushed(members: type[Member], _: type[Witness]) -> None:
    primary, other = started(members, "a"), started(members, "b")
    for actions in (primary.change(Change.DROP, 50.0), other.on_time(50.0)):
        assert isinstance(actions[0], FlushStream)
        assert isinstance(actions[1], Send)
    adding = started(members, "a", ALONE)
    adding.receive(RegisterIs(WITNESS_NUMBER, LIFE, ALONE), 49.0)
    adding.receive(LeaseGranted(LIFE, 49.0), 49.0)
    adding.change(Change.ADD, 50.0)
    actions = adding.receive(ChangeAnswer(WITNESS_NUMBER, LIFE, 1, False, ALONE), 51.0)
    assert [type(each) for each in actions] == [FlushStream, Keep]


def no_member_is_added_while_the_witness_is_away(members: type[Member], _: type[Witness]) -> None:
    primary = started(members, "a", ALONE)
    primary.receive(LeaseGranted(LIFE, 3.0), 3.0)
    assert not primary.change(Change.ADD, PROMISE_S)
    assert primary.serves(PROMISE_S)
    assert primary.change(Change.ADD, PROMISE_S - 0.01)


def a_member_is_forced_only_after_its_promise(members: type[Member], _: type[Witness]) -> None:
    other = started(members, "b", is_known=True, is_proven=False)
    assert grants(other, 50.0)
    assert not other.force(50.0 + PROMISE_S - 0.01)
    assert not other.is_primary
    actions = other.force(50.0 + PROMISE_S)
    assert [type(each) for each in actions] == [FlushStream, Keep]
    assert other.serves(50.0 + PROMISE_S)
    assert not other.force(100.0)


def a_change_by_force_is_newer_than_what_the_member_has_missed(members: type[Member], witnesses: type[Witness]) -> None:
    """The primary has dropped the member, which has not heard of it."""
    dropped = BOTH.changed(Change.DROP, "a", "b")
    other, witness, former = started(members, "b"), witness_of(witnesses, dropped), started(members, "a", dropped)
    other.force(50.0)
    assert other.register.was_forced_after(dropped)
    assert not dropped.was_forced_after(BOTH)
    (request,) = sent(other.receive(RegisterIs(WITNESS_NUMBER, LIFE, dropped), 51.0))
    assert isinstance(request, ChangeRequest)
    answer = witness.receive(request, 51.0)
    assert isinstance(answer, ChangeAnswer)
    assert answer.is_done
    assert witness.record.register == other.register
    former.receive(RegisterIs(WITNESS_NUMBER, LIFE, other.register), 52.0)
    assert not former.serves(52.0)
    assert not former.is_in_sync


def the_witness_takes_no_older_register_by_force(_: type[Member], witnesses: type[Witness]) -> None:
    witness = witness_of(witnesses)
    for register in (replace(BOTH, primary="b", in_sync=frozenset("b")), Register(BOTH.epoch + 1, "b", frozenset("ab"))):
        number = register.epoch
        answer = witness.receive(ChangeRequest("b", LIFE, number, Change.FORCE, register), 50.0)
        assert isinstance(answer, ChangeAnswer)
        assert not answer.is_done
        assert witness.record.register == BOTH


def a_lost_register_needs_both_members(_: type[Member], witnesses: type[Witness]) -> None:
    witness = witness_of(witnesses, None)
    assert isinstance(witness.receive(LifeBegan("a", LIFE), 0.0), RegisterUnknown)
    older = Register(4, "a", frozenset("a"))
    for member, register in (("a", BOTH), ("b", older)):
        assert witness.receive(Seed(member, LIFE, WITNESS_NUMBER, register), 1.0) is None, "a member would seed again at once"
    assert witness.receive(Seed("b", LIFE, NEW_NUMBER, BOTH), 1.0) is None
    assert isinstance(witness.receive(LifeBegan("a", LIFE), 1.0), RegisterUnknown)
    answer = witness.receive(Seed("b", LIFE, WITNESS_NUMBER, BOTH), 2.0)
    assert isinstance(answer, RegisterIs)
    assert answer.register.epoch == BOTH.epoch + 1
    old = ChangeRequest("b", LIFE, 1, Change.PROMOTE, BOTH.changed(Change.PROMOTE, "b", "a"))
    answer = witness.receive(old, LATER_S)
    assert isinstance(answer, ChangeAnswer)
    assert not answer.is_done


def a_new_witness_waits_for_the_leases_of_the_former_one(_: type[Member], witnesses: type[Witness]) -> None:
    witness = witness_of(witnesses, None)
    for member in "ab":
        witness.receive(Seed(member, LIFE, WITNESS_NUMBER, BOTH), LATER_S)
    register = witness.record.register
    assert register is not None
    for delay_s, is_done in ((PROMISE_S - 0.01, False), (PROMISE_S, True)):
        number = 1 + int(is_done)
        request = ChangeRequest("b", LIFE, number, Change.PROMOTE, register.changed(Change.PROMOTE, "b", "a"))
        answer = witness.receive(request, LATER_S + delay_s)
        assert isinstance(answer, ChangeAnswer)
        assert answer.is_done == is_done


def a_witness_with_an_old_copy_of_its_store_asks_both_members(_: type[Member], witnesses: type[Witness]) -> None:
    newer = Register(BOTH.epoch + 2, "b", frozenset("ab"))
    requests = (
        LeaseRequest("b", LIFE, newer.epoch, 50.0),
        ChangeRequest("b", LIFE, 1, Change.DROP, newer.changed(Change.DROP, "b", "a")),
    )
    for request in requests:
        witness = witness_of(witnesses)
        answer = witness.receive(request, 50.0)
        assert isinstance(answer, RegisterUnknown)
        assert answer.witness != WITNESS_NUMBER
        for member in "ab":
            witness.receive(Seed(member, LIFE, answer.witness, newer), 51.0)
        assert witness.record.register == replace(newer, epoch=newer.epoch + 1)
    forced = BOTH.changed(Change.FORCE, "b", "a")
    witness = witness_of(witnesses)
    assert isinstance(witness.receive(LeaseRequest("b", LIFE, forced.epoch, 50.0), 50.0), RegisterIs)


def a_primary_that_waits_goes_on_alone_by_force(members: type[Member], witnesses: type[Witness]) -> None:
    primary, witness = started(members, "a", is_known=False), witness_of(witnesses)
    assert grants(started(members, "b"), 50.0)
    primary.receive(LeaseGranted(LIFE, 50.0), 50.0)
    assert not primary.may_be_forced(50.0 + LEASE_S - 0.01), "it serves"
    assert not primary.force(50.0)
    assert primary.may_be_forced(50.0 + LEASE_S)
    assert [type(each) for each in primary.force(50.0 + LEASE_S)] == [FlushStream, Keep]
    assert primary.serves(LATER_S)
    assert primary.register.was_forced_after(BOTH)
    assert not primary.may_be_forced(LATER_S)
    (request,) = sent(primary.receive(RegisterIs(WITNESS_NUMBER, LIFE, BOTH), LATER_S))
    witness.receive(request, LATER_S)  # type: ignore[arg-type]
    assert witness.record.register == primary.register


def a_primary_that_has_handed_over_tells_the_new_one(members: type[Member], _: type[Witness]) -> None:
    primary = started(members, "a")
    primary.receive(LeaseGranted(LIFE, 50.0), 50.0)
    (_release, request) = sent(primary.change(Change.HAND_OVER, 51.0))
    assert isinstance(request, ChangeRequest)
    answer = ChangeAnswer(WITNESS_NUMBER, LIFE, request.number, True, request.register)
    actions = primary.receive(answer, 51.1)
    assert isinstance(actions[0], Keep), "it serves no more before the other member learns it"
    assert sent(actions) == [RegisterNews(request.register)]


def a_new_primary_requests_its_leases_at_once(members: type[Member], _: type[Witness]) -> None:
    other = started(members, "b")
    handed_over = BOTH.changed(Change.HAND_OVER, "a", "b")
    actions = other.receive(RegisterNews(handed_over), 51.0)
    assert isinstance(actions[0], Keep)
    request = LeaseRequest("b", LIFE, handed_over.epoch, 51.0)
    assert actions[1:] == [Send(receiver, request) for receiver in Receiver]


def strangers_are_no_members(members: type[Member], _: type[Witness]) -> None:
    member = started(members, "b")
    for register in (Register(6, "c", frozenset("bc")), Register(6, "a", frozenset("ac"))):
        assert not member.receive(RegisterNews(register), 1.0)
    assert member.register == BOTH


SCENARIOS: tuple[Scenario, ...] = (
    a_primary_serves_as_long_as_its_lease,
    a_promise_is_kept,
    a_witness_keeps_its_promise,
    a_witness_that_starts_waits_for_leases_of_its_earlier_life,
    an_unproven_member_does_not_take_over,
    a_member_that_takes_over_grants_no_lease,
    a_refused_request_stays_refused,
    a_takeover_that_is_refused_is_requested_again_soon,
    a_member_grants_nothing_before_the_witness_knows_its_life,
    requests_of_an_earlier_life_are_void,
    only_the_witness_decides_who_is_in_sync,
    a_member_that_is_added_is_needed_before,
    no_member_is_added_without_a_lease,
    a_member_that_starts_is_unproven,
    another_epoch_gets_no_lease,
    a_release_ends_only_earlier_promises,
    a_released_lease_is_not_used,
    answers_of_a_lost_record_are_ignored,
    who_stays_alone_has_flushed,
    a_lost_register_needs_both_members,
    a_new_witness_waits_for_the_leases_of_the_former_one,
    a_witness_with_an_old_copy_of_its_store_asks_both_members,
    a_primary_that_waits_goes_on_alone_by_force,
    a_primary_that_has_handed_over_tells_the_new_one,
    a_new_primary_requests_its_leases_at_once,
    strangers_are_no_members,
    no_member_is_added_while_the_witness_is_away,
    a_member_is_forced_only_after_its_promise,
    a_change_by_force_is_newer_than_what_the_member_has_missed,
    the_witness_takes_no_older_register_by_force,
)
