"""Finds out if ESXi uses the hardware acceleration of a LUN: the start of the disk as ESXi does it, then questions that change
nothing.
"""

from odx_target.cli.hosts.ready.readiness import HostKind, Readiness, with_detail
from odx_target.initiator import cdb
from odx_target.initiator.disk import CommandFailed
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.esxi.disk import EsxiDisk
from odx_target.initiator.esxi.enumeration import start
from odx_target.initiator.esxi.host import EsxiHost, Runtime
from odx_target.initiator.esxi.rules import Weight
from odx_target.initiator.result import Executor, Status
from odx_target.initiator.sense import describe_result

USES = "hardware acceleration: EXTENDED COPY, ATS, WRITE SAME"
SHORT_REPORT_BYTES = 4
SUPPORT_BITS = 0x07
NOT_SUPPORTED = 0x01
"""Value of SUPPORT for a command that the logical unit does not support (SPC-4 6.35.3)."""


async def esxi_readiness(executor: Executor, runtime: Runtime, name: str) -> Readiness:
    """Ask a LUN for the commands of ESXi's hardware acceleration. Nothing is written. Raises InitiatorError."""
    host = EsxiHost(runtime)
    disk = EsxiDisk(host, name, executor)
    try:
        await start(disk)
    except (BadAnswer, CommandFailed) as failure:
        return Readiness(HostKind.ESXI, USES, [str(failure)])
    reasons = [with_detail(each.rule.reason, each.detail) for each in host.findings if each.rule.weight is not Weight.NOTES]
    notes = [with_detail(each.rule.reason, each.detail) for each in host.findings if each.rule.weight is Weight.NOTES]
    if not disk.clone.is_absent:
        reasons += await _refusal_of_extended_copy(disk)
        notes.append(str(disk.parameters))
    reasons += await _refusal_of_write_same(disk)
    return Readiness(HostKind.ESXI, USES, reasons, notes)


async def _refusal_of_extended_copy(disk: EsxiDisk) -> list[str]:
    """Send EXTENDED COPY without a parameter list, which copies nothing and is no error (SPC-4 6.4.3)."""
    result = await disk.unit.command(cdb.extended_copy(0))
    return [] if result.status == Status.GOOD else [f"EXTENDED COPY without a parameter list: {describe_result(result)}"]


async def _refusal_of_write_same(disk: EsxiDisk) -> list[str]:
    """Ask if WRITE SAME (16) is supported. A target that does not answer the question is believed to support it."""
    question = cdb.report_supported_operation_code(cdb.write_same_16(0, 1)[0], SHORT_REPORT_BYTES)
    result = await disk.unit.command(question, data_in_bytes=SHORT_REPORT_BYTES)
    report = bytes(result.data_in)
    if result.status != Status.GOOD or len(report) < SHORT_REPORT_BYTES or report[1] & SUPPORT_BITS != NOT_SUPPORTED:
        return []
    return ["WRITE SAME (16) is not supported: ESXi writes zeros by WRITE"]
