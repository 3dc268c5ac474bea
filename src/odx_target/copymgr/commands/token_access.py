"""The check that an initiator may use a token (see `TokenAccess`)."""

from collections.abc import Callable, Mapping

from odx_target.copymgr.limits import TokenAccess
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import INVALID_TOKEN_CAUSE_NOT_REPORTABLE
from odx_target.scsi.unit.logical_unit import LogicalUnit

_RULES = {
    TokenAccess.SOURCE: "the initiator has no LUN for the logical unit that the token was made from",
    TokenAccess.CREATOR: "another initiator made the token",
}


def check_token_access(copies: Copies, nexus: Nexus, token: RodToken) -> None:
    """Raise Refusal if the initiator of a nexus may not use a token. The sense data does not report the cause."""
    policy = copies.options.token_access
    if not is_allowed(
        policy, copies.units_by_identity, token, nexus.initiator_name, lambda unit: nexus.lun_of(unit) is not None
    ):
        raise Refusal(INVALID_TOKEN_CAUSE_NOT_REPORTABLE, rule=_RULES[policy], field="ROD TOKEN")


def is_allowed(
    policy: TokenAccess,
    units_by_identity: Mapping[bytes, LogicalUnit],
    token: RodToken,
    initiator_name: str,
    has_lun: Callable[[LogicalUnit], bool],
) -> bool:
    """True if the policy allows an initiator to use a token. `has_lun` is True if it has a LUN for a logical unit."""
    if policy is TokenAccess.CREATOR:
        return token.initiator_name == initiator_name
    if policy is TokenAccess.SOURCE:
        identity = creator_identity(token.creator)
        source = None if identity is None else units_by_identity.get(identity)
        return source is not None and has_lun(source)
    return True
