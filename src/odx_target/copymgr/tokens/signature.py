"""The signature of a token: an HMAC-SHA256 of all token bytes before the signature, with the secret of the pool as its key."""

import hmac

from odx_target.copymgr.tokens.format import SIGNED_BYTES


def sign(secret: bytes, unsigned: bytes) -> bytes:
    """Return a token, which consists of the unsigned bytes and their signature."""
    return unsigned + _mac(secret, unsigned)


def is_signed(secret: bytes, token: bytes) -> bool:
    """True if the signature of a token of 512 bytes was made with this secret. The comparison takes constant time."""
    return is_same(_mac(secret, token[:SIGNED_BYTES]), token[SIGNED_BYTES:])


def is_same(token: bytes, other: bytes) -> bool:
    """True if two secret values are equal. The comparison takes constant time."""
    return hmac.compare_digest(token, other)


def _mac(secret: bytes, unsigned: bytes) -> bytes:
    return hmac.digest(secret, unsigned, "sha256")
