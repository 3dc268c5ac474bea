"""Events that end an operation. Nothing is written after the reply to such an event."""

from collections.abc import Callable

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyLimits
from odx_target.scsi.reply import Status
from tests.copymgr.array import CopyArray, Range, Started, code_of, data_of, pattern
from tests.copymgr.golden import golden

IMMED = ListFlag.IMMED
ONE: list[Range] = [(0, 16)]
TAG = 77


def copying(flags: int = 0, delay_s: float = 1.0) -> tuple[CopyArray, Started, int]:
    """Begin a copy of 160 blocks to LUN 1, list identifier 2, and return it with the tag of its command after 32 blocks."""
    array = CopyArray(CopyLimits(copy_step_bytes=8192, command_budget_s=1000.0))
    array.write(0, 0, pattern(0, 0, 200, 512))
    token = array.token(0, 1, [(1, 160)])
    array.manager.copies.before_step = lambda operation: array.environment.sleep(delay_s)
    started = array.start_write_using(1, 2, token, [(8, 160)], flags=flags)
    array.environment.advance(2.5 * delay_s)
    assert written(array) == 32
    return array, started, started.task.tag


def written(array: CopyArray) -> int:
    """Return the number of blocks of the copy that are on LUN 1, in order and without a gap."""
    volume = array.volume(1)
    data = b"".join(volume.read_now(1, 20) or [])
    count = next((index for index in range(160) if data[index * 512 : index * 512 + 512] == bytes(512)), 160)
    assert data == pattern(0, 1, count, 512).ljust(len(data), b"\0")
    return count


def record(array: CopyArray, lun: int = 1, list_identifier: int = 2) -> tuple[int, int, int]:
    """Return the copy status, the completion status and the transfer count of the record."""
    answer = data_of(array.copy_status(lun, list_identifier))
    return answer[5], answer[12], int.from_bytes(answer[16:24], "big")


def assert_nothing_more(array: CopyArray) -> None:
    """Run all remaining work, and check that nothing more was written."""
    array.environment.advance(100.0)
    assert written(array) == 32
    assert array.manager.copies.operations == {}
    assert array.internal_errors == []
    assert [token.leases for token in array.manager.copies.tokens.live.values()] == [0]


def test_copy_operation_abort_in_the_background() -> None:
    array, _, _ = copying(IMMED)
    assert code_of(array.abort(1, 2)) == "good"
    assert record(array) == (0x60, Status.TASK_ABORTED, 32)
    assert data_of(array.information(1, 2))[13:15] == bytes(2), "no sense data"
    assert_nothing_more(array)
    assert record(array) == (0x60, Status.TASK_ABORTED, 32)
    assert code_of(array.abort(1, 2)) == "5/24/00", "it has ended"


def test_copy_operation_abort_in_the_foreground() -> None:
    array, started, _ = copying()
    assert code_of(array.start(1, b"\x83\x1c\0\0\0\x02").reply) == "good", "it waits for nobody"
    assert record(array) == (0x60, Status.TASK_ABORTED, 32)
    assert_nothing_more(array)
    assert code_of(started.reply) == "A/2F/02"


@pytest.mark.parametrize("lun", [0, 1])
def test_copy_operation_abort_needs_its_own_nexus_and_logical_unit(lun: int) -> None:
    array, started, _ = copying(IMMED)
    path = array.new_nexus("iqn.host", "2")
    assert code_of(array.abort(lun, 2, nexus=path)) == "5/24/00"
    assert code_of(array.abort(0, 2)) == "5/24/00"
    array.environment.advance(100.0)
    assert written(array) == 160
    assert started.is_done


def abort_task(array: CopyArray, tag: int) -> None:
    assert array.server.abort_task(array.nexus, 1, tag)


@pytest.mark.parametrize(
    "function",
    [
        abort_task,
        lambda array, tag: array.server.abort_task_set(array.nexus, 1),
        lambda array, tag: array.server.clear_task_set(array.new_nexus("iqn.other"), 1),
    ],
)
def test_task_management_ends_the_command_and_keeps_the_record(function: Callable[[CopyArray, int], None]) -> None:
    array, started, tag = copying()
    function(array, tag)
    array.nexus.unit_attentions.clear()
    assert record(array) == (0x60, Status.TASK_ABORTED, 32)
    assert_nothing_more(array)
    assert code_of(started.reply) == "aborted"
    assert record(array) == (0x60, Status.TASK_ABORTED, 32)


def test_an_aborted_identifier_may_be_used_at_once() -> None:
    array, started, tag = copying()
    abort_task(array, tag)
    array.manager.copies.before_step = None
    assert code_of(array.start_populate(1, 2, ONE).reply) == "good"
    array.environment.advance(100.0)
    assert started.is_done
    assert record(array)[0] == 0x01, "the old operation does not touch the new record"


@pytest.mark.parametrize("flags", [0, IMMED])
@pytest.mark.parametrize("whole_target", [False, True])
def test_a_reset_ends_operations_and_drops_records_and_keeps_tokens(flags: int, whole_target: bool) -> None:
    array, started, _ = copying(flags)
    other = array.new_nexus("iqn.other")
    if whole_target:
        array.server.reset_target(array.nexus)
    else:
        array.server.reset_logical_unit(array.logical_units[1], array.nexus)
    for nexus in (array.nexus, other):
        nexus.unit_attentions.clear()
    assert array.information(1, 2).sense == golden("refusals", "unknown_list_identifier")
    assert code_of(array.information(0, 1)) == ("5/24/00" if whole_target else "good"), "the source was not reset"
    assert_nothing_more(array)
    assert code_of(started.reply) == ("good" if flags else "aborted")
    array.manager.copies.before_step = None
    (token,) = array.manager.copies.tokens.live.values()
    assert code_of(array.write_using(1, 2, token.data, [(8, 160)], nexus=other)) == "good", "as Windows retries it"
    assert written(array) == 160


def test_a_reset_of_the_source_does_not_touch_a_copy_from_it() -> None:
    array, started, _ = copying()
    array.server.reset_logical_unit(array.logical_units[0], None)
    array.environment.advance(100.0)
    assert code_of(started.reply) == "good"
    assert written(array) == 160


def test_a_lost_nexus_ends_its_commands() -> None:
    array, started, _ = copying()
    array.server.detach(array.nexus)
    assert_nothing_more(array)
    assert started.reply.status == Status.TASK_ABORTED
    assert len(array.manager.copies.records) == 0
    again = array.new_nexus()
    assert code_of(array.information(1, 2, nexus=again)) == "5/24/00"


def test_a_lost_nexus_leaves_background_operations_alone() -> None:
    array, _, _ = copying(IMMED)
    array.server.detach(array.nexus)
    assert len(array.manager.copies.records) == 0
    assert len(array.manager.copies.operations) == 1
    array.environment.advance(100.0)
    assert written(array) == 160
    assert array.manager.copies.operations == {}
    assert len(array.manager.copies.records) == 0


def test_the_manager_told_of_a_lost_nexus_without_its_tasks() -> None:
    array, started, _ = copying()
    array.manager.nexus_lost(array.nexus)
    assert_nothing_more(array)
    assert code_of(started.reply) == "A/2F/02"


def test_a_cancelled_worker_gives_back_what_it_holds() -> None:
    """This happens when the array stops, or when a connection ends during a command."""
    array, started, _ = copying()
    started.outcome.coroutine.close()  # type: ignore[union-attr]
    assert array.manager.copies.operations == {}
    assert record(array) == (0x60, Status.TASK_ABORTED, 32)
    assert_nothing_more(array)


@pytest.mark.parametrize("flags", [0, IMMED, ListFlag.RTV, ListFlag.RTV | IMMED])
def test_an_aborted_populate_makes_no_token(flags: int) -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    started = array.start_populate(0, 1, ONE, flags=flags, rod_type=0x0080_0002 if flags & ListFlag.RTV else 0)
    array.environment.settle()
    assert len(array.manager.copies.tokens.live) == 1
    assert code_of(array.abort(0, 1)) == "good"
    array.environment.advance(2.0)
    answer = data_of(array.information(0, 1))
    assert (answer[5], len(answer)) == (0x60, 36)
    assert code_of(started.reply) == ("good" if flags & IMMED else "A/2F/02")
    assert array.manager.copies.tokens.live == {}
    assert array.manager.copies.tokens.tombstones == {}
    assert array.pool.frozen_maps == {}
    assert array.pool.remembered_keys("copymgr/token/") == []


@pytest.mark.parametrize("point", ["hook", "flush"])
def test_a_populate_aborted_while_it_waits(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()
    if point == "hook":
        array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    else:
        flush = array.pool.flush

        async def slow_flush() -> None:
            await array.environment.sleep(1.0)
            await flush()

        monkeypatch.setattr(array.pool, "flush", slow_flush)
    started = array.start_populate(0, 1, ONE, flags=ListFlag.RTV, rod_type=0x0080_0002)
    array.environment.advance(0.5)
    assert array.server.abort_task(array.nexus, 0, started.task.tag)
    array.environment.advance(2.0)
    assert record(array, 0, 1)[0] == 0x60
    assert array.pool.frozen_maps == {}


def test_a_step_that_waits_for_data_writes_nothing_after_its_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    array, _, _ = copying(IMMED)
    (token,) = array.manager.copies.tokens.live.values()
    original = token.rod.frozen.read

    async def slow_read(block: int, count_blocks: int) -> object:
        data = await original(block, count_blocks)
        await array.environment.sleep(1.0)
        return data

    monkeypatch.setattr(token.rod.frozen, "read_now", lambda block, count_blocks: None)
    monkeypatch.setattr(token.rod.frozen, "read", slow_read)
    array.environment.advance(1.0)
    assert code_of(array.abort(1, 2)) == "good"
    assert_nothing_more(array)


def test_a_step_that_waits_for_an_edge_writes_nothing_after_its_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()
    array.write(0, 0, pattern(0, 0, 200, 512))
    array.write(1, 0, pattern(6, 0, 200, 512))
    token = array.token(0, 1, [(1, 20)])
    volume = array.volume(1)
    original = volume.read

    async def slow_read(block: int, count_blocks: int) -> object:
        data = await original(block, count_blocks)
        await array.environment.sleep(1.0)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(volume, "read_now", lambda block, count_blocks: None)
        patch.setattr(volume, "read", slow_read)
        started = array.start_write_using(1, 2, token, [(3, 20)])
        array.environment.advance(0.5)
        assert array.server.abort_task(array.nexus, 1, started.task.tag)
        array.environment.advance(5.0)
        assert started.is_done
    assert array.read(1, 0, 200) == pattern(6, 0, 200, 512)


def test_a_logical_unit_that_goes_away() -> None:
    array, _, _ = copying(IMMED)
    unit = array.logical_units[1]
    array.manager.detach_logical_unit(unit)
    array.manager.detach_logical_unit(unit)
    array.environment.advance(100.0)
    assert written(array) == 32
    assert 0x8F not in unit.added_vpd_pages
    assert not unit.third_party_copy
    assert unit.on_reset == []
    array.manager.attach_logical_unit(unit)
    array.manager.attach_logical_unit(unit)
    assert len(unit.on_reset) == 1
