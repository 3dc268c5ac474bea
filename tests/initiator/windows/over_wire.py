"""The Windows-like initiator with a scripted target on memory streams, from discovery to logout."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio

from odx_target.cli.hosts.windows.session import LiveSession, SessionPath, TrioClock, discover, plan_login
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copying.copy_engine import CopyReport, FileCopy, WindowsFile
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Entry, Exchange, Journal, Management
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import WindowsSettings
from tests.initiator.windows.contiguous import contiguous
from tests.initiator.windows.scripted import MIB
from tests.initiator.windows.wire_target import PLACE, WireTarget

NAME = "iqn.1991-05.com.microsoft:wire"
SIZE_BYTES = MIB


@dataclass
class OverWire:
    target: WireTarget
    host: WindowsHost
    entries: list[Entry]
    disks: list[WindowsDisk]

    async def copy(self) -> CopyReport:
        for number in range(SIZE_BYTES // 512):
            self.target.disks[0].content.data[number] = b"%15d " % number * 32
        files = [WindowsFile(disk, contiguous(0, SIZE_BYTES, 512)) for disk in self.disks]
        report = await FileCopy(self.host, files[0], files[1]).run()
        assert self.target.disks[1].content.data == self.target.disks[0].content.data
        return report

    def rules(self) -> list[Rule]:
        return [finding.rule for finding in self.host.journal.findings]

    def events(self) -> list[int]:
        return [entry.event for entry in self.entries if isinstance(entry, Management) and entry.event]

    def exchanges(self) -> list[Exchange]:
        return [entry for entry in self.entries if isinstance(entry, Exchange)]


@asynccontextmanager
async def over_wire(target: WireTarget, settings: WindowsSettings | None = None) -> AsyncIterator[OverWire]:
    """Discover targets, log in and enumerate disks; log out at the end. All findings are in the journal."""
    entries: list[Entry] = []
    host = WindowsHost(TrioClock(), Journal(entries.append), settings or WindowsSettings())
    found = OverWire(target, host, entries, [])
    failure: InitiatorError | None = None
    async with trio.open_nursery() as nursery:
        connect = target.connecting(nursery)
        plan = plan_login(PLACE, 0, NAME, host.journal, connect, digests=target.digests)
        live = LiveSession("path 1", replace(plan, options=replace(plan.options, isid=bytes(6))), host.settings)
        try:
            await discover(plan, host.settings)
            await nursery.start(live.run)
            found.disks += [WindowsDisk(host, name, lun, [SessionPath(live, lun)]) for lun, name in enumerate("ST")]
            await enumeration.start(found.disks)
            entries.clear()
            yield found
            await live.close()
        except InitiatorError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
