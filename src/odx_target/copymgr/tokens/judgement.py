"""Check of a token that an initiator presents. An invalid token is reported by one of eleven codes.

`TOKEN_ERRORS` lists the cause of each code. If several causes apply, `judge` reports the first cause in the order of the
standard (SBC-4 table 154). The causes in this order are: invalid length, corrupt token, unsupported type, remote token, ended
token, unknown token.
"""

from collections.abc import Callable, Container

from odx_target.copymgr.limits import CopyOptions
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.adopted import name_of
from odx_target.copymgr.tokens.format import ROD_TOKEN_LENGTH, creator_identity, decode_head, maker_of
from odx_target.copymgr.tokens.inactivity_timeout import EXPIRED
from odx_target.copymgr.tokens.issuer import TokenIssuer
from odx_target.copymgr.tokens.remote import RemoteTokens
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.copymgr.tokens.signature import is_same
from odx_target.copymgr.tokens.table import TokenTable
from odx_target.copymgr.tokens.zero_token import is_zero_token
from odx_target.scsi.sense import (
    INVALID_TOKEN_CAUSE_NOT_REPORTABLE,
    INVALID_TOKEN_LENGTH,
    REMOTE_ROD_TOKEN_CREATION_NOT_SUPPORTED,
    REMOTE_TOKEN_USAGE_NOT_SUPPORTED,
    TOKEN_CANCELLED,
    TOKEN_CORRUPT,
    TOKEN_DELETED,
    TOKEN_EXPIRED,
    TOKEN_REVOKED,
    TOKEN_UNKNOWN,
    UNSUPPORTED_TOKEN_TYPE,
    Condition,
)

TOKEN_ERRORS: dict[int, tuple[Condition, str]] = {
    # (condition, cause of the condition), by ASCQ of ASC 23h
    0x00: (INVALID_TOKEN_CAUSE_NOT_REPORTABLE, "one of the other causes, if the owner chose not to report causes"),
    0x01: (UNSUPPORTED_TOKEN_TYPE, "this ROD TYPE is not accepted, or the owner chose not to accept the zero token"),
    0x02: (
        REMOTE_TOKEN_USAGE_NOT_SUPPORTED,
        "a well formed token that names another copy manager as its creator, and no path with the right to redeem its tokens",
    ),
    0x03: (
        REMOTE_ROD_TOKEN_CREATION_NOT_SUPPORTED,
        "POPULATE TOKEN on a logical unit whose blocks another copy manager holds",
    ),
    0x04: (
        TOKEN_UNKNOWN,
        "ours from before a restart, ended too long ago, of the other member of a group, or foreign and without a creator",
    ),
    0x05: (TOKEN_CORRUPT, "it names this copy manager or one of its logical units, but its signature is wrong"),
    0x06: (TOKEN_REVOKED, "management revoked it"),
    0x07: (TOKEN_EXPIRED, EXPIRED),
    0x08: (TOKEN_CANCELLED, "a change vulnerable token whose source was written, or whose logical unit was removed"),
    0x09: (TOKEN_DELETED, "an earlier WRITE USING TOKEN with DEL_TKN deleted it"),
    0x0A: (INVALID_TOKEN_LENGTH, "ROD TOKEN LENGTH is not 01F8h"),
}

CONDITION_FOR_END: dict[TokenEnd, Condition] = {
    TokenEnd.EXPIRED: TOKEN_EXPIRED,
    TokenEnd.CANCELLED: TOKEN_CANCELLED,
    TokenEnd.REVOKED: TOKEN_REVOKED,
    TokenEnd.DELETED: TOKEN_DELETED,
}


class TokenJudge:
    """Checks tokens. `identities` are the designators of the logical units of this copy manager."""

    def __init__(self, issuer: TokenIssuer, tokens: TokenTable, options: CopyOptions, identities: Container[bytes]) -> None:
        self._issuer = issuer
        self._tokens = tokens
        self.options = options
        self.remote: RemoteTokens | None = None
        """The tokens of other arrays. None if the array has no paths to other arrays."""
        self._identities = identities
        self.is_shared: Callable[[bytes], bool] = lambda _: False
        """Function that returns True if another array makes tokens of the same logical unit, which is named by its identity."""

    def judge(self, token: bytes, now_s: float) -> RodToken | None:
        """Return the live token with these 512 bytes. Return None for the zero token. Raises Refusal for an invalid token."""
        head = decode_head(token)
        if head.rod_token_length != ROD_TOKEN_LENGTH:
            raise self.refusal(INVALID_TOKEN_LENGTH, head.rod_token_length)
        if is_zero_token(token):
            if not self.options.zero_token_accepted:
                raise self.refusal(UNSUPPORTED_TOKEN_TYPE, head.rod_type)
            return None
        is_genuine = self._issuer.is_genuine(token)
        identifier = head.identifier if is_genuine else self._tokens.adopted.get(name_of(token))
        if identifier is None:
            raise self._not_ours(token)
        found = self._tokens.find(identifier, now_s)
        if not isinstance(found, RodToken):
            raise self.refusal(TOKEN_UNKNOWN if found is None else CONDITION_FOR_END[found])
        if not is_same(found.data, token):
            raise self.refusal(TOKEN_CORRUPT)
        return found

    def remote_maker(self, token: bytes) -> bytes | None:
        """Return the maker of a token of 512 bytes if it is another array that must judge the token. Otherwise return None."""
        remote = self.remote
        if remote is None or self._issuer.claims_to_be_ours(token) or is_zero_token(token):
            return None
        head, maker = decode_head(token), maker_of(token)
        if head.rod_token_length != ROD_TOKEN_LENGTH or creator_identity(head.creator) in self._identities:
            return None
        return maker if self.options.rod_types.is_accepted(head.rod_type) and remote.accepts(maker) else None

    def refusal(self, condition: Condition, value: int | None = None) -> Refusal:
        """Return the refusal of an invalid token. The sense data reports the cause only if `token_causes_reported` is set."""
        told = condition if self.options.token_causes_reported else INVALID_TOKEN_CAUSE_NOT_REPORTABLE
        rule = TOKEN_ERRORS[condition.ascq][1]
        return Refusal(told, rule=rule, field="ROD TOKEN", value=value)

    def _not_ours(self, token: bytes) -> Refusal:
        head = decode_head(token)
        creator = creator_identity(head.creator)
        if self._issuer.claims_to_be_ours(token):
            return self.refusal(TOKEN_CORRUPT)
        if creator is not None and creator in self._identities:
            return self.refusal(TOKEN_UNKNOWN if self.is_shared(creator) else TOKEN_CORRUPT)
        if not self.options.rod_types.is_accepted(head.rod_type):
            return self.refusal(UNSUPPORTED_TOKEN_TYPE, head.rod_type)
        return self.refusal(TOKEN_UNKNOWN if creator is None else REMOTE_TOKEN_USAGE_NOT_SUPPORTED)
