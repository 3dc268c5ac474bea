"""Stories of a witness whose store is an old copy, for example restored from a backup: what is noticed, and what is not."""

from odx_target.replica.membership.member import Member
from odx_target.replica.membership.messages import ChangeAnswer, ChangeRequest, LeaseGranted, LeaseRequest, RegisterIs
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


def test_a_restored_copy_is_equal_to_a_store_that_was_kept() -> None:
    """Two stories that end equally for the witness and the secondary. In one, the primary is lost while the witness restarts,
    and a takeover is wanted. In the other, the primary drops the secondary after the copy was taken, and a takeover makes two
    primaries. So no rule about what the two know, and when they learned it, allows the first and refuses the second, and a
    person must never restore a witness, as the documentation says.
    """
    kept = witness_of(Witness).record
    usual_witness, usual_other = Witness(("a", "b"), kept, LATER_S), started(Member, "b")

    running, primary = witness_of(Witness), started(Member, "a")
    copy = running.record
    (request,) = sent(primary.change(Change.DROP, LATER_S / 2))
    assert isinstance(request, ChangeRequest)
    answer = running.receive(request, LATER_S / 2)
    assert isinstance(answer, ChangeAnswer)
    primary.receive(answer, LATER_S / 2)
    assert primary.register == running.record.register == DROPPED
    restored_witness, restored_other = Witness(("a", "b"), copy, LATER_S), started(Member, "b")

    assert vars(restored_witness) == vars(usual_witness)
    assert vars(restored_other) == vars(usual_other)
    assert promoted(usual_witness, usual_other, LATER_S + PROMISE_S)
    assert promoted(restored_witness, restored_other, LATER_S + PROMISE_S)
    assert primary.serves(LATER_S + PROMISE_S)
    assert restored_other.serves(LATER_S + PROMISE_S)


def test_an_old_copy_grants_a_lease_to_a_former_primary() -> None:
    """The same danger the other way round: a primary that was cut off cannot confirm the register by its word alone."""
    running, primary, other = witness_of(Witness), started(Member, "a"), started(Member, "b")
    copy = running.record
    assert promoted(running, other, LATER_S)
    restored = Witness(("a", "b"), copy, LATER_S)
    requests = [each for each in sent(primary.on_time(LATER_S)) if isinstance(each, LeaseRequest)]
    granted = restored.receive(requests[0], LATER_S)
    assert isinstance(granted, LeaseGranted)
    primary.receive(granted, LATER_S)
    assert primary.serves(LATER_S)
    assert other.serves(LATER_S)


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
