"""The login phase, PDU by PDU, against a naive portal."""

from dataclasses import replace
from hashlib import md5
from typing import Any

import pytest

from odx_target.initiator.errors import LoginFailed, ProtocolViolation
from odx_target.initiator.session.chap import OwnChallenge
from odx_target.initiator.session.connection_events import LOGIN_TAG, Finished
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.iscsi.pdu.headers import LoginRequest, LoginResponse, NopIn
from odx_target.iscsi.pdu.text import encode_pairs
from tests.initiator.naive_portal import (
    DEFAULT_KEYS,
    DISCOVERY_KEYS,
    ISID,
    OPTIONS,
    TARGET,
    Pair,
    keys_of,
    logged_in,
    unconnected,
)

CHAP = replace(OPTIONS, user="me", secret="secret-of-12-bytes")


def failure(pair: Pair) -> str:
    (event,) = pair.events()
    assert isinstance(event, Finished)
    assert event.initiator_task_tag == LOGIN_TAG
    assert isinstance(event.outcome, LoginFailed)
    assert "\n" not in str(event.outcome)
    return str(event.outcome)


def at_operational(options: SessionOptions = OPTIONS, target: str | None = TARGET) -> tuple[Pair, LoginRequest, dict[str, str]]:
    pair = unconnected(options, target)
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "None"}))
    request, data = pair.request(LoginRequest)
    return pair, request, keys_of(data)


def test_the_first_request_says_who_and_what() -> None:
    pair = unconnected()
    pair.connection.log_in()
    request, data = pair.request(LoginRequest)
    assert (request.immediate, request.transit, request.current_stage, request.next_stage) == (True, True, 0, 1)
    assert (request.isid, request.tsih, request.version_min) == (ISID, 0, 0)
    assert list(keys_of(data).items()) == [
        ("InitiatorName", OPTIONS.initiator_name),
        ("SessionType", "Normal"),
        ("TargetName", TARGET),
        ("AuthMethod", "None"),
    ]


def test_the_second_offers_the_keys_of_the_session() -> None:
    _, request, keys = at_operational()
    assert (request.transit, request.current_stage, request.next_stage, request.exp_stat_sn) == (True, 1, 3, 101)
    assert keys["MaxRecvDataSegmentLength"] == "262144"
    assert (keys["HeaderDigest"], keys["InitialR2T"], keys["ErrorRecoveryLevel"]) == ("None", "No", "0")


def test_a_discovery_session_offers_only_its_own() -> None:
    pair, request, keys = at_operational(target=None)
    assert set(keys) == {*DISCOVERY_KEYS, "DefaultTime2Wait", "DefaultTime2Retain", "ErrorRecoveryLevel"}
    pair.feed(pair.portal.login_response(request, DISCOVERY_KEYS))
    assert pair.connection.logged_in


def test_what_was_agreed_holds() -> None:
    parameters = logged_in({"MaxBurstLength": "32768", "InitialR2T": "Yes", "TargetAlias": "x"}).connection.parameters
    assert (parameters.max_burst_length, parameters.initial_r2t, parameters.target_alias) == (32768, True, "x")
    assert parameters.max_send_data_segment_length == 8192
    assert parameters.target_portal_group_tag == "1"


@pytest.mark.parametrize(
    ("status", "keys", "words"),
    [
        (0x0201, {}, "authentication failure (02h/01h)"),
        (0x0203, {}, "not found (02h/03h)"),
        (0x0302, {}, "out of resources"),
        (0x0399, {}, "unknown status (03h/99h)"),
        (0x0101, {"TargetAddress": "10.0.0.1:3260,1"}, "moved temporarily (01h/01h), it is at 10.0.0.1:3260"),
        (0x0102, {"TargetAddress": "[2001:db8::1]"}, "moved permanently (01h/02h), it is at [2001:db8::1]:3260"),
        (0x0102, {}, "does not name an address"),
        (0x0101, {"TargetAddress": "nowhere:x"}, "an address that cannot be used"),
    ],
)
def test_a_refusal_is_told_in_words(status: int, keys: dict[str, str], words: str) -> None:
    pair = unconnected()
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, keys, status=status, transit=False, next_stage=0))
    assert words in failure(pair)


@pytest.mark.parametrize(
    ("keys", "changes", "words"),
    [
        ({"MaxBurstLength": "2097152"}, {}, "MaxBurstLength=2097152"),
        ({"HeaderDigest": "CRC32C"}, {}, "HeaderDigest=CRC32C"),
        ({"InitialR2T": "Maybe"}, {}, "InitialR2T=Maybe"),
        ({"ImmediateData": "Reject"}, {}, "rejected ImmediateData"),
        ({"MaxRecvDataSegmentLength": "5"}, {}, "MaxRecvDataSegmentLength"),
        ({"InitiatorName": "iqn.x"}, {}, "InitiatorName may not be sent by a target"),
        ({}, {"next_stage": 1}, "goes to login stage 1 from 1"),
        ({}, {"current_stage": 0}, "answers for login stage 0, not 1"),
        ({}, {"tsih": 0}, "no handle"),
    ],
)
def test_a_bad_answer_ends_the_login(keys: dict[str, str], changes: dict[str, Any], words: str) -> None:
    pair, request, _ = at_operational()
    pair.feed(pair.portal.login_response(request, DEFAULT_KEYS | keys, **changes))
    assert words in failure(pair)


def test_text_that_is_no_pairs_ends_the_login() -> None:
    pair, request, _ = at_operational()
    response = LoginResponse(transit=True, current_stage=1, next_stage=3, tsih=1, isid=request.isid)
    pair.answer(response, b"nonsense\0")
    assert "has no '='" in failure(pair)


def test_an_answer_may_be_continued() -> None:
    pair, request, _ = at_operational()
    text = encode_pairs(DEFAULT_KEYS.items())
    first = LoginResponse(continued=True, current_stage=1, isid=request.isid)
    pair.answer(first, text[:70])
    asked, data = pair.request(LoginRequest)
    assert (asked.transit, asked.continued, data) == (True, False, b"")
    pair.answer(LoginResponse(transit=True, current_stage=1, next_stage=3, tsih=1, isid=request.isid), text[70:])
    assert pair.connection.logged_in


def test_keys_that_the_target_offers_are_answered() -> None:
    pair, request, _ = at_operational()
    offered = {"ErrorRecoveryLevel": "0", "X-thing": "1", "IFMarker": "Yes"}
    pair.feed(pair.portal.login_response(request, DEFAULT_KEYS | offered, transit=False, next_stage=0))
    again, data = pair.request(LoginRequest)
    assert again.transit
    assert keys_of(data) == {"X-thing": "NotUnderstood", "IFMarker": "No"}
    pair.feed(pair.portal.login_response(again, {}))
    assert pair.connection.logged_in


def test_a_login_without_end_is_given_up() -> None:
    pair, request, _ = at_operational()
    while not pair.connection.events:
        pair.feed(pair.portal.login_response(request, {}, transit=False, next_stage=0))
        for pdu, _ in pair.requests():
            assert isinstance(pdu, LoginRequest)
    assert "more than 16" in failure(pair)


def test_chap() -> None:
    """The numbers of the challenge are arbitrary; the response is MD5 of identifier, secret and challenge."""
    pair = unconnected(CHAP)
    pair.connection.log_in()
    request, data = pair.request(LoginRequest)
    assert keys_of(data)["AuthMethod"] == "CHAP,None"
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "CHAP"}, transit=False, next_stage=0))
    request, data = pair.request(LoginRequest)
    assert (request.transit, keys_of(data)) == (False, {"CHAP_A": "5"})
    challenge = {"CHAP_A": "5", "CHAP_I": "39", "CHAP_C": "0x000102030405060708090a0b0c0d0e0f"}
    pair.feed(pair.portal.login_response(request, challenge))
    request, data = pair.request(LoginRequest)
    assert request.transit
    assert keys_of(data) == {"CHAP_N": "me", "CHAP_R": "0x0ec29b593798047ef820ea3869984d01"}
    pair.feed(pair.portal.login_response(request, {}))
    request, _ = pair.request(LoginRequest)
    assert request.current_stage == 1


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ({"CHAP_A": "7"}, "algorithm '7'"),
        ({}, "algorithm 'none'"),
        ({"CHAP_A": "5"}, "cannot be read"),
        ({"CHAP_A": "5", "CHAP_I": "256", "CHAP_C": "0x00"}, "cannot be read"),
        ({"CHAP_A": "5", "CHAP_I": "x", "CHAP_C": "0x00"}, "cannot be read"),
        ({"CHAP_A": "5", "CHAP_I": "1", "CHAP_C": "0xzz"}, "cannot be read"),
        ({"CHAP_A": "5", "CHAP_I": "1", "CHAP_C": "0x"}, "cannot be read"),
        ({"CHAP_A": "5", "CHAP_I": "1", "CHAP_C": "0b!"}, "cannot be read"),
        ({"CHAP_A": "5", "CHAP_I": "1", "CHAP_C": "12"}, "cannot be read"),
    ],
)
def test_a_challenge_that_cannot_be_answered(challenge: dict[str, str], words: str) -> None:
    pair = unconnected(CHAP)
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "CHAP"}, transit=False, next_stage=0))
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, challenge))
    assert words in failure(pair)


# Mutual CHAP: the challenge and its response, computed without the code under test

BOTH_WAYS = replace(CHAP, target_user="it", target_secret="secret-of-the-target", entropy=lambda size: bytes(range(size)))
OUR_CHALLENGE = bytes(range(16))


def proving(secret: str = "secret-of-the-target", user: str = "it") -> dict[str, str]:
    """Return the target's answer to the initiator's challenge with identifier 0."""
    return {"CHAP_N": user, "CHAP_R": "0x" + md5(b"\0" + secret.encode() + OUR_CHALLENGE).hexdigest()}


def asked_for_proof() -> tuple[Pair, LoginRequest]:
    pair = unconnected(BOTH_WAYS)
    pair.connection.log_in()
    request, data = pair.request(LoginRequest)
    assert keys_of(data)["AuthMethod"] == "CHAP"
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "CHAP"}, transit=False, next_stage=0))
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"CHAP_A": "5", "CHAP_I": "39", "CHAP_C": "0b" + "A" * 22 + "=="}))
    request, data = pair.request(LoginRequest)
    keys = keys_of(data)
    assert set(keys) == {"CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C"}
    assert (keys["CHAP_I"], keys["CHAP_C"]) == ("0", "0x" + OUR_CHALLENGE.hex())
    return pair, request


def test_the_target_proves_itself() -> None:
    pair, request = asked_for_proof()
    pair.feed(pair.portal.login_response(request, proving()))
    request, _ = pair.request(LoginRequest)
    assert request.current_stage == 1


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "was asked to prove itself by CHAP and did not"),
        ({"CHAP_N": "it"}, "did not"),
        ({"CHAP_N": "it", "CHAP_R": "0x"}, "did not"),
        (proving("another secret"), "wrongly"),
        (proving(user="other"), "wrongly"),
        ({"CHAP_R": proving()["CHAP_R"]}, "wrongly"),
        (proving("secret-of-12-bytes"), "wrongly"),
    ],
)
def test_a_target_that_does_not_prove_itself_is_left(keys: dict[str, str], words: str) -> None:
    pair, request = asked_for_proof()
    pair.feed(pair.portal.login_response(request, keys))
    assert words in failure(pair)
    assert not pair.connection.logged_in


def test_our_own_secret_proves_nothing_even_if_it_is_the_targets() -> None:
    same = replace(BOTH_WAYS, target_secret=BOTH_WAYS.secret)
    challenge = OwnChallenge.fresh(lambda size: bytes(range(size)))
    with pytest.raises(LoginFailed, match="wrongly"):
        challenge.check("it", same.target_secret or "", same.secret or "", proving("secret-of-12-bytes"))


def test_a_target_that_wants_no_authentication_cannot_prove_itself() -> None:
    pair = unconnected(BOTH_WAYS)
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "None"}))
    assert "does without authentication" in failure(pair)


def test_a_target_may_not_end_authentication_early() -> None:
    pair = unconnected(BOTH_WAYS)
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "CHAP"}, transit=False, next_stage=0))
    request, _ = pair.request(LoginRequest)
    challenge = {"CHAP_A": "5", "CHAP_I": "39", "CHAP_C": "0x00"}
    pair.feed(pair.portal.login_response(request, challenge, transit=True, next_stage=1))
    assert "ends a login stage unasked" in failure(pair)


@pytest.mark.parametrize(("method", "words"), [("CHAP", "a user and a secret"), ("KRB5", "AuthMethod 'KRB5'")])
def test_a_method_that_we_cannot(method: str, words: str) -> None:
    pair = unconnected()
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": method}, transit=False, next_stage=0))
    assert words in failure(pair)


def test_nothing_else_may_come_before_the_login_is_over() -> None:
    pair = unconnected()
    pair.connection.log_in()
    with pytest.raises(ProtocolViolation, match="NopIn, which is not allowed"):
        pair.answer(NopIn())


def test_an_isid_of_random_format() -> None:
    assert random_isid(bytes(range(5))) == b"\x80\x00\x01\x02\x03\x04"
