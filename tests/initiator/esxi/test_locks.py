"""Locks and heartbeats: COMPARE AND WRITE, its failures, the reservation instead of it, and the return of the locks."""

import struct
from itertools import pairwise

import pytest
import trio

from odx_target.initiator.errors import CommandTimedOut, ConnectionLost, InitiatorError
from odx_target.initiator.esxi.acceleration import State
from odx_target.initiator.esxi.disk import CopyStopped
from odx_target.initiator.esxi.locked_block import LockedBlock
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.esxi.settings import MIB, Release
from odx_target.initiator.result import CommandResult
from tests.initiator.esxi.bench import Bench, small
from tests.initiator.esxi.naive_disk import (
    COMPARE_AND_WRITE,
    INVALID_OPERATION_CODE,
    OUT_OF_RANGE,
    READ,
    RELEASE,
    RESERVE,
    RESERVED,
    WRITE,
)
from tests.initiator.esxi.test_data_mover import XCOPY, on
from tests.initiator.naive_target import check_condition

MISCOMPARE = check_condition(0xE, 0x1D, 0, 0)


def commands(bench: Bench) -> list[int]:
    return [cdb[0] for cdb, _ in bench.destination.sent]


def marks(bench: Bench) -> list[str]:
    """Return the beginning of each block that COMPARE AND WRITE writes."""
    written = [data[len(data) // 2 :] for cdb, data in bench.destination.sent if cdb[0] == COMPARE_AND_WRITE]
    return [block[:32].rstrip(b"\0").decode("latin-1") for block in written]


async def test_locks_are_taken_and_given_back(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    await bench.copy()
    old = "\x11" * 32
    assert [code for code in commands(bench) if code != XCOPY] == [READ, COMPARE_AND_WRITE] * 2 + [COMPARE_AND_WRITE] * 2
    assert marks(bench) == ["esxi-copy heartbeat 1", "esxi-copy file lock 1", old, old]
    lbas = [struct.unpack_from(">Q", cdb, 2)[0] for cdb, _ in bench.destination.sent if cdb[0] == COMPARE_AND_WRITE]
    assert lbas == [bench.locks_lba, bench.locks_lba + 1, bench.locks_lba + 1, bench.locks_lba]
    assert bench.disks[1].ats.state is State.SUPPORTED


@pytest.mark.parametrize(("release", "kind"), [(Release.V6_0, COMPARE_AND_WRITE), (Release.V5_0, WRITE)])
async def test_a_heartbeat_every_three_seconds(autojump_clock: trio.abc.Clock, release: Release, kind: int) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small(release=release, queue_depth=1, transfer_bytes=4 << 10))
    await bench.start()
    began_s = trio.current_time()
    bench.destination.command_s = 1.0
    await bench.move()
    beats = [
        exchange.at_s - began_s
        for exchange in bench.exchanges(kind)
        if b"heartbeat" in b"".join(bytes(part) for part in exchange.data_out)
        and int.from_bytes(exchange.cdb[2:10] if kind == COMPARE_AND_WRITE else exchange.cdb[2:6], "big") == bench.locks_lba
    ]
    if kind == COMPARE_AND_WRITE:
        beats = beats[1:-1]  # the first one takes the heartbeat, and the last one gives it back
    assert len(beats) >= 4
    assert all(3.0 <= later - earlier <= 4.1 for earlier, later in pairwise(beats))
    assert bench.rules() == []


async def test_without_ats_the_disk_is_reserved(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.max_compare_blocks = 0
    await bench.copy()
    taking, giving = [READ, RESERVE, READ, WRITE, RELEASE], [RESERVE, READ, WRITE, RELEASE]
    assert [code for code in commands(bench) if code != XCOPY] == taking * 2 + giving * 2
    assert bench.rules() == [Rule.NO_ATS]


@pytest.mark.parametrize("answer", [INVALID_OPERATION_CODE, CommandTimedOut("no answer"), check_condition(5, 0x24, 0)])
async def test_ats_that_fails_is_replaced_by_reservations(
    autojump_clock: trio.abc.Clock, answer: CommandResult | InitiatorError
) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.faults = on(COMPARE_AND_WRITE, lambda _: answer)
    await bench.copy()
    assert bench.destination.count(COMPARE_AND_WRITE) == 1
    assert bench.destination.count(RESERVE) == 4
    assert bench.rules() == [Rule.ATS_FAILED]
    assert bench.disks[1].ats.state is State.NOT_SUPPORTED


async def test_ats_is_tried_again_after_five_minutes(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.faults = on(COMPARE_AND_WRITE, lambda number: INVALID_OPERATION_CODE if number == 0 else None)
    await bench.copy()
    await trio.sleep(300)
    await bench.copy()
    assert bench.rules() == [Rule.ATS_FAILED, Rule.OFFLOAD_AGAIN]
    assert bench.destination.count(COMPARE_AND_WRITE) == 1 + 4


async def test_a_write_whose_answer_was_lost_is_seen(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())

    def fault(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[0] != COMPARE_AND_WRITE:
            return None
        bench.destination.obey(cdb, data)
        return MISCOMPARE

    bench.destination.faults = fault
    await bench.copy()
    assert set(bench.rules()) == {Rule.OWN_MISCOMPARE}


async def test_a_timeout_after_the_write_is_seen(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())

    def fault(cdb: bytes, data: bytes) -> CommandResult | InitiatorError | None:
        if cdb[0] != COMPARE_AND_WRITE:
            return None
        bench.destination.obey(cdb, data)
        return CommandTimedOut("no answer")

    bench.destination.faults = fault
    await bench.copy()
    assert bench.rules() == [Rule.ATS_FAILED]


async def test_a_lock_that_another_host_changes_is_tried_again(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.faults = on(COMPARE_AND_WRITE, lambda number: MISCOMPARE if number < 3 else None)
    await bench.copy()
    assert bench.rules() == [Rule.LOCK_BUSY] * 3


@pytest.mark.parametrize("which", [0, 1])
async def test_a_lock_that_cannot_be_taken(autojump_clock: trio.abc.Clock, which: int) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    await bench.start()
    before = bytes(bench.destination.content)

    def fault(cdb: bytes, data: bytes) -> CommandResult | None:
        is_lock = cdb[0] == COMPARE_AND_WRITE and int.from_bytes(cdb[2:10], "big") == bench.locks_lba + which
        return MISCOMPARE if is_lock else None

    bench.destination.faults = fault
    with pytest.raises(CopyStopped, match="the lock cannot be taken"):
        await bench.move()
    assert bench.destination.content == before, "nothing is copied, and the other lock is given back"


@pytest.mark.parametrize("release", [Release.V6_0, Release.V5_0])
async def test_heartbeats_never_reserve_the_disk(autojump_clock: trio.abc.Clock, release: Release) -> None:
    bench = Bench(size_bytes=MIB, settings=small(queue_depth=1, release=release))
    bench.destination.max_compare_blocks = 0
    await bench.start()
    bench.destination.command_s = 1.0
    await bench.move()
    assert bench.destination.count(RESERVE) == bench.destination.count(RELEASE) == 4
    assert bench.destination.count(WRITE) > 4


async def test_a_heartbeat_without_ats_is_a_write(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small(queue_depth=1))
    await bench.start()
    bench.destination.command_s = 1.0
    bench.destination.faults = on(COMPARE_AND_WRITE, lambda number: INVALID_OPERATION_CODE if number == 2 else None)
    before = bytes(bench.destination.content[bench.locks_lba * 512 :])
    await bench.move()
    assert bench.rules() == [Rule.ATS_FAILED]
    assert bench.destination.count(COMPARE_AND_WRITE) == 3
    assert bench.destination.content[bench.locks_lba * 512 :] == before


async def test_a_lost_heartbeat_ends_the_copy(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small(queue_depth=1))
    await bench.start()
    bench.destination.command_s = 1.0
    lba = bench.locks_lba

    def fault(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[0] == COMPARE_AND_WRITE and b"heartbeat 2" in data:
            bench.destination.content[bench.destination.span(lba, 1)] = b"\x77" * 512
        return None

    bench.destination.faults = fault
    with pytest.raises(CopyStopped, match="another host has changed a block"):
        await bench.move()
    assert bench.destination.content[bench.destination.span(lba, 1)] == b"\x77" * 512, "the other host has it"
    assert bench.destination.content[bench.destination.span(lba + 1, 1)] == b"\x11" * 512, "the lock is given back"
    assert bench.rules() == [Rule.LOCK_LOST]


async def test_a_lock_that_another_host_has_taken_is_not_given_back(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    await bench.start()
    lba = bench.locks_lba + 1

    def fault(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[0] == XCOPY:
            bench.destination.content[bench.destination.span(lba, 1)] = b"\x77" * 512
        return None

    bench.destination.faults = fault
    await bench.move()
    assert bench.destination.content[bench.destination.span(lba, 1)] == b"\x77" * 512
    assert bench.rules() == [Rule.LOCK_NOT_RELEASED]


@pytest.mark.parametrize("after_s", [0.5 * at for at in range(1, 24)])
@pytest.mark.parametrize("has_ats", [True, False])
async def test_locks_are_given_back_whenever_the_copy_is_cancelled(
    autojump_clock: trio.abc.Clock, after_s: float, has_ats: bool
) -> None:
    bench = Bench(size_bytes=MIB, settings=small(queue_depth=1))
    bench.destination.max_compare_blocks = int(has_ats)
    await bench.start()
    bench.destination.command_s = 1.0
    before = bytes(bench.destination.content)
    with trio.move_on_after(after_s):
        await bench.move()
    outside = bench.locks_lba * 512
    assert bench.destination.content[outside:] == before[outside:]
    assert not bench.destination.reserved


async def test_a_target_that_stops_answering_keeps_a_cancelled_copy_for_ten_seconds(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small(queue_depth=1))
    await bench.start()
    bench.destination.command_s = 1.0
    with trio.move_on_after(7.5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.move)
            await trio.sleep(7.0)
            bench.destination.command_s = 1e6
    assert trio.current_time() == 17.5
    assert bench.rules() == [Rule.LOCK_NOT_RELEASED] * 2


@pytest.mark.parametrize("has_ats", [True, False])
async def test_a_slow_target_gets_its_locks_back(autojump_clock: trio.abc.Clock, has_ats: bool) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.max_compare_blocks = int(has_ats)
    bench.destination.command_s = 30.0
    await bench.copy()
    assert Rule.LOCK_NOT_RELEASED not in bench.rules()


async def test_a_lost_connection_is_the_reason_that_is_raised(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    await bench.start()
    lost: list[bool] = []

    def fault(cdb: bytes, data: bytes) -> CommandResult | InitiatorError | None:
        lost.extend([True] if cdb[0] == XCOPY else [])
        return ConnectionLost("the target closed the connection") if lost else None

    bench.destination.faults = fault
    with pytest.raises(ConnectionLost, match="the target closed"):
        await bench.move()
    assert bench.rules() == [Rule.LOCK_NOT_RELEASED] * 2


async def test_a_reservation_of_another_host(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.max_compare_blocks = 0
    bench.destination.faults = on(RESERVE, lambda number: RESERVED if number < 9 else None)
    await bench.copy()
    assert bench.rules() == [Rule.NO_ATS, *[Rule.RESERVE_CONFLICT] * 9]


async def test_a_reservation_that_another_host_keeps(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.max_compare_blocks = 0
    bench.destination.faults = on(RESERVE, lambda _: RESERVED)
    await bench.start()
    with pytest.raises(CopyStopped, match="reserved by another host"):
        await bench.move()
    assert bench.rules().count(Rule.RESERVE_CONFLICT) >= 10
    assert Rule.LOCK_REFUSED in bench.rules()


async def test_a_target_without_reservations(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=64 << 10, settings=small())
    bench.destination.max_compare_blocks = 0
    bench.destination.faults = on(RESERVE, lambda _: INVALID_OPERATION_CODE)
    await bench.copy()
    assert bench.rules() == [Rule.NO_ATS, *[Rule.RESERVE_FAILED] * 4]
    assert bench.destination.count(RELEASE) == 0


async def test_a_block_that_cannot_be_written(autojump_clock: trio.abc.Clock) -> None:
    bench = await Bench(size_bytes=64 << 10, settings=small()).start()
    bench.destination.faults = on(WRITE, lambda _: OUT_OF_RANGE)
    bench.disks[1].ats.set_absent()
    block = LockedBlock(bench.disks[1], bench.locks_lba, "test")
    with pytest.raises(InitiatorError, match="out of range"):
        await block.take()
    assert not bench.destination.reserved, "the reservation is given back"
