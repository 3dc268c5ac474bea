"""Runs the Windows behaviour against an array in this process, over TCP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from odx_target.cli.hosts.windows.session import LiveSession, SessionPath, TrioClock, discover, plan_login
from odx_target.copymgr.limits import MAX_ROD_BYTES, CopyLimits
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copying.copy_engine import CopyReport, FileCopy, WindowsFile
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Entry, Exchange, Journal, Management
from odx_target.initiator.windows.settings import WindowsSettings
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.personality.personality import Personality
from tests.initiator.windows.bench import DESTINATION_BYTES, PROFILES, PT, RRTI, SOURCE_BYTES, WUT
from tests.initiator.windows.contiguous import contiguous
from tests.initiator.windows.scripted import GIB, MIB
from tests.target.running import remote_portal, running

HOST_NAME = "iqn.1991-05.com.microsoft:tested"


@dataclass
class Against:
    """The host, its disks S and T (LUNs 0 and 1), and the log entries since the start of the disks."""

    array: Array
    host: WindowsHost
    entries: list[Entry]
    lives: list[LiveSession]
    disks: list[WindowsDisk] = field(default_factory=list)

    @property
    def block_bytes(self) -> int:
        return self.disks[0].block_bytes

    def layouts(self, size_bytes: int = GIB) -> list[FileLayout]:
        return [contiguous(at // self.block_bytes, size_bytes, self.block_bytes) for at in (SOURCE_BYTES, DESTINATION_BYTES)]

    async def fill(self, source: FileLayout, destination: FileLayout) -> None:
        """Write marks to the source at both ends of each 32 MiB, and old content to the same places of the destination."""
        for disk, layout, what in ((self.disks[0], source, b"new"), (self.disks[1], destination, b"old")):
            for part in layout.extents:
                for lba in (part.lba - 1, part.lba + part.count_blocks):
                    await disk.write(lba, self.mark(b"out", lba))
            for number in self.places(layout):
                await disk.write(layout.ranges(number * self.block_bytes, self.block_bytes)[0].lba, self.mark(what, number))

    def places(self, layout: FileLayout) -> list[int]:
        every = 32 * MIB // self.block_bytes
        last = layout.size_bytes // self.block_bytes - 1
        return sorted({min(at + near, last) for at in range(0, last + 1, every) for near in (0, every - 1)})

    def mark(self, what: bytes, number: int) -> bytes:
        return b"%3b%12d " % (what, number) * (self.block_bytes // 16)

    async def check(self, source: FileLayout, destination: FileLayout) -> None:
        disk = self.disks[1]
        for number in self.places(source):
            (part,) = destination.ranges(number * self.block_bytes, self.block_bytes)
            assert await disk.read(part.lba, 1) == self.mark(b"new", number)
        for part in destination.extents:
            for lba in (part.lba - 1, part.lba + part.count_blocks):
                assert await disk.read(lba, 1) == self.mark(b"out", lba)

    async def copy(self, size_bytes: int = GIB, layouts: list[FileLayout] | None = None) -> CopyReport:
        source, destination = layouts or self.layouts(size_bytes)
        await self.fill(source, destination)
        self.entries.clear()
        report = await self.file_copy(source, destination).run()
        await self.check(source, destination)
        return report

    def file_copy(self, source: FileLayout, destination: FileLayout) -> FileCopy:
        return FileCopy(self.host, WindowsFile(self.disks[0], source), WindowsFile(self.disks[1], destination))

    def exchanges(self) -> list[Exchange]:
        kinds = (PT, WUT, RRTI)
        return [entry for entry in self.entries if isinstance(entry, Exchange) and (entry.cdb[0], entry.cdb[1]) in kinds]

    def commands(self) -> list[tuple[str, bytes]]:
        return [(entry.disk, entry.cdb) for entry in self.exchanges()]

    def management(self) -> list[Management]:
        return [entry for entry in self.entries if isinstance(entry, Management)]


@asynccontextmanager
async def against(
    array: Array,
    settings: WindowsSettings | None = None,
    paths: int = 1,
    name: str = HOST_NAME,
    *,
    tell: Callable[[Entry], None] = lambda _: None,
    place: IscsiUrl | None = None,
    digests: bool = False,
) -> AsyncIterator[Against]:
    """Discover, log in and enumerate; log out at the end. `tell` gets every entry. `place` may have users and secrets."""
    entries: list[Entry] = []

    def told(entry: Entry) -> None:
        entries.append(entry)
        tell(entry)

    host = WindowsHost(TrioClock(), Journal(told), settings or WindowsSettings())
    place = place or IscsiUrl(remote_portal(array), array.config.iqn, 0)
    plans = [plan_login(place, at, name, host.journal, connect_tcp, digests=digests) for at in range(paths + 1)]
    assert await discover(plans[0], host.settings) == [array.config.iqn]
    lives = [LiveSession(f"path {at}", plan, host.settings) for at, plan in enumerate(plans[1:], 1)]
    async with trio.open_nursery() as nursery:
        for live in lives:
            await nursery.start(live.run)
        try:
            found = Against(array, host, entries, lives)
            for lun, letter in enumerate("ST"):
                found.disks.append(WindowsDisk(host, letter, lun, [SessionPath(live, lun) for live in lives]))
            await enumeration.start(found.disks)
            yield found
        finally:
            for live in lives:
                await live.close()


def config(block_bytes: int = 512, **changes: bool) -> Config:
    """Configuration with two LUNs of 100 GiB."""
    return Config(luns=tuple(LunConfig(name, 100 * GIB, block_bytes) for name in ("s", "t")), **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def array_of(profile: str, block_bytes: int) -> AsyncIterator[Array]:
    """An array that reports the sizes of a profile. If the profile has no maximum, the array reports one that no copy reaches.

    Without any maximum the array would limit ranges to the transfer length of VPD page B0h, which Windows ignores.
    """
    optimal_bytes, maximum_bytes = PROFILES[profile]
    limits = CopyLimits(optimal_transfer_bytes=optimal_bytes, max_rod_bytes=maximum_bytes or MAX_ROD_BYTES)
    async with running(replace(config(block_bytes), personality=Personality(copy_limits=limits))) as array:
        yield array
