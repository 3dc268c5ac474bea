"""Every rule of ESXi is brought about by a naive disk, and the copy is right unless ESXi gives it up."""

from collections.abc import Callable

import pytest
import trio

from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.esxi.disk import EsxiDisk
from odx_target.initiator.esxi.enumeration import start
from odx_target.initiator.esxi.rules import Rule, Weight
from odx_target.initiator.esxi.settings import KIB, MIB, DiskType, EsxiSettings, Release
from odx_target.initiator.result import CommandResult
from tests.initiator.esxi import test_data_mover, test_locks
from tests.initiator.esxi.bench import Bench, small
from tests.initiator.esxi.naive_disk import NaiveEsxiDisk, parameters

Prepare = Callable[[NaiveEsxiDisk], object]


def setting(name: str, value: object) -> Prepare:
    return lambda disk: setattr(disk, name, value)


EAGER_TO_THIN = small(source_type=DiskType.EAGER_ZEROED, destination_type=DiskType.THIN)

BEFORE_THE_COPY: list[tuple[Rule, EsxiSettings, Prepare]] = [
    (Rule.NO_COPY, small(), setting("third_party_copy", False)),
    (Rule.NO_NAA, small(), setting("designator", b"")),
    (Rule.NO_NAA, small(), setting("designator", bytes(21))),
    (Rule.NO_PARAMETERS, small(), setting("parameters", b"")),
    (Rule.NO_PARAMETERS, small(), setting("parameters", bytes(39))),
    (Rule.NO_ATS, small(), setting("max_compare_blocks", 0)),
    (Rule.NOT_ALIGNED, small(), setting("parameters", parameters(granularity_log2=14))),
    (Rule.SEGMENT_SHORT, small(), setting("parameters", parameters(segment_bytes=4 * KIB - 1))),
    (Rule.THICK_TO_THIN, EAGER_TO_THIN, lambda disk: None),
]

ELSEWHERE = {
    # rule: the test in which it is met
    Rule.BLOCK_LENGTHS: test_data_mover.test_short_transfers_of_both_disks,
    Rule.ATS_FAILED: test_locks.test_ats_that_fails_is_replaced_by_reservations,
    Rule.OWN_MISCOMPARE: test_locks.test_a_write_whose_answer_was_lost_is_seen,
    Rule.LOCK_BUSY: test_locks.test_a_lock_that_another_host_changes_is_tried_again,
    Rule.LOCK_REFUSED: test_locks.test_a_lock_that_cannot_be_taken,
    Rule.LOCK_LOST: test_locks.test_a_lost_heartbeat_ends_the_copy,
    Rule.LOCK_NOT_RELEASED: test_locks.test_a_lock_that_another_host_has_taken_is_not_given_back,
    Rule.RESERVE_CONFLICT: test_locks.test_a_reservation_of_another_host,
    Rule.RESERVE_FAILED: test_locks.test_a_target_without_reservations,
    Rule.COPY_FAILED: test_data_mover.test_every_failure_is_continued_by_the_host,
    Rule.COPY_LATE: test_data_mover.test_every_failure_is_continued_by_the_host,
    Rule.OFFLOAD_AGAIN: test_data_mover.test_offload_is_tried_again_after_five_minutes,
    Rule.ZERO_FAILED: test_data_mover.test_zeros_are_written_if_write_same_fails,
}


@pytest.mark.parametrize(("rule", "settings", "prepare"), BEFORE_THE_COPY)
async def test_a_copy_is_right_in_spite_of_a_rule(
    autojump_clock: trio.abc.Clock, rule: Rule, settings: EsxiSettings, prepare: Prepare
) -> None:
    bench = Bench(size_bytes=MIB, settings=settings)
    prepare(bench.destination)
    report = await bench.copy()
    assert bench.rules() == [rule]
    is_clone_declined = rule.weight is Weight.DECLINES and rule is not Rule.NO_ATS
    assert (report.cloned_bytes, report.copied_bytes) == ((0, MIB) if is_clone_declined else (MIB, 0))
    assert bool(bench.host.declines) == (rule.weight is Weight.DECLINES)


async def test_a_disk_without_room_for_locks(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small(), has_locks=False)
    await bench.copy()
    assert bench.rules() == [Rule.NO_ROOM_FOR_LOCKS]


async def test_no_interval_brings_back_a_command_that_is_not_reported(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small(release=Release.V5_0))
    bench.destination.third_party_copy = False
    await bench.copy()
    await trio.sleep(3600)
    assert (await bench.copy()).cloned_bytes == 0


def test_every_rule_is_brought_about() -> None:
    assert {row[0] for row in BEFORE_THE_COPY} | {*ELSEWHERE, Rule.NO_ROOM_FOR_LOCKS} == set(Rule)


def test_reasons_are_told_apart() -> None:
    assert len({rule.reason for rule in Rule}) == len(Rule)


@pytest.mark.parametrize("first_byte", [0x05, 0x20, 0x7F])
async def test_no_disk(autojump_clock: trio.abc.Clock, first_byte: int) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    bench.source.faults = lambda cdb, data: CommandResult(0, bytes([first_byte]) + bytes(35)) if cdb[0] == 0x12 else None
    with pytest.raises(BadAnswer, match="no disk there"):
        await bench.start()


async def test_questions_of_the_start(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    disk = EsxiDisk(bench.host, "disk", bench.source)
    await start(disk)
    assert [cdb.hex(" ") for cdb, _ in bench.source.sent] == [
        "12 00 00 00 ff 00",
        "12 01 00 00 ff 00",
        "12 01 83 00 ff 00",
        "12 01 b0 00 ff 00",
        "00 00 00 00 00 00",
        "25 00 00 00 00 00 00 00 00 00",
        "84 03 00 00 00 00 00 00 00 00 00 00 01 00 00 00",
    ]
    assert disk.acceleration_words == "hardware acceleration unknown: clone unknown, ATS unknown, zero unknown"


async def test_a_disk_that_needs_read_capacity_16(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    large = (1 << 32).to_bytes(8, "big") + (512).to_bytes(4, "big") + bytes(20)
    answers = {0x25: bytes.fromhex("ffffffff 00000200"), 0x9E: large}
    bench.source.faults = lambda cdb, data: CommandResult(0, answers[cdb[0]]) if cdb[0] in answers else None
    await bench.start()
    assert bench.disks[0].unit.capacity_blocks == (1 << 32) + 1


async def test_a_disk_without_vital_product_data(autojump_clock: trio.abc.Clock) -> None:
    bench = Bench(size_bytes=MIB, settings=small())
    refused = CommandResult(2, sense=bytes.fromhex("70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 00 00 00"))
    bench.destination.faults = lambda cdb, data: refused if cdb[:2] == b"\x12\x01" else None
    report = await bench.copy()
    assert set(bench.rules()) == {Rule.NO_ATS, Rule.NO_NAA}
    assert report.copied_bytes == MIB
