"""CHAP as the initiator answers it (RFC 7143 12.1.3, RFC 1994)."""

import base64
import hashlib
from collections.abc import Mapping

from odx_target.initiator.errors import LoginFailed

ALGORITHM_MD5 = "5"
MAXIMUM_CHALLENGE_BYTES = 1024


def chap_response(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """The 16 bytes that prove the secret."""
    return hashlib.md5(bytes([identifier]) + secret + challenge, usedforsecurity=False).digest()


def answer_challenge(user: str, secret: str, keys: Mapping[str, str]) -> dict[str, str]:
    """The keys that answer the target's CHAP_A, CHAP_I and CHAP_C. Raises LoginFailed."""
    if keys.get("CHAP_A") != ALGORITHM_MD5:
        raise LoginFailed(f"the target wants CHAP algorithm {keys.get('CHAP_A', 'none')[:20]!r}, only MD5 (5) is known")
    try:
        identifier = int(keys["CHAP_I"], 0)
        challenge = _binary(keys["CHAP_C"])
        response = chap_response(identifier, secret.encode(), challenge)
    except (KeyError, ValueError) as error:
        raise LoginFailed("the target's CHAP challenge cannot be read") from error
    return {"CHAP_N": user, "CHAP_R": f"0x{response.hex()}"}


def _binary(text: str) -> bytes:
    """A binary value in hexadecimal after 0x or in base64 after 0b (RFC 7143 6.1). Raises ValueError."""
    prefix, digits = text[:2].lower(), text[2:]
    if prefix == "0x":
        value = bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    elif prefix == "0b":
        value = base64.b64decode(digits, validate=True)
    else:
        raise ValueError("neither 0x nor 0b")
    if not 0 < len(value) <= MAXIMUM_CHALLENGE_BYTES:
        raise ValueError("no challenge of a usable length")
    return value
