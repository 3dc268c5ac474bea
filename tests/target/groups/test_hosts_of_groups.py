"""Tests of a group as hosts see it, with two whole arrays and their witness."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from odx_target.initiator import cdb
from odx_target.initiator.errors import CommandTimedOut
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.replica.sync.group_states import GroupState
from odx_target.scsi.reservations.durable import KEY_PREFIX, recall
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from odx_target.target.config.error import ConfigError
from odx_target.target.server.memory_limits import MIN_MEMORY_BYTES
from tests.target.access.port_groups import reported
from tests.target.groups.members import (
    BLOCK_BYTES,
    GROUP_LUN,
    IN_STANDBY,
    IN_TRANSITION,
    LOCAL_LUN,
    STATE_CHANGED,
    UNAVAILABLE,
    block,
    code_of,
    drain,
    host_at,
    members,
    read,
    write,
)
from tests.target.running import session_with

RESET = "6/29/03"
NOT_SUPPORTED = 1
NAA, RELATIVE_PORT, PORT_GROUP = 3, 4, 5
IMPLICIT = 0b01
COUNT_READS, READ_BLOCKS = 40, 128
KEY = bytes(7) + b"\x07"


async def designators(session: InitiatorSession) -> dict[int, bytes]:
    """Return the designators of VPD page 83h by their types. The last one of a type is that of the target port."""
    result = await session.execute(GROUP_LUN, cdb.inquiry(255, 0x83), data_in_bytes=255)
    page, found, at = bytes(result.data_in), {}, 4
    while at < len(page):
        found[page[at + 1] & 0xF] = page[at + 4 : at + 4 + page[at + 3]]
        at += 4 + page[at + 3]
    return found


async def test_a_host_writes_at_the_primary_only(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 0, 5) == "good"
        assert await read(first, 0) == [5]
        assert await write(second, 0, 6) == await read(second, 0) == IN_STANDBY
        assert await write(second, 0, 7, LOCAL_LUN) == "good"
        assert bytes((await pair.b.pool.volumes["db1"].read(0, 1))[0])[:4] == bytes((0, 0, 0, 5))
        numbers = sorted([pair.a.pool.identity, pair.b.pool.identity])
        own, other = (1, 2) if numbers[0] == pair.a.pool.identity else (2, 1)
        ports = {1: [1], 2: [0x8001]}
        assert await reported(first, GROUP_LUN) == {own: (0, False, 2, ports[own]), other: (2, False, 2, ports[other])}
        assert await reported(second, GROUP_LUN) == await reported(first, GROUP_LUN)
        names = [await designators(session) for session in (first, second)]
        assert names[0][NAA] == names[1][NAA]
        assert [each[PORT_GROUP][2:] for each in names] == [bytes((0, own)), bytes((0, other))]
        assert {each[RELATIVE_PORT][2:] for each in names} == {b"\0\1", b"\x80\1"}
        for session in (first, second):
            standard = await session.execute(GROUP_LUN, cdb.inquiry(96), data_in_bytes=96)
            assert bytes(standard.data_in)[5] >> 4 & 3 == IMPLICIT


async def test_everything_acknowledged_is_there_after_the_death_of_the_primary(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        acknowledged: list[int] = []
        async with trio.open_nursery() as nursery:

            async def load(worker: int) -> None:
                for at in range(worker, 256, 4):
                    assert await write(first, at, at + 1) == "good"
                    acknowledged.append(at)
                    if len(acknowledged) >= 40:
                        nursery.cancel_scope.cancel()

            for worker in range(4):
                nursery.start_soon(load, worker)
        pair.kill("a")
        killed_s = trio.current_time()
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        assert await drain(second) == [STATE_CHANGED]
        assert trio.current_time() - killed_s < 8
        found = await read(second, 0, 256)
        assert [found[at] for at in acknowledged] == [at + 1 for at in acknowledged]
        assert await write(second, 3, 1000) == "good"
        assert await read(second, 3) == [1000]


async def test_writes_that_must_be_durable_are_flushed_at_both_members(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        flushed = 0
        flush = pair.b.pool.flush

        async def counted() -> None:
            nonlocal flushed
            flushed += 1
            await flush()

        pair.b.pool.flush = counted  # type: ignore[method-assign]
        assert await write(first, 0, 5) == "good"
        before = flushed
        assert await write(first, 1, 6, durable=True) == "good"
        assert flushed > before
        before = flushed
        assert code_of(await first.execute(GROUP_LUN, cdb.synchronize_cache_10())) == "good"
        assert flushed > before


async def test_replies_wait_for_the_other_member_and_other_luns_do_not(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        pair.network.cut("a", "b")
        began_s, results = trio.current_time(), list[str]()

        async def write_in_group() -> None:
            results.append(await write(first, 0, 6))

        async def read_in_group() -> None:
            results.append(f"read {await read(first, 0)}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_in_group)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(read_in_group)
            await trio.testing.wait_all_tasks_blocked()
            assert await write(first, 0, 7, LOCAL_LUN) == "good"
            assert await read(first, 0, lun=LOCAL_LUN) == [7]
            assert results == []
            assert await read(first, 0) == [6]  # The witness has dropped the other member by then.
        assert sorted(results) == ["good", "read [6]"]
        assert trio.current_time() - began_s > 7
        assert pair.group(pair.a).driver.member.register.in_sync == {pair.a.pool.identity.hex()}


async def test_a_member_that_loses_its_lease_reports_that_it_is_unavailable(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 0, 5) == "good"
        for other in "bw":
            pair.network.cut("a", other)
        results: list[str] = []

        async def write_in_group() -> None:
            results.append(await write(first, 0, 6))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_in_group)
            await pair.until(lambda: bool(results), 5.0)
        assert results == [UNAVAILABLE]
        assert STATE_CHANGED in await drain(first)
        assert await read(first, 0) == UNAVAILABLE
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        assert await drain(second) == [STATE_CHANGED]
        found = await read(second, 0)
        assert found in ([5], [6])
        assert await write(second, 0, 7) == "good"
        for other in "bw":
            pair.network.mend("a", other)
        await pair.until(lambda: pair.state(pair.a) is GroupState.STANDBY)
        await drain(first)
        assert await read(first, 0) == IN_STANDBY


async def test_a_switchover_under_load_has_no_error_for_a_host_that_follows_the_states(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        written: dict[int, int] = {}
        codes: set[str] = set()
        is_over = False

        async def load(worker: int) -> None:
            path, number = first, 0
            while not is_over:
                number += 1
                while (code := await write(path, worker, number)) != "good":
                    codes.add(code)
                    path = path if code.startswith("6/") else second if path is first else first
                    await trio.sleep(0.05)
                written[worker] = number
                await trio.sleep(0.01)  # The clock goes on only while all tasks wait.

        async with trio.open_nursery() as nursery:
            for worker in range(4):
                nursery.start_soon(load, worker)
            await trio.sleep(0.2)
            await pair.group(pair.a).switchover()
            await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
            await trio.sleep(0.2)
            is_over = True
        assert codes <= {STATE_CHANGED, IN_STANDBY, IN_TRANSITION}
        assert await read(second, 0, 4) == [written[worker] for worker in range(4)]
        assert pair.state(pair.a) is GroupState.STANDBY


@pytest.mark.parametrize("ends", ["abort", "reset"])
async def test_a_command_whose_reply_is_held_can_be_aborted(autojump_clock: MockClock, ends: str) -> None:
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        pair.network.cut("a", "b")
        if ends == "abort":
            with pytest.raises(CommandTimedOut):  # after the abort has succeeded
                await first.execute(GROUP_LUN, cdb.write_16(0, 1), [block(6)], timeout_s=1)
        else:
            with trio.move_on_after(1) as scope:
                await write(first, 0, 6)
            assert scope.cancelled_caught
            assert await first.task_management(TaskManagementFunction.LOGICAL_UNIT_RESET, GROUP_LUN) == 0
            assert await drain(first) == [RESET]
        await pair.until(lambda: not pair.group(pair.a).outgoing.needs_peer)
        await drain(first)
        assert await read(first, 0) == [6]
        await trio.testing.wait_all_tasks_blocked()
        assert pair.a.memory_budget.used_bytes == 0
        assert pair.group(pair.a).is_idle()


async def test_a_host_that_leaves_takes_its_held_replies_along(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a, b"other") as other:
        async with host_at(pair.a) as first:
            assert await write(first, 0, 5) == "good"
            pair.network.cut("a", "b")
            for work in (write(first, 0, 6), read(first, 0, 16)):
                with trio.move_on_after(1) as scope:
                    await work
                assert scope.cancelled_caught
        await pair.until(lambda: pair.group(pair.a).is_idle(), 1.0)
        assert pair.a.memory_budget.used_bytes == 0
        await pair.until(lambda: not pair.group(pair.a).outgoing.needs_peer)
        await drain(other)
        assert await read(other, 0) == [6]


async def test_commands_that_only_one_member_would_follow_are_refused(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        for command in (b"\x04" + bytes(5), b"\x48\x82" + bytes(8), b"\x16" + bytes(5), b"\x56" + bytes(9)):
            assert code_of(await first.execute(GROUP_LUN, command)) in {"5/20/00", "5/24/00"}
        supported = await first.execute(GROUP_LUN, cdb.report_supported_operation_code(0x04, 64), data_in_bytes=64)
        assert bytes(supported.data_in)[1] & 7 == NOT_SUPPORTED
        for change in (pair.a.resize_lun("db1", 2 << 20), pair.a.shrink_lun("db1", 1 << 19)):
            with pytest.raises(ConfigError, match="belongs to a group of two arrays"):
                await change


async def test_reservations_are_there_at_the_new_primary(autojump_clock: MockClock) -> None:
    """A registration counts at the port with the same number of the other member."""
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        register = b"\x5f\x06" + bytes(6) + b"\x18\0"
        assert code_of(await second.execute(GROUP_LUN, register, [bytes(8) + KEY + bytes(8)])) == IN_STANDBY
        assert code_of(await first.execute(GROUP_LUN, register, [bytes(8) + KEY + bytes(8)])) == "good"
        reserve = b"\x5f\x01\x05" + bytes(5) + b"\x18\0"
        assert code_of(await first.execute(GROUP_LUN, reserve, [KEY + bytes(16)])) == "good"
        pair.kill("a")
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        await drain(second)
        keys = await second.execute(GROUP_LUN, b"\x5e\0" + bytes(5) + b"\0\x40\0", data_in_bytes=64)
        assert bytes(keys.data_in)[8:] == KEY
        assert await write(second, 0, 1) == "good"
        async with session_with(
            pair.b, SessionOptions(isid=random_isid(b"other"), initiator_name="iqn.2026-11.example:other")
        ) as stranger:
            await drain(stranger)
            assert await write(stranger, 0, 1) == "status 18"


async def test_hosts_are_kept_out_if_the_new_primary_cannot_read_the_reservations(autojump_clock: MockClock) -> None:
    """Without the reservations, all hosts could write, and destroy the data of a cluster."""
    async with members() as pair, host_at(pair.b) as second:
        identity = pair.b.pool.volumes["db1"].identity
        pair.b.pool.remember(f"{KEY_PREFIX}{identity.hex()}", b"of a newer version")
        pair.kill("a")
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        await drain(second)
        assert await write(second, 0, 1) == await read(second, 0) == "status 18"
        register, clear = (b"\x5f" + bytes([action]) + bytes(6) + b"\x18\0" for action in (0, 3))
        assert code_of(await second.execute(GROUP_LUN, register, [bytes(8) + KEY + bytes(8)])) == "good"
        assert await write(second, 0, 1) == "status 18"
        status = await second.execute(GROUP_LUN, b"\x5e\3" + bytes(5) + b"\0\x80\0", data_in_bytes=128)
        assert code_of(status) == "good"
        assert code_of(await second.execute(GROUP_LUN, clear, [KEY + bytes(16)])) == "good"
        assert await write(second, 0, 1) == "good"
        assert not recall(pair.b.pool, identity).registrations


async def test_the_data_of_held_reads_stays_within_the_memory_of_the_session(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        budget = pair.a.memory_budget
        budget.set_limit(MIN_MEMORY_BYTES)
        assert budget.used_bytes == 0
        pair.network.cut("a", "b")
        results: list[list[int] | str] = []

        async def read_later() -> None:
            results.append(await read(first, 0, READ_BLOCKS))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, first, 0, 6)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(COUNT_READS):
                nursery.start_soon(read_later)
            await trio.sleep(1)
            held_bytes = budget.read.used_bytes
            assert results == []
            assert 0 < held_bytes < COUNT_READS * READ_BLOCKS * BLOCK_BYTES
            assert held_bytes <= budget.read.size_bytes
        assert len(results) == COUNT_READS
        assert all(isinstance(found, list) and found[0] == 6 for found in results)
        await trio.testing.wait_all_tasks_blocked()
        assert budget.used_bytes == 0


async def test_a_command_that_has_waited_changes_nothing_if_the_lease_is_gone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogicalBlocks, "native_writes", None)
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        blocks, has_room, results = pair.a.logical_units[GROUP_LUN].blocks, trio.Event(), list[str]()
        blocks.write_now = lambda _lba, _data: has_room.is_set() and LogicalBlocks.write_now(blocks, _lba, _data)  # type: ignore[method-assign]
        blocks.volume.room_made = has_room.wait  # type: ignore[method-assign]

        async def write_in_group() -> None:
            results.append(await write(first, 0, 6))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_in_group)
            await trio.testing.wait_all_tasks_blocked()
            for other in "bw":
                pair.network.cut("a", other)
            await pair.until(lambda: pair.state(pair.a) is GroupState.WAITING)
            assert results == []
            has_room.set()
        assert results == [UNAVAILABLE]
        assert bytes((await pair.a.pool.volumes["db1"].read(0, 1))[0])[:4] == bytes((0, 0, 0, 5))
