"""The bodies of the four frames of a pairing."""

from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.hello import IDENTITY_BYTES

NONCE_BYTES = 32
MAKER_BYTES = 16
PROOF_BYTES = 32

FORMATS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "PAIR_OPEN": (
        (f"{NONCE_BYTES} bytes", "nonce", "random bytes"),
        (f"{IDENTITY_BYTES} bytes", "pool", "identity of the dialler's pool"),
        (f"{MAKER_BYTES} bytes", "maker", "identity in the tokens that the dialler makes"),
        ("the rest", "certificate", "certificate of the dialler (DER)"),
    ),
    "PAIR_CHALLENGE": (
        (f"{NONCE_BYTES} bytes", "nonce", "random bytes"),
        (f"{IDENTITY_BYTES} bytes", "pool", "identity of the acceptor's pool"),
        (f"{MAKER_BYTES} bytes", "maker", "identity in the tokens that the acceptor makes"),
    ),
    "PAIR_PROOF": ((f"{PROOF_BYTES} bytes", "proof", "proof that the dialler knows the path key"),),
    "PAIR_CONFIRM": ((f"{PROOF_BYTES} bytes", "proof", "proof that the acceptor knows the path key"),),
}
"""The parts of each body, as (type, name, meaning), for the documentation."""


class Identity(NamedTuple):
    """How an array is known to its peers: its pool, the maker of its tokens, and its certificate (DER)."""

    pool: bytes
    maker: bytes
    certificate: bytes


def encode_open(nonce: bytes, identity: Identity) -> bytes:
    return nonce + identity.pool + identity.maker + identity.certificate


def encode_challenge(nonce: bytes, identity: Identity) -> bytes:
    return nonce + identity.pool + identity.maker


def identity_in(body: Buffer, certificate: bytes | None = None) -> Identity:
    """Return the identity in the body of PAIR_OPEN, or in that of PAIR_CHALLENGE if `certificate` is given.

    Raises PeerFault.
    """
    at, end = NONCE_BYTES + IDENTITY_BYTES, NONCE_BYTES + IDENTITY_BYTES + MAKER_BYTES
    content = bytes(body)
    if len(content) < end or (len(content) > end) != (certificate is None):
        raise PeerFault("a frame of the pairing has a wrong length")
    return Identity(content[NONCE_BYTES:at], content[at:end], content[end:] if certificate is None else certificate)
