"""Both sides of a pairing, without I/O.

1. The dialler connects with TLS, without verifying the acceptor's certificate, and sends PAIR_OPEN with its own certificate.
2. The acceptor sends PAIR_CHALLENGE.
3. The dialler sends PAIR_PROOF: an HMAC-SHA256 of the transcript, under the stretched path key.
4. The acceptor checks it, and sends PAIR_CONFIRM: another HMAC of the transcript, which the dialler checks.

The transcript contains the bodies of PAIR_OPEN and PAIR_CHALLENGE, and the acceptor's certificate. Each side uses the
certificate that it sees, so a man in the middle, who must show another certificate, fails. The nonces make each transcript new,
so recorded frames are worth nothing.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.replica.link.errors import LinkError, PeerFault
from odx_target.replica.link.frame import Frame, FrameReader, encode
from odx_target.replica.link.hello import Farewell, Goodbye, decode_goodbye, encode_goodbye
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.limits import MAX_HELLO_BYTES
from odx_target.replica.pairing.messages import PROOF_BYTES, Identity, encode_challenge, encode_open, identity_in
from odx_target.replica.pairing.path_key import derived

CONTEXT = b"odx-target pairing 1"

PAIRING_TIMEOUT_S = 10.0
"""Time for the four frames of a pairing, on each side."""


class PairingFailed(LinkError):
    """The pairing has failed. `is_attempt` is True if the peer may have tried a wrong key, so that the attempt counts."""

    def __init__(self, reason: str, *, is_attempt: bool) -> None:
        super().__init__(reason)
        self.is_attempt = is_attempt


class Paired(NamedTuple):
    """The result. `secret` is known to both arrays. `key` is the stretched key that has matched."""

    peer: Identity
    secret: bytes
    key: bytes


class DiallerHandshake:
    """The dialler's side. `certificate` is the certificate that the acceptor shows. The caller first sends `output`."""

    def __init__(self, key: bytes, own: Identity, certificate: bytes, nonce: bytes) -> None:
        self._opening = encode_open(nonce, own)
        self.output = encode(Frame(Kind.PAIR_OPEN, body=self._opening))
        self._key = key
        self._own = own
        self._certificate = certificate
        self._reader = FrameReader(MAX_HELLO_BYTES)
        self._transcript = b""
        self._peer: Identity | None = None

    @property
    def has_proved(self) -> bool:
        """True if the proof was sent, so that a failure counts as an attempt."""
        return self._peer is not None

    def receive(self, data: Buffer) -> tuple[bytes, Paired | None]:
        """Take received bytes. Returns bytes to send, and the result when the pairing has succeeded.

        Raises PairingFailed and PeerFault.
        """
        output, paired = b"", None
        for frame in self._reader.feed(data):
            _check_not_refused(frame, is_attempt=self.has_proved)
            if self._peer is None:
                output += self._prove(_body(frame, Kind.PAIR_CHALLENGE))
            else:
                paired = self._confirmed(_body(frame, Kind.PAIR_CONFIRM), self._peer)
        return output, paired

    def _prove(self, challenge: bytes) -> bytes:
        peer = identity_in(challenge, self._certificate)
        if peer.pool == self._own.pool:
            raise PairingFailed("an array cannot have a path to itself", is_attempt=False)
        self._peer = peer
        self._transcript = _transcript(self._opening, challenge, self._certificate)
        return encode(Frame(Kind.PAIR_PROOF, body=_proof(self._key, b"dialler", self._transcript)))

    def _confirmed(self, proof: bytes, peer: Identity) -> Paired:
        if not hmac.compare_digest(proof, _proof(self._key, b"acceptor", self._transcript)):
            raise PairingFailed("the peer does not know the path key", is_attempt=True)
        return Paired(peer, path_secret(self._key, self._own.pool, peer.pool), self._key)


class AcceptorHandshake:
    """The acceptor's side. `keys` returns the stretched keys of all paths that wait for their pairing.

    It is called when the proof arrives, so several peers together have no more attempts than one. It may raise NotWaiting.
    """

    def __init__(self, keys: Callable[[], Sequence[bytes]], own: Identity, nonce: bytes) -> None:
        self._keys = keys
        self._own = own
        self._nonce = nonce
        self._reader = FrameReader(MAX_HELLO_BYTES)
        self._transcript = b""
        self._peer: Identity | None = None

    def receive(self, data: Buffer) -> tuple[bytes, Paired | None]:
        """Take received bytes. Returns bytes to send, and the result when the pairing has succeeded.

        Raises PairingFailed and PeerFault, and the exceptions of `keys`. The caller then sends `refusal`.
        """
        output, paired = b"", None
        for frame in self._reader.feed(data):
            _check_not_refused(frame, is_attempt=False)
            if paired is not None:
                raise PeerFault("a frame follows the last frame of the pairing")
            if self._peer is None:
                output += self._challenge(_body(frame, Kind.PAIR_OPEN))
            else:
                paired = self._proved(_body(frame, Kind.PAIR_PROOF), self._peer)
                output += encode(Frame(Kind.PAIR_CONFIRM, body=_proof(paired.key, b"acceptor", self._transcript)))
        return output, paired

    def _challenge(self, opening: bytes) -> bytes:
        self._peer = identity_in(opening)
        challenge = encode_challenge(self._nonce, self._own)
        self._transcript = _transcript(opening, challenge, self._own.certificate)
        return encode(Frame(Kind.PAIR_CHALLENGE, body=challenge))

    def _proved(self, proof: bytes, peer: Identity) -> Paired:
        matching = [key for key in self._keys() if hmac.compare_digest(proof, _proof(key, b"dialler", self._transcript))]
        if not matching:
            raise PairingFailed("the peer does not know the path key", is_attempt=True)
        return Paired(peer, path_secret(matching[0], self._own.pool, peer.pool), matching[0])


def refusal(reason: str) -> bytes:
    """Return the bytes that an acceptor sends before it closes the connection of a pairing that has failed."""
    return encode(Frame(Kind.GOODBYE, body=encode_goodbye(Goodbye(Farewell.STRANGER, reason))))


def path_secret(key: bytes, one_pool: bytes, other_pool: bytes) -> bytes:
    """Return the secret of the path between two pools. Both sides, and repeated pairings with one key, get the same secret."""
    return derived(key, "path secret", b"".join(sorted((one_pool, other_pool))))


def _check_not_refused(frame: Frame, *, is_attempt: bool) -> None:
    if frame.kind is Kind.GOODBYE:
        reason = decode_goodbye(bytes(frame.body)).text
        raise PairingFailed(f"the peer refuses the pairing: {reason}", is_attempt=is_attempt)


def _body(frame: Frame, kind: Kind) -> bytes:
    if frame.kind is not kind:
        raise PeerFault(f"a frame of the pairing is {frame.kind.name} instead of {kind.name}")
    return bytes(frame.body)


def _transcript(opening: bytes, challenge: bytes, certificate: bytes) -> bytes:
    parts = (CONTEXT, hashlib.sha256(opening).digest(), challenge, hashlib.sha256(certificate).digest())
    return hashlib.sha256(b"".join(parts)).digest()


def _proof(key: bytes, side: bytes, transcript: bytes) -> bytes:
    proof = hmac.digest(derived(key, "pairing"), side + transcript, "sha256")
    assert len(proof) == PROOF_BYTES
    return proof
