"""The logins of real initiators, and every way in which a login can fail."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi import limits
from odx_target.iscsi.login.login import Login
from odx_target.iscsi.login.login_answer import LoginRefused
from odx_target.iscsi.pdu.headers import LoginRequest, LoginResponse, NopOut, ScsiCommand
from odx_target.iscsi.pdu.opcodes import LoginStatus, Stage
from odx_target.iscsi.pdu.text import Pairs, encode_pairs
from odx_target.iscsi.session.close_reason import CloseCode
from odx_target.iscsi.session.directory_interface import AuthenticationFailed
from odx_target.iscsi.session.events import SessionOpened
from tests.iscsi.conversation import INITIATOR, NORMAL_KEYS, TARGET, Conversation, Directory

LOGINS = json.loads((Path(__file__).parents[2] / "fixtures" / "iscsi_logins.json").read_text())["logins"]
SECURITY, OPERATIONAL, FULL = Stage.SECURITY_NEGOTIATION, Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE


def pairs(rows: Sequence[Sequence[str]]) -> Pairs:
    return [(name, value) for name, value in rows]


@pytest.mark.parametrize("login", LOGINS, ids=[login["name"] for login in LOGINS])
def test_login_of_a_known_initiator(login: dict[str, Any]) -> None:
    talk = Conversation()
    for step in login["steps"]:
        response, answers = talk.login_request(pairs(step["keys"]), step["csg"], step["nsg"])
        assert answers == pairs(step["answers"])
        assert (response.status, response.transit) == (0, True)
        assert (response.current_stage, response.next_stage) == (step["csg"], step["nsg"])
        assert (response.tsih != 0) == (step["nsg"] == FULL)
        assert (response.isid, response.exp_cmd_sn) == (talk.isid, talk.cmd_sn)
        assert response.max_cmd_sn == talk.cmd_sn + limits.COMMAND_WINDOW - 1
    assert [type(event) for event in talk.events] == ([SessionOpened] if login["normal"] else [])
    session = talk.connection.session
    assert session is not None
    for name, value in login["result"].items():
        assert getattr(session.parameters, name) == value, name
    assert session.is_discovery != login["normal"]


def cut_in_pieces(raw: bytes, sizes: Sequence[int]) -> Sequence[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(raw[at : at + size])
        at += size
    return [*pieces, raw[at:]]


@given(st.lists(st.integers(1, 200)))
@settings(max_examples=50, deadline=None)
def test_a_login_may_arrive_in_any_pieces(sizes: list[int]) -> None:
    talk = Conversation()
    text = encode_pairs([*talk.names().items(), *NORMAL_KEYS.items()])
    raw = talk.encode(talk.login_pdu(OPERATIONAL, FULL), text)
    rest = b""
    for piece in cut_in_pieces(raw, sizes):
        rest += piece
        rest = rest[talk.feed(rest) :]
    assert rest == b""
    assert talk.take(LoginResponse).status == 0


@pytest.mark.parametrize("size", [1, 7, 64, 8192])
def test_keys_may_be_spread_over_requests_with_the_c_bit(size: int) -> None:
    talk = Conversation()
    text = encode_pairs([*talk.names().items(), *NORMAL_KEYS.items()])
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    for part in parts[:-1]:
        talk.send(talk.login_pdu(OPERATIONAL, None, continued=True), part)
        response, data = talk.take_with_data(LoginResponse)
        assert (response.status, response.transit, response.continued, data) == (0, False, False, b"")
    talk.send(talk.login_pdu(OPERATIONAL, FULL), parts[-1])
    response = talk.take(LoginResponse)
    assert (response.status, response.transit) == (0, True)


def test_keys_without_end_are_refused() -> None:
    talk = Conversation()
    for _ in range(8):
        talk.send(talk.login_pdu(OPERATIONAL, None, continued=True), bytes(8192))
        assert talk.take(LoginResponse).status == 0
    talk.send(talk.login_pdu(OPERATIONAL, None, continued=True), b"x")
    assert talk.take(LoginResponse).status == LoginStatus.INITIATOR_ERROR
    assert talk.connection.closed


def test_the_window_of_the_target_is_announced_and_never_shrinks() -> None:
    """Before the target is known, one command is announced, because MaxCmdSN may not go down (RFC 7143 11.4.9)."""
    talk = Conversation()
    talk.directory.sessions.command_windows = {TARGET: 3}
    text = encode_pairs([*talk.names().items()])
    talk.send(talk.login_pdu(SECURITY, None, continued=True), text[:40])
    assert talk.take(LoginResponse).max_cmd_sn == talk.cmd_sn
    talk.send(talk.login_pdu(SECURITY, None), text[40:])
    assert talk.take(LoginResponse).max_cmd_sn == talk.cmd_sn + 2


def test_a_stage_may_take_several_requests() -> None:
    talk = Conversation()
    response, answers = talk.login_request(talk.names(), SECURITY, None)
    assert (response.transit, answers) == (False, [("TargetPortalGroupTag", "1")])
    response, answers = talk.login_request({"AuthMethod": "None"}, SECURITY, OPERATIONAL)
    assert (response.transit, answers) == (True, [("AuthMethod", "None")])
    response, answers = talk.login_request({"InitialR2T": "No"}, OPERATIONAL, None)
    assert (response.transit, answers) == (False, [("InitialR2T", "No"), ("MaxRecvDataSegmentLength", "262144")])
    response, answers = talk.login_request({}, OPERATIONAL, FULL)
    assert (response.transit, answers) == (True, [])
    assert not talk.connection.closed


REFUSED: list[tuple[str, dict[str, Any], dict[str, str] | Pairs, LoginStatus]] = [
    ("version too new", {"version_min": 1, "version_max": 1}, {}, LoginStatus.UNSUPPORTED_VERSION),
    ("no initiator name", {}, {"InitiatorName": ""}, LoginStatus.MISSING_PARAMETER),
    ("no target name", {}, {"TargetName": ""}, LoginStatus.MISSING_PARAMETER),
    ("unknown target", {}, {"TargetName": "iqn.2026-11.io.odx-target:other"}, LoginStatus.NOT_FOUND),
    ("unknown session type", {}, {"SessionType": "Other"}, LoginStatus.SESSION_TYPE_NOT_SUPPORTED),
    ("unknown session", {"tsih": 9}, {}, LoginStatus.SESSION_DOES_NOT_EXIST),
    ("stage 2", {"current_stage": 2}, {}, LoginStatus.INITIATOR_ERROR),
    ("stage 3", {"current_stage": 3}, {}, LoginStatus.INITIATOR_ERROR),
    ("to stage 2", {"next_stage": 2}, {}, LoginStatus.INITIATOR_ERROR),
    ("to the same stage", {"next_stage": 1}, {}, LoginStatus.INITIATOR_ERROR),
    ("back a stage", {"next_stage": 0}, {}, LoginStatus.INITIATOR_ERROR),
    ("T and C", {"continued": True}, {}, LoginStatus.INITIATOR_ERROR),
    ("repeated key", {}, [("X-a", "1"), ("X-a", "1")], LoginStatus.INITIATOR_ERROR),
    ("two targets", {}, [("TargetName", "iqn.2026-11.io.odx-target:other")], LoginStatus.INITIATOR_ERROR),
    ("two session types", {}, [("SessionType", "Other")], LoginStatus.INITIATOR_ERROR),
    ("two initiators", {}, [("InitiatorName", "iqn.2026-11.io.odx-target:other")], LoginStatus.INITIATOR_ERROR),
    ("an answer as target", {}, {"TargetName": "NotUnderstood"}, LoginStatus.INITIATOR_ERROR),
    ("an answer as session type", {}, {"SessionType": "Reject"}, LoginStatus.INITIATOR_ERROR),
    ("an answer as method", {"current_stage": 0}, {"AuthMethod": "Irrelevant"}, LoginStatus.INITIATOR_ERROR),
    *(
        (f"name with {character!a}", {}, {"InitiatorName": f"iqn.2026-11.example:{character}a"}, LoginStatus.INITIATOR_ERROR)
        for character in "\x1b\x07\n ,\u200e"
    ),
    ("long name", {}, {"InitiatorName": "x" * 224}, LoginStatus.INITIATOR_ERROR),
    ("security key", {}, {"AuthMethod": "None"}, LoginStatus.INITIATOR_ERROR),
    ("operational key", {"current_stage": 0}, {"InitialR2T": "No"}, LoginStatus.INITIATOR_ERROR),
    ("no method in common", {"current_stage": 0}, {"AuthMethod": "CHAP,KRB5"}, LoginStatus.AUTHENTICATION_FAILURE),
    ("bad length", {}, {"MaxRecvDataSegmentLength": "1"}, LoginStatus.INITIATOR_ERROR),
]


@pytest.mark.parametrize(("header", "keys", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_login_is_refused_with_the_right_status(
    header: dict[str, Any], keys: dict[str, str] | Pairs, status: LoginStatus
) -> None:
    talk = Conversation()
    offers = dict(talk.names())
    extra = list(keys.items()) if isinstance(keys, dict) else keys
    for name, value in extra if isinstance(keys, dict) else []:
        offers.pop(name, None) if not value else offers.update({name: value})
    request = talk.login_pdu(OPERATIONAL, FULL)
    for name, value in header.items():
        setattr(request, name, value)
    text = encode_pairs([*offers.items(), *([] if isinstance(keys, dict) else keys)])
    talk.send(request, text)
    response = talk.take(LoginResponse)
    assert (response.status, response.transit) == (status, False)
    assert talk.connection.closed
    assert talk.connection.close_reason is not None
    assert talk.connection.close_reason.code is CloseCode.LOGIN_FAILED
    assert f"{status:04x}h" in str(talk.connection.close_reason)
    assert len(talk.directory.sessions._connections) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"isid": b"\x80abcde"},
        {"tsih": 1},
        {"connection_id": 2},
        {"initiator_task_tag": 2},
        {"version_max": 1},
    ],
)
def test_header_fields_may_not_change_during_a_login(change: dict[str, Any]) -> None:
    talk = Conversation()
    talk.login_request(talk.names(), SECURITY, OPERATIONAL)
    request = talk.login_pdu(OPERATIONAL, FULL)
    for name, value in change.items():
        setattr(request, name, value)
    talk.send(request)
    assert talk.take(LoginResponse).status == LoginStatus.INITIATOR_ERROR
    assert talk.connection.closed


def test_a_request_of_another_stage_is_refused() -> None:
    talk = Conversation()
    talk.login_request(talk.names(), SECURITY, OPERATIONAL)
    talk.send(talk.login_pdu(SECURITY, OPERATIONAL))
    assert talk.take(LoginResponse).status == LoginStatus.INITIATOR_ERROR


def test_anything_before_a_login_ends_the_connection_without_an_answer() -> None:
    talk = Conversation()
    talk.send(ScsiCommand())
    assert talk.connection.closed
    assert talk.unread == []
    assert str(talk.connection.close_reason).startswith("protocol error: operation code 0x01")


def test_anything_but_a_login_request_during_a_login_gets_a_status() -> None:
    talk = Conversation()
    talk.login_request(talk.names(), SECURITY, OPERATIONAL)
    talk.send(NopOut(initiator_task_tag=0x77))
    response = talk.take(LoginResponse)
    assert (response.status, response.initiator_task_tag) == (LoginStatus.INVALID_DURING_LOGIN, 0x77)
    assert talk.connection.closed


def test_a_login_segment_past_the_default_length_is_refused() -> None:
    talk = Conversation()
    request = talk.login_pdu(OPERATIONAL, FULL)
    request.data_segment_length = 8193
    talk.feed(request.encode_header())
    assert talk.take(LoginResponse).status == LoginStatus.INITIATOR_ERROR
    assert talk.connection.closed


def test_a_long_segment_before_a_login_ends_the_connection_without_an_answer() -> None:
    talk = Conversation()
    talk.feed(ScsiCommand(data_segment_length=8193).encode_header())
    assert talk.connection.closed
    assert talk.unread == []


def test_no_more_sessions_than_there_may_be() -> None:
    directory = Directory(max_sessions=3)
    talks = [Conversation(directory, isid=bytes([i] * 6)) for i in range(4)]
    for talk in talks:
        talk.login_request(talk.names(), SECURITY, OPERATIONAL)  # logins under way do not count
    for talk in talks:
        talk.send(talk.login_pdu(OPERATIONAL, FULL))
    assert [talk.take(LoginResponse).status for talk in talks] == [0, 0, 0, LoginStatus.OUT_OF_RESOURCES]
    early = Conversation(directory, isid=b"early!")
    early.send(early.login_pdu(SECURITY, OPERATIONAL), encode_pairs(early.names().items()))
    assert early.take(LoginResponse).status == LoginStatus.OUT_OF_RESOURCES
    again = Conversation(directory, isid=talks[1].isid)
    again.log_in()  # replaces its own session
    again.connection.connection_lost("test", 0.0)
    late = Conversation(directory, isid=b"latest")
    late.log_in()
    assert len(directory.sessions._connections) == 3


def test_names_may_come_in_any_order_and_types_default_to_normal() -> None:
    talk = Conversation()
    offers = [("TargetName", TARGET), ("MaxConnections", "1"), ("InitiatorName", INITIATOR)]
    response, answers = talk.login_request(offers, OPERATIONAL, FULL)
    assert response.status == 0
    assert answers == [("TargetPortalGroupTag", "1"), ("MaxConnections", "1"), ("MaxRecvDataSegmentLength", "262144")]


def test_a_discovery_session_needs_no_target() -> None:
    talk = Conversation(Directory(names=[]))
    answers = talk.log_in("Discovery")
    assert answers["TargetPortalGroupTag"] == "1"
    assert talk.events == []


class Password:
    """An authentication method with one exchange: the target asks, and the initiator sends a password."""

    method = "CHAP"

    def __init__(self) -> None:
        self.done = False

    def answer(self, offers: Pairs) -> Pairs:
        said = dict(offers)
        if "CHAP_A" in said:
            return [("CHAP_C", "word?")]
        self.done = said.get("CHAP_R") == "word"
        if not self.done:
            raise AuthenticationFailed("wrong word")
        return []


def asking() -> Conversation:
    directory = Directory()
    directory.make_authenticator = Password
    return Conversation(directory)


def test_authentication_is_asked_for_and_checked_before_the_stage_may_end() -> None:
    talk = asking()
    response, answers = talk.login_request({**talk.names(), "AuthMethod": "None,CHAP"}, SECURITY, OPERATIONAL)
    assert (response.transit, answers) == (False, [("TargetPortalGroupTag", "1"), ("AuthMethod", "CHAP")])
    response, answers = talk.login_request({"CHAP_A": "5"}, SECURITY, None)
    assert answers == [("CHAP_C", "word?")]
    response, answers = talk.login_request({"CHAP_R": "word"}, SECURITY, OPERATIONAL)
    assert response.transit
    response, _ = talk.login_request({}, OPERATIONAL, FULL)
    assert response.tsih
    assert talk.connection.session is not None


@pytest.mark.parametrize(
    ("stage", "keys"),
    [
        (SECURITY, {"AuthMethod": "None"}),
        (SECURITY, {"AuthMethod": "CHAP", "CHAP_R": "guess"}),
        (OPERATIONAL, {}),
    ],
    ids=["not offered", "wrong", "skipped"],
)
def test_who_does_not_authenticate_does_not_get_in(stage: Stage, keys: dict[str, str]) -> None:
    talk = asking()
    talk.send(talk.login_pdu(stage, FULL), encode_pairs({**talk.names(), **keys}.items()))
    assert talk.take(LoginResponse).status == LoginStatus.AUTHENTICATION_FAILURE
    assert talk.connection.closed
    assert talk.connection.session is None


def test_keys_of_a_method_that_was_not_agreed_on_are_rejected() -> None:
    talk = Conversation()
    _, answers = talk.login_request({**talk.names(), "AuthMethod": "None", "CHAP_A": "5"}, SECURITY, OPERATIONAL)
    assert ("CHAP_A", "Reject") in answers


@given(
    st.lists(
        st.tuples(
            st.builds(
                LoginRequest,
                transit=st.booleans(),
                continued=st.booleans(),
                current_stage=st.integers(0, 3),
                next_stage=st.integers(0, 3),
            ),
            st.lists(
                st.sampled_from(
                    [
                        ("InitiatorName", INITIATOR),
                        ("TargetName", TARGET),
                        ("SessionType", "Discovery"),
                        ("AuthMethod", "None"),
                        ("InitialR2T", "No"),
                        ("X-a", "1"),
                        ("HeaderDigest", "CRC32C"),
                        ("MaxRecvDataSegmentLength", "9"),
                    ]
                ),
                max_size=4,
            ),
        ),
        max_size=6,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_order_of_requests_ends_in_an_answer_or_a_refusal(requests: list[tuple[LoginRequest, Pairs]]) -> None:
    directory = Directory()
    talk = Conversation(directory)
    login = Login(directory, talk.connection, 1)
    refused = None
    for request, offers in requests:
        try:
            answer = login.receive(request, encode_pairs(offers))
        except LoginRefused as error:
            refused = error
            break
        assert (answer.session is not None) == (answer.transit and answer.next_stage == FULL)
        if answer.session is not None:
            assert answer.session.tsih
            break
    assert refused is None or refused.status >> 8 == 2
