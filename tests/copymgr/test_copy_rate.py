"""A copy rate: copies take the time that follows from the rate, show their progress, and keep all other rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import COPY_STEP_BYTES, COPY_STEP_BYTES_BESIDE_HOSTS, CopyLimits
from odx_target.copymgr.operations import copy_rate
from odx_target.copymgr.operations.copy_rate import MAX_COPY_RATE_BYTES_PER_S, MIN_COPY_RATE_BYTES_PER_S, STEP_S, CopyRate
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.operations.step_choice import StepKind
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.scsi.reply import Status
from odx_target.scsi.unit.format_operation import FormatOperation
from odx_target.store.api import BLOCK_BYTES
from tests.copymgr.array import CopyArray, Range, Started, code_of, data_of, pattern
from tests.settings import searching

IMMED = ListFlag.IMMED
BLOCKS = 1024
"""Number of blocks to copy: 512 KiB in blocks of 512 bytes."""
RATE = 256 << 10
"""Copy rate at which the blocks take two seconds."""

WAYS: dict[str, tuple[int, list[Range]]] = {
    # how the blocks are written: (source LBA, destination)
    "shared": (0, [(0, BLOCKS)]),
    "moved": (1, [(0, BLOCKS)]),
    "zeroed": (0, [(1024, BLOCKS)]),
}


def limited(rate: int | None = RATE, limits: CopyLimits | None = None) -> CopyArray:
    array = CopyArray(limits)
    array.write(0, 0, pattern(0, 0, 2048, 512))
    array.write(1, 0, pattern(1, 0, 2048, 512))
    array.manager.copies.copy_rate.set(rate)
    return array


def begin(array: CopyArray, way: str, flags: int = 0, list_identifier: int = 2) -> Started:
    """Begin a copy of BLOCKS blocks to LUN 1."""
    lba, destination = WAYS[way]
    token = ZERO_TOKEN if way == "zeroed" else array.token(0, 1, [(lba, BLOCKS)])
    return array.start_write_using(1, list_identifier, token, destination, flags=flags)


def count_of(array: CopyArray, list_identifier: int = 2) -> int:
    return int.from_bytes(
        data_of(array.command_at_once(1, b"\x84\x05\0\0\0" + bytes([list_identifier]) + b"\0\0\0\0\0\0\4\0"))[16:24], "big"
    )


def expected(way: str, count: int) -> bytes:
    """Return the content of LUN 1 after `count` blocks have been written."""
    lba, ((first, _),) = WAYS[way]
    new = bytes(count * 512) if way == "zeroed" else pattern(0, lba, count, 512)
    old = pattern(1, 0, 2048, 512)
    return old[: first * 512] + new + old[(first + count) * 512 :]


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_takes_its_time_and_shows_how_far_it_is(way: str) -> None:
    array = limited()
    started = begin(array, way)
    for quarter in range(1, 4):
        array.environment.advance(0.5)
        count = count_of(array)
        assert 256 * quarter - 16 <= count <= 256 * quarter
        assert b"".join(array.volume(1).read_now(0, 256) or []) == expected(way, count)
        assert not started.is_done
    array.environment.advance(0.51)
    assert code_of(started.reply) == "good"
    assert b"".join(array.volume(1).read_now(0, 256) or []) == expected(way, BLOCKS)
    assert array.manager.copies.counters.moved_bytes == (BLOCKS * 512 if way == "moved" else 0)


@pytest.mark.parametrize("way", WAYS)
def test_no_rate_costs_nothing(way: str) -> None:
    array = limited(None)
    steps = array.manager.copies.counters.steps
    assert begin(array, way).is_done
    assert array.manager.copies.counters.steps - steps == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rate", [MIN_COPY_RATE_BYTES_PER_S, MIN_COPY_RATE_BYTES_PER_S + 1, 150_000, RATE, 10 << 20, 1 << 50])
def test_no_step_takes_longer_than_a_moment(way: str, rate: int) -> None:
    array = limited(rate)
    gaps: list[float] = []
    last_s = array.environment.monotonic()
    begin(array, way, IMMED)
    began_s = last_s
    (operation,) = array.manager.copies.operations
    for _ in range(200_000):
        if not operation.is_in_progress:
            break
        before = operation.transfer_count_blocks
        array.environment.advance(0.001)
        if operation.transfer_count_blocks != before:
            gaps.append(array.environment.monotonic() - last_s)
            last_s = array.environment.monotonic()
    assert operation.transfer_count_blocks == BLOCKS
    assert max(gaps) <= STEP_S + 0.002
    assert last_s - began_s == pytest.approx(BLOCKS * 512 / rate, abs=0.002)


@pytest.mark.parametrize("way", WAYS)
def test_the_budget_ends_a_copy_honestly_and_another_goes_on(way: str) -> None:
    array = limited(MIN_COPY_RATE_BYTES_PER_S)
    began_s = array.environment.monotonic()
    reply = begin(array, way).wait(array.environment)
    count = int.from_bytes(reply.sense[3:7], "big")
    assert code_of(reply) == "A/0D/04"
    assert count == 3.75 * MIN_COPY_RATE_BYTES_PER_S // 512 == 960
    assert array.environment.monotonic() - began_s <= 4.0
    assert b"".join(array.volume(1).read_now(0, 256) or []) == expected(way, count)
    answer = data_of(array.information(1, 2))
    assert (answer[5], int.from_bytes(answer[16:24], "big")) == (3, count)
    lba, ((first, _),) = WAYS[way]
    token = ZERO_TOKEN if way == "zeroed" else array.token(0, 1, [(lba + count, BLOCKS - count)])
    assert code_of(array.write_using(1, 2, token, [(first + count, BLOCKS - count)])) == "good"
    assert array.read(1, 0, 2048) == expected(way, BLOCKS)


def test_in_the_background_there_is_no_budget() -> None:
    array = limited(MIN_COPY_RATE_BYTES_PER_S)
    assert code_of(begin(array, "shared", IMMED).reply) == "good"
    array.environment.advance(3.999)
    assert count_of(array) < BLOCKS
    array.environment.advance(0.002)
    assert data_of(array.information(1, 2))[5] == 1
    assert array.read(1, 0, 2048) == expected("shared", BLOCKS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flags", [0, IMMED])
def test_an_abort_leaves_what_was_counted_and_nothing_more(way: str, flags: int) -> None:
    array = limited()
    started = begin(array, way, flags)
    array.environment.advance(1.01)
    count = count_of(array)
    assert 0 < count < BLOCKS
    assert code_of(array.abort(1, 2)) == "good"
    array.environment.advance(10.0)
    assert b"".join(array.volume(1).read_now(0, 256) or []) == expected(way, count)
    answer = data_of(array.copy_status(1, 2))
    assert (answer[5], answer[12], int.from_bytes(answer[16:24], "big")) == (0x60, Status.TASK_ABORTED, count)
    assert code_of(started.reply) == ("good" if flags else "A/2F/02")
    assert array.manager.copies.operations == {}


def test_copies_share_the_rate() -> None:
    array = limited()
    for number in range(4):
        token = array.token(0, 9, [(0, 256)])
        array.start_write_using(1, 10 + number, token, [(256 * number, 256)], flags=IMMED)
    array.environment.advance(1.0)
    counts = [count_of(array, 10 + number) for number in range(4)]
    assert 512 - 16 <= sum(counts) <= 512
    assert max(counts) - min(counts) <= 16, "they take turns"
    array.environment.advance(1.01)
    assert [count_of(array, 10 + number) for number in range(4)] == [256] * 4


def test_behind_many_others_every_command_gets_something_done_in_time() -> None:
    array = limited(MIN_COPY_RATE_BYTES_PER_S, CopyLimits(max_records_per_nexus=1000))
    tokens = [array.token(0, 1, [(8 * index, 8)]) for index in range(200)]
    for index, token in enumerate(tokens):
        array.start_write_using(0, 10 + index, token, [(8 * index, 8)], flags=IMMED)
    began_s = array.environment.monotonic()
    reply = begin(array, "shared").wait(array.environment)
    assert array.environment.monotonic() - began_s <= 4.0
    assert code_of(reply) == "A/0D/04"
    assert int.from_bytes(reply.sense[3:7], "big") == 8
    array.environment.advance(10.0)
    assert array.manager.copies.operations == {}


def test_the_rate_can_be_changed_and_lifted_under_a_copy() -> None:
    array = limited()
    started = begin(array, "shared")
    array.environment.advance(0.5)
    array.manager.copies.copy_rate.set(2 * RATE)
    array.environment.advance(0.5)
    assert 256 + 512 - 40 <= count_of(array) <= 256 + 512
    array.manager.copies.copy_rate.set(MIN_COPY_RATE_BYTES_PER_S)
    array.environment.advance(0.5)
    assert 896 - 60 <= count_of(array) <= 896
    array.manager.copies.copy_rate.set(None)
    array.environment.advance(STEP_S)
    assert code_of(started.reply) == "good"
    assert array.read(1, 0, 2048) == expected("shared", BLOCKS)


def test_tokens_are_made_at_once_and_reads_and_writes_go_on() -> None:
    array = limited(MIN_COPY_RATE_BYTES_PER_S)
    begin(array, "shared", IMMED)
    began_s = array.environment.monotonic()
    token = array.token(0, 5, [(0, 2048)])
    assert array.write(1, 1200, pattern(7, 0, 8, 512)).status == 0
    assert array.read(1, 1200, 8) == pattern(7, 0, 8, 512)
    assert len(token) == 512
    assert array.environment.monotonic() == pytest.approx(began_s, abs=0.01)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flags", [0, IMMED])
@pytest.mark.parametrize("cut", [8, 13, 512])
def test_a_logical_unit_that_shrinks_under_a_copy_ends_it(way: str, flags: int, cut: int) -> None:
    """The destination is cut off `cut` blocks before its end. The blocks before the new end are written, and none after it."""
    array = limited()
    started = begin(array, way, flags)
    array.environment.advance(0.5)
    _, ((first, _),) = WAYS[way]
    unit = array.logical_units[1]
    unit.capacity_blocks = first + BLOCKS - cut
    array.environment.advance(5.0)
    answer = data_of(array.copy_status(1, 2))
    count = int.from_bytes(answer[16:24], "big")
    assert BLOCKS - cut - 16 <= count <= BLOCKS - cut
    assert (answer[5], answer[34] & 0xF, answer[44:46]) == (2, 5, b"\x21\0")
    assert code_of(started.reply) == ("good" if flags else "5/21/00")
    assert b"".join(array.volume(1).read_now(0, 256) or []) == expected(way, count)
    (refusal,) = array.manager.copies.refusals.latest
    assert (refusal["rule"], refusal["in_background"]) == ("the logical unit was made smaller", bool(flags))
    assert refusal["done_bytes"] == count * 512


def test_a_logical_unit_that_shrinks_while_a_step_reads_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    array = limited(None)
    token = array.token(0, 1, [(1, 16)])
    (live,) = array.manager.copies.tokens.live.values()
    monkeypatch.setattr(live.rod.frozen, "read_now", lambda block, count_blocks: None)
    original = live.rod.frozen.read

    async def slow_read(block: int, count_blocks: int) -> object:
        data = await original(block, count_blocks)
        await array.environment.sleep(1.0)
        return data

    monkeypatch.setattr(live.rod.frozen, "read", slow_read)
    started = array.start_write_using(1, 2, token, [(1024, 16)])
    array.environment.advance(0.5)
    array.logical_units[1].capacity_blocks = 1032
    assert code_of(started.wait(array.environment)) == "5/21/00"
    assert b"".join(array.volume(1).read_now(0, 256) or []) == pattern(1, 0, 2048, 512)


@pytest.mark.parametrize("rate", [0, -1, 1, MIN_COPY_RATE_BYTES_PER_S - 1])
def test_a_rate_at_which_a_block_takes_too_long_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match=str(MIN_COPY_RATE_BYTES_PER_S)):
        CopyRate(CopyLimits()).set(rate)


@searching(max_examples=100)
@given(
    rate=st.integers(MIN_COPY_RATE_BYTES_PER_S, 64 << 20),
    moments=st.lists(st.tuples(st.floats(0.0, 0.2), st.integers(1, 256)), min_size=1, max_size=60),
)
def test_turns_never_exceed_the_rate_by_more_than_a_step(rate: int, moments: list[tuple[float, int]]) -> None:
    """The limit holds for every period, however late the steps use their turns."""
    copy_rate = CopyRate(CopyLimits())
    copy_rate.set(rate)
    most_bytes = copy_rate.limits.remap_step_bytes
    assert BLOCK_BYTES <= most_bytes <= rate * STEP_S
    now_s, done = 1000.0, []
    for pause_s, blocks in moments:
        size_bytes = min(blocks * BLOCK_BYTES, most_bytes)
        now_s += pause_s
        now_s += copy_rate.wait_for_turn_s(size_bytes, now_s)
        done.append((now_s, size_bytes))
    for first in range(len(done)):
        total_bytes = 0
        for at_s, size_bytes in done[first:]:
            total_bytes += size_bytes
            assert total_bytes <= rate * (at_s - done[first][0] + 2 * STEP_S) * 1.0001


@pytest.mark.parametrize("flags", [0, IMMED])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("change", "value", "code"),
    [
        ("stopped", True, "2/04/02"),
        ("write_protected", True, "7/27/00"),
        ("format_operation", FormatOperation(None), "2/04/04"),
    ],
)
def test_a_logical_unit_that_does_not_accept_writes_is_written_no_more(
    way: str, flags: int, change: str, value: object, code: str
) -> None:
    array = limited()
    started = begin(array, way, flags)
    array.environment.advance(0.5)
    before = getattr(array.logical_units[1], change)
    setattr(array.logical_units[1], change, value)
    written = b"".join(array.volume(1).read_now(0, 256) or [])
    array.environment.advance(5.0)
    assert b"".join(array.volume(1).read_now(0, 256) or []) == written
    setattr(array.logical_units[1], change, before)
    assert code_of(started.reply) == ("good" if flags else code)
    assert data_of(array.copy_status(1, 2))[5] == 2


@pytest.mark.parametrize("rate", [MAX_COPY_RATE_BYTES_PER_S + 1, 10**400])
def test_a_rate_of_too_many_digits_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="a copy rate is"):
        CopyRate(CopyLimits()).set(rate)
    CopyRate(CopyLimits()).set(MAX_COPY_RATE_BYTES_PER_S)


def test_steps_are_smaller_in_short_turns() -> None:
    array = CopyArray()
    turns, rate = array.environment.turns, array.manager.copies.copy_rate
    assert rate.limits_in(turns).copy_step_bytes == COPY_STEP_BYTES
    turns.is_short = True
    limits = rate.limits_in(turns)
    assert (limits.copy_step_bytes, limits.remap_step_bytes) == (COPY_STEP_BYTES_BESIDE_HOSTS, rate.limits.remap_step_bytes)
    rate.set(RATE)
    assert rate.limits_in(turns) is rate.limits


@pytest.mark.parametrize("way", ["shared", "moved", "zeroed"])
def test_a_copy_beside_hosts_moves_little_at_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array = limited(None, CopyLimits(copy_step_bytes=64 << 10))
    moved: list[int] = []
    note = array.manager.copies.note_step

    def note_step(operation: CopyOperation, kind: StepKind, size_bytes: int) -> None:
        if kind is StepKind.MOVE:
            moved.append(size_bytes)
        array.environment.turns.hosts_were_served()
        note(operation, kind, size_bytes)

    monkeypatch.setattr(copy_rate, "COPY_STEP_BYTES_BESIDE_HOSTS", 16 << 10)
    array.manager.copies.copy_rate = copy_rate.CopyRate(array.manager.copies.limits)
    monkeypatch.setattr(array.manager.copies, "note_step", note_step)
    started = begin(array, way)
    array.environment.settle()
    assert started.is_done
    assert b"".join(array.volume(1).read_now(0, 256) or []) == expected(way, BLOCKS)
    later = moved[2:]  # Two steps are planned before the first one ends.
    assert max(later, default=0) <= 16 << 10
    assert bool(later) == (way == "moved")
