"""Path keys: texts that an operator enters at both arrays of a path.

A key is stretched with scrypt before it is used, so that a guess takes about 0.1 s and 32 MiB. A key that `new_path_key` has
made has 128 bits, and cannot be guessed at all.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable

from odx_target.replica.link.errors import LinkError

KEY_ENTROPY_BYTES = 16

MIN_KEY_CHARACTERS = 12
"""Minimum length of a path key. An attacker who takes part in a pairing could guess shorter keys offline."""

MAX_KEY_CHARACTERS = 255
"""Maximum length of a path key. The limit avoids long work if the user gives a wrong file."""

SAFE_KEY_CHARACTERS = 20
"""Length below which the array warns that a path key might be guessed."""

SCRYPT_COST = 1 << 15
_SALT = b"odx-target path key"
_SCRYPT_MEMORY_BYTES = 64 << 20
STRETCHED_BYTES = 32


class InvalidPathKey(LinkError):
    """A text is not a path key. The message does not contain the text."""


def new_path_key(entropy: Callable[[int], bytes]) -> str:
    """Return a new key of 26 letters and digits. `entropy` returns random bytes from a cryptographic source."""
    return base64.b32encode(entropy(KEY_ENTROPY_BYTES)).decode().rstrip("=")


def check_path_key(key: str) -> None:
    """Raise InvalidPathKey if a key is too short, too long, or not on one line."""
    if not MIN_KEY_CHARACTERS <= len(key) <= MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidPathKey(f"want a path key of {MIN_KEY_CHARACTERS} to {MAX_KEY_CHARACTERS} characters on one line")


def is_weak(key: str) -> bool:
    """True if an attacker who takes part in the pairing might guess the key."""
    return len(key) < SAFE_KEY_CHARACTERS


def stretched(key: str) -> bytes:
    """Return the secret of a key. Takes about 0.1 s, so call it in a thread. Raises InvalidPathKey."""
    check_path_key(key)
    return hashlib.scrypt(key.encode(), salt=_SALT, n=SCRYPT_COST, r=8, p=1, maxmem=_SCRYPT_MEMORY_BYTES, dklen=STRETCHED_BYTES)


def derived(secret: bytes, purpose: str, salt: bytes = b"") -> bytes:
    """Derive a key of 32 bytes for one purpose from a secret (HKDF with SHA-256, RFC 5869, one block)."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")
