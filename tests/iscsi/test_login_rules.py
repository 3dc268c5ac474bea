"""Rules of the login phase that need several requests (RFC 7143 6, 11.12, 11.13, 7.4.2). `test_login` has the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.iscsi.pdu.headers import LoginResponse
from odx_target.iscsi.pdu.opcodes import LoginStatus, Stage
from odx_target.iscsi.pdu.text import MAX_KEYS, Pairs, decode_pairs, encode_pairs
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason
from tests.iscsi.conversation import INITIATOR, NORMAL_KEYS, TARGET, Conversation, Directory
from tests.settings import searching

SECURITY, OPERATIONAL, FULL = Stage.SECURITY_NEGOTIATION, Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE
LOGIN_SEGMENT_BYTES = 8192
"""MaxRecvDataSegmentLength of both sides during a login (6.3)."""


def status(talk: Conversation, keys: dict[str, str] | Pairs, csg: int = OPERATIONAL, nsg: int | None = FULL) -> int:
    """Return the status in the response to a request. A refusal must end the connection."""
    response, _ = talk.login_request(keys, csg, nsg)
    assert talk.connection.closed is (response.status != 0)
    return response.status


def test_a_login_has_an_end_to_what_it_remembers() -> None:
    talk = Conversation()
    talk.login_request(talk.names(), OPERATIONAL, None)
    for first in range(len(talk.names()), MAX_KEYS, 256):
        offers = unknown_keys(min(first + 256, MAX_KEYS))[first:]
        assert status(talk, offers, nsg=None) == LoginStatus.SUCCESS
    assert status(talk, [("X-more", "1")], nsg=None) == LoginStatus.INITIATOR_ERROR


def test_no_login_gets_in_through_a_port_that_is_offline() -> None:
    """SPC-4 5.15.2.4, RFC 7143 11.13.5. Another port of the target, and a discovery that names no target, are not affected."""
    directory = Directory()
    directory.offline_tags = {1}
    talk = Conversation(directory)
    assert status(talk, talk.names()) == LoginStatus.SERVICE_UNAVAILABLE
    discovery = Conversation(directory)
    assert status(discovery, {"InitiatorName": INITIATOR, "SessionType": "Discovery"}) == LoginStatus.SUCCESS
    directory.offline_tags = {2}
    talk = Conversation(directory)
    assert status(talk, talk.names(), nsg=None) == LoginStatus.SUCCESS
    directory.offline_tags = {1}
    assert status(talk, {}) == LoginStatus.SERVICE_UNAVAILABLE, "it goes offline while the login is under way"


# Text longer than a PDU, in both directions


def unknown_keys(count: int) -> Pairs:
    """Return keys whose answers are longer than the keys."""
    return [(f"X-{i}", "1") for i in range(count)]


def in_requests(talk: Conversation, text: bytes, nsg: int | None) -> tuple[LoginResponse, bytes]:
    """Send a text in as many requests as it needs; return the answer to the last."""
    parts = [text[at : at + LOGIN_SEGMENT_BYTES] for at in range(0, len(text), LOGIN_SEGMENT_BYTES)]
    for part in parts[:-1]:
        talk.send(talk.login_pdu(OPERATIONAL, None, continued=True), part)
        response, data = talk.take_with_data(LoginResponse)
        assert (response.status, response.transit, response.continued, data) == (0, False, False, b"")
    talk.send(talk.login_pdu(OPERATIONAL, nsg), parts[-1])
    return talk.take_with_data(LoginResponse)


@given(count=st.integers(300, 2500), transits=st.lists(st.booleans(), min_size=1, max_size=5))
@searching(20)
def test_answers_longer_than_a_pdu_come_in_parts(count: int, transits: list[bool]) -> None:
    talk = Conversation()
    offers = [*talk.names().items(), ("MaxRecvDataSegmentLength", "512"), *unknown_keys(count)]
    response, data = in_requests(talk, encode_pairs(offers), FULL if transits[0] else None)
    whole = data
    step = 0
    while not response.transit:
        step += 1
        assert len(data) <= LOGIN_SEGMENT_BYTES
        assert (response.status, response.tsih) == (0, 0)
        nsg = FULL if transits[step % len(transits)] or step > 30 else None
        talk.send(talk.login_pdu(OPERATIONAL, nsg))
        was_continued = response.continued
        response, data = talk.take_with_data(LoginResponse)
        assert data or not was_continued
        assert not (response.transit and nsg is None)
        assert not (response.continued and response.transit)
        whole += data
    assert response.tsih
    own = [("TargetPortalGroupTag", "1"), *((name, "NotUnderstood") for name, _ in unknown_keys(count))]
    assert decode_pairs(whole) == [*own, ("MaxRecvDataSegmentLength", "262144")]


@pytest.mark.parametrize(("continued", "text"), [(False, b"X-a=1\0"), (True, b"X-a=1\0"), (True, b"")])
def test_the_rest_of_an_answer_is_asked_for_by_an_empty_request(continued: bool, text: bytes) -> None:
    talk = Conversation()
    response, _ = in_requests(talk, encode_pairs([*talk.names().items(), *unknown_keys(900)]), FULL)
    assert response.continued
    talk.send(talk.login_pdu(OPERATIONAL, None, continued=continued), text)
    assert talk.take(LoginResponse).status == LoginStatus.INITIATOR_ERROR


@pytest.mark.parametrize("declared", ["512", "16777215"])
def test_what_the_initiator_declares_does_not_change_the_length_of_login_responses(declared: str) -> None:
    talk = Conversation()
    offers = [*talk.names().items(), ("MaxRecvDataSegmentLength", declared)]
    assert talk.login_request(offers, OPERATIONAL, None)[0].status == 0
    talk.send(talk.login_pdu(OPERATIONAL, FULL), encode_pairs(unknown_keys(500)))
    response, data = talk.take_with_data(LoginResponse)
    assert (response.continued, len(data)) == (True, LOGIN_SEGMENT_BYTES)


def test_what_the_target_declares_does_not_change_the_length_of_login_requests() -> None:
    talk = Conversation()
    _, answers = talk.login_request(talk.names(), OPERATIONAL, None)
    assert ("MaxRecvDataSegmentLength", "262144") in answers
    request = talk.login_pdu(OPERATIONAL, FULL)
    request.data_segment_length = LOGIN_SEGMENT_BYTES + 1
    talk.feed(request.encode_header())
    assert talk.take(LoginResponse).status == LoginStatus.INITIATOR_ERROR


# The first request


@pytest.mark.parametrize("late", [("InitiatorName", INITIATOR), ("TargetName", TARGET), ("SessionType", "Discovery")])
@pytest.mark.parametrize("stage", [SECURITY, OPERATIONAL])
def test_who_logs_in_to_what_is_said_in_the_first_request_alone(late: tuple[str, str], stage: int) -> None:
    talk = Conversation()
    first = {name: value for name, value in talk.names().items() if name != late[0]}
    if late[0] == "TargetName":
        first["SessionType"] = "Discovery"
    if late[0] != "InitiatorName":
        assert status(talk, first, stage, None) == 0
        assert status(talk, [late], stage, None) == LoginStatus.INITIATOR_ERROR
    else:
        assert status(talk, first, stage, None) == LoginStatus.MISSING_PARAMETER


@pytest.mark.parametrize("session_type", ["Normal", "Discovery"])
@pytest.mark.parametrize("stage", [SECURITY, OPERATIONAL])
def test_the_first_response_names_the_portal_group(session_type: str, stage: int) -> None:
    talk = Conversation()
    talk.send(talk.login_pdu(stage, None, continued=True), encode_pairs(talk.names(session_type).items()))
    assert talk.take_with_data(LoginResponse)[1] == b""
    _, answers = talk.login_request({}, stage, None)
    assert answers[0] == ("TargetPortalGroupTag", "1")
    assert "TargetPortalGroupTag" not in dict(talk.login_request({}, stage, None)[1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iqn.2026-11.example:" + "x" * 203, 0),
        ("iqn.2026-11.example:" + "x" * 204, LoginStatus.INITIATOR_ERROR),
        ("eui.02004567A425678D", 0),
        ("eui.02004567A425678", LoginStatus.INITIATOR_ERROR),
        ("naa.62004567BA64678D0123456789ABCDEF", 0),
        ("host", LoginStatus.INITIATOR_ERROR),
        ("iqn.2026-11.example:a b", LoginStatus.INITIATOR_ERROR),
    ],
)
def test_what_an_initiator_may_be_called(name: str, expected: int) -> None:
    talk = Conversation()
    assert status(talk, talk.names() | {"InitiatorName": name}) == expected


def test_names_are_compared_as_they_are_prepared() -> None:
    directory = Directory(names=["eui.02004567A425678D"])
    first = Conversation(directory)
    assert status(first, first.names(target="eui.02004567a425678d")) == 0
    second = Conversation(directory)
    assert status(second, second.names(target="EUI.02004567A425678D") | {"InitiatorName": INITIATOR.upper()}) == 0
    assert first.connection.close_reason == CloseReason(CloseCode.SESSION_REINSTATED)
    made = second.connection.session
    assert made is not None
    assert (made.initiator_name, made.target_name) == (INITIATOR, "eui.02004567A425678D")


# Numbers and flags


def test_statuses_are_numbered_and_commands_are_not_used_up() -> None:
    talk = Conversation(cmd_sn=123, exp_stat_sn=40)
    for _ in range(6):  # the number of exchanges that every side must support (6.2)
        response, _ = talk.login_request(talk.names() if talk.exp_stat_sn == 40 else {}, OPERATIONAL, None)
        assert (response.status, response.transit, response.tsih, response.exp_cmd_sn) == (0, False, 0, 123)
        assert (response.version_max, response.version_active) == (0, 0)
    response, _ = talk.login_request({}, OPERATIONAL, FULL)
    assert (response.transit, response.next_stage, response.exp_cmd_sn, response.stat_sn) == (True, FULL, 123, 46)
    assert response.tsih
    assert talk.read(512).cmd_sn == 123
    assert len(talk.events) == 2


@pytest.mark.parametrize("stage", [SECURITY, OPERATIONAL])
def test_the_target_leaves_a_stage_only_when_asked(stage: int) -> None:
    talk = Conversation()
    for _ in range(3):
        response, _ = talk.login_request(talk.names() if talk.exp_stat_sn == 1 else {}, stage, None)
        assert (response.transit, response.current_stage, response.next_stage) == (False, stage, 0)


# Parameters that depend on each other, and parameters of an existing session


def burst_lengths(talk: Conversation) -> tuple[int, int]:
    made = talk.connection.session
    assert made is not None
    return made.parameters.first_burst_length, made.parameters.max_burst_length


def test_a_first_burst_that_was_not_negotiated_is_no_longer_than_a_burst() -> None:
    talk = Conversation()
    assert status(talk, talk.names() | {"MaxBurstLength": "4096"}) == 0
    assert burst_lengths(talk) == (4096, 4096)


@pytest.mark.parametrize(("later", "expected"), [("65536", 0), ("65535", LoginStatus.INITIATOR_ERROR)])
def test_a_first_burst_that_was_agreed_on_may_not_turn_out_longer_than_a_burst(later: str, expected: int) -> None:
    talk = Conversation()
    assert status(talk, talk.names() | {"FirstBurstLength": "65536"}, OPERATIONAL, None) == 0
    assert status(talk, {"MaxBurstLength": later}) == expected


def test_a_further_connection_does_not_change_its_session() -> None:
    directory = Directory()
    first = Conversation(directory).logged_in(MaxBurstLength="4096", FirstBurstLength="1024")
    again = Conversation(directory, tsih=first.tsih)
    response, answers = again.login_request({**again.names(), **NORMAL_KEYS, "DataDigest": "CRC32C"}, OPERATIONAL, FULL)
    assert (response.status, response.tsih) == (0, first.tsih)
    said = dict(answers)
    assert (said["MaxBurstLength"], said["InitialR2T"], said["DataDigest"]) == ("Reject", "Reject", "CRC32C")
    assert burst_lengths(again) == (1024, 4096)


# Discovery sessions with and without a target


def discovering(directory: Directory) -> Conversation:
    talk = Conversation(directory)
    assert status(talk, talk.names("Discovery")) == 0
    return talk


def test_discovery_sessions_through_two_portals_leave_each_other_alone() -> None:
    directory = Directory()
    first = discovering(directory)
    directory.portal = "192.0.2.2:3260"
    second = discovering(directory)
    assert not first.connection.closed
    directory.portal = "127.0.0.1:3260"
    third = discovering(directory)
    assert first.connection.close_reason == CloseReason(CloseCode.SESSION_REINSTATED)
    assert not second.connection.closed
    assert not third.connection.closed


def named(directory: Directory, session_type: str, target: str = TARGET) -> tuple[Conversation, int]:
    talk = Conversation(directory)
    return talk, status(talk, {"InitiatorName": INITIATOR, "TargetName": target, "SessionType": session_type})


@pytest.mark.parametrize("types", [("Discovery", "Discovery"), ("Discovery", "Normal"), ("Normal", "Discovery")])
def test_a_session_that_names_a_target_takes_the_place_of_any_of_the_same_name(types: tuple[str, str]) -> None:
    directory = Directory()
    (first, _), (second, outcome) = (named(directory, each) for each in types)
    assert outcome == 0
    assert first.connection.close_reason == CloseReason(CloseCode.SESSION_REINSTATED)
    assert not second.connection.closed


def test_a_session_that_names_no_target_takes_the_place_of_no_other_kind() -> None:
    directory = Directory()
    talks = [named(directory, "Normal")[0], discovering(directory)]
    assert not any(talk.connection.closed for talk in talks)


def test_a_discovery_session_may_not_name_a_target_that_is_not_there() -> None:
    assert named(Directory(), "Discovery", "iqn.2026-11.io.odx-target:other")[1] == LoginStatus.NOT_FOUND


def test_a_connection_has_the_type_of_its_session() -> None:
    directory = Directory()
    first = Conversation(directory).logged_in()
    again = Conversation(directory, tsih=first.tsih)
    assert status(again, again.names() | {"SessionType": "Discovery"}) == LoginStatus.INITIATOR_ERROR
    assert not first.connection.closed
