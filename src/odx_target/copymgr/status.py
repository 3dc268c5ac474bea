"""Tokens and operations as plain data, for operators and metrics. The data never contains the bytes of a token."""

from typing import TypedDict

from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.copymgr.tokens.inactivity_timeout import expires_at_s
from odx_target.copymgr.tokens.rod_token import RodToken


class TokenData(TypedDict):
    """A token. Times are in seconds, relative to the present time."""

    identifier: str
    rod_type: str
    creator: str
    size_bytes: int | None
    extents: int
    age_s: float
    inactivity_timeout_s: float
    expires_in_s: float
    in_use: int


class OperationData(TypedDict):
    """A running operation."""

    command: str
    initiator: str
    logical_unit: int
    list_identifier: int
    status: str
    requested_blocks: int
    transfer_count_blocks: int
    age_s: float


def token_data(token: RodToken, now_s: float) -> TokenData:
    """Describe a token as plain data. Times are in seconds, relative to the present time."""
    creator = creator_identity(token.creator) or b""
    return {
        "identifier": f"{token.identifier:016x}",
        "rod_type": token.rod_type.name.lower(),
        "creator": creator.hex(),
        "size_bytes": token.rod.size_bytes,
        "extents": token.rod.count_extents,
        "age_s": now_s - token.created_at_s,
        "inactivity_timeout_s": token.inactivity_timeout_s,
        "expires_in_s": expires_at_s(token) - now_s,
        "in_use": token.leases,
    }


def operation_data(operation: CopyOperation, now_s: float) -> OperationData:
    """Describe a running operation as plain data."""
    return {
        "command": operation.service_action.name.lower(),
        "initiator": operation.nexus.initiator_name,
        "logical_unit": operation.logical_unit.number,
        "list_identifier": operation.list_identifier,
        "status": operation.status.name.lower(),
        "requested_blocks": operation.requested_blocks,
        "transfer_count_blocks": operation.transfer_count_blocks,
        "age_s": now_s - operation.started_at_s,
    }
