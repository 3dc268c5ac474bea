"""The host side of offloaded copy against scripted targets: each failure, and the reaction of the host."""

import struct
from collections.abc import Callable, Sequence

import pytest

from odx_target.initiator.copying.copy_job import Method, OffloadFailed
from odx_target.initiator.copying.offload_outcome import StopReason
from odx_target.initiator.copying.offload_settings import OffloadSettings
from odx_target.initiator.disk import BUSY_DELAY_S, Disk
from odx_target.initiator.errors import CommandTimedOut, ConnectionLost
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import CommandResult, Status
from tests.initiator.copying import MIB, Copy, of
from tests.initiator.driving import run
from tests.initiator.naive_target import (
    INVALID_FIELD_IN_CDB,
    LBA_OUT_OF_RANGE,
    TOKEN_UNKNOWN,
    check_condition,
    token_information,
    token_limits,
)

POPULATE, WRITE, INFORMATION = (0x83, 0x10), (0x83, 0x11), (0x84, 0x07)
UNIT_ATTENTION = check_condition(6, 0x29, 0)
IN_PROGRESS = check_condition(5, 0x00, 0x16)


class Script:
    """Scripted answers to the nth command of a kind, from 0 on. If the answer is None, the target answers."""

    def __init__(self, command: tuple[int, int], answers: Sequence[CommandResult | Exception | None]) -> None:
        self.command, self.answers = command, list(answers)

    def __call__(self, cdb: bytes, data_out: bytes) -> CommandResult | None:
        if not of(cdb, self.command) or not self.answers:
            return None
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_copy_by_token_takes_three_commands_a_chunk_and_counts_identifiers() -> None:
    copy = Copy()
    report = copy.run()
    copy.check()
    assert (report.offloaded_bytes, report.host_bytes, report.stop) == (4 * MIB, 0, None)
    assert (report.tokens, report.writes, report.partial_writes) == (4, 4, 0)
    assert [int.from_bytes(cdb[6:10], "big") for cdb in copy.sent(POPULATE)] == [0, 2, 4, 6]
    assert [int.from_bytes(cdb[2:6], "big") for cdb in copy.sent(INFORMATION)] == [0, 2, 4, 6]
    assert [int.from_bytes(cdb[6:10], "big") for cdb in copy.sent(WRITE)] == [1, 3, 5, 7]
    assert copy.array.tokens == {}  # the last write of each token deleted it
    assert copy.destination.sent[-1][0] == 0x35  # SYNCHRONIZE CACHE (10)


def test_tokens_may_be_left_to_their_timeout() -> None:
    copy = Copy()
    asked = []
    copy.source.faults = lambda cdb, data: asked.append(data[4:8]) if of(cdb, POPULATE) else None
    report = copy.run(settings=OffloadSettings(inactivity_timeout_s=300, delete_tokens=False))
    copy.check()
    assert len(copy.array.tokens) == report.tokens == 1  # with a requested timeout the optimum does not limit a token
    assert report.writes == 4
    assert asked == [(300).to_bytes(4, "big")]


def test_list_identifiers_wrap() -> None:
    identifiers = ListIdentifiers(0xFFFFFFFE)
    assert [identifiers.take() for _ in range(3)] == [0xFFFFFFFE, 0xFFFFFFFF, 0]


@pytest.mark.parametrize("tells", [True, False])
def test_a_partial_write_goes_on_from_the_true_count(tells: bool) -> None:
    copy = Copy()
    copy.destination.tell_information = lambda: tells
    copy.destination.truncate = lambda what, count: min(count, 700)
    report = copy.run()
    copy.check()
    assert report.stop is None
    assert report.partial_writes > 0
    asked_at_destination = [cdb for cdb in copy.destination.sent if of(cdb, INFORMATION)]
    assert len(asked_at_destination) == (0 if tells else report.partial_writes)


def test_information_beyond_the_request_is_not_believed() -> None:
    copy = Copy()
    copy.destination.faults = Script(WRITE, [check_condition(0xA, 0x0D, 0x04, 2049)])
    report = copy.run()
    copy.check()
    assert report.offloaded_bytes == 0
    assert report.stop is not None
    assert report.stop.reason is StopReason.WRITE_FAILED


def test_information_counts_only_with_valid() -> None:
    copy = Copy()
    stale = CommandResult(2, sense=bytes.fromhex("70000a000000640a000000000d0400000000"))
    copy.destination.faults = Script(WRITE, [None, stale])
    report = copy.run()
    copy.check()
    assert report.offloaded_bytes == MIB


def test_a_short_token_is_used_up_and_the_next_begins_behind_it() -> None:
    copy = Copy()
    copy.source.truncate = lambda what, count: min(count, 1500)
    report = copy.run()
    copy.check()
    assert report.stop is None
    assert report.tokens == -(-4 * MIB // (1500 * 512))


@pytest.mark.parametrize("ascq", range(0x0B))
def test_a_new_token_that_is_refused_ends_offloading_without_a_question(ascq: int) -> None:
    copy = Copy()
    copy.destination.faults = Script(WRITE, [None, check_condition(5, 0x23, ascq)])
    report = copy.run()
    copy.check()
    assert (report.offloaded_bytes, report.host_bytes) == (MIB, 3 * MIB)
    assert report.stop is not None
    assert report.stop.reason is StopReason.TOKEN_REFUSED
    assert report.stop.position_bytes == MIB
    assert "invalid token operation" in str(report.stop)
    assert not [cdb for cdb in copy.destination.sent if of(cdb, INFORMATION)]
    assert copy.progress[0] == (MIB, True)
    assert {offloaded for _, offloaded in copy.progress[1:]} == {False}


def test_a_token_that_dies_half_way_is_replaced() -> None:
    copy = Copy(limits=token_limits(max_blocks=0, optimal_blocks=1024))
    copy.source.page = token_limits(optimal_blocks=4096)
    copy.destination.faults = Script(WRITE, [None, check_condition(5, 0x23, 0x07)])
    report = copy.run()
    copy.check()
    assert report.stop is None
    assert report.tokens == 3  # 512 KiB by the first token, 2 MiB by the second, the remaining data by the third


def test_a_token_that_holds_less_than_it_said_is_replaced() -> None:
    copy = Copy(limits=token_limits(optimal_blocks=1024))
    copy.source.page = token_limits(optimal_blocks=4096)
    copy.destination.faults = Script(WRITE, [None, check_condition(5, 0x0D, 0x04)])
    report = copy.run()
    copy.check()
    assert report.stop is None


@pytest.mark.parametrize(
    ("script", "reason", "detail"),
    [
        (Script(POPULATE, [LBA_OUT_OF_RANGE]), StopReason.POPULATE_REFUSED, "out of range"),
        (Script(POPULATE, [check_condition(5, 0x55, 0x0D)]), StopReason.POPULATE_REFUSED, "insufficient resources"),
        (Script(POPULATE, [CommandResult(Status.RESERVATION_CONFLICT)]), StopReason.POPULATE_REFUSED, "RESERVATION CONFLICT"),
        (Script(POPULATE, [CommandTimedOut("no answer in 60 s")]), StopReason.TIMED_OUT, "60 s"),
        (Script(POPULATE, [IN_PROGRESS] * 10), StopReason.POPULATE_REFUSED, "operation in progress"),
        (Script(INFORMATION, [INVALID_FIELD_IN_CDB]), StopReason.TOKEN_NOT_DELIVERED, "invalid field in CDB"),
        (Script(INFORMATION, [CommandTimedOut("no answer in 60 s")]), StopReason.TIMED_OUT, "60 s"),
        (Script(INFORMATION, [CommandResult(0, bytes(31))]), StopReason.TOKEN_NOT_DELIVERED, "31 bytes"),
        (Script(INFORMATION, [CommandResult(0, token_information(0x10, 0x11, 9, b""))]), StopReason.TOKEN_NOT_DELIVERED, "11h"),
        (
            Script(INFORMATION, [CommandResult(0, token_information(0x10, 0x01, 9, b""))]),
            StopReason.TOKEN_NOT_DELIVERED,
            "0 tokens",
        ),
        (
            Script(INFORMATION, [CommandResult(0, token_information(0x10, 0x01, 2049, bytes(512)))]),
            StopReason.TOKEN_NOT_DELIVERED,
            "2049 blocks, 2048 were asked",
        ),
        (
            Script(INFORMATION, [CommandResult(0, token_information(0x10, 0x01, 0, bytes(512)))]),
            StopReason.TOKEN_NOT_DELIVERED,
            "0 blocks",
        ),
        (
            Script(
                INFORMATION, [CommandResult(0, token_information(0x10, 2, 0, b"", sense=check_condition(3, 0x11, 0).sense))]
            ),
            StopReason.TOKEN_NOT_DELIVERED,
            "MEDIUM ERROR",
        ),
    ],
)
def test_a_source_that_gives_no_token_ends_offloading(script: Script, reason: StopReason, detail: str) -> None:
    copy = Copy()
    copy.source.faults = script
    report = copy.run()
    copy.check()
    assert report.host_bytes == 4 * MIB
    assert report.stop is not None
    assert report.stop.reason is reason
    assert detail in str(report.stop)


def test_partial_populate_is_no_failure() -> None:
    copy = Copy()
    copy.source.truncate = lambda what, count: max(count // 2, 1)
    assert copy.run().stop is None
    copy.check()


def test_a_failed_write_that_came_some_way_is_resumed_by_its_record() -> None:
    """After a medium error in the middle, the host continues from the count. It writes blocks itself only if the count is 0."""
    copy = Copy()

    def half(cdb: bytes, data: bytes) -> CommandResult | None:
        if not of(cdb, WRITE) or copy.destination.faults is not half:
            return None
        copy.destination.faults = lambda cdb, data: None
        copy.destination.write_using(cdb, data)
        copy.destination.data[1000 * 512 : MIB] = bytes(MIB - 1000 * 512)
        identifier = int.from_bytes(cdb[6:10], "big")
        sense = check_condition(3, 0x0C, 0)
        copy.destination.records[identifier] = (0x11, 0x02, 1000, b"")
        return sense

    copy.destination.faults = half
    report = copy.run(settings=OffloadSettings(delete_tokens=False))
    copy.check()
    assert report.partial_writes == 1
    assert report.stop is None


def test_a_write_that_fails_without_a_record_ends_offloading() -> None:
    copy = Copy()
    copy.destination.faults = Script(WRITE, [None, None, CommandTimedOut("no answer")])
    report = copy.run()
    copy.check()
    assert report.offloaded_bytes == 2 * MIB
    assert report.stop is not None
    assert report.stop.reason is StopReason.TIMED_OUT


def test_unit_attentions_and_busy_are_waited_out() -> None:
    copy = Copy()
    busy = [CommandResult(Status.BUSY), CommandResult(Status.TASK_SET_FULL), check_condition(2, 0x04, 0x01)]
    copy.source.faults = Script(POPULATE, [UNIT_ATTENTION, UNIT_ATTENTION])
    copy.destination.faults = Script(WRITE, [UNIT_ATTENTION, *busy])
    report = copy.run()
    copy.check()
    assert report.stop is None
    first = copy.sent(POPULATE)[:3]
    assert first[0] == first[1] == first[2]  # the same command again


def test_endless_unit_attentions_and_busy_are_a_failure() -> None:
    copy = Copy()
    copy.destination.faults = Script(WRITE, [UNIT_ATTENTION] * 9)
    report = copy.run()
    assert report.stop is not None
    assert report.stop.reason is StopReason.WRITE_FAILED
    slept = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    copy.source.faults = lambda cdb, data: CommandResult(Status.BUSY)
    assert run(Disk(copy.source, sleep, "x").command(bytes(6))).status == Status.BUSY
    assert slept == [BUSY_DELAY_S] * 40


def test_an_identifier_in_use_is_stepped_over() -> None:
    copy = Copy()
    copy.source.faults = Script(POPULATE, [IN_PROGRESS, IN_PROGRESS])
    copy.destination.faults = Script(WRITE, [IN_PROGRESS])
    assert copy.run().stop is None
    copy.check()
    assert [cdb[9] for cdb in copy.sent(POPULATE)[:4]] == [0, 1, 2, 5]


def test_a_reset_that_takes_the_tokens_costs_a_new_one() -> None:
    copy = Copy(limits=token_limits(optimal_blocks=1024))
    copy.source.page = token_limits(optimal_blocks=4096)
    writes = 0

    def reset(cdb: bytes, data: bytes) -> CommandResult | None:
        nonlocal writes
        if of(cdb, WRITE):
            writes += 1
            if writes == 2:
                copy.array.tokens.clear()
                copy.destination.records.clear()
                return UNIT_ATTENTION
        return None

    copy.destination.faults = reset
    assert copy.run().stop is None
    copy.check()


def test_a_lost_connection_is_the_end_of_the_copy() -> None:
    copy = Copy()
    copy.destination.faults = Script(WRITE, [None, ConnectionLost("the target closed the connection")])
    with pytest.raises(ConnectionLost):
        copy.run()


@pytest.mark.parametrize(
    ("side", "reason"), [("source", StopReason.SOURCE_CANNOT), ("destination", StopReason.DESTINATION_CANNOT)]
)
def test_a_disk_without_token_copy_is_copied_by_the_host(side: str, reason: StopReason) -> None:
    copy = Copy()
    getattr(copy, side).page = None
    report = copy.run()
    copy.check()
    assert report.stop is not None
    assert report.stop.reason is reason
    assert "8Fh" in str(report.stop)
    assert copy.sent(POPULATE) == []


def test_what_must_be_offloaded_is_never_copied_by_the_host() -> None:
    copy = Copy()
    copy.destination.page = None
    with pytest.raises(OffloadFailed, match="0 of 4194304 bytes were offloaded, then: the destination cannot copy by token"):
        copy.run(Method.ODX)
    copy = Copy()
    copy.destination.faults = Script(WRITE, [None, TOKEN_UNKNOWN])
    with pytest.raises(OffloadFailed, match=r"1048576 of 4194304 bytes were offloaded, then: .*token unknown"):
        copy.run(Method.ODX)
    assert not [cdb for cdb in copy.source.sent if cdb[0] == 0x88]


def test_the_host_copies_when_asked_to() -> None:
    copy = Copy()
    report = copy.run(Method.HOST)
    copy.check()
    assert report.stop is not None
    assert report.stop.reason is StopReason.NOT_WANTED
    assert {offloaded for _, offloaded in copy.progress} == {False}


@pytest.mark.parametrize(
    ("page", "limits", "populates", "writes", "ranges"),
    [
        (token_limits(), bytes(60), 1, 1, 1),
        (token_limits(optimal_blocks=1024), bytes(60), 8, 8, 1),
        (token_limits(max_blocks=2048, optimal_blocks=4096), bytes(60), 4, 4, 1),
        (token_limits(), struct.pack(">4xLL52x", 256, 0), 1, 1, 32),
        (token_limits(ranges=8), struct.pack(">4xLL52x", 256, 0), 4, 4, 8),
        (token_limits(ranges=0), struct.pack(">4xLL52x", 64, 0), 2, 2, 64),
        (token_limits(ranges=4096), struct.pack(">4xLL52x", 64, 0), 2, 2, 64),
    ],
)
def test_limits_shape_the_commands(page: bytes, limits: bytes, populates: int, writes: int, ranges: int) -> None:
    copy = Copy(limits=page)
    copy.source.limits = copy.destination.limits = limits
    seen: list[int] = []
    remember: Callable[[bytes, bytes], None] = lambda cdb, data: seen.append(len(data))  # noqa: E731
    copy.source.faults = lambda cdb, data: remember(cdb, data) if of(cdb, POPULATE) else None
    copy.run()
    copy.check()
    assert (len(copy.sent(POPULATE)), len(copy.sent(WRITE))) == (populates, writes)
    assert max(seen) == 16 + 16 * ranges


def test_a_token_for_more_than_a_write_may_do_is_spent_in_pieces_with_a_growing_offset() -> None:
    copy = Copy(limits=token_limits(optimal_blocks=1024))
    copy.source.page = token_limits()
    offsets: list[int] = []
    copy.destination.faults = lambda cdb, data: offsets.append(data[15] + 256 * data[14]) if of(cdb, WRITE) else None
    assert copy.run().tokens == 1
    copy.check()
    assert offsets == list(range(0, 8192, 1024))


def test_blocks_of_different_sizes() -> None:
    for source_block, destination_block in ((512, 4096), (4096, 512)):
        copy = Copy()
        copy.source.block_bytes, copy.destination.block_bytes = source_block, destination_block
        copy.source.truncate = lambda what, count: max(1, count - 1) if count > 8 else count
        copy.destination.truncate = lambda what, count: max(1, count - 3)
        report = copy.run()
        copy.check()
        assert report.offloaded_bytes


def test_a_token_for_less_than_a_block_of_the_destination_is_no_use() -> None:
    copy = Copy()
    copy.destination.block_bytes = 4096
    copy.source.truncate = lambda what, count: 7
    report = copy.run()
    copy.check()
    assert report.stop is not None
    assert report.stop.reason is StopReason.TOKEN_TOO_SHORT
