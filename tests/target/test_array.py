import gc
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.errors import ConnectionLost, LoginFailed
from odx_target.initiator.session.opening import discover, open_session
from odx_target.initiator.session.options import random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.iscsi.limits import MAX_CONNECTIONS
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction, TaskManagementResponse
from odx_target.store.api import PoolFailed, PoolInUse
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, LunConfig, Portal
from tests.target.running import LUNS, OPTIONS, is_good, remote_portal, running, session_with, settled

SPACE_ALLOCATION_FAILED = (0x07, 0x27, 0x07)


def sense_of(sense: bytes) -> tuple[int, int, int]:
    return sense[2] & 0xF, sense[12], sense[13]


async def test_a_host_discovers_the_target_and_reads_what_it_wrote() -> None:
    async with running() as array:
        targets = await discover(remote_portal(array), OPTIONS)
        assert [target.name for target in targets] == [array.config.iqn]
        assert targets[0].addresses == (f"{array.portals[0]},1",)
        async with session_with(array) as session:
            for lun, block_bytes in ((0, 512), (1, 4096)):
                await settled(session, lun)
                data = bytes(range(256)) * (block_bytes * 8 // 256)
                assert is_good(await session.execute(lun, cdb.write_16(3, 8), data))
                result = await session.execute(lun, cdb.read_16(3, 8), data_in_bytes=len(data))
                assert is_good(result)
                assert result.data_in == data


async def test_a_write_of_many_bursts_arrives_whole() -> None:
    data = bytes(range(251)) * 4178 + b"tail"
    size = len(data) // 512 * 512
    async with running() as array, session_with(array, replace(OPTIONS, immediate_data=False, initial_r2t=True)) as session:
        await settled(session)
        assert is_good(await session.execute(0, cdb.write_16(0, size // 512), data[:size]))
        assert (await session.execute(0, cdb.read_16(0, size // 512), data_in_bytes=size)).data_in == data[:size]


async def test_digests() -> None:
    async with running() as array, session_with(array, replace(OPTIONS, header_digest=True, data_digest=True)) as session:
        assert session.parameters.header_digest == session.parameters.data_digest == "CRC32C"
        await settled(session)
        assert is_good(await session.execute(0, cdb.write_16(0, 2), b"x" * 1024))
        assert (await session.execute(0, cdb.read_16(0, 2), data_in_bytes=1024)).data_in == b"x" * 1024


async def test_many_commands_at_once_from_many_hosts() -> None:
    async def host(array: Array, number: int) -> None:
        options = replace(OPTIONS, isid=random_isid(bytes([number])))
        async with session_with(array, options) as session, trio.open_nursery() as nursery:
            await settled(session)
            for index in range(40):
                nursery.start_soon(write_and_read, session, number * 40 + index)

    async def write_and_read(session: object, lba: int) -> None:
        data = lba.to_bytes(2, "big") * 256
        assert is_good(await session.execute(0, cdb.write_16(lba, 1), data))  # type: ignore[attr-defined]
        result = await session.execute(0, cdb.read_16(lba, 1), data_in_bytes=512)  # type: ignore[attr-defined]
        assert result.data_in == data

    async with running() as array, trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(host, array, number)


async def test_garbage_ends_its_own_connection_only() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        for garbage in (b"\xff" * 48, b"GET / HTTP/1.1\r\n\r\n" + bytes(60), b"\x43" + b"\xff" * 4000):
            stream = await trio.open_tcp_stream(array.portals[0].host, array.portals[0].port)
            async with stream:
                await stream.send_all(garbage)
                while await stream.receive_some(65536):
                    pass
        assert is_good(await session.execute(0, bytes(6)))


async def test_a_second_login_of_the_same_session_ends_the_first() -> None:
    async with running() as array, session_with(array) as first:
        await settled(first)
        async with session_with(array) as second:
            await settled(second)
            with pytest.raises(ConnectionLost):
                await first.execute(0, bytes(6))


async def test_a_wrong_target_name_is_not_found() -> None:
    async with running() as array:
        with pytest.raises(LoginFailed):
            async with open_session(remote_portal(array), "iqn.2026-11.io.odx-target:other", OPTIONS):
                pytest.fail("logged in")


async def test_task_management_is_answered() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        for function in (
            TaskManagementFunction.ABORT_TASK_SET,
            TaskManagementFunction.CLEAR_TASK_SET,
            TaskManagementFunction.LOGICAL_UNIT_RESET,
            TaskManagementFunction.TARGET_WARM_RESET,
        ):
            assert await session.task_management(function, 0) == TaskManagementResponse.FUNCTION_COMPLETE
        missing = await session.task_management(TaskManagementFunction.LOGICAL_UNIT_RESET, 9)
        assert missing == TaskManagementResponse.LUN_DOES_NOT_EXIST
        await settled(session)
        assert is_good(await session.execute(0, bytes(6)))


async def test_as_many_connections_as_there_may_be_and_not_one_more() -> None:
    async with running() as array, trio.open_nursery() as nursery:
        ready = [trio.Event() for _ in range(MAX_CONNECTIONS)]
        finish = trio.Event()

        async def stay(number: int) -> None:
            async with session_with(array, replace(OPTIONS, isid=random_isid(bytes([1, number])))) as session:
                await settled(session)
                ready[number].set()
                await finish.wait()

        for number in range(MAX_CONNECTIONS):
            nursery.start_soon(stay, number)
        for event in ready:
            await event.wait()
        with pytest.raises(LoginFailed, match="out of resources"):
            async with session_with(array, replace(OPTIONS, isid=random_isid(b"\2"))):
                pytest.fail("logged in")
        finish.set()


async def test_a_full_pool_refuses_writes_and_keeps_answering() -> None:
    luns = (LunConfig("big", 64 << 20),)
    config = Config(luns=luns, pool_limit_bytes=64 << 20, soft_thresholds=())
    async with running(config) as array, session_with(array) as session:
        await settled(session)
        data = b"d" * (1 << 20)
        results = [await session.execute(0, cdb.write_16(index * 2048, 2048), data) for index in [*range(64)] * 2]
        refused = [result for result in results if not is_good(result)]
        assert refused
        assert {sense_of(result.sense) for result in refused} == {SPACE_ALLOCATION_FAILED}
        assert (await session.execute(0, cdb.read_16(0, 1), data_in_bytes=512)).data_in == b"d" * 512


async def test_two_arrays_live_in_one_process() -> None:
    async with running() as first, running() as second:
        assert first.portals != second.portals
        async with session_with(first) as one, session_with(second) as other:
            await settled(one)
            await settled(other)
            assert is_good(await one.execute(0, cdb.write_16(0, 1), b"1" * 512))
            assert (await other.execute(0, cdb.read_16(0, 1), data_in_bytes=512)).data_in == bytes(512)


async def test_it_stops_although_a_peer_neither_logs_in_nor_goes_away() -> None:
    async with running() as array:
        stream = await trio.open_tcp_stream(array.portals[0].host, array.portals[0].port)
        await discover(remote_portal(array), OPTIONS)
    async with stream:
        assert await stream.receive_some(1) == b""


async def serve_until(stop: trio.Event, *, task_status: trio.TaskStatus[Array]) -> None:
    async with running() as array:
        task_status.started(array)
        await stop.wait()


async def test_a_stop_asks_hosts_to_log_out() -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        array: Array = await nursery.start(serve_until, stop)
        async with session_with(array) as session:
            await settled(session)
            stop.set()
            with pytest.raises(ConnectionLost):
                await keep_asking(session)


async def keep_asking(session: InitiatorSession) -> None:
    while True:
        await session.execute(0, bytes(6))


def directory_config(path: Path, *luns: LunConfig) -> Config:
    return Config(pool_dir=path, luns=luns, portals=(Portal(port=0),))


async def test_a_pool_remembers_its_luns_and_their_identities(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    async with Array(directory_config(path, *LUNS), open_pool=open_pool) as array:
        before = {number: unit.identity for number, unit in array.logical_units.items()}
        async with session_with(array) as session:
            await settled(session)
            assert is_good(await session.execute(0, cdb.write_16(0, 1), b"kept" * 128))
    async with Array(directory_config(path), open_pool=open_pool) as array:
        assert {number: unit.identity for number, unit in array.logical_units.items()} == before
        assert array.logical_units[1].block_bytes == 4096
        async with session_with(array) as session:
            await settled(session)
            assert (await session.execute(0, cdb.read_16(0, 1), data_in_bytes=512)).data_in == b"kept" * 128
    async with Array(directory_config(path, LunConfig("third", 4096)), open_pool=open_pool) as array:
        assert sorted(array.logical_units) == [0, 1, 2]


async def test_a_lun_cannot_change_its_blocks_by_configuration(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    async with Array(directory_config(path, *LUNS), open_pool=open_pool):
        pass
    with pytest.raises(ConfigError, match="LUN first: its block length in the pool is 512 bytes, not 4096"):
        async with Array(directory_config(path, LunConfig("first", 1 << 20, 4096)), open_pool=open_pool):
            pytest.fail("started")


async def test_a_pool_serves_one_array_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    async with Array(directory_config(path, *LUNS), open_pool=open_pool):
        with pytest.raises(PoolInUse):
            async with Array(directory_config(path), open_pool=open_pool):
                pytest.fail("started")


async def test_a_portal_that_is_taken_is_an_error_that_names_it_and_makes_no_pool(tmp_path: Path) -> None:
    async with running() as array:
        portals = (Portal(port=0), Portal(array.portals[0].host, array.portals[0].port))
        config = Config(pool_dir=tmp_path / "pool", luns=LUNS, portals=portals)
        with pytest.raises(OSError, match="cannot listen") as caught:
            async with Array(config, open_pool=open_pool):
                pytest.fail("started")
        assert caught.value.filename == str(array.portals[0])
        assert not (tmp_path / "pool").exists()
    gc.collect()  # warns about a socket that was left open


async def test_a_pool_that_cannot_be_closed_well_says_so_and_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with running() as array, session_with(array):
            close_pool = array.pool.close

            async def close() -> None:
                await close_pool()
                raise PoolFailed("no disk")

            monkeypatch.setattr(array.pool, "close", close)

    with pytest.raises(PoolFailed, match="no disk"):
        await run()
    await trio.lowlevel.checkpoint()


async def test_a_hundred_arrays_in_one_process() -> None:
    async def one(turn: int) -> None:
        async with running() as array, session_with(array) as session:
            await settled(session)
            assert is_good(await session.execute(0, cdb.write_16(0, 1), turn.to_bytes(2, "big") * 256))
            here.append(array)
            if len(here) == 100:
                all_are_here.set()
            await all_are_here.wait()
            data = (await session.execute(0, cdb.read_16(0, 1), data_in_bytes=512)).data_in
            assert data == turn.to_bytes(2, "big") * 256

    here: list[Array] = []
    all_are_here = trio.Event()
    async with trio.open_nursery() as nursery:
        for turn in range(100):
            nursery.start_soon(one, turn)
    assert len({array.portals for array in here}) == 100


async def test_a_pool_that_fails_ends_every_connection_for_none_may_be_told_that_its_write_is_safe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [PoolFailed("the disk is gone")]

    async with running() as array:
        commit = array.pool.commit

        def failing_once() -> None:
            if failures:
                raise failures.pop()
            commit()

        async with session_with(array) as writer, session_with(array, replace(OPTIONS, isid=random_isid(b"other"))) as other:
            await settled(writer)
            await settled(other)
            monkeypatch.setattr(array.pool, "commit", failing_once)
            with pytest.raises(ConnectionLost):
                await writer.execute(0, cdb.write_16(0, 1), b"w" * 512)
            with pytest.raises(ConnectionLost):
                await keep_asking(other)
        async with session_with(array) as session:
            await settled(session)
