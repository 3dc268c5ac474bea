"""Copies between naive disks with a virtual clock: numbers of commands, failures in the middle, and intervals after them."""

from collections.abc import Callable

import pytest
import trio

from odx_target.initiator.errors import CommandTimedOut, InitiatorError
from odx_target.initiator.esxi.acceleration import State
from odx_target.initiator.esxi.disk import Place
from odx_target.initiator.esxi.host import PieceDone, Work
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.esxi.settings import KIB, MIB, DiskType, EsxiSettings, Receiver, Release
from odx_target.initiator.esxi.virtual_disk_copy import VirtualDiskCopy
from odx_target.initiator.result import CommandResult
from tests.initiator.esxi.bench import DESTINATION_NAME, SOURCE_NAME, Bench, small
from tests.initiator.esxi.naive_disk import (
    INVALID_OPERATION_CODE,
    OUT_OF_RANGE,
    READ,
    UNREACHABLE,
    WRITE,
    WRITE_SAME,
    Fault,
    copy_aborted,
    parameters,
)
from tests.initiator.naive_target import check_condition

XCOPY = 0x83
CLONED, BY_HOST = Work(extended_copies=8), Work(reads=512, writes=512)


def on(operation_code: int, answer: Callable[[int], CommandResult | InitiatorError | None]) -> Fault:
    """Replace answers to the commands with an operation code; they are numbered from 0."""
    count = iter(range(1 << 30))

    def fault(cdb: bytes, data: bytes) -> CommandResult | InitiatorError | None:
        return answer(next(count)) if cdb[0] == operation_code else None

    return fault


async def test_32_mib_are_8_extended_copies(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench()
    report = await bench.copy()
    assert report.pieces == {(32 * MIB, CLONED): 2}
    assert (report.cloned_bytes, report.copied_bytes) == (64 * MIB, 0)
    assert bench.destination.count(XCOPY) == 16
    assert bench.source.sent == [], "nothing but the destination works"
    assert bench.rules() == []
    assert [disk.clone.state for disk in bench.disks] == [State.SUPPORTED] * 2


async def test_32_mib_are_512_reads_and_512_writes_with_32_under_way(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench()
    bench.source.command_s = bench.destination.command_s = 0.001
    bench.destination.third_party_copy = False
    report = await bench.copy()
    assert report.pieces == {(32 * MIB, BY_HOST): 2}
    assert bench.source.count(READ) == 1024
    assert bench.destination.count(XCOPY) == 0
    assert bench.source.most_under_way[READ] == bench.destination.most_under_way[WRITE] == 32
    assert {len(data) for cdb, data in bench.destination.sent if cdb[0] == WRITE} == {64 * KIB}
    assert bench.rules() == [Rule.NO_COPY]


async def test_the_commands_of_a_piece_are_under_way_together(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench()
    bench.destination.command_s = 0.01
    await bench.copy()
    assert bench.destination.most_under_way[XCOPY] == 8


@pytest.mark.parametrize("receiver", Receiver)
async def test_receiver_of_extended_copy(autojump_clock: trio.abc.Clock, receiver: Receiver) -> None:
    bench = Bench(settings=EsxiSettings(receiver=receiver), size_bytes=4 * MIB)
    await bench.copy()
    assert (bench.source.count(XCOPY), bench.destination.count(XCOPY)) == ((1, 0) if receiver is Receiver.SOURCE else (0, 1))
    command = next(data for disk in (bench.source, bench.destination) for cdb, data in disk.sent if cdb[0] == XCOPY)
    assert command[24:32] == SOURCE_NAME
    assert command[56:64] == DESTINATION_NAME


async def test_list_identifiers_if_the_target_needs_them(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    bench.destination.parameters = parameters(snlid=False)
    await bench.copy()
    commands = [data for cdb, data in bench.destination.sent if cdb[0] == XCOPY]
    assert len(commands) == 64
    assert sorted(data[0] for data in commands) == list(range(64))
    assert {data[1] for data in commands} == {0x10}


async def test_a_failure_in_the_middle_is_continued_from_the_true_count(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(settings=EsxiSettings(queue_depth=1))
    half = 4096  # of 8192 blocks

    def fault(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[0] != XCOPY or int.from_bytes(data[92:100], "big") != 3 * 8192 + 8:
            return None
        bench.destination.extended_copy(cdb, data, blocks=half)
        return copy_aborted(0x0D, 1, segment=0, missing=8192 - half)

    bench.destination.faults = fault
    report = await bench.copy()
    # Of the first piece, three parts and a half are offloaded, and of the second piece nothing.
    assert report.cloned_bytes == 14 * MIB
    assert report.copied_bytes == 50 * MIB
    assert report.pieces == {(32 * MIB, Work(4, 288, 288)): 1, (32 * MIB, BY_HOST): 1}
    (finding,) = bench.host.findings
    assert finding.rule is Rule.COPY_FAILED
    assert finding.position_bytes == 12 * MIB
    assert "2097152 of 4194304 bytes are copied" in finding.detail
    assert [disk.clone.state for disk in bench.disks] == [State.NOT_SUPPORTED] * 2


@pytest.mark.parametrize("failing", range(8))
async def test_no_part_is_lost_if_others_are_under_way(autojump_clock: trio.abc.Clock, failing: int) -> None:
    bench = Bench(size_bytes=32 * MIB)
    bench.destination.command_s = 0.5
    bench.destination.faults = on(XCOPY, lambda number: UNREACHABLE if number == failing else None)
    report = await bench.copy()
    assert (report.cloned_bytes, report.copied_bytes) == (28 * MIB, 4 * MIB)
    assert report.pieces == {(32 * MIB, Work(8, 64, 64)): 1}


FAILURES: list[tuple[CommandResult | InitiatorError, Rule]] = [
    (INVALID_OPERATION_CODE, Rule.COPY_FAILED),
    (UNREACHABLE, Rule.COPY_FAILED),
    (check_condition(5, 0x26, 0x09), Rule.COPY_FAILED),
    (check_condition(3, 0x11, 0), Rule.COPY_FAILED),
    (check_condition(0xB, 0x55, 3), Rule.COPY_FAILED),
    (CommandResult(0x18), Rule.COPY_FAILED),
    (CommandResult(0x40), Rule.COPY_FAILED),
    (CommandTimedOut("no answer in 30 s"), Rule.COPY_LATE),
]


@pytest.mark.parametrize(("answer", "rule"), FAILURES, ids=lambda each: str(each)[:40])
async def test_every_failure_is_continued_by_the_host(
    autojump_clock: trio.abc.Clock, answer: CommandResult | InitiatorError, rule: Rule
) -> None:
    bench = Bench(size_bytes=MIB, settings=small(queue_depth=1))
    bench.destination.faults = on(XCOPY, lambda _: answer)
    report = await bench.copy()
    assert report.copied_bytes == MIB
    assert bench.rules() == [rule]
    assert bench.destination.count(XCOPY) == 1


async def test_busy_answers_and_unit_attentions_are_no_failures(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    answers: list[CommandResult | None] = [CommandResult(8), check_condition(6, 0x29, 0), CommandResult(0x28), None]
    bench.destination.faults = on(XCOPY, lambda number: answers[number % 4])
    report = await bench.copy()
    assert report.cloned_bytes == MIB
    assert bench.rules() == []


async def test_offload_is_tried_again_after_five_minutes(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=6 * MIB, settings=small(queue_depth=1))
    bench.source.command_s = 0.5  # a piece of the host has 16 reads, and takes 8 s
    bench.destination.faults = on(XCOPY, lambda number: UNREACHABLE if number in (0, 1) else None)
    report = await bench.copy()
    tried = [exchange.at_s for exchange in bench.exchanges(XCOPY)]
    first, second, third = tried[:3]
    assert 300 <= second - first < 308.1
    assert 300 <= third - second < 308.1
    assert bench.rules() == [Rule.COPY_FAILED, *[Rule.OFFLOAD_AGAIN] * 2] * 2
    assert report.cloned_bytes > 0
    assert report.cloned_bytes + report.copied_bytes == 6 * MIB
    assert [disk.clone.state for disk in bench.disks] == [State.SUPPORTED] * 2


async def test_release_4_1_tries_again_after_its_number_of_pieces(autojump_clock: trio.abc.Clock) -> None:
    size_bytes = 16_386 * 4 * KIB
    settings = small(release=Release.V4_1, piece_bytes=4 * KIB, transfer_bytes=4 * KIB, queue_depth=1)
    bench = Bench(size_bytes=size_bytes, settings=settings, has_locks=False)
    bench.destination.faults = on(XCOPY, lambda number: UNREACHABLE if number == 0 else None)
    report = await bench.copy()
    pieces = [entry for entry in bench.entries if isinstance(entry, PieceDone)]
    assert [piece.number for piece in pieces if piece.work.extended_copies] == [0, 16_384, 16_385]
    assert report.cloned_bytes == 2 * 4 * KIB


@pytest.mark.parametrize(
    ("settings", "answer", "commands", "segments", "piece_bytes"),
    [
        (EsxiSettings(transfer_bytes=16 * MIB), parameters(), 4, 1, 32 * MIB),
        (EsxiSettings(transfer_bytes=MIB), parameters(), 64, 1, 32 * MIB),
        (EsxiSettings(), parameters(segment_bytes=MIB), 64, 1, 32 * MIB),
        (EsxiSettings(use_array_values=True), parameters(segment_bytes=8 * MIB), 8, 1, 32 * MIB),
        (EsxiSettings(use_array_values=True), parameters(), 16, 1, 32 * MIB),
        (EsxiSettings(use_array_values=True), parameters(segment_bytes=256 * MIB), 4, 1, 32 * MIB),
        (
            EsxiSettings(use_array_values=True, multiple_segments=True),
            parameters(segment_bytes=256 * MIB, segments=64),
            1,
            3,
            64 * MIB,
        ),
        (
            EsxiSettings(use_array_values=True, multiple_segments=True),
            parameters(segment_bytes=256 * MIB, segments=64, list_bytes=64 + 56 + 27),
            1 + 1,
            2,
            64 * MIB,
        ),
        (EsxiSettings(destination_type=DiskType.THIN), parameters(), 16, 1, 32 * MIB),
        (EsxiSettings(destination_type=DiskType.THIN, release=Release.V5_0), parameters(), 64, 1, 32 * MIB),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
async def test_sizes_of_commands(
    autojump_clock: trio.abc.Clock,
    settings: EsxiSettings,
    answer: bytes,
    commands: int,
    segments: int,
    piece_bytes: int,
) -> None:
    bench = Bench(settings=settings)
    bench.destination.parameters = answer
    report = await bench.copy()
    sent = [data for cdb, data in bench.destination.sent if cdb[0] == XCOPY]
    assert len(sent) == commands
    assert max((len(data) - 80) // 28 for data in sent) == segments
    assert report.cloned_bytes == 64 * MIB
    assert max(size for size, _ in report.pieces) <= piece_bytes
    assert bench.rules() == []


@pytest.mark.parametrize(("code", "cloned_bytes"), [((0x0D, 1), 32 * MIB - 64 * KIB), ((0x08, 4), 0)])
async def test_several_segments_failed_in_the_second_one(
    autojump_clock: trio.abc.Clock, code: tuple[int, int], cloned_bytes: int
) -> None:
    bench = Bench(size_bytes=40 * MIB, settings=EsxiSettings(use_array_values=True, multiple_segments=True))
    bench.destination.parameters = parameters(segment_bytes=256 * MIB, segments=64)

    def fault(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[0] != XCOPY:
            return None
        if cloned_bytes:
            bench.destination.extended_copy(cdb, data, blocks=0)
        return copy_aborted(*code, segment=1, missing=None)

    bench.destination.faults = fault
    report = await bench.copy()
    assert (report.cloned_bytes, report.copied_bytes) == (cloned_bytes, 40 * MIB - cloned_bytes)
    assert bench.rules() == [Rule.COPY_FAILED]


async def test_copy_within_one_disk(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    bench.source.content += bytes(2 * MIB)
    await bench.start()
    source, destination = Place(bench.disks[0], 8), Place(bench.disks[0], 4096)
    moved = bench.source.content[4096 : 4096 + MIB]
    bench.source.faults = on(XCOPY, lambda number: UNREACHABLE if number == 4 else None)
    await VirtualDiskCopy(bench.host, source, destination, MIB, MIB, None, bench.report).run()
    assert bench.source.content[2 * MIB : 3 * MIB] == moved
    assert bench.report.cloned_bytes >= 64 * KIB
    assert bench.disks[0].clone.state is State.NOT_SUPPORTED
    assert bench.disks[1].clone.state is State.UNKNOWN


async def test_zeros_of_an_eagerly_zeroed_disk(autojump_clock: trio.abc.Clock) -> None:
    settings = EsxiSettings(destination_type=DiskType.EAGER_ZEROED)
    bench = Bench(settings=settings, written_bytes=24 * MIB)
    report = await bench.copy()
    assert (report.cloned_bytes, report.zeroed_bytes) == (24 * MIB, 40 * MIB)
    assert report.pieces == {
        (24 * MIB, Work(extended_copies=6)): 1,
        (32 * MIB, Work(write_sames=32)): 1,
        (8 * MIB, Work(write_sames=8)): 1,
    }
    assert bench.disks[1].zero.state is State.SUPPORTED


@pytest.mark.parametrize("destination_type", [DiskType.LAZY_ZEROED, DiskType.THIN])
async def test_other_types_are_not_zeroed(autojump_clock: trio.abc.Clock, destination_type: DiskType) -> None:
    bench = Bench(settings=small(destination_type=destination_type), written_bytes=512 * KIB, size_bytes=MIB)
    report = await bench.copy()
    assert report.total_bytes == 512 * KIB
    assert bench.destination.count(WRITE_SAME) == 0


@pytest.mark.parametrize("failing", [0, 1, 5])
async def test_zeros_are_written_if_write_same_fails(autojump_clock: trio.abc.Clock, failing: int) -> None:
    settings = small(destination_type=DiskType.EAGER_ZEROED, queue_depth=1)
    bench = Bench(size_bytes=MIB, settings=settings, written_bytes=512 * KIB)
    bench.destination.faults = on(WRITE_SAME, lambda number: INVALID_OPERATION_CODE if number == failing else None)
    report = await bench.copy()
    assert report.zeroed_bytes == failing * 16 * KIB
    assert report.zeroed_by_writes_bytes == 512 * KIB - failing * 16 * KIB
    assert bench.rules() == [Rule.ZERO_FAILED]
    assert bench.disks[1].zero.state is State.NOT_SUPPORTED


async def test_zeros_after_a_timeout_and_within_the_limit(autojump_clock: trio.abc.Clock) -> None:
    settings = small(destination_type=DiskType.EAGER_ZEROED)
    bench = Bench(size_bytes=MIB, settings=settings, written_bytes=512 * KIB)
    bench.destination.max_write_same_blocks = 8
    bench.destination.faults = on(WRITE_SAME, lambda number: CommandTimedOut("no answer") if number == 0 else None)
    report = await bench.copy()
    assert report.zeroed_bytes == 60 * KIB
    assert report.zeroed_by_writes_bytes == 512 * KIB - 60 * KIB
    assert bench.rules() == [Rule.ZERO_FAILED]


async def test_short_transfers_of_both_disks(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small(), block_bytes=512, destination_block_bytes=4096)
    bench.source.max_transfer_blocks = 8
    report = await bench.copy()
    assert report.copied_bytes == MIB
    assert bench.rules() == [Rule.BLOCK_LENGTHS]


@pytest.mark.parametrize("operation_code", [READ, WRITE])
async def test_a_failed_read_or_write_ends_the_copy(autojump_clock: trio.abc.Clock, operation_code: int) -> None:
    bench = Bench(size_bytes=MIB, settings=small(), has_locks=False)
    bench.destination.third_party_copy = False
    disk = bench.source if operation_code == READ else bench.destination
    disk.faults = on(operation_code, lambda number: OUT_OF_RANGE if number == 20 else None)
    await bench.start()
    with pytest.raises(InitiatorError, match="logical block address out of range"):
        await bench.move()
