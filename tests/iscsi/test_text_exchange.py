"""Text requests on the wire: exchanges over several PDUs, their errors, and the time from which declared values apply."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.iscsi.pdu.headers import LogoutRequest, LogoutResponse, Reject, ScsiDataIn, TextRequest, TextResponse
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.pdu.text import MAX_KEYS, decode_pairs, encode_pairs
from odx_target.iscsi.session.close_reason import CloseCode
from odx_target.iscsi.session.directory_interface import Portal
from odx_target.iscsi.session.events import CommandReady
from tests.iscsi.conversation import INITIATOR, TARGET, Conversation, Directory
from tests.settings import searching

NO_TAG = 0xFFFFFFFF
SESSION_TYPES = ("Normal", "Discovery")


def session(session_type: str = "Normal", directory: Directory | None = None) -> Conversation:
    talk = Conversation(directory or Directory())
    talk.log_in(session_type)
    talk.events.clear()
    return talk


def say(talk: Conversation, text: bytes = b"", **fields: object) -> None:
    """Send a Text Request of task 9. It begins a new exchange and ends it, if `fields` do not change that."""
    pdu = TextRequest(initiator_task_tag=9, cmd_sn=talk.cmd_sn)
    for name, value in fields.items():
        setattr(pdu, name, value)
    talk.send(pdu, text)
    if not isinstance(talk.unread[-1].pdu, Reject) and not pdu.immediate:
        talk.next_cmd_sn()


def ask(talk: Conversation, text: bytes = b"", **fields: object) -> tuple[TextResponse, list[tuple[str, str]]]:
    say(talk, text, **fields)
    answer, data = talk.take_with_data(TextResponse)
    assert (answer.target_transfer_tag == NO_TAG) is answer.final
    return answer, decode_pairs(data)


def rejected(talk: Conversation, reason: RejectReason) -> None:
    """Check that the last request was answered by a Reject, and that the connection stays open."""
    assert talk.take(Reject).reason == reason
    assert not talk.connection.closed
    assert ("TargetName", TARGET) in ask(talk, f"SendTargets={TARGET}\0".encode())[1]


def send_length(talk: Conversation) -> int:
    made = talk.connection.session
    assert made is not None
    return made.parameters.max_send_data_segment_length


# Keys

FULL_FEATURE_KEYS: list[tuple[bytes, list[tuple[str, str]]]] = [
    (b"X-com.example.key=1\0", [("X-com.example.key", "NotUnderstood")]),
    (b"initialr2t=No\0", [("initialr2t", "NotUnderstood")]),
    (b"MaxRecvDataSegmentLength=16384\0", []),
    (b"InitiatorAlias=me\0", []),
    (b"InitialR2T=No\0", [("InitialR2T", "Reject")]),
    (b"HeaderDigest=None\0", [("HeaderDigest", "Reject")]),
    (b"SessionType=Normal\0", [("SessionType", "Reject")]),
    (b"InitiatorName=iqn.x\0", [("InitiatorName", "Reject")]),
    (b"TargetAlias=x\0", [("TargetAlias", "Reject")]),
    (b"IFMarker=Yes\0", [("IFMarker", "No")]),
    (b"OFMarkInt=1~2\0", [("OFMarkInt", "Reject")]),
    (b"", []),
]


@pytest.mark.parametrize("session_type", SESSION_TYPES)
@pytest.mark.parametrize(("text", "answers"), FULL_FEATURE_KEYS)
def test_keys_are_answered_alike_in_both_kinds_of_session(
    session_type: str, text: bytes, answers: list[tuple[str, str]]
) -> None:
    talk = session(session_type)
    response, found = ask(talk, text)
    assert (response.final, found) == (True, answers)


@pytest.mark.parametrize("session_type", SESSION_TYPES)
@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\0",
        b"A" * 64 + b"=1\0",
        b"A=\xff\0",
        b"MaxRecvDataSegmentLength=1\0",
        b"InitiatorAlias=" + b"x" * 256 + b"\0",
        b"X-a=1\0X-a=2\0",
        b"SendTargets=All\0SendTargets=All\0",
        b"X-a=Reject\0",
        b"MaxRecvDataSegmentLength=NotUnderstood\0",
        b"AuthMethod=None\0",
    ],
)
def test_what_is_no_negotiation_is_rejected_and_changes_nothing(session_type: str, text: bytes) -> None:
    talk = session(session_type)
    before = send_length(talk)
    say(talk, b"X-b=1\0MaxRecvDataSegmentLength=512\0"[: 0 if b"Max" in text else None] + text)
    rejected(talk, RejectReason.PROTOCOL_ERROR)
    assert send_length(talk) == before


def test_a_key_may_be_said_again_in_another_exchange() -> None:
    talk = session()
    for length in (512, 1024):
        ask(talk, f"MaxRecvDataSegmentLength={length}\0".encode())
        assert send_length(talk) == length


def test_a_key_may_not_be_said_again_in_a_later_request_of_the_exchange() -> None:
    talk = session()
    response, _ = ask(talk, b"MaxRecvDataSegmentLength=512\0", final=False)
    say(talk, b"MaxRecvDataSegmentLength=1024\0", target_transfer_tag=response.target_transfer_tag)
    rejected(talk, RejectReason.PROTOCOL_ERROR)
    assert send_length(talk) == 262144


# The time from which a declared value applies


def test_a_declared_length_holds_from_the_end_of_its_exchange_on() -> None:
    directory = Directory(names=[f"iqn.2026-11.io.odx-target:{i}" for i in range(40)])
    talk = session("Discovery", directory)
    response, answers = ask(talk, b"MaxRecvDataSegmentLength=512\0SendTargets=All\0")
    assert (response.final, response.data_segment_length > 512, len(answers)) == (True, True, 80)
    response, _ = ask(talk, b"SendTargets=All\0")
    assert (response.final, response.data_segment_length) == (False, 512)


def test_a_declared_length_holds_for_read_data_too() -> None:
    talk = session()
    ask(talk, b"MaxRecvDataSegmentLength=512\0")
    talk.read(1024)
    talk.reply(talk.take_event(CommandReady), data=[bytes(1024)])
    assert [talk.take(ScsiDataIn).data_segment_length for _ in range(2)] == [512, 512]


def test_an_exchange_that_is_begun_anew_has_changed_nothing() -> None:
    talk = session()
    response, _ = ask(talk, b"MaxRecvDataSegmentLength=512\0", final=False)
    assert (response.final, send_length(talk)) == (False, 262144)
    ask(talk, b"X-a=1\0")
    assert send_length(talk) == 262144


# Several PDUs


@pytest.mark.parametrize("session_type", SESSION_TYPES)
@pytest.mark.parametrize("size", [1, 5, 16])
def test_a_request_in_parts_is_answered_by_empty_responses_until_it_is_whole(session_type: str, size: int) -> None:
    talk = session(session_type)
    text = b"SendTargets=" + TARGET.encode() + b"\0"
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    tag = NO_TAG
    for part in parts[:-1]:
        response, answers = ask(talk, part, final=False, continued=True, target_transfer_tag=tag)
        assert (response.final, response.continued, answers) == (False, False, [])
        tag = response.target_transfer_tag
    response, answers = ask(talk, parts[-1], target_transfer_tag=tag)
    assert (response.final, answers[0]) == (True, ("TargetName", TARGET))


@given(
    lengths=st.lists(st.integers(1, 180), min_size=1, max_size=60),
    limit=st.integers(512, 2000),
    finals=st.lists(st.booleans(), min_size=1, max_size=6),
)
@searching(60)
def test_an_answer_in_parts_is_whole_whatever_its_lengths(lengths: Sequence[int], limit: int, finals: Sequence[bool]) -> None:
    directory = Directory(names=[f"iqn.2026-11.io.odx-target:{'x' * length}{i}" for i, length in enumerate(lengths)])
    talk = session("Discovery", directory)
    ask(talk, f"MaxRecvDataSegmentLength={limit}\0".encode())
    whole, tag, text = b"", NO_TAG, b"SendTargets=All\0"
    for step in range(1000):
        final = finals[step % len(finals)] or step > 100
        say(talk, text, final=final, target_transfer_tag=tag, lun=5)
        response, data = talk.take_with_data(TextResponse)
        whole, text, tag = whole + data, b"", response.target_transfer_tag
        assert len(data) <= limit
        assert not (response.final and (response.continued or not final))
        assert (tag == NO_TAG, response.initiator_task_tag, response.lun) == (response.final, 9, 5)
        if response.final:
            break
        assert response.continued or not final, "an exchange that the initiator would end has no more to say"
    wanted = [pair for name in directory.names for pair in (("TargetName", name), ("TargetAddress", "127.0.0.1:3260,1"))]
    assert whole == encode_pairs(wanted)


def in_the_middle_of_an_answer() -> tuple[Conversation, int]:
    names = [f"iqn.2026-11.io.odx-target:{i:0100}" for i in range(10)]
    talk = session("Discovery", Directory(names=[TARGET, *names]))
    ask(talk, b"MaxRecvDataSegmentLength=512\0")
    say(talk, b"SendTargets=All\0")
    response, _ = talk.take_with_data(TextResponse)
    assert response.continued
    return talk, response.target_transfer_tag


@pytest.mark.parametrize(
    ("text", "fields", "reason"),
    [
        (b"X-a=1\0", {}, RejectReason.PROTOCOL_ERROR),
        (b"", {"final": False, "continued": True}, RejectReason.PROTOCOL_ERROR),
        (b"", {"immediate": True}, RejectReason.PROTOCOL_ERROR),
        (b"", {"initiator_task_tag": 10}, RejectReason.INVALID_PDU_FIELD),
        (b"", {"target_transfer_tag": 0x77}, RejectReason.INVALID_PDU_FIELD),
    ],
    ids=["keys", "C bit", "I bit", "task tag", "transfer tag"],
)
def test_the_rest_of_an_answer_is_asked_for_in_one_way_only(text: bytes, fields: dict[str, int], reason: RejectReason) -> None:
    talk, tag = in_the_middle_of_an_answer()
    say(talk, text, **{"target_transfer_tag": tag} | fields)
    rejected(talk, reason)


def test_a_transfer_tag_serves_once() -> None:
    talk, tag = in_the_middle_of_an_answer()
    say(talk, b"", target_transfer_tag=tag)
    talk.take(TextResponse)
    say(talk, b"", target_transfer_tag=tag)
    rejected(talk, RejectReason.INVALID_PDU_FIELD)


def test_a_transfer_tag_ends_with_its_exchange() -> None:
    talk, tag = in_the_middle_of_an_answer()
    assert ask(talk, b"X-a=1\0")[1] == [("X-a", "NotUnderstood")]
    say(talk, b"", target_transfer_tag=tag)
    rejected(talk, RejectReason.INVALID_PDU_FIELD)


def test_f_and_c_together_end_the_connection() -> None:
    talk = session()
    say(talk, b"X-a=1\0", final=True, continued=True)
    assert talk.take(Reject).reason == RejectReason.PROTOCOL_ERROR
    assert talk.connection.close_reason is not None
    assert talk.connection.close_reason.code is CloseCode.PROTOCOL_ERROR


def test_keys_without_end_are_rejected() -> None:
    talk = session()
    tag = NO_TAG
    for _ in range(2):
        response, _ = ask(talk, bytes(30_000), final=False, continued=True, target_transfer_tag=tag)
        tag = response.target_transfer_tag
    say(talk, bytes(30_000), final=False, continued=True, target_transfer_tag=tag)
    rejected(talk, RejectReason.PROTOCOL_ERROR)


def test_sixty_four_kilobytes_of_keys_are_taken() -> None:
    talk = session()
    text = b"".join(b"X-%05d=%s\0" % (i, b"v" * 240) for i in range(262))
    assert 65_000 < len(text) <= 65536
    response, answers = ask(talk, text)
    assert (response.final, len(answers), {value for _, value in answers}) == (True, 262, {"NotUnderstood"})


def test_an_exchange_has_an_end_to_what_it_remembers() -> None:
    talk = session()
    fields: dict[str, object] = {}
    for step in range(0, MAX_KEYS, 256):
        answer, answers = ask(talk, encode_pairs([(f"X-{step + i}", "1") for i in range(256)]), final=False, **fields)
        assert len(answers) == 256
        fields["target_transfer_tag"] = answer.target_transfer_tag
    say(talk, b"X-more=1\0", **fields)
    rejected(talk, RejectReason.PROTOCOL_ERROR)


# SendTargets (Appendix C) and discovery sessions


@pytest.mark.parametrize(
    ("session_type", "target", "wanted", "names"),
    [
        ("Discovery", None, "All", [TARGET, "iqn.b"]),
        ("Discovery", None, TARGET, [TARGET]),
        ("Discovery", None, TARGET.upper(), [TARGET]),
        ("Discovery", None, "iqn.none", []),
        ("Discovery", None, "all", []),
        ("Discovery", None, "", None),
        ("Discovery", "iqn.b", "", ["iqn.b"]),
        ("Discovery", "iqn.b", "All", [TARGET, "iqn.b"]),
        ("Normal", TARGET, "", [TARGET]),
        ("Normal", TARGET, TARGET, [TARGET]),
        ("Normal", TARGET, TARGET.upper(), [TARGET]),
        ("Normal", TARGET, "All", None),
        ("Normal", TARGET, "iqn.b", None),
    ],
)
def test_send_targets(session_type: str, target: str | None, wanted: str, names: list[str] | None) -> None:
    directory = Directory(names=[TARGET, "iqn.b"])
    directory.portal_list = [Portal("192.0.2.1:3260"), Portal("[2001:db8::1]:3260", 2)]
    talk = Conversation(directory)
    keys = {"InitiatorName": INITIATOR, "SessionType": session_type} | ({"TargetName": target} if target else {})
    assert talk.login_request(keys, 1, 3)[0].status == 0
    answers = ask(talk, f"SendTargets={wanted}\0".encode())[1]
    if names is None:
        assert answers == [("SendTargets", "Reject")]
        return
    addresses = [("TargetAddress", "192.0.2.1:3260,1"), ("TargetAddress", "[2001:db8::1]:3260,2")]
    assert answers == [pair for name in names for pair in (("TargetName", name), *addresses)]


@pytest.mark.parametrize(("reason", "is_taken"), [(0, True), (1, False), (2, False), (3, False)])
def test_a_discovery_session_takes_a_logout_of_the_session_alone(reason: int, is_taken: bool) -> None:
    talk = session("Discovery")
    talk.send(LogoutRequest(reason=reason, initiator_task_tag=9, connection_id=1, cmd_sn=talk.cmd_sn))
    if is_taken:
        assert talk.take(LogoutResponse).response == 0
        assert talk.connection.closed
    else:
        rejected(talk, RejectReason.INVALID_PDU_FIELD if reason == 3 else RejectReason.COMMAND_NOT_SUPPORTED)


def test_a_discovery_session_is_closed_rather_than_asked_to_log_out() -> None:
    talk = session("Discovery")
    talk.connection.request_logout(talk.now)
    talk.collect()
    assert talk.unread == []
    assert talk.connection.close_reason is not None
    assert talk.connection.close_reason.code is CloseCode.SHUTDOWN
