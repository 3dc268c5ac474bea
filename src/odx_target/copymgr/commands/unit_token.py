"""Tokens for blocks of a logical unit that another array copies with EXTENDED COPY.

The other array asks for the token in the name of one of its hosts. The token is like one of POPULATE TOKEN, but no host has it.
"""

from dataclasses import dataclass

from odx_target.copymgr.commands.populate_token import require_room_for_token
from odx_target.copymgr.commands.token_data import freeze
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import decode_head
from odx_target.copymgr.tokens.inactivity_timeout import granted_inactivity_timeout_s
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.scsi.access_kind import Access
from odx_target.scsi.reservations.holders import NexusName
from odx_target.scsi.reservations.transport_id import port_name
from odx_target.scsi.sense import INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN, LBA_OUT_OF_RANGE
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import PoolFull


class UnitReserved(Exception):
    """A reservation keeps the host out."""


@dataclass(slots=True)
class DistantNexus:
    """The nexus of a host that reads a logical unit through another array. It is registered nowhere, so every reservation that
    keeps out other hosts keeps it out.
    """

    initiator_port_name: str
    target_name: str = ""

    @property
    def name(self) -> NexusName:
        return NexusName(port_name(self.initiator_port_name), 0)

    def establish_unit_attention(self, lun: int, asc: int, ascq: int, information: int | None = None) -> None:
        """Do nothing, because the host sees the unit attentions of its own nexus."""


def make_unit_token(
    copies: Copies, logical_unit: LogicalUnit, initiator_name: str, offset_bytes: int, size_bytes: int
) -> RodToken:
    """Make and issue a token for the present data of a range of bytes, for a host of another array.

    Raises Refusal if the range is not inside the logical unit or there is no room for the token, and UnitReserved. May raise
    the exceptions of `Volume.freeze`.
    """
    if offset_bytes + size_bytes > logical_unit.capacity_blocks * logical_unit.block_bytes:
        raise Refusal(LBA_OUT_OF_RANGE, rule="the range is not inside the logical unit")
    if logical_unit.is_kept_out(DistantNexus(initiator_name), Access.READS):
        raise UnitReserved("the logical unit is reserved")
    check = logical_unit.access_refusal(writes=False)
    if check is not None:
        raise Refusal(check.condition, rule="the logical unit cannot be read now")
    copies.require_calm()
    return issue_unit_token(copies, logical_unit, initiator_name, offset_bytes, size_bytes)


def issue_unit_token(
    copies: Copies, logical_unit: LogicalUnit, initiator_name: str, offset_bytes: int, size_bytes: int
) -> RodToken:
    """Make and issue a token for the present data of a range of bytes inside a logical unit, which the initiator may read.

    Raises Refusal if there is no room for the token. May raise the exceptions of `Volume.freeze`.
    """
    require_room_for_token(copies, logical_unit, RodType.POINT_IN_TIME_DEFAULT)
    try:
        identifier, data = copies.issuer.make(RodType.POINT_IN_TIME_DEFAULT, logical_unit, size_bytes, "")
    except PoolFull as error:
        raise Refusal(INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN, rule=str(error)) from error
    now_s = copies.environment.monotonic()
    token = RodToken(
        identifier=identifier,
        data=data,
        rod_type=RodType.POINT_IN_TIME_DEFAULT,
        rod=FrozenRod(freeze(logical_unit, durable=False), [(offset_bytes, size_bytes)]),
        creator=decode_head(data).creator,
        inactivity_timeout_s=granted_inactivity_timeout_s(0, copies.limits),
        lifetime_s=copies.limits.max_token_lifetime_s,
        now_s=now_s,
        initiator_name=initiator_name,
    )
    copies.tokens.add(token)
    copies.tokens.issue(token, now_s)
    copies.counters.tokens_made += 1
    return token
