"""Stories of a witness whose store is an old copy, for example restored from a backup: what is noticed, and what is not."""

from odx_target.replica.membership.member import Member
from odx_target.replica.membership.messages import ChangeAnswer, ChangeRequest, RegisterIs
from odx_target.replica.membership.register import Change
from odx_target.replica.membership.timing import PROMISE_S
from odx_target.replica.membership.witness import Witness
from tests.replica.membership.scenarios import ALONE, BOTH, LATER_S, LIFE, WITNESS_NUMBER, promotion, sent, started, witness_of

DROPPED = BOTH.changed(Change.DROP, "a", "b")


def promoted(witness: Witness, other: Member, now_s: float) -> bool:
    """Have a member that was dropped, and does not know it, ask the witness to become the primary."""
    request = promotion(other, now_s)
    assert request is not None
    answer = witness.receive(request, now_s)
    assert isinstance(answer, ChangeAnswer)
    other.receive(answer, now_s)
    return answer.is_done


def test_a_primary_that_is_alone_corrects_an_old_copy() -> None:
    """It reaches the witness before the promise of a witness that has just started is over."""
    primary, other = started(Member, "a", DROPPED), started(Member, "b")
    witness = Witness(("a", "b"), witness_of(Witness).record, LATER_S)
    (request,) = sent(primary.receive(RegisterIs(WITNESS_NUMBER, LIFE, BOTH), LATER_S))
    assert isinstance(request, ChangeRequest)
    witness.receive(request, LATER_S)
    assert witness.record.register == DROPPED
    assert not promoted(witness, other, LATER_S + PROMISE_S)
    assert not other.is_primary


def test_an_old_copy_is_dangerous_while_the_primary_does_not_reach_it() -> None:
    """Nobody who knows the newer register speaks with the witness, and a start of it after any failure looks the same. So a
    person must never restore a witness, as the documentation says.
    """
    primary, other = started(Member, "a", DROPPED), started(Member, "b")
    witness = Witness(("a", "b"), witness_of(Witness).record, LATER_S)
    assert promoted(witness, other, LATER_S + PROMISE_S)
    assert primary.serves(LATER_S + PROMISE_S)
    assert other.serves(LATER_S + PROMISE_S)


def test_a_witness_that_was_emptied_believes_no_member_alone() -> None:
    """The same story with a witness that has lost its records: nothing happens before both members agree."""
    primary, other = started(Member, "a", DROPPED), started(Member, "b")
    witness = witness_of(Witness, None)
    assert promotion(other, LATER_S) is not None
    for member in (primary, other):
        for message in sent(member.on_time(LATER_S + 1)):
            witness.receive(message, LATER_S + 1)  # type: ignore[arg-type]
    assert witness.record.register is None
    assert not other.is_primary
    assert ALONE.primary == "a"
