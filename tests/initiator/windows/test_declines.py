"""Every reason for which Windows gives up, brought about in a scripted target."""

from collections.abc import Callable

import pytest

from odx_target.initiator.result import CommandResult
from odx_target.initiator.token_commands import BlockRange
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copy_engine import FileCopy, WindowsFile
from odx_target.initiator.windows.disk import DiskUnusable
from odx_target.initiator.windows.layout import FileLayout, contiguous
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import WindowsSettings
from tests.initiator.driving import run
from tests.initiator.naive_target import INVALID_FIELD_IN_CDB, check_condition, token_information
from tests.initiator.windows.bench import DESTINATION_BYTES, PT, RRTI, WUT, Bench
from tests.initiator.windows.scripted import MIB, POWER_ON, ScriptedDisk, limits
from tests.initiator.windows.test_login import BROKEN_LOGINS

SIZE_BYTES = MIB
Break = Callable[[ScriptedDisk], None]


def page_list(text: str) -> Break:
    def change(disk: ScriptedDisk) -> None:
        disk.page_list = bytes.fromhex(text)

    return change


def copy_page(page: bytes) -> Break:
    def change(disk: ScriptedDisk) -> None:
        disk.pages[0x8F] = page

    return change


def refuse(*beginning: int, with_result: CommandResult = INVALID_FIELD_IN_CDB) -> Break:
    """Answer commands that begin so with a refusal."""

    def change(disk: ScriptedDisk) -> None:
        disk.answer = lambda cdb, data: with_result if cdb.startswith(bytes(beginning)) else None

    return change


def remove(page: int) -> Break:
    def change(disk: ScriptedDisk) -> None:
        del disk.pages[page]

    return change


OTHER_DESCRIPTOR = bytes.fromhex("000C0004 00000000")
DISCOVERY: list[tuple[Rule, Break]] = [
    (Rule.NO_PAGE_LIST, refuse(0x12, 1, 0)),
    (Rule.NO_PAGE_LIST, refuse(0x12, 1, 0, with_result=POWER_ON)),
    (Rule.PAGE_LIST_ORDER, page_list("00 80 83 B0 8F B2")),
    (Rule.PAGE_LIST_ORDER, page_list("00 80 80 83 8F B0")),
    (Rule.PAGE_LIST_ORDER, page_list("80 83 8F B0")),
    (Rule.PAGE_LIST_ORDER, page_list("")),
    (Rule.PAGE_NOT_LISTED, page_list("00 80 83 B0 B2")),
    (Rule.NO_COPY_PAGE, refuse(0x12, 1, 0x8F)),
    (Rule.NO_COPY_PAGE, refuse(0x12, 1, 0x8F, with_result=check_condition(4, 0x44, 0))),
    (Rule.COPY_PAGE_LENGTH, copy_page(limits()[:-1])),
    (Rule.COPY_PAGE_LENGTH, copy_page(b"")),
    (Rule.FIRST_DESCRIPTOR_TYPE, copy_page(limits(kind=1))),
    (Rule.FIRST_DESCRIPTOR_TYPE, copy_page(OTHER_DESCRIPTOR + limits())),
    (Rule.FIRST_DESCRIPTOR_LENGTH, copy_page(limits(length=0x1C))),
    (Rule.FIRST_DESCRIPTOR_LENGTH, copy_page(limits(length=0x24) + bytes(4))),
]


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(("rule", "broken"), DISCOVERY)
def test_a_disk_that_says_it_wrongly_never_sees_a_token_command(end: int, rule: Rule, broken: Break) -> None:
    bench = Bench()
    broken(bench.scripted[end])
    bench.start()
    assert bench.disks[end].capability is None
    assert [finding.rule for finding in bench.host.journal.declines] == [rule]
    report = bench.copy(SIZE_BYTES)
    assert (report.offloaded_bytes, report.ordinary_bytes) == (0, SIZE_BYTES)
    assert report.stop is not None
    assert report.stop.rule is rule
    assert bench.kinds() == []


def test_inquiries_are_tried_five_times_in_all() -> None:
    bench = Bench()
    refuse(0x12, 1, 0x8F, with_result=POWER_ON)(bench.source)
    bench.start()
    assert bench.disks[0].capability is None
    bench = Bench()
    answers = [POWER_ON] * 4
    bench.source.answer = lambda cdb, data: answers.pop() if cdb[:3] == b"\x12\x01\x8f" and answers else None
    bench.start()
    assert bench.disks[0].capability is not None


def test_other_descriptors_after_the_first_do_not_matter() -> None:
    bench = Bench()
    for disk in bench.scripted:
        disk.pages[0x8F] = limits(8192) + OTHER_DESCRIPTOR * 40  # far past what 255 bytes show
    assert bench.start().copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES


def unusable(change: Break) -> Rule:
    bench = Bench()
    change(bench.source)
    with pytest.raises(DiskUnusable) as raised:
        run(enumeration.start(bench.disks))
    return raised.value.finding.rule


def set_capacity(value: bytes) -> Break:
    def change(disk: ScriptedDisk) -> None:
        disk.capacity_10 = value

    return change


def set_attribute(name: str, value: object) -> Break:
    return lambda disk: setattr(disk, name, value)


def short_capacity_16(disk: ScriptedDisk) -> None:
    disk.capacity_10 = bytes.fromhex("FFFFFFFF00000200")
    disk.answer = lambda cdb, data: CommandResult(0, bytes(8)) if cdb[0] == 0x9E else None


UNUSABLE: list[tuple[Rule, Break]] = [
    (Rule.LUN_NOT_REPORTED, set_attribute("reported", (1,))),
    (Rule.LUN_NOT_REPORTED, refuse(0xA0)),
    (Rule.NOT_A_DISK, set_attribute("standard", bytes([0x7F]) + bytes(35))),
    (Rule.NOT_A_DISK, refuse(0x12, 0)),
    (Rule.NO_CAPACITY, refuse(0x25)),
    (Rule.NO_CAPACITY, set_capacity(bytes.fromhex("0C7FFFFF00000208"))),
    (Rule.NO_CAPACITY, short_capacity_16),
]


@pytest.mark.parametrize(("rule", "broken"), UNUSABLE)
def test_a_disk_that_cannot_be_used(rule: Rule, broken: Break) -> None:
    assert unusable(broken) is rule


def no_queueing(disk: ScriptedDisk) -> None:
    disk.standard = disk.standard[:7] + bytes([0]) + disk.standard[8:]


def qerr(disk: ScriptedDisk) -> None:
    disk.modes[0x0A] = bytes.fromhex("0A0A0002") + bytes(8)


def write_protected(disk: ScriptedDisk) -> None:
    reply = bytes([3, 0, 0x80, 0])
    disk.answer = lambda cdb, data: CommandResult(0, reply) if cdb[:3] == b"\x1a\x00\x3f" else None


NOTES: list[tuple[Rule, Break]] = [
    (Rule.NO_COMMAND_QUEUEING, no_queueing),
    (Rule.NO_IDENTIFIER, remove(0x83)),
    (Rule.SHORT_CAPACITY_16, refuse(0x9E)),
    (Rule.WRITE_PROTECTED, write_protected),
    (Rule.QERR_NOT_ZERO, qerr),
    (Rule.OPTIMUM_OVER_MAXIMUM, copy_page(limits(2049, 2048))),
]


@pytest.mark.parametrize(("rule", "broken"), NOTES)
def test_what_is_only_noted(rule: Rule, broken: Break) -> None:
    bench = Bench()
    broken(bench.source)
    bench.start()
    assert bench.rules() == [rule]
    assert not bench.host.journal.declines
    assert bench.copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES


# Refused without a command


def refused(bench: Bench, size_bytes: int = SIZE_BYTES, layouts: list[FileLayout] | None = None) -> Rule:
    report = bench.copy(size_bytes, layouts)
    assert report.offloaded_bytes == 0
    assert report.stop is not None
    assert bench.kinds() == []
    return report.stop.rule


def test_a_file_under_256_kib() -> None:
    assert refused(Bench().start(), (256 << 10) - 512) is Rule.FILE_TOO_SMALL
    assert Bench().start().copy(256 << 10).offloaded_bytes == 256 << 10


def test_a_lifetime_over_the_maximum() -> None:
    assert refused(Bench(settings=WindowsSettings(token_lifetime_s=601)).start()) is Rule.LIFETIME_TOO_LONG
    bench = Bench(settings=WindowsSettings(token_lifetime_s=600)).start()
    assert bench.copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES
    assert bench.source.lists(0x10)[0][4:8] == (600).to_bytes(4, "big")


def test_ranges_outside_the_disk() -> None:
    bench = Bench().start()
    outside = FileLayout((BlockRange(bench.disks[0].capacity_blocks - 1, 2048),), 512)
    destination = contiguous(0x900000, SIZE_BYTES, 512)
    bench.source.blocks += 4096  # what is read there later
    assert refused(bench, SIZE_BYTES, [outside, destination]) is Rule.RANGE_REFUSED


def test_a_token_shorter_than_a_block_of_the_destination() -> None:
    bench = Bench()
    bench.scripted[1] = ScriptedDisk(bench.source.array, bench.clock, 1, 4096)
    bench.paths[1][0].disk = bench.scripted[1]
    bench.start()
    bench.source.truncate = lambda what, count: 7
    source, destination = (
        WindowsFile(disk, contiguous(DESTINATION_BYTES // disk.block_bytes, SIZE_BYTES, disk.block_bytes))
        for disk in bench.disks
    )
    report = run(FileCopy(bench.host, source, destination).run())
    assert report.stop is not None
    assert report.stop.rule is Rule.TOKEN_UNUSABLE


# Answers


def answering(reply: bytes) -> Break:
    def change(disk: ScriptedDisk) -> None:
        disk.answer = lambda cdb, data: CommandResult(0, reply) if (cdb[0], cdb[1]) == RRTI else None

    return change


TOKEN = b"t" * 512
BLOCKS = SIZE_BYTES // 512
READ_SIDE: list[tuple[Rule, Break]] = [
    (Rule.POPULATE_FAILED, refuse(0x83, 0x10)),
    (Rule.INFORMATION_FAILED, refuse(0x84)),
    (Rule.INFORMATION_MISTAKEN, refuse(0x84, with_result=check_condition(5, 0x1A, 0))),
    (Rule.INFORMATION_MISTAKEN, refuse(0x84, with_result=check_condition(5, 0x0D, 4))),
    (Rule.ANSWER_TOO_SHORT, answering(token_information(0x10, 1, BLOCKS, TOKEN)[:31])),
    (Rule.NOT_COMPLETE, answering(token_information(0x10, 0x12, BLOCKS, TOKEN))),
    (Rule.OPERATION_FAILED, answering(token_information(0x10, 0x02, BLOCKS, TOKEN))),
    (Rule.OPERATION_FAILED, answering(token_information(0x10, 0x60, BLOCKS, TOKEN, sense=POWER_ON.sense))),
    (Rule.COUNT_OVER_REQUEST, answering(token_information(0x10, 1, BLOCKS + 1, TOKEN))),
    (Rule.COUNT_ZERO, answering(token_information(0x10, 3, 0, TOKEN))),
    (Rule.TOKEN_DESCRIPTOR_LENGTH, answering(token_information(0x10, 1, BLOCKS, b""))),
    (Rule.TOKEN_DESCRIPTOR_LENGTH, answering(token_information(0x10, 1, BLOCKS, TOKEN)[:-1])),
]


@pytest.mark.parametrize(("rule", "broken"), READ_SIDE)
def test_an_offload_read_that_fails(rule: Rule, broken: Break) -> None:
    bench = Bench().start()
    broken(bench.source)
    report = bench.copy(SIZE_BYTES)
    assert (report.offloaded_bytes, report.ordinary_bytes) == (0, SIZE_BYTES)
    assert bench.rules() == [rule]
    assert WUT not in bench.kinds()
    assert bench.kinds().count(RRTI) <= 1


WRITE_SIDE: list[tuple[Rule, Break]] = [
    (Rule.TOKEN_REFUSED, refuse(0x83, 0x11, with_result=check_condition(5, 0x23, 5))),
    (Rule.WRITE_FAILED, refuse(0x83, 0x11, with_result=check_condition(3, 0x0C, 0))),
    (Rule.WRITE_FAILED, refuse(0x83, 0x11, with_result=check_condition(0xA, 0x0D, 4))),
    (Rule.INFORMATION_OVER_REQUEST, refuse(0x83, 0x11, with_result=check_condition(0xA, 0x0D, 4, BLOCKS + 1))),
]


@pytest.mark.parametrize(("rule", "broken"), WRITE_SIDE)
def test_an_offload_write_that_fails(rule: Rule, broken: Break) -> None:
    bench = Bench().start()
    broken(bench.destination)
    report = bench.copy(SIZE_BYTES)
    assert (report.offloaded_bytes, report.ordinary_bytes) == (0, SIZE_BYTES)
    assert bench.rules() == [rule]
    assert bench.kinds()[:3] == [PT, RRTI, WUT]


def test_a_count_in_bytes_is_taken_as_blocks() -> None:
    bench = Bench().start()
    answering(token_information(0x10, 1, 100, TOKEN, units=0))(bench.source)
    bench.destination.answer = lambda cdb, data: check_condition(5, 0x23, 4) if cdb[0] == 0x83 else None
    bench.copy(SIZE_BYTES)
    assert bench.rules()[0] is Rule.COUNT_UNITS


ELSEWHERE = {Rule.HELD_OFF, Rule.DISK_OFFLINE, Rule.ORDINARY_FAILED}
"""In the tests of the fault script."""
HERE = {Rule.FILE_TOO_SMALL, Rule.LIFETIME_TOO_LONG, Rule.RANGE_REFUSED, Rule.TOKEN_UNUSABLE, Rule.COUNT_UNITS}


def test_every_reason_to_decline_has_a_test() -> None:
    tables = [rule for table in (DISCOVERY, UNUSABLE, READ_SIDE, WRITE_SIDE) for rule, _ in table]
    tested = {*tables, *(rule for rule, _, _ in BROKEN_LOGINS), *ELSEWHERE, *HERE}
    assert tested == {rule for rule in Rule if rule.declines}
