"""Windows' requirements for CHAP: secrets of 12 to 16 bytes, MD5, and only the keys of each step.

The two rules about secrets have the names that Windows uses. TARGET_SECRET_LENGTH applies to the secret by which the host
proves its identity. INITIATOR_SECRET_LENGTH applies to the secret by which the target proves its identity.
"""

import base64
import re

from odx_target.initiator.session.chap import ALGORITHM_MD5, MAX_CHALLENGE_BYTES
from odx_target.initiator.windows.rules import Rule

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 12, 16
"""Minimum and maximum length of a secret without IPsec. Windows enforces the minimum. The maximum is stated in the dialogs of
Windows."""
CHALLENGE_KEYS = frozenset({"CHAP_A", "CHAP_I", "CHAP_C"})
DECLARATIONS = frozenset({"TargetAlias", "TargetAddress", "TargetPortalGroupTag", "AuthMethod"})

_IDENTIFIER = re.compile(r"0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5]|0[xX][0-9a-fA-F]{1,2}")
"""Matches a number of one byte, in decimal or hexadecimal."""

Broken = tuple[Rule, str] | None


def judge_secrets(secret: str | None, target_secret: str | None) -> Broken:
    """Check the secrets in the options, before the login. Returns the broken rule and a text with details, or None if no rule
    is broken.
    """
    for rule, one in ((Rule.TARGET_SECRET_LENGTH, secret), (Rule.INITIATOR_SECRET_LENGTH, target_secret)):
        if one is not None and not MIN_SECRET_BYTES <= len(one.encode()) <= MAX_SECRET_BYTES:
            return rule, f"{len(one.encode())} bytes"
    return None


def judge_method(method: str, user: str | None) -> Broken:
    """Check the AuthMethod that the target chose. `user` is None if the host has no credentials. Returns the broken rule and a
    text with details, or None if no rule is broken.
    """
    if method not in {"CHAP", "None"}:
        return Rule.UNKNOWN_AUTH_METHOD, method[:40]
    if user is None and method == "CHAP":
        return Rule.CHAP_WANTED, ""
    if user is not None and method == "None":
        return Rule.CHAP_NOT_OFFERED, ""
    return None


def judge_challenge(keys: dict[str, str]) -> Broken:
    """Check the keys of the target's challenge. Returns the broken rule and a text with details, or None if no rule is
    broken.
    """
    if unknown := keys.keys() - CHALLENGE_KEYS - DECLARATIONS:
        return Rule.CHAP_KEY, ", ".join(sorted(unknown))
    if keys.get("CHAP_A") != ALGORITHM_MD5:
        return Rule.CHAP_ALGORITHM, f"CHAP_A={keys.get('CHAP_A', '')[:20]}"
    if _IDENTIFIER.fullmatch(keys.get("CHAP_I", "")) is None:
        return Rule.CHAP_CHALLENGE, f"CHAP_I={keys.get('CHAP_I', '')[:20]}"
    size_bytes = _size_bytes(keys.get("CHAP_C", ""))
    if not size_bytes:
        return Rule.CHAP_CHALLENGE, f"CHAP_C={keys.get('CHAP_C', '')[:20]}"
    if size_bytes > MAX_CHALLENGE_BYTES:
        return Rule.CHAP_CHALLENGE_LENGTH, f"{size_bytes} bytes"
    return None


def _size_bytes(text: str) -> int:
    """Return the length of a binary value in bytes; 0 if the value cannot be read (RFC 7143 6.1)."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
        return (len(text) - 1) // 2
    try:
        return len(base64.b64decode(text[2:], validate=True)) if text[:2].lower() == "0b" else 0
    except ValueError:
        return 0
