"""The target's side of CHAP for one login, without I/O (RFC 7143 12.1.3, 9.2.1; RFC 1994).

step         initiator sends                        target answers             next step
ALGORITHM    CHAP_A                                 CHAP_A, CHAP_I, CHAP_C     RESPONSE
RESPONSE     CHAP_N, CHAP_R                         no keys                    DONE
             CHAP_N, CHAP_R, CHAP_I, CHAP_C         CHAP_N, CHAP_R             DONE
DONE         no keys of CHAP

In each step exactly the keys of the table are allowed. By CHAP_I and CHAP_C the initiator asks for a proof of the target's
identity. The target sends this proof only after the initiator has proved its own identity. Login statuses and their causes (RFC
7143 11.13.5):

0201h    no algorithm in common, unknown user, wrong secret, a challenge or response that the target itself
         has sent, proof requested from a target that has no credentials of its own
0202h    the user has proved its identity, but may not use this initiator name
0207h    keys of the step are missing
0200h    keys of another step or method, the same key twice, values that cannot be read

For an unknown user the target does the same work as for a wrong secret, and sends the same status.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from odx_target.iscsi.names import prepare_name
from odx_target.iscsi.negotiation.keys import decode_number
from odx_target.iscsi.pdu.binary_value import decode_binary, encode_binary
from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.iscsi.pdu.text import Pairs
from odx_target.iscsi.session.directory_interface import AuthenticationFailed

METHOD = "CHAP"
MAX_BINARY_BYTES = 1024
"""Longest challenge or response (RFC 7143 12.1.3)."""
MIN_CHALLENGE_BYTES = 16
"""Length of the shortest challenge that the target sends. A challenge is as long as the digest of the algorithm, and MD5 has
the shortest digest."""
STAND_IN_SECRET_BYTES = 16
"""Length of the random secret that is used to check the response of an unknown user."""
MAX_SHOWN_NAME_LENGTH = 64

ALGORITHMS: dict[int, str] = {
    # IANA's number of a PPP authentication algorithm -> its name in hashlib
    5: "md5",
    6: "sha1",
    7: "sha256",
    8: "sha3_256",
}

Entropy = Callable[[int], bytes]
"""A function that returns a given number of random bytes."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and the secret that proves its identity."""

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """Credentials of an initiator. Only the initiator named `initiator_name` may use them. If `initiator_name` is None, every
    initiator may use them.
    """

    credentials: Credentials
    initiator_name: str | None = None


class Accounts:
    """The credentials of a target's initiators, and the credentials by which the target proves its own identity."""

    def __init__(self, accounts: Iterable[Account], own: Credentials | None = None) -> None:
        self.by_user = {account.credentials.name: account for account in accounts}
        self.own = own


class Step(Enum):
    ALGORITHM = auto()
    RESPONSE = auto()
    DONE = auto()


class StepKeys(NamedTuple):
    needed: frozenset[str]
    together: frozenset[str]
    """Keys of a group: the initiator must send all of them or none of them."""


STEP_KEYS: dict[Step, StepKeys] = {
    Step.ALGORITHM: StepKeys(frozenset({"CHAP_A"}), frozenset()),
    Step.RESPONSE: StepKeys(frozenset({"CHAP_N", "CHAP_R"}), frozenset({"CHAP_I", "CHAP_C"})),
    Step.DONE: StepKeys(frozenset(), frozenset()),
}


class Challenge(NamedTuple):
    identifier: int
    value: bytes

    def response(self, algorithm: str, secret: bytes) -> bytes:
        """Return the response that proves that the sender knows the secret (RFC 1994 4.1)."""
        proof = bytes([self.identifier]) + secret + self.value
        return hashlib.new(algorithm, proof, usedforsecurity=False).digest()


class ChapAuthenticator:
    """The CHAP exchange of one login. `entropy` returns the random bytes of the challenge."""

    method = METHOD

    def __init__(self, accounts: Accounts, initiator_name: str, entropy: Entropy) -> None:
        self._accounts = accounts
        self._initiator_name = initiator_name
        self._entropy = entropy
        self._step = Step.ALGORITHM
        self._algorithm = ""
        self._challenge: Challenge

    @property
    def done(self) -> bool:
        """True once the initiator has proved its identity."""
        return self._step is Step.DONE

    def answer(self, pairs: Pairs) -> Pairs:
        """Return the keys of the next response. Raises AuthenticationFailed, which ends the login."""
        keys = _keys_of_step(self._step, pairs)
        if self._step is Step.ALGORITHM:
            return self._answer_algorithms(keys["CHAP_A"])
        return self._answer_response(keys) if keys else []

    def _answer_algorithms(self, offered: str) -> Pairs:
        number = _first_known(offered)
        self._algorithm = ALGORITHMS[number]
        size_bytes = max(hashlib.new(self._algorithm, usedforsecurity=False).digest_size, MIN_CHALLENGE_BYTES)
        self._challenge = Challenge(self._entropy(1)[0], self._entropy(size_bytes))
        self._step = Step.RESPONSE
        return [
            ("CHAP_A", str(number)),
            ("CHAP_I", str(self._challenge.identifier)),
            ("CHAP_C", encode_binary(self._challenge.value)),
        ]

    def _answer_response(self, keys: dict[str, str]) -> Pairs:
        response = _binary("CHAP_R", keys["CHAP_R"])
        asked = _asked(keys)
        self._check_response(keys["CHAP_N"], response)
        proof = [] if asked is None else self._prove(asked)
        self._step = Step.DONE
        return proof

    def _check_response(self, user: str, response: bytes) -> None:
        account = self._accounts.by_user.get(user)
        secret = self._entropy(STAND_IN_SECRET_BYTES)
        if account is not None:
            secret = account.credentials.secret
        is_right = hmac.compare_digest(self._challenge.response(self._algorithm, secret), response)
        is_reflected = self._is_reflected(response)
        if account is None:
            raise AuthenticationFailed(f"no CHAP user {_shown(user)}")
        if is_reflected:
            raise AuthenticationFailed(f"CHAP user {_shown(user)} sent the response that this target would have given")
        if not is_right:
            raise AuthenticationFailed(f"wrong CHAP response of user {_shown(user)}")
        bound_to = account.initiator_name
        if bound_to is not None and prepare_name(bound_to) != prepare_name(self._initiator_name):
            detail = f"CHAP user {_shown(user)} may not log in as {_shown(self._initiator_name)}"
            raise AuthenticationFailed(detail, LoginStatus.AUTHORIZATION_FAILURE)

    def _is_reflected(self, response: bytes) -> bool:
        """True if the response was made with the target's own secret (9.2.1)."""
        own = self._accounts.own
        return own is not None and hmac.compare_digest(self._challenge.response(self._algorithm, own.secret), response)

    def _prove(self, asked: Challenge) -> Pairs:
        own = self._accounts.own
        if own is None:
            raise AuthenticationFailed("the initiator asks for proof, the target has no CHAP credentials of its own")
        if hmac.compare_digest(asked.value, self._challenge.value):
            raise AuthenticationFailed("the initiator sent the target's own challenge back")
        return [("CHAP_N", own.name), ("CHAP_R", encode_binary(asked.response(self._algorithm, own.secret)))]


def _keys_of_step(step: Step, pairs: Pairs) -> dict[str, str]:
    keys = dict(pairs)
    needed, together = STEP_KEYS[step]
    if len(keys) != len(pairs):
        raise AuthenticationFailed("a CHAP key is sent twice", LoginStatus.INITIATOR_ERROR)
    if strangers := sorted(keys.keys() - needed - together):
        detail = f"{', '.join(strangers)} in CHAP's step {step.name}"
        raise AuthenticationFailed(detail, LoginStatus.INITIATOR_ERROR)
    wanted = needed | together if keys.keys() & together else needed
    if missing := sorted(wanted - keys.keys()):
        raise AuthenticationFailed(f"{', '.join(missing)} is missing", LoginStatus.MISSING_PARAMETER)
    return keys


def _first_known(offered: str) -> int:
    for text in offered.split(","):
        try:
            number = decode_number(text)
        except ValueError:
            continue
        if number in ALGORITHMS:
            return number
    raise AuthenticationFailed(
        f"initiator offers CHAP algorithms {offered[:40]!a}, known are {', '.join(map(str, ALGORITHMS))}"
    )


def _asked(keys: dict[str, str]) -> Challenge | None:
    """Return the challenge of an initiator that asks the target to authenticate; None if the initiator does not ask."""
    if "CHAP_I" not in keys:
        return None
    try:
        identifier = decode_number(keys["CHAP_I"])
    except ValueError as error:
        raise AuthenticationFailed(f"CHAP_I: {error}", LoginStatus.INITIATOR_ERROR) from error
    if identifier > 0xFF:
        raise AuthenticationFailed(f"CHAP_I {identifier} is not one byte", LoginStatus.INITIATOR_ERROR)
    return Challenge(identifier, _binary("CHAP_C", keys["CHAP_C"]))


def _binary(key: str, text: str) -> bytes:
    try:
        return decode_binary(text, MAX_BINARY_BYTES)
    except ValueError as error:
        raise AuthenticationFailed(f"{key}: {error}", LoginStatus.INITIATOR_ERROR) from error


def _shown(name: str) -> str:
    """Return a peer's text for a log line, shortened and escaped."""
    return ascii(name[:MAX_SHOWN_NAME_LENGTH])
