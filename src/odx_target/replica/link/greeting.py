"""The agreement of both sides at the beginning of a connection, from the HELLO of each."""

from odx_target.replica.link.errors import LinkError, PeerFault
from odx_target.replica.link.hello import Farewell, Hello, common_version, decode_hello
from odx_target.replica.link.limits import HELLO_TIMEOUT_S


class NotAgreed(LinkError):
    """The sides cannot talk to each other. `code` is that of the GOODBYE, and the message is one line for a person."""

    def __init__(self, code: Farewell, text: str) -> None:
        super().__init__(text)
        self.code = code


class Greeting:
    """The HELLO that this side has sent, and what it expects of the peer: a HELLO until `deadline_s`, from `expected_pool`."""

    def __init__(self, own: Hello, expected_pool: bytes, now_s: float) -> None:
        self.deadline_s = now_s + HELLO_TIMEOUT_S
        self._own = own
        self._expected_pool = expected_pool

    def agreed(self, body: bytes) -> tuple[Hello, int]:
        """Return the HELLO of the peer, and the highest version that both sides know. `body` is that of the HELLO.

        Raises NotAgreed, and PeerFault if the HELLO is not valid.
        """
        peer = decode_hello(body)
        version = common_version(self._own.versions, peer.versions)
        if version is None:
            ours, theirs = self._own.versions, peer.versions
            text = f"no common version: this array knows {ours[0]} to {ours[1]}, the peer {theirs[0]} to {theirs[1]}"
            raise NotAgreed(Farewell.VERSION, text)
        if peer.pool != self._expected_pool:
            raise NotAgreed(Farewell.STRANGER, "the peer has another pool than at the pairing")
        if peer.role is not self._own.role:
            raise PeerFault(f"the role of the connection is {peer.role}, not {self._own.role}")
        return peer, version
