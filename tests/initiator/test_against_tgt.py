"""The initiator against Debian's tgt, a target of another project that has no token commands."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from bench.tgt import tgt

from odx_target.initiator.copying.copy_job import CopyJob, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.copying.offload_outcome import StopReason
from odx_target.initiator.disk import Disk
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.session.opening import discover, open_session
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import IscsiUrl, parse_url
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from tests.initiator.naive_portal import OPTIONS
from tests.interop.programs import need

pytestmark = pytest.mark.interop
HALF_BYTES = 8 << 20


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[tuple[IscsiUrl, Path]]:
    need("tgtd")
    file = module_path / "disk"
    with tgt(file, 2 * HALF_BYTES) as url:
        yield parse_url(url), file


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        replace(OPTIONS, header_digest=True, data_digest=True),
        replace(OPTIONS, immediate_data=False, initial_r2t=True),
        replace(OPTIONS, max_recv_data_segment_bytes=512, first_burst_bytes=512),
    ],
)
async def test_a_copy_falls_back_to_reads_and_writes(served: tuple[IscsiUrl, Path], options: SessionOptions) -> None:
    url, file = served
    half = random.Random(options.max_recv_data_segment_bytes).randbytes(HALF_BYTES)
    with file.open("r+b") as disk_file:
        disk_file.write(half + bytes(HALF_BYTES))
    assert [target.name for target in await discover(url.portal, options)] == [url.target_name]
    async with open_session(url.portal, url.target_name, options) as session:
        assert await session.ping(b"ping") == b"ping"
        disk = await Disk.probe(session.logical_unit(url.lun), trio.sleep, "disk")
        blocks = HALF_BYTES // disk.block_bytes
        plan = plan_copy(disk, disk, destination_lba=blocks, count_blocks=blocks)
        report = await CopyJob(disk, disk, plan, run_together, lambda count, offloaded: None, ListIdentifiers()).run(
            Method.AUTO
        )
        assert await session.task_management(TaskManagementFunction.LOGICAL_UNIT_RESET, url.lun) == 0
        assert await disk.read_blocks(blocks, 1) == half[: disk.block_bytes]  # repeated after a unit attention
    assert report.host_bytes == HALF_BYTES
    assert report.stop is not None
    assert report.stop.reason is StopReason.SOURCE_CANNOT
    assert file.read_bytes() == half * 2
