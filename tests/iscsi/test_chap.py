"""CHAP on the target's side: golden responses, every wrong order, reflections, and facts that an answer must not reveal."""

import hashlib
import tomllib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.iscsi.login.chap import (
    ALGORITHMS,
    MAX_BINARY_BYTES,
    MIN_CHALLENGE_BYTES,
    STAND_IN_SECRET_BYTES,
    Account,
    Accounts,
    ChapAuthenticator,
    Credentials,
)
from odx_target.iscsi.pdu.headers import LoginResponse
from odx_target.iscsi.pdu.opcodes import LoginStatus, Stage
from odx_target.iscsi.pdu.text import Pairs, encode_pairs
from odx_target.iscsi.session.directory_interface import AuthenticationFailed
from tests.iscsi.conversation import INITIATOR, Conversation, Directory
from tests.settings import searching

SECURITY, OPERATIONAL, FULL = Stage.SECURITY_NEGOTIATION, Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE
GOLDEN = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "iscsi_chap.toml").read_text())["chap"]

USER, SECRET = "me", b"initiator-secret"
OWN = Credentials("the array", b"the-target-secret")
ACCOUNTS = [
    Account(Credentials(USER, SECRET)),
    Account(Credentials("bound", b"secret-of-bound"), INITIATOR),
    Account(Credentials("elsewhere", b"secret-of-elsewhere"), "iqn.2026-11.example:other"),
]
IDENTIFIER = 39
ANSWERS_MD5 = ("CHAP_A=5", "CHAP_I=39", "CHAP_C=0x000102030405060708090a0b0c0d0e0f")


def entropy(size_bytes: int) -> bytes:
    """Return bytes that count up; a single byte, for an identifier, is 39."""
    return bytes([IDENTIFIER]) if size_bytes == 1 else bytes(range(size_bytes))


def fresh(own: Credentials | None = OWN, initiator_name: str = INITIATOR) -> ChapAuthenticator:
    return ChapAuthenticator(Accounts(ACCOUNTS, own), initiator_name, entropy)


def challenged(own: Credentials | None = OWN, initiator_name: str = INITIATOR) -> ChapAuthenticator:
    chap = fresh(own, initiator_name)
    chap.answer([("CHAP_A", "5")])
    return chap


def response(secret: bytes = SECRET, size_bytes: int = 16) -> str:
    return "0x" + hashlib.md5(bytes([IDENTIFIER]) + secret + bytes(range(size_bytes))).hexdigest()


def status_of(failing: Callable[[], object]) -> LoginStatus:
    with pytest.raises(AuthenticationFailed) as caught:
        failing()
    assert "\n" not in str(caught.value)
    return caught.value.status


def proof(user: str = USER, secret: bytes = SECRET) -> Pairs:
    return [("CHAP_N", user), ("CHAP_R", response(secret))]


ASKING = [("CHAP_I", "255"), ("CHAP_C", "0x101112131415161718191a1b1c1d1e1f20")]


@pytest.mark.parametrize("row", GOLDEN, ids=[row["name"] for row in GOLDEN])
def test_golden_responses_both_ways(row: dict[str, Any]) -> None:
    chap = fresh()
    number = str(row["algorithm"])
    assert chap.answer([("CHAP_A", number)]) == [("CHAP_A", number), ("CHAP_I", "39"), ("CHAP_C", f"0x{row['challenge']}")]
    assert not chap.done
    answers = chap.answer(
        [
            ("CHAP_N", USER),
            ("CHAP_R", f"0x{row['response']}"),
            ("CHAP_I", "255"),
            ("CHAP_C", f"0x{row['initiator_challenge']}"),
        ]
    )
    assert answers == [("CHAP_N", "the array"), ("CHAP_R", f"0x{row['target_response']}")]
    assert chap.done


def test_the_golden_rows_are_all_algorithms() -> None:
    assert [row["algorithm"] for row in GOLDEN] == list(ALGORITHMS)
    assert all(len(row["challenge"]) // 2 >= MIN_CHALLENGE_BYTES for row in GOLDEN)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("5", "5"),
        ("7,5", "7"),
        ("5,7", "5"),
        ("9,128,x,,8,5", "8"),
        ("0x6", "6"),
        ("129,5", "5"),
        (",".join(["1"] * 3000 + ["5"]), "5"),
    ],
)
def test_the_first_algorithm_that_is_known_is_taken(offered: str, chosen: str) -> None:
    assert fresh().answer([("CHAP_A", offered)])[0] == ("CHAP_A", chosen)


@pytest.mark.parametrize("offered", ["", "4", "0", "9,10", "md5", "Reject", "None", "55", "-5", "5 ", "\u0665"])
def test_no_algorithm_in_common_is_a_failure(offered: str) -> None:
    chap = fresh()
    assert status_of(lambda: chap.answer([("CHAP_A", offered)])) == LoginStatus.AUTHENTICATION_FAILURE
    assert not chap.done


def test_challenges_are_fresh() -> None:
    drawn: list[int] = []

    def counting(size_bytes: int) -> bytes:
        drawn.append(size_bytes)
        return len(drawn).to_bytes(size_bytes, "big")

    told = [ChapAuthenticator(Accounts(ACCOUNTS), INITIATOR, counting).answer([("CHAP_A", "5")]) for _ in range(3)]
    assert drawn == [1, MIN_CHALLENGE_BYTES] * 3
    assert len({tuple(answers) for answers in told}) == 3


@pytest.mark.parametrize(
    "encode",
    [
        lambda value: "0x" + value.hex(),
        lambda value: "0X" + value.hex().upper(),
        lambda value: "0b" + b64encode(value).decode(),
        lambda value: "0B" + b64encode(value).decode(),
        lambda value: "0b" + b64encode(value).decode().rstrip("="),
    ],
    ids=["hex", "HEX", "base64", "0B", "base64 without padding"],
)
def test_binary_values_may_be_hexadecimal_or_base64(encode: Callable[[bytes], str]) -> None:
    chap = challenged()
    right = bytes.fromhex(response()[2:])
    asked = bytes(range(16, 33))
    answers = chap.answer([("CHAP_N", USER), ("CHAP_R", encode(right)), ("CHAP_I", "255"), ("CHAP_C", encode(asked))])
    assert answers[1] == ("CHAP_R", f"0x{GOLDEN[0]['target_response']}")


@given(st.binary(min_size=1, max_size=MAX_BINARY_BYTES), st.integers(0, 255), st.booleans())
@searching(50)
def test_any_challenge_of_an_initiator_is_answered(value: bytes, identifier: int, in_base64: bool) -> None:
    if value == bytes(range(16)):
        return
    text = "0b" + b64encode(value).decode() if in_base64 else "0x" + value.hex()
    answers = challenged().answer([*proof(), ("CHAP_I", str(identifier)), ("CHAP_C", text)])
    assert answers[1] == ("CHAP_R", "0x" + hashlib.md5(bytes([identifier]) + OWN.secret + value).hexdigest())


def test_a_hexadecimal_value_with_an_odd_number_of_digits_begins_with_a_zero() -> None:
    answers = challenged().answer([*proof(), ("CHAP_I", "0x1"), ("CHAP_C", "0x123")])
    assert answers[1] == ("CHAP_R", "0x" + hashlib.md5(b"\x01" + OWN.secret + b"\x01\x23").hexdigest())


MALFORMED = [
    "",
    "0x",
    "0b",
    "12",
    "0xzz",
    "0x 00",
    "0b!",
    "0bA",
    "0bAAAAA",
    "0bAAAA====",
    "0x" + "00" * 1025,
    "Reject",
    "\u0660x00",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_values_that_cannot_be_read_end_the_login(text: str) -> None:
    chap = challenged()
    assert status_of(lambda: chap.answer([("CHAP_N", USER), ("CHAP_R", text)])) == LoginStatus.INITIATOR_ERROR
    chap = challenged()
    assert status_of(lambda: chap.answer([*proof(), ("CHAP_I", "1"), ("CHAP_C", text)])) == LoginStatus.INITIATOR_ERROR
    assert not chap.done


@pytest.mark.parametrize("identifier", ["", "x", "256", "-1", "1,2", "0x100", "9" * 30, "\u0661"])
def test_an_identifier_is_one_byte(identifier: str) -> None:
    chap = challenged()
    asking = [("CHAP_I", identifier), ("CHAP_C", "0x01")]
    assert status_of(lambda: chap.answer([*proof(), *asking])) == LoginStatus.INITIATOR_ERROR


A, N, R, I, C = ("CHAP_A", "5"), proof()[0], proof()[1], *ASKING  # noqa: E741 - as the RFC calls them
OUT_OF_ORDER: list[tuple[str, list[Pairs], LoginStatus]] = [
    # name of the case, requests (the last is refused), status
    ("nothing first", [[]], LoginStatus.MISSING_PARAMETER),
    ("response first", [[N, R]], LoginStatus.INITIATOR_ERROR),
    ("response with the algorithm", [[A, N, R]], LoginStatus.INITIATOR_ERROR),
    ("challenge first", [[I, C]], LoginStatus.INITIATOR_ERROR),
    ("challenge with the algorithm", [[A, I, C]], LoginStatus.INITIATOR_ERROR),
    ("algorithm twice in one", [[A, A]], LoginStatus.INITIATOR_ERROR),
    ("algorithm again", [[A], [A]], LoginStatus.INITIATOR_ERROR),
    ("algorithm again with the response", [[A], [A, N, R]], LoginStatus.INITIATOR_ERROR),
    ("nothing second", [[A], []], LoginStatus.MISSING_PARAMETER),
    ("no name", [[A], [R]], LoginStatus.MISSING_PARAMETER),
    ("no response", [[A], [N]], LoginStatus.MISSING_PARAMETER),
    ("only a challenge", [[A], [I, C]], LoginStatus.MISSING_PARAMETER),
    ("challenge without identifier", [[A], [N, R, C]], LoginStatus.MISSING_PARAMETER),
    ("identifier without challenge", [[A], [N, R, I]], LoginStatus.MISSING_PARAMETER),
    ("name twice", [[A], [N, N, R]], LoginStatus.INITIATOR_ERROR),
    ("response twice", [[A], [N, R, ("CHAP_R", "0x00")]], LoginStatus.INITIATOR_ERROR),
    ("key of another method", [[A], [N, R, ("SRP_U", "me")]], LoginStatus.INITIATOR_ERROR),
    ("challenge late", [[A], [N, R], [I, C]], LoginStatus.INITIATOR_ERROR),
    ("response late", [[A], [N, R], [N, R]], LoginStatus.INITIATOR_ERROR),
    ("algorithm late", [[A], [N, R], [A]], LoginStatus.INITIATOR_ERROR),
    ("all at once", [[A, N, R, I, C]], LoginStatus.INITIATOR_ERROR),
]


@pytest.mark.parametrize(("requests", "status"), [row[1:] for row in OUT_OF_ORDER], ids=[row[0] for row in OUT_OF_ORDER])
def test_keys_out_of_order_end_the_login(requests: list[Pairs], status: LoginStatus) -> None:
    chap = fresh()
    for pairs in requests[:-1]:
        chap.answer(pairs)
    done = chap.done
    assert status_of(lambda: chap.answer(requests[-1])) == status
    assert chap.done == done


def test_nothing_more_to_say_is_no_fault_once_it_is_done() -> None:
    chap = challenged()
    assert chap.answer(proof()) == []
    assert chap.answer([]) == []


STAND_IN = entropy(STAND_IN_SECRET_BYTES)


@pytest.mark.parametrize(
    ("user", "secret"),
    [(USER, b"wrong"), (USER, SECRET + b"x"), ("ME", SECRET), ("", SECRET), ("nobody", SECRET), ("nobody", STAND_IN)],
)
def test_a_wrong_user_or_secret_is_a_failure(user: str, secret: bytes) -> None:
    chap = challenged()
    assert status_of(lambda: chap.answer(proof(user, secret))) == LoginStatus.AUTHENTICATION_FAILURE
    assert not chap.done


@pytest.mark.parametrize("size_bytes", [1, 15, 17, 1024])
def test_a_response_of_another_length_is_a_failure(size_bytes: int) -> None:
    right = bytes.fromhex(response()[2:]).ljust(size_bytes, b"\0")[:size_bytes]
    chap = challenged()
    assert status_of(lambda: chap.answer([N, ("CHAP_R", "0x" + right.hex())])) == LoginStatus.AUTHENTICATION_FAILURE


def test_a_response_counts_for_one_challenge_only() -> None:
    again = ChapAuthenticator(Accounts(ACCOUNTS), INITIATOR, lambda size_bytes: bytes([IDENTIFIER] * size_bytes))
    again.answer([A])
    assert status_of(lambda: again.answer(proof())) == LoginStatus.AUTHENTICATION_FAILURE


def test_a_user_may_be_bound_to_an_initiator_name() -> None:
    assert challenged().answer(proof("bound", b"secret-of-bound")) == []
    assert challenged(initiator_name=INITIATOR.upper()).answer(proof("bound", b"secret-of-bound")) == []
    wide = f"{INITIATOR[:-1]}{chr(ord(INITIATOR[-1]) - 0x20 + 0xFF00)}"  # the fullwidth form of the last letter (RFC 3722)
    assert challenged(initiator_name=wide).answer(proof("bound", b"secret-of-bound")) == []
    chap = challenged()
    assert status_of(lambda: chap.answer(proof("elsewhere", b"secret-of-elsewhere"))) == LoginStatus.AUTHORIZATION_FAILURE
    chap = challenged()  # an initiator without the secret does not learn that its name is not allowed
    assert status_of(lambda: chap.answer(proof("elsewhere", b"wrong"))) == LoginStatus.AUTHENTICATION_FAILURE
    assert not chap.done


# Both ways (RFC 7143 9.2.1)


def test_a_target_without_credentials_cannot_prove_itself() -> None:
    chap = challenged(own=None)
    assert status_of(lambda: chap.answer([*proof(), *ASKING])) == LoginStatus.AUTHENTICATION_FAILURE
    assert not chap.done
    assert challenged(own=None).answer(proof()) == []


def test_the_target_proves_itself_only_to_who_has_done_so() -> None:
    chap = challenged()
    assert status_of(lambda: chap.answer([*proof(secret=b"wrong"), *ASKING])) == LoginStatus.AUTHENTICATION_FAILURE


@pytest.mark.parametrize("identifier", [IDENTIFIER, 1])
def test_a_challenge_that_is_sent_back_ends_the_login(identifier: int) -> None:
    chap = challenged()
    reflected = [("CHAP_I", str(identifier)), ("CHAP_C", "0b" + b64encode(bytes(range(16))).decode())]
    assert status_of(lambda: chap.answer([*proof(), *reflected])) == LoginStatus.AUTHENTICATION_FAILURE
    assert not chap.done


def test_the_targets_own_secret_proves_nothing() -> None:
    own = Credentials("same", SECRET)
    for pairs in (proof(), [*proof(), *ASKING]):
        chap = challenged(own)
        assert status_of(lambda: chap.answer(pairs)) == LoginStatus.AUTHENTICATION_FAILURE  # noqa: B023 - called at once
        assert not chap.done


# Facts that an answer must not reveal


def test_an_unknown_user_costs_what_a_wrong_secret_costs() -> None:
    work: dict[str, list[int]] = {}
    for user in (USER, "nobody"):
        drawn = work.setdefault(user, [])
        chap = ChapAuthenticator(
            Accounts(ACCOUNTS, OWN), INITIATOR, lambda size, drawn=drawn: drawn.append(size) or entropy(size)
        )
        chap.answer([A])
        status_of(lambda chap=chap, user=user: chap.answer(proof(user, b"wrong")))
    assert work[USER] == work["nobody"]


def test_secrets_are_not_in_representations() -> None:
    for thing in (OWN, ACCOUNTS[0], Accounts(ACCOUNTS, OWN), challenged()):
        assert "secret" not in repr(thing)


# Whole logins


def asking(own: Credentials | None = OWN) -> Conversation:
    directory = Directory()
    directory.make_authenticator = lambda: fresh(own)
    return Conversation(directory)


def test_a_login_with_chap() -> None:
    talk = asking()
    _, answers = talk.login_request({**talk.names(), "AuthMethod": "CHAP,None"}, SECURITY, OPERATIONAL)
    assert answers == [("TargetPortalGroupTag", "1"), ("AuthMethod", "CHAP")]
    header, answers = talk.login_request([A], SECURITY, None)
    assert (header.transit, tuple(f"{name}={value}" for name, value in answers)) == (False, ANSWERS_MD5)
    header, answers = talk.login_request([*proof(), *ASKING], SECURITY, OPERATIONAL)
    assert (header.transit, answers) == (True, [("CHAP_N", "the array"), ("CHAP_R", f"0x{GOLDEN[0]['target_response']}")])
    header, _ = talk.login_request({}, OPERATIONAL, FULL)
    assert header.tsih
    assert talk.connection.session is not None


def test_the_first_request_may_bring_the_algorithms_and_the_last_lead_to_full_feature_phase() -> None:
    talk = asking()
    header, answers = talk.login_request({**talk.names(), "AuthMethod": "CHAP", "CHAP_A": "5"}, SECURITY, FULL)
    assert (header.transit, answers[1][1], len(answers)) == (False, "CHAP", 5)
    header, _ = talk.login_request(proof(), SECURITY, FULL)
    assert (header.transit, header.next_stage) == (True, FULL)
    assert header.tsih


def test_the_stage_may_end_later() -> None:
    talk = asking()
    talk.login_request({**talk.names(), "AuthMethod": "CHAP"}, SECURITY, None)
    talk.login_request([A], SECURITY, None)
    header, _ = talk.login_request(proof(), SECURITY, None)
    assert not header.transit
    header, answers = talk.login_request({}, SECURITY, OPERATIONAL)
    assert (header.transit, answers) == (True, [])


METHOD = ("AuthMethod", "CHAP")
WRONG_LOGINS: list[tuple[str, list[tuple[int, int | None, Pairs]], LoginStatus]] = [
    ("no method at all", [(SECURITY, OPERATIONAL, [])], LoginStatus.AUTHENTICATION_FAILURE),
    ("only None", [(SECURITY, OPERATIONAL, [("AuthMethod", "None")])], LoginStatus.AUTHENTICATION_FAILURE),
    ("other methods", [(SECURITY, OPERATIONAL, [("AuthMethod", "KRB5,SRP")])], LoginStatus.AUTHENTICATION_FAILURE),
    ("security stage skipped", [(OPERATIONAL, FULL, [])], LoginStatus.AUTHENTICATION_FAILURE),
    ("method skipped", [(SECURITY, None, [A])], LoginStatus.INITIATOR_ERROR),
    ("method and response", [(SECURITY, FULL, [METHOD, N, R])], LoginStatus.INITIATOR_ERROR),
    ("method twice", [(SECURITY, None, [METHOD]), (SECURITY, None, [METHOD])], LoginStatus.INITIATOR_ERROR),
    ("method twice in one", [(SECURITY, None, [METHOD, METHOD])], LoginStatus.INITIATOR_ERROR),
    (
        "None after CHAP",
        [(SECURITY, None, [METHOD]), (SECURITY, OPERATIONAL, [("AuthMethod", "None")])],
        LoginStatus.INITIATOR_ERROR,
    ),
    ("stage ends too soon", [(SECURITY, None, [METHOD]), (SECURITY, OPERATIONAL, [])], LoginStatus.MISSING_PARAMETER),
    (
        "operational keys early",
        [(SECURITY, None, [METHOD]), (SECURITY, None, [("InitialR2T", "No")])],
        LoginStatus.INITIATOR_ERROR,
    ),
    ("operational stage early", [(SECURITY, None, [METHOD, A]), (OPERATIONAL, FULL, [])], LoginStatus.INITIATOR_ERROR),
    (
        "wrong response",
        [(SECURITY, None, [METHOD, A]), (SECURITY, FULL, [N, ("CHAP_R", "0x00")])],
        LoginStatus.AUTHENTICATION_FAILURE,
    ),
    (
        "keys in the operational stage",
        [(SECURITY, None, [METHOD, A]), (SECURITY, OPERATIONAL, [N, R]), (OPERATIONAL, FULL, [N, R])],
        LoginStatus.INITIATOR_ERROR,
    ),
    (
        "another name once it is proved",
        [
            (SECURITY, None, [METHOD, A]),
            (SECURITY, None, [N, R]),
            (SECURITY, OPERATIONAL, [("InitiatorName", "iqn.2026-11.x")]),
        ],
        LoginStatus.INITIATOR_ERROR,
    ),
]


@pytest.mark.parametrize(("requests", "status"), [row[1:] for row in WRONG_LOGINS], ids=[row[0] for row in WRONG_LOGINS])
def test_a_login_that_goes_wrong_is_told_its_status_and_closed(
    requests: list[tuple[int, int | None, Pairs]], status: LoginStatus
) -> None:
    talk = asking()
    for number, (stage, next_stage, pairs) in enumerate(requests):
        names = [] if number else list(talk.names().items())
        talk.send(talk.login_pdu(stage, next_stage), encode_pairs([*names, *pairs]))
        if number < len(requests) - 1:
            assert talk.take(LoginResponse).status == 0
    header, data = talk.take_with_data(LoginResponse)
    assert (header.status, header.transit, header.tsih, data) == (status, False, 0, b"")
    assert talk.connection.closed
    assert talk.connection.session is None
    assert len(talk.directory.sessions._connections) == 0


def test_a_refusal_does_not_tell_an_unknown_user_from_a_wrong_secret() -> None:
    answers = set()
    for user in (USER, "elsewhere", "nobody"):
        talk = asking()
        talk.login_request([*talk.names().items(), METHOD, A], SECURITY, None)
        talk.send(talk.login_pdu(SECURITY, FULL), encode_pairs(proof(user, b"wrong")))
        received = talk.unread.pop()
        answers.add((received.header, received.data))
        assert repr(user) in str(talk.connection.close_reason)
    assert len(answers) == 1


REQUESTS = st.tuples(
    st.sampled_from([SECURITY, OPERATIONAL]),
    st.sampled_from([None, OPERATIONAL, FULL]),
    st.lists(
        st.sampled_from(
            [METHOD, ("AuthMethod", "None"), A, N, R, I, C, ("CHAP_R", "0x00"), ("CHAP_N", "nobody"), ("InitialR2T", "No")]
        ),
        max_size=4,
        unique=True,
    ),
)


@given(st.lists(REQUESTS, max_size=5))
@searching(300)
def test_no_order_of_requests_gets_in_without_proof(requests: list[tuple[int, int | None, Pairs]]) -> None:
    """Check with a naive model: a login succeeds only if all keys of the three steps were sent, in order, and no others of
    CHAP.
    """
    talk = asking()
    said: list[set[tuple[str, str]]] = []
    for number, (stage, next_stage, pairs) in enumerate(requests):
        names = [] if number else list(talk.names().items())
        talk.send(talk.login_pdu(stage, next_stage), encode_pairs([*names, *pairs]))
        header = talk.take(LoginResponse)
        if header.status:
            assert talk.connection.closed
            break
        said.append({pair for pair in pairs if pair[0].startswith(("CHAP_", "AuthMethod"))})
        if talk.connection.session is not None:
            break
    if talk.connection.session is not None or any(N in keys for keys in said):
        proving = [keys for keys in said if keys]
        assert proving in (
            [{METHOD}, {A}, {N, R}],
            [{METHOD}, {A}, {N, R, I, C}],
            [{METHOD, A}, {N, R}],
            [{METHOD, A}, {N, R, I, C}],
        )
