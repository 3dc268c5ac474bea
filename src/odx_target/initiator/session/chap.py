"""The initiator's side of CHAP. The initiator answers the target's challenge, and can send its own challenge to the target (RFC
7143 12.1.3, 9.2.1; RFC 1994).
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from odx_target.initiator.errors import LoginFailed
from odx_target.iscsi.negotiation.keys import decode_number

ALGORITHM_MD5 = "5"
MAX_CHALLENGE_BYTES = 1024
CHALLENGE_BYTES = 16
"""Length of the initiator's challenges: the same as the length of an MD5 response."""


def chap_response(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """Return the response of 16 bytes that proves that the sender knows the secret."""
    return hashlib.md5(bytes([identifier]) + secret + challenge, usedforsecurity=False).digest()


def answer_challenge(user: str, secret: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the keys that answer the target's CHAP_A, CHAP_I and CHAP_C. Raises LoginFailed."""
    if keys.get("CHAP_A") != ALGORITHM_MD5:
        raise LoginFailed(f"the target wants CHAP algorithm {keys.get('CHAP_A', 'none')[:20]!r}, only MD5 (5) is known")
    try:
        identifier = decode_number(keys["CHAP_I"])
        challenge = _binary(keys["CHAP_C"])
        response = chap_response(identifier, secret.encode(), challenge)
    except (KeyError, ValueError) as error:
        raise LoginFailed("the target's CHAP challenge cannot be read") from error
    return {"CHAP_N": user, "CHAP_R": f"0x{response.hex()}"}


@dataclass(frozen=True, slots=True)
class OwnChallenge:
    """The initiator's challenge, which the target has to answer."""

    identifier: int
    value: bytes

    @classmethod
    def fresh(cls, entropy: Callable[[int], bytes]) -> Self:
        """Return a challenge from new random bytes."""
        return cls(entropy(1)[0], entropy(CHALLENGE_BYTES))

    @property
    def keys(self) -> dict[str, str]:
        """The keys of this challenge. The keys are sent together with the initiator's own response."""
        return {"CHAP_I": str(self.identifier), "CHAP_C": f"0x{self.value.hex()}"}

    def check(self, user: str, secret: str, own_secret: str, keys: Mapping[str, str]) -> None:
        """Check that the target's CHAP_N is `user`, and that its CHAP_R was made with `secret`. Raises LoginFailed.

        A response that was made with `own_secret` is refused. A target can get such a response without knowing a secret, if it
        sends the challenge back to the initiator.
        """
        try:
            response = _binary(keys["CHAP_R"])
        except (KeyError, ValueError) as error:
            raise LoginFailed("the target was asked to prove itself by CHAP and did not") from error
        right, ours = (chap_response(self.identifier, each.encode(), self.value) for each in (secret, own_secret))
        if keys.get("CHAP_N") != user or not hmac.compare_digest(right, response) or hmac.compare_digest(ours, response):
            raise LoginFailed("the target proved itself wrongly by CHAP: it does not know its user and secret")


def _binary(text: str) -> bytes:
    """Return the bytes of a binary value, which is hexadecimal after 0x or base64 after 0b (RFC 7143 6.1). Raises
    ValueError.
    """
    prefix, digits = text[:2].lower(), text[2:]
    if prefix == "0x":
        value = bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    elif prefix == "0b":
        value = base64.b64decode(digits, validate=True)
    else:
        raise ValueError("neither 0x nor 0b")
    if not 0 < len(value) <= MAX_CHALLENGE_BYTES:
        raise ValueError("no challenge of a usable length")
    return value
