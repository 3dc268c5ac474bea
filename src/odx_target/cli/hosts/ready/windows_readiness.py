"""Finds out if Windows copies by token with a LUN: discovery, login and start of the disk as Windows does them, and one
token.
"""

import trio

from odx_target.cli.hosts.ready.readiness import HostKind, Readiness, with_detail
from odx_target.cli.hosts.windows.opening import WindowsIdentity, open_windows_disks
from odx_target.cli.hosts.windows.session import TrioClock
from odx_target.initiator.copying.token_commands import BlockRange
from odx_target.initiator.errors import ConnectFailed, InitiatorError
from odx_target.initiator.session.connecting import Connect
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.copying.offload_read import Token, offload_read
from odx_target.initiator.windows.disk import DiskUnusable, WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Journal
from odx_target.initiator.windows.session.login import LoginDeclined

USES = "copies by token (ODX)"
MIN_COPY_BYTES = 256 << 10
"""Windows copies smaller files by reads and writes."""


async def windows_readiness(place: IscsiUrl, identity: WindowsIdentity, connect: Connect) -> Readiness:
    """Ask for a token of the first blocks of a LUN as Windows does. Nothing is written.

    Raises ConnectFailed if nothing listens at the portal.
    """
    windows = WindowsHost(TrioClock(), Journal())
    notes: list[str] = []
    failure = ""
    try:
        async with open_windows_disks(windows, [place], identity, connect) as (disk,):
            notes += await _ask_for_token(disk)
    except (LoginDeclined, DiskUnusable):
        pass  # the journal has the finding
    except ConnectFailed:
        raise
    except InitiatorError as error:
        failure = str(error)
    findings = windows.journal.findings
    reasons = [with_detail(finding.rule.reason, finding.detail) for finding in findings if finding.rule.declines]
    notes += [with_detail(finding.rule.reason, finding.detail) for finding in findings if not finding.rule.declines]
    return Readiness(HostKind.WINDOWS, USES, reasons or ([failure] if failure else []), notes)


async def _ask_for_token(disk: WindowsDisk) -> list[str]:
    """Ask for a token. Returns notes; if there is no token, the journal has the reason."""
    if disk.capability is None:
        return []
    count_blocks = min(MIN_COPY_BYTES // disk.block_bytes, disk.capacity_blocks)
    layout = FileLayout((BlockRange(0, count_blocks),), disk.block_bytes)
    began_s = trio.current_time()
    answer = await offload_read(disk, layout, 0, layout.size_bytes)
    elapsed_ms = (trio.current_time() - began_s) * 1e3
    if not isinstance(answer, Token):
        return []
    return [f"the target made a token of {answer.size_bytes} bytes in {elapsed_ms:.1f} ms"]
