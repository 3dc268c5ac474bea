"""The parts of the array that faults act upon, apart from the command, PDU or call that is at fault itself."""

from collections.abc import Callable
from typing import Protocol

from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.rod_token import TokenEnd
from odx_target.scsi.nexus import Nexus
from odx_target.target.faults.actions import TokenFate

_ENDS = {
    TokenFate.EXPIRE: TokenEnd.EXPIRED,
    TokenFate.LOSE: TokenEnd.CANCELLED,
    TokenFate.REVOKE: TokenEnd.REVOKED,
    TokenFate.CANCEL: TokenEnd.CANCELLED,
}


class Connection(Protocol):
    """A connection of an initiator."""

    def cut(self) -> None:
        """End the connection without a logout."""


class Effects:
    """Ends tokens, cuts connections and restarts the array. `connection_of` finds the connection of a nexus."""

    def __init__(
        self, copies: Copies, connection_of: Callable[[Nexus], Connection | None], restart: Callable[[], None]
    ) -> None:
        self._copies = copies
        self._connection_of = connection_of
        self.restart = restart

    def end_tokens(self, fate: TokenFate) -> None:
        """End all tokens of the array."""
        tokens = self._copies.tokens
        now_s = self._copies.environment.monotonic()
        for token in list(tokens.issued()):
            tokens.finish(token, _ENDS[fate], now_s)
            if fate is TokenFate.LOSE:
                tokens.tombstones.pop(token.identifier, None)

    def cut(self, nexus: Nexus) -> None:
        """End the connection of a nexus, without an answer to its commands."""
        connection = self._connection_of(nexus)
        if connection is not None:
            connection.cut()
