"""The signature of a token: an HMAC-SHA256 with the secret of the pool, over all bytes of the token before it."""

import hmac

from odx_target.copymgr.tokens.format import SIGNED_BYTES


def sign(secret: bytes, unsigned: bytes) -> bytes:
    """Return a token: the unsigned bytes with their signature."""
    return unsigned + _mac(secret, unsigned)


def is_signed(secret: bytes, token: bytes) -> bool:
    """True if the signature of a token of 512 bytes was made with this secret. Compares in constant time."""
    return is_same(_mac(secret, token[:SIGNED_BYTES]), token[SIGNED_BYTES:])


def is_same(token: bytes, other: bytes) -> bool:
    """True if two secret values are equal. The time does not depend on where they differ."""
    return hmac.compare_digest(token, other)


def _mac(secret: bytes, unsigned: bytes) -> bytes:
    return hmac.digest(secret, unsigned, "sha256")
