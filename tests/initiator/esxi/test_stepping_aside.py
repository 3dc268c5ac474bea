"""ESXi and our array while an operator wants hosts to copy by reads and writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio.testing import MockClock

from odx_target.initiator.esxi.data_mover import CopyReport
from odx_target.initiator.esxi.disk import EsxiDisk, Place
from odx_target.initiator.esxi.enumeration import start
from odx_target.initiator.esxi.host import EsxiHost
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.esxi.settings import MIB, EsxiSettings
from odx_target.initiator.esxi.virtual_disk_copy import VirtualDiskCopy
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.control.operations import perform
from tests.initiator.esxi.bench import RUNTIME
from tests.target.running import running, session_with

SIZE_BYTES = 4 * MIB
LUNS = (LunConfig("source", 8 * MIB), LunConfig("destination", 8 * MIB))


class Copies:
    """A host with two disks of an array. `report` is that of the last copy."""

    def __init__(self, array: Array, host: EsxiHost, places: list[Place]) -> None:
        self.array = array
        self.host = host
        self._places = places

    async def offloaded_bytes(self) -> int:
        """Copy the virtual disk, and return the number of bytes that were offloaded."""
        report = CopyReport()
        source, destination = self._places
        await VirtualDiskCopy(self.host, source, destination, SIZE_BYTES, SIZE_BYTES, None, report).run()
        assert report.cloned_bytes + report.copied_bytes == SIZE_BYTES
        return report.cloned_bytes


@asynccontextmanager
async def copies() -> AsyncIterator[Copies]:
    async with running(Config(luns=LUNS)) as array, session_with(array) as session:
        host = EsxiHost(RUNTIME, EsxiSettings(), lambda _entry: None)
        disks = [EsxiDisk(host, f"LUN {lun}", session.logical_unit(lun)) for lun in (0, 1)]
        for disk in disks:
            await start(disk)
        yield Copies(array, host, [Place(disk, 0) for disk in disks])


async def test_esxi_copies_by_reads_and_writes_until_its_interval_has_passed(mock_clock: MockClock) -> None:
    async with copies() as host:
        assert await host.offloaded_bytes() == SIZE_BYTES
        await perform(host.array, "step-aside", {"duration": 600})
        stepping_aside = host.array.copy_manager.copies.stepping_aside
        for after_s, refused in ((0.0, 1), (299.0, 1), (2.0, 2), (298.0, 2)):
            mock_clock.jump(after_s)
            assert await host.offloaded_bytes() == 0
            assert stepping_aside.refused == refused, f"{after_s} s later"
        assert [finding.rule for finding in host.host.declines] == [Rule.COPY_FAILED, Rule.COPY_FAILED]
        mock_clock.jump(3.0)
        assert await host.offloaded_bytes() == SIZE_BYTES
