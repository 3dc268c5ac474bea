"""The check that an initiator may use a token (see `TokenAccess`)."""

from odx_target.copymgr.limits import TokenAccess
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import INVALID_TOKEN_CAUSE_NOT_REPORTABLE

_RULES = {
    TokenAccess.SOURCE: "the initiator has no LUN for the logical unit that the token was made from",
    TokenAccess.CREATOR: "another initiator made the token",
}


def check_token_access(copies: Copies, nexus: Nexus, token: RodToken) -> None:
    """Raise Refusal if the initiator of a nexus may not use a token. The sense data does not report the cause."""
    policy = copies.options.token_access
    if not _is_allowed(policy, copies, nexus, token):
        raise Refusal(INVALID_TOKEN_CAUSE_NOT_REPORTABLE, rule=_RULES[policy], field="ROD TOKEN")


def _is_allowed(policy: TokenAccess, copies: Copies, nexus: Nexus, token: RodToken) -> bool:
    if policy is TokenAccess.CREATOR:
        return token.initiator_name == nexus.initiator_name
    if policy is TokenAccess.SOURCE:
        identity = creator_identity(token.creator)
        source = None if identity is None else copies.units_by_identity.get(identity)
        return source is not None and nexus.lun_of(source) is not None
    return True
