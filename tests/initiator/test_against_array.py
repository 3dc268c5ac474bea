"""The host side against a whole array of this project, over TCP on the loopback."""

import random

import pytest
import trio

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.copying.copy_job import CopyJob, CopyReport, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import ConnectionLost
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import Portal as Address
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from tests.interop import forked

MIB = 1 << 20
CONFIG = Config(
    luns=(LunConfig("a", 4 * MIB), LunConfig("b", 4 * MIB), LunConfig("c", 4 * MIB, 4096)),
    portals=(Portal("127.0.0.1", 0),),
)
PROGRAM_TIMEOUT_S = 60


def options(number: int) -> SessionOptions:
    return SessionOptions(random_isid(bytes([number] * 5)))


async def disks(session: InitiatorSession) -> list[Disk]:
    return [await Disk.probe(session.logical_unit(lun), trio.sleep, f"LUN {lun}") for lun in range(3)]


async def copy(source: Disk, destination: Disk, method: Method, *where: int | None) -> CopyReport:
    source_lba, destination_lba, count = (*where, 0, 0, None)[:3] if where else (0, 0, None)
    plan = plan_copy(source, destination, source_lba=source_lba or 0, destination_lba=destination_lba or 0, count_blocks=count)
    return await CopyJob(source, destination, plan, run_together, lambda done, offloaded: None, ListIdentifiers()).run(method)


async def test_token_and_host_copies_between_luns_block_sizes_and_sessions() -> None:
    content = random.Random(1).randbytes(4 * MIB)
    async with Array(CONFIG, open_pool=open_pool) as array:
        address, name = Address("127.0.0.1", array.portals[0].port), array.config.iqn
        async with open_session(address, name, options(1)) as one, open_session(address, name, options(2)) as two:
            (a, b, c), (_, b_again, c_again) = await disks(one), await disks(two)
            assert b.identity == b_again.identity != a.identity
            await a.write_blocks(0, content)
            for destination, method in ((b, Method.ODX), (c, Method.ODX), (b_again, Method.HOST), (c_again, Method.ODX)):
                report = await copy(a, destination, method)
                assert (report.host_bytes == 0) == (method is Method.ODX)
                assert await destination.read_blocks(0, destination.capacity_blocks) == content
            await copy(c, b, Method.ODX, 1, 3, 100)  # 4096 to 512, not aligned to 4096 on the destination
            assert await b.read_blocks(3, 800) == content[4096 : 101 * 4096]
            await copy(a, a, Method.ODX, 0, 2048, 4000)  # one MiB forward within one disk
            assert await a.read_blocks(2048, 4000) == content[: 4000 * 512]
            assert await a.read_blocks(0, 2048) == content[:MIB]


async def test_an_array_that_stops_asks_its_hosts_to_leave() -> None:
    stop = trio.Event()

    async def serve(task_status: trio.TaskStatus[Array]) -> None:
        async with Array(CONFIG, open_pool=open_pool) as array:
            task_status.started(array)
            await stop.wait()

    async with trio.open_nursery() as nursery:
        array = await nursery.start(serve)
        address, name = Address("127.0.0.1", array.portals[0].port), array.config.iqn
        with trio.fail_after(PROGRAM_TIMEOUT_S):
            async with open_session(address, name, options(1)) as session:
                await disks(session)
                stop.set()
                with pytest.raises(ConnectionLost, match=r"asked for a logout|closed the connection"):
                    await until_it_fails(session)


async def until_it_fails(session: InitiatorSession) -> None:
    while True:
        await session.execute(0, cdb.test_unit_ready())


def test_the_demo_shows_both_copies() -> None:
    ended = forked.run("demo", "--size", "3M", timeout_s=PROGRAM_TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("identical") == 2
    assert "reads and writes" in ended.stdout
