"""CHAP of Windows: the keys that it sends, the secrets that it accepts, and every error that a target can make."""

from dataclasses import replace
from typing import Any

import pytest

from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.session.chap import chap_response
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.session.connection import WindowsConnection
from odx_target.initiator.windows.session.login import LoginDeclined, WindowsLogin, session_options
from odx_target.iscsi.pdu.headers import LoginRequest
from tests.initiator.naive_portal import TARGET, Pair, Portal, keys_of
from tests.initiator.windows.wire_target import OPERATIONAL, SECURITY

USER, SECRET = "host", "twelvechars1"
TARGET_USER, TARGET_SECRET = "array", "othersecret12"
OPTIONS = replace(session_options(1), user=USER, secret=SECRET, entropy=lambda count: b"\x07" * count)
MUTUAL = replace(OPTIONS, target_user=TARGET_USER, target_secret=TARGET_SECRET)
CHALLENGE = bytes(range(16))
FIRST = SECURITY | {"AuthMethod": "CHAP"}
CHALLENGED = {"CHAP_A": "5", "CHAP_I": "9", "CHAP_C": f"0x{CHALLENGE.hex()}"}


def proof(secret: str = TARGET_SECRET) -> dict[str, str]:
    response = chap_response(7, secret.encode(), b"\x07" * 16)
    return {"CHAP_N": TARGET_USER, "CHAP_R": f"0x{response.hex()}"}


def log_in(
    *responses: dict[str, str], options: Any = OPTIONS, told: list[Any] | None = None
) -> tuple[list[dict[str, str]], Any]:
    """Return the keys of each request, and the end of the login. The last security response ends the stage."""
    tell = (lambda what, pairs: told.append((what, pairs))) if told is not None else lambda what, pairs: None
    pair = Pair(WindowsConnection(WindowsLogin(options, TARGET, tell=tell)), Portal())
    pair.connection.log_in()
    sent = []
    for number, keys in enumerate([*responses, OPERATIONAL]):
        request, data = pair.request(LoginRequest)
        sent.append(keys_of(data))
        transit = number >= len(responses) - 1
        pair.feed(pair.portal.login_response(request, keys, transit=transit, next_stage=request.next_stage if transit else 0))
        if events := pair.events():
            return sent, events[0].outcome
    raise AssertionError("the login has no end")


def test_one_way() -> None:
    sent, outcome = log_in(FIRST, CHALLENGED, {})
    assert outcome is None
    assert sent[0]["AuthMethod"] == "CHAP"  # without None: if CHAP is configured, Windows always requires it
    assert sent[1] == {"CHAP_A": "5"}
    assert sent[2] == {"CHAP_N": USER, "CHAP_R": f"0x{chap_response(9, SECRET.encode(), CHALLENGE).hex()}"}
    assert "HeaderDigest" in sent[3]


def test_mutual() -> None:
    sent, outcome = log_in(FIRST, CHALLENGED, proof(), options=MUTUAL)
    assert outcome is None
    assert sent[2] == {
        "CHAP_N": USER,
        "CHAP_R": f"0x{chap_response(9, SECRET.encode(), CHALLENGE).hex()}",
        "CHAP_I": "7",
        "CHAP_C": f"0x{'07' * 16}",
    }


@pytest.mark.parametrize("challenge", ["0b" + "AAECAwQFBgcICQoLDA0ODw==", "0x" + "ab" * 1024, "0X" + CHALLENGE.hex().upper()])
def test_challenges_that_are_good(challenge: str) -> None:
    assert log_in(FIRST, CHALLENGED | {"CHAP_C": challenge}, {})[1] is None


BROKEN_CHAP: list[tuple[Rule, int, Any, list[dict[str, str]]]] = [
    # rule, number of requests before it is met, the host's options, the responses
    (Rule.CHAP_NOT_OFFERED, 1, OPTIONS, [SECURITY]),
    (Rule.UNKNOWN_AUTH_METHOD, 1, OPTIONS, [SECURITY | {"AuthMethod": "SRP"}]),
    (Rule.CHAP_ALGORITHM, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_A": "7"}]),
    (Rule.CHAP_ALGORITHM, 2, OPTIONS, [FIRST, {name: CHALLENGED[name] for name in ("CHAP_I", "CHAP_C")}]),
    (Rule.CHAP_CHALLENGE, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_C": "0xzz"}]),
    (Rule.CHAP_CHALLENGE, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_C": "0b===="}]),
    (Rule.CHAP_CHALLENGE, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_C": "1234"}]),
    (Rule.CHAP_CHALLENGE, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_I": "256"}]),
    (Rule.CHAP_CHALLENGE, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_I": "x"}]),
    (Rule.CHAP_CHALLENGE, 2, OPTIONS, [FIRST, {"CHAP_A": "5", "CHAP_I": "9"}]),
    (Rule.CHAP_CHALLENGE_LENGTH, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_C": "0x" + "ab" * 1025}]),
    (Rule.CHAP_KEY, 2, OPTIONS, [FIRST, CHALLENGED | {"CHAP_N": "array"}]),
    (Rule.CHAP_PROOF, 3, MUTUAL, [FIRST, CHALLENGED, {}]),
    (Rule.CHAP_PROOF, 3, MUTUAL, [FIRST, CHALLENGED, proof("another secret")]),
    (Rule.CHAP_PROOF, 3, MUTUAL, [FIRST, CHALLENGED, proof() | {"CHAP_N": "somebody"}]),
    (Rule.CHAP_PROOF, 3, MUTUAL, [FIRST, CHALLENGED, proof(SECRET)]),
]


@pytest.mark.parametrize(("rule", "requests", "options", "responses"), BROKEN_CHAP)
def test_a_target_that_does_it_wrongly(rule: Rule, requests: int, options: Any, responses: list[dict[str, str]]) -> None:
    sent, outcome = log_in(*responses, options=options)
    assert isinstance(outcome, LoginDeclined), outcome
    assert outcome.finding.rule is rule
    assert len(sent) == requests
    assert SECRET not in str(outcome)


SECRETS: list[tuple[Rule, str, Any]] = [
    (Rule.TARGET_SECRET_LENGTH, "before the login", replace(OPTIONS, secret="s" * 11)),
    (Rule.TARGET_SECRET_LENGTH, "before the login", replace(OPTIONS, secret="s" * 17)),
    (Rule.INITIATOR_SECRET_LENGTH, "before the login", replace(MUTUAL, target_secret="s" * 11)),
    (Rule.INITIATOR_SECRET_LENGTH, "before the login", replace(MUTUAL, target_secret="s" * 17)),
]


@pytest.mark.parametrize(("rule", "step", "options"), SECRETS)
def test_secrets_that_windows_does_not_take(rule: Rule, step: str, options: Any) -> None:
    with pytest.raises(LoginDeclined) as raised:
        WindowsLogin(options, TARGET)
    assert raised.value.finding.rule is rule
    assert "ssss" not in str(raised.value)


@pytest.mark.parametrize("length", [12, 16])
def test_secrets_of_12_to_16_bytes_are_taken(length: int) -> None:
    options = replace(MUTUAL, secret="a" * length, target_secret="b" * length)
    sent, outcome = log_in(FIRST, CHALLENGED, proof("b" * length), options=options)
    assert outcome is None
    assert sent[2]["CHAP_R"] == f"0x{chap_response(9, b'a' * length, CHALLENGE).hex()}"


def test_a_target_that_refuses_is_an_event_of_its_own() -> None:
    pair = Pair(WindowsConnection(WindowsLogin(OPTIONS, TARGET)), Portal())
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {}, status=0x0201))
    (event,) = pair.events()
    assert isinstance(event.outcome, LoginFailed)
    assert "authentication failure" in str(event.outcome)
    assert "iScsiPrt 10" in str(event.outcome)
