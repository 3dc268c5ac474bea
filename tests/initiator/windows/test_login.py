"""The login of Windows byte for byte, and every rule of the login that a target may break."""

from typing import Any

import pytest

from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.session.options import with_credentials
from odx_target.initiator.url import parse_url
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.session.connection import WindowsConnection
from odx_target.initiator.windows.session.login import LoginDeclined, WindowsLogin, isid, session_options
from odx_target.iscsi.pdu.headers import LoginRequest
from odx_target.iscsi.pdu.text import Pairs
from tests.initiator.naive_portal import TARGET, Pair, Portal
from tests.initiator.windows.wire_target import OPERATIONAL, SECURITY

OPTIONS = session_options(1, "iqn.1991-05.com.microsoft:host")


def connection(target: str | None = TARGET, notes: list[Finding] | None = None, told: list[Any] | None = None) -> Pair:
    note = notes.append if notes is not None else lambda finding: None

    def tell(what: str, pairs: Pairs) -> None:
        if told is not None:
            told.append((what, pairs))

    pair = Pair(WindowsConnection(WindowsLogin(OPTIONS, target, tell=tell, note=note)), Portal())
    pair.connection.log_in()
    return pair


def test_the_first_request_byte_for_byte() -> None:
    pair = connection()
    sent = b"".join(bytes(part) for part in pair.connection.take_output())
    assert sent[:5] == bytes.fromhex("43 81 00 00 00")
    assert sent[8:16] == bytes.fromhex("40 00 01 37 00 01 00 00")  # ISID, TSIH
    assert sent[16:20] == bytes.fromhex("00 00 00 01")  # initiator task tag
    assert sent[20:22] == bytes.fromhex("00 01")  # connection
    assert sent[24:32] == bytes.fromhex("00 00 00 01 00 00 00 01")  # CmdSN, ExpStatSN
    text = sent[48 : 48 + int.from_bytes(sent[5:8], "big")]
    assert text.split(b"\0") == [
        b"InitiatorName=iqn.1991-05.com.microsoft:host",
        b"SessionType=Normal",
        b"TargetName=" + TARGET.encode(),
        b"AuthMethod=None",
        b"",
    ]


def operational_keys(target: str | None) -> tuple[bytes, list[bytes]]:
    pair = connection(target)
    first, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(first, SECURITY if target else {"AuthMethod": "None"}))
    sent = b"".join(bytes(part) for part in pair.connection.take_output())
    return sent, sent[48 : 48 + int.from_bytes(sent[5:8], "big")].split(b"\0")[:-1]


DISCOVERY_KEYS = [
    b"HeaderDigest=None,CRC32C",
    b"DataDigest=None,CRC32C",
    b"MaxRecvDataSegmentLength=65536",
    b"DefaultTime2Wait=0",
    b"DefaultTime2Retain=60",
]


def test_the_second_request_of_a_normal_session() -> None:
    sent, keys = operational_keys(TARGET)
    assert sent[:4] == bytes.fromhex("43 87 00 00")
    assert keys == [
        *DISCOVERY_KEYS,
        b"ErrorRecoveryLevel=2",
        b"InitialR2T=No",
        b"ImmediateData=Yes",
        b"MaxBurstLength=262144",
        b"FirstBurstLength=65536",
        b"MaxConnections=32",
        b"MaxOutstandingR2T=16",
        b"DataPDUInOrder=Yes",
        b"DataSequenceInOrder=Yes",
    ]


def test_the_second_request_of_a_discovery_session() -> None:
    _, keys = operational_keys(None)
    assert keys == DISCOVERY_KEYS


def test_sessions_of_a_host_have_different_isids() -> None:
    assert isid(1) != isid(2)
    assert {len(isid(number)) for number in (0, 1, 0xFFFF)} == {6}


def test_chap_is_offered_alone_when_it_is_configured() -> None:
    options = with_credentials(OPTIONS, parse_url(f"iscsi://user%twelvechars1@host/{TARGET}/0"))
    told: list[tuple[str, Pairs]] = []
    WindowsLogin(options, TARGET, tell=lambda what, pairs: told.append((what, pairs))).first()
    assert told[0][1][-1] == ("AuthMethod", "CHAP")


Answers = tuple[dict[str, str], dict[str, str], dict[str, Any], dict[str, Any], int]
"""Keys and header fields of both responses, and the command window."""


def answers(
    security: dict[str, str | None] | None = None, operational: dict[str, str | None] | None = None, **fields: Any
) -> Answers:
    def changed(keys: dict[str, str], changes: dict[str, str | None] | None) -> dict[str, str]:
        return {name: value for name, value in (keys | (changes or {})).items() if value is not None}

    first = {"tsih": fields["first_tsih"]} if "first_tsih" in fields else {}
    first |= {"status": fields["status"]} if "status" in fields else {}
    last = {"tsih": fields["last_tsih"]} if "last_tsih" in fields else {}
    return changed(SECURITY, security), changed(OPERATIONAL, operational), first, last, fields.get("window", 32)


BROKEN_LOGINS: list[tuple[Rule, str, Answers, str]] = [
    # rule, stage at whose end the login fails, the two responses, detail of the finding
    (Rule.LOGIN_REFUSED, "security", answers(status=0x0203), "02h/03h"),
    (Rule.NO_PORTAL_GROUP_TAG, "security", answers({"TargetPortalGroupTag": None}), "TargetPortalGroupTag"),
    (Rule.KEY_NOT_OFFERED, "operational", answers(operational={"OFMarker": "No"}), "OFMarker"),
    (Rule.KEY_NOT_OFFERED, "security", answers({"MaxConnections": "1", "TaskReporting": "RFC3720"}), "TaskReporting"),
    (Rule.TSIH_TOO_EARLY, "security", answers(first_tsih=5), "0005h"),
    (Rule.NO_TSIH, "operational", answers(last_tsih=0), "no TSIH"),
    (Rule.NO_AUTH_METHOD, "security", answers({"AuthMethod": None}), "AuthMethod"),
    (Rule.UNKNOWN_AUTH_METHOD, "security", answers({"AuthMethod": "KRB5"}), "KRB5"),
    (Rule.CHAP_WANTED, "security", answers({"AuthMethod": "CHAP"}), "not configured"),
    (Rule.COMMAND_WINDOW_CLOSED, "security", answers(window=0), "MaxCmdSN"),
    (Rule.COMMAND_WINDOW_CLOSED, "security", answers(window=-5), "MaxCmdSN"),
    (
        Rule.BURST_LENGTHS,
        "operational",
        answers(operational={"MaxBurstLength": "4096", "FirstBurstLength": "65536"}),
        "65536 over 4096",
    ),
    (Rule.DATA_PDU_ORDER, "operational", answers(operational={"DataPDUInOrder": "No"}), "DataPDUInOrder"),
    (Rule.DATA_SEQUENCE_ORDER, "operational", answers(operational={"DataSequenceInOrder": "No"}), "DataSequenceInOrder"),
]


def log_in(case: Answers, notes: list[Finding] | None = None, pair: Pair | None = None) -> tuple[str, Any]:
    """Return the stage in which the login ended, and its end."""
    security, operational, first, last, window = case
    pair = pair or connection(notes=notes)
    pair.portal.window = window
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, security, **first))
    if (events := pair.events()) and isinstance(events[0].outcome, LoginFailed):
        return "security", events[0].outcome
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, operational, **last))
    (event,) = pair.events()
    return "operational", event.outcome


@pytest.mark.parametrize(("rule", "stage", "case", "words"), BROKEN_LOGINS)
def test_a_login_that_windows_does_not_take(rule: Rule, stage: str, case: Answers, words: str) -> None:
    ended_in, outcome = log_in(case)
    assert isinstance(outcome, LoginDeclined), outcome
    assert outcome.finding.rule is rule
    assert ended_in == stage
    assert words in str(outcome)


REFUSED_DIGESTS: list[tuple[Rule, str, Answers]] = [
    (Rule.HEADER_DIGEST_REFUSED, "operational", answers(operational={"HeaderDigest": "None", "DataDigest": "CRC32C"})),
    (Rule.DATA_DIGEST_REFUSED, "operational", answers(operational={"HeaderDigest": "CRC32C", "DataDigest": "None"})),
]


@pytest.mark.parametrize(("rule", "stage", "case"), REFUSED_DIGESTS)
def test_digests_that_the_host_is_told_to_use(rule: Rule, stage: str, case: Answers) -> None:
    pair = Pair(WindowsConnection(WindowsLogin(session_options(1, digests=True), TARGET)), Portal())
    pair.connection.log_in()
    ended_in, outcome = log_in(case, pair=pair)
    assert isinstance(outcome, LoginDeclined), outcome
    assert (ended_in, outcome.finding.rule) == (stage, rule)


def test_digests_are_offered_alone_when_they_are_forced() -> None:
    sent: list[tuple[str, Pairs]] = []
    login = WindowsLogin(session_options(1, digests=True), TARGET, tell=lambda what, pairs: sent.append((what, pairs)))
    pair = Pair(WindowsConnection(login), Portal())
    pair.connection.log_in()
    assert log_in(answers(operational={"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}), pair=pair) == ("operational", None)
    assert sent[2][1][:2] == [("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")]


def test_a_good_login() -> None:
    notes: list[Finding] = []
    assert log_in(answers(), notes)[1] is None
    assert notes == []


def test_a_narrow_window_is_noted() -> None:
    notes: list[Finding] = []
    assert log_in(answers(window=8), notes)[1] is None
    assert [note.rule for note in notes] == [Rule.NARROW_COMMAND_WINDOW]


def test_both_sides_keys_are_told() -> None:
    told: list[tuple[str, Pairs]] = []
    pair = connection(told=told)
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, SECURITY))
    assert [what for what, _ in told] == ["login request", "login response", "login request"]
    assert told[1][1] == list(SECURITY.items())
