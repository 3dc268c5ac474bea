"""Finds out if `ddpt --odx` and ddptctl copy with a LUN. They stop unless 3PC is 1 and VPD page 8Fh can be read."""

from odx_target.cli.hosts.ready.readiness import HostKind, Readiness
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list
from odx_target.initiator.disk import CommandFailed, Disk
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.result import Executor, Sleep, Status
from odx_target.initiator.sense import describe_result

USES = "copies by token (ddpt --odx, ddptctl)"
LIST_IDENTIFIER = 0x101
"""The list identifier with which ddpt begins."""


async def ddpt_readiness(executor: Executor, sleep: Sleep, name: str) -> Readiness:
    """Ask a LUN for what ddpt needs, and for a token of its first block. Nothing is written. Raises InitiatorError."""
    try:
        disk = await Disk.probe(executor, sleep, name)
    except (BadAnswer, CommandFailed) as failure:
        return Readiness(HostKind.DDPT, USES, [str(failure)])
    reasons = [] if disk.third_party_copy else ["3PC is 0 in the INQUIRY data"]
    if disk.copy_limits is None:
        reasons.append(disk.no_copy_because)
    if not reasons:
        reasons += await _refusal_of_token(disk)
    return Readiness(HostKind.DDPT, USES, reasons)


async def _refusal_of_token(disk: Disk) -> list[str]:
    """Ask for a token of the first block. Returns the reason if there is none."""
    data = populate_token_list([BlockRange(0, 1)])
    result = await disk.command(cdb.populate_token(LIST_IDENTIFIER, len(data)), [data])
    return [] if result.status == Status.GOOD else [f"POPULATE TOKEN of one block: {describe_result(result)}"]
