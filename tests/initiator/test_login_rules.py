"""The rules of logins and text exchanges that a target may not break, and the keys that it may omit (RFC 7143 6, 11.11,
11.13).
"""

from dataclasses import replace
from typing import Any

import pytest

from odx_target.initiator.errors import Breach, ProtocolViolation
from odx_target.initiator.session.text_exchanges import MAX_TEXT_BYTES
from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginRequest,
    LoginResponse,
    Reject,
    TextRequest,
    TextResponse,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, AsyncEvent
from odx_target.iscsi.pdu.text import Pairs, encode_pairs
from tests.initiator.naive_portal import DEFAULT_KEYS, OPTIONS, Pair, keys_of, logged_in, unconnected
from tests.initiator.test_login import CHAP, at_operational, failure

LOGIN_SEGMENT_BYTES = 8192


def answer(pair: Pair, request: LoginRequest, pairs: Pairs, **changes: Any) -> None:
    """Answer a login request with exactly these pairs, in this order."""
    values: dict[str, Any] = {"transit": True, "current_stage": 1, "next_stage": 3, "tsih": 7, "isid": request.isid}
    pair.answer(LoginResponse(**values | changes), encode_pairs(pairs))


ALL = list(DEFAULT_KEYS.items())


@pytest.mark.parametrize(
    ("pairs", "changes", "words"),
    [
        ([*ALL, ("InitialR2T", "No")], {}, "sent InitialR2T twice"),
        ([*ALL, ("MaxRecvDataSegmentLength", "512")], {}, "sent MaxRecvDataSegmentLength twice"),
        ([*ALL, ("TargetName", "iqn.x")], {}, "TargetName may not be sent by a target"),
        ([("InitialR2T", "NotUnderstood")], {}, "does not understand InitialR2T"),
        ([("MaxBurstLength", "NotUnderstood")], {}, "does not understand MaxBurstLength"),
        ([("HeaderDigest", "None,CRC32C")], {}, "HeaderDigest=None,CRC32C"),
        ([("X-a", "Reject")], {}, "is an answer"),
        (ALL, {"continued": True}, "in the middle of its keys"),
        (ALL, {"version_active": 1}, "version 1"),
    ],
)
def test_what_ends_a_login(pairs: Pairs, changes: dict[str, Any], words: str) -> None:
    pair, request, _ = at_operational()
    answer(pair, request, pairs, **changes)
    assert words in failure(pair)


def test_a_key_may_not_be_said_again_in_another_stage() -> None:
    pair = unconnected()
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "None", "TargetPortalGroupTag": "1"}))
    request, _ = pair.request(LoginRequest)
    answer(pair, request, [*ALL, ("TargetPortalGroupTag", "1")])
    assert "sent TargetPortalGroupTag twice" in failure(pair)


def test_an_address_may_be_said_more_than_once() -> None:
    pair, request, _ = at_operational()
    answer(pair, request, [*ALL, ("TargetAddress", "192.0.2.1"), ("TargetAddress", "192.0.2.2")])
    assert pair.connection.logged_in


def test_a_stage_may_not_end_unasked() -> None:
    pair = unconnected(CHAP)
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "CHAP"}, transit=False, next_stage=0))
    request, _ = pair.request(LoginRequest)
    assert not request.transit
    pair.feed(pair.portal.login_response(request, {}, transit=True, next_stage=1))
    assert "unasked" in failure(pair)


@pytest.mark.parametrize(("immediate", "agreed"), [(False, False), (True, True)])
def test_an_offer_that_settles_itself_needs_no_answer(immediate: bool, agreed: bool) -> None:
    """ImmediateData is an AND: if the offer is No, the result is No whatever the target wants (6.2.2)."""
    pair, request, keys = at_operational(replace(OPTIONS, immediate_data=immediate, initial_r2t=True))
    assert (keys["ImmediateData"], keys["InitialR2T"]) == ("Yes" if immediate else "No", "Yes")
    answer(pair, request, [each for each in ALL if each[0] not in ("ImmediateData", "InitialR2T")])
    assert pair.connection.logged_in
    assert pair.connection.parameters.immediate_data is agreed
    assert pair.connection.parameters.initial_r2t is True


@pytest.mark.parametrize("wanted", [512, 1 << 18])
def test_a_login_response_may_have_the_default_length_whatever_we_declare(wanted: int) -> None:
    pair, request, keys = at_operational(replace(OPTIONS, max_recv_data_segment_bytes=wanted))
    assert keys["MaxRecvDataSegmentLength"] == str(wanted)
    text = encode_pairs([*ALL, ("TargetAlias", "x" * 255)]).ljust(LOGIN_SEGMENT_BYTES, b"\0")
    pair.answer(LoginResponse(transit=True, current_stage=1, next_stage=3, tsih=7, isid=request.isid), text)
    assert pair.connection.logged_in


def test_a_login_response_may_not_be_longer() -> None:
    pair, request, _ = at_operational()
    with pytest.raises(ProtocolViolation, match="longer") as caught:
        pair.answer(LoginResponse(isid=request.isid), bytes(LOGIN_SEGMENT_BYTES + 1))
    assert caught.value.breach is Breach.SEGMENT_TOO_LONG


@pytest.mark.parametrize(
    ("identifier", "is_read"), [("39", True), ("0x27", True), ("0", True), ("0b101", False), ("0o7", False), (" 1", False)]
)
def test_a_challenge_s_identifier_is_a_number(identifier: str, is_read: bool) -> None:
    pair = unconnected(CHAP)
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "CHAP"}, transit=False, next_stage=0))
    request, _ = pair.request(LoginRequest)
    challenge = {"CHAP_A": "5", "CHAP_I": identifier, "CHAP_C": "0x" + "00" * 16}
    pair.feed(pair.portal.login_response(request, challenge, transit=False, next_stage=0))
    if is_read:
        assert set(keys_of(pair.request(LoginRequest)[1])) == {"CHAP_N", "CHAP_R"}
    else:
        assert "cannot be read" in failure(pair)


# Text exchanges


def asked(pair: Pair) -> TextRequest:
    pair.connection.text([("SendTargets", "All")])
    return pair.request(TextRequest)[0]


def test_an_answer_in_parts_is_asked_for_part_by_part() -> None:
    pair = logged_in()
    request = asked(pair)
    text = encode_pairs(("TargetName", f"iqn.2026-11.test:{i:0200}") for i in range(2000))
    assert len(text) > 1 << 18
    parts = [text[at : at + 100_000] for at in range(0, len(text), 100_000)]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        response = TextResponse(
            final=last,
            continued=not last,
            lun=7 << 48,
            initiator_task_tag=request.initiator_task_tag,
            target_transfer_tag=NO_TAG if last else number + 1,
        )
        pair.answer(response, part)
        if not last:
            again, data = pair.request(TextRequest)
            assert (again.initiator_task_tag, again.immediate) == (request.initiator_task_tag, request.immediate)
            assert (again.target_transfer_tag, again.lun, again.final, again.continued) == (number + 1, 7 << 48, True, False)
            assert data == b""
    (event,) = pair.events()
    assert len(event.outcome) == 2000


@pytest.mark.parametrize(
    ("fields", "is_taken"),
    [
        ({"final": True, "target_transfer_tag": NO_TAG}, True),
        ({"final": True, "target_transfer_tag": 3}, True),
        ({"final": True, "continued": True, "target_transfer_tag": NO_TAG}, False),
        ({"final": False, "continued": True, "target_transfer_tag": NO_TAG}, False),
        ({"final": False, "target_transfer_tag": NO_TAG}, False),
        ({"final": False, "target_transfer_tag": 3}, True),
    ],
)
def test_how_a_text_response_may_end_or_go_on(fields: dict[str, Any], is_taken: bool) -> None:
    pair = logged_in()
    response = TextResponse(initiator_task_tag=asked(pair).initiator_task_tag, **fields)
    if is_taken:
        pair.answer(response, b"TargetName=iqn.x\0")
        assert bool(pair.events()) is fields["final"]
    else:
        with pytest.raises(ProtocolViolation, match="neither"):
            pair.answer(response, b"TargetName=iqn.x\0")


def test_an_answer_without_end_is_given_up() -> None:
    pair = logged_in()
    request = asked(pair)
    response = TextResponse(final=False, continued=True, initiator_task_tag=request.initiator_task_tag, target_transfer_tag=1)
    for _ in range(MAX_TEXT_BYTES // 200_000):
        pair.answer(response, bytes(200_000))
    with pytest.raises(ProtocolViolation, match="more than"):
        pair.answer(response, bytes(200_000))


def test_one_text_request_is_outstanding_at_a_time() -> None:
    pair = logged_in()
    first = asked(pair)
    second = pair.connection.text([("SendTargets", "")])
    third = pair.connection.text([])
    assert pair.requests() == []
    pair.answer(TextResponse(final=False, initiator_task_tag=first.initiator_task_tag, target_transfer_tag=1))
    assert pair.request(TextRequest)[0].target_transfer_tag == 1
    pair.answer(TextResponse(initiator_task_tag=first.initiator_task_tag))
    request, data = pair.request(TextRequest)
    assert (request.initiator_task_tag, data) == (second, b"SendTargets=\0")
    pair.answer(Reject(reason=4), request.encode_header())
    assert pair.request(TextRequest)[0].initiator_task_tag == third
    pair.answer(TextResponse(initiator_task_tag=third))
    assert [event.initiator_task_tag for event in pair.events()] == [first.initiator_task_tag, second, third]


def test_an_answer_to_a_request_that_still_waits_is_a_violation() -> None:
    pair = logged_in()
    asked(pair)
    waiting = pair.connection.text([])
    with pytest.raises(ProtocolViolation, match="not sent yet"):
        pair.answer(TextResponse(initiator_task_tag=waiting))


def test_a_target_that_wants_to_negotiate_gets_a_text_request() -> None:
    pair = logged_in()
    for _ in range(2):
        pair.answer(AsynchronousMessage(async_event=AsyncEvent.NEGOTIATION_REQUESTED))
    request, data = pair.request(TextRequest)
    assert (request.final, request.target_transfer_tag, data) == (True, NO_TAG, b"")
    pair.connection.log_out()
    pair.requests()
    pair.answer(TextResponse(initiator_task_tag=request.initiator_task_tag))
    pair.answer(AsynchronousMessage(async_event=AsyncEvent.NEGOTIATION_REQUESTED))
    assert pair.requests() == []


def test_a_login_response_of_another_task_is_a_violation() -> None:
    pair, request, _ = at_operational()
    with pytest.raises(ProtocolViolation, match="another task"):
        pair.answer(LoginResponse(isid=request.isid, current_stage=1, initiator_task_tag=5))
