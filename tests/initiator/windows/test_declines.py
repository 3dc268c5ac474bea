"""Every reason for which Windows gives up, each caused by a scripted target."""

from collections.abc import Callable

import pytest

from odx_target.initiator.copying.token_commands import BlockRange
from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copying.copy_engine import FileCopy, WindowsFile
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.disk import DiskUnusable
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import WindowsSettings
from tests.initiator.driving import run
from tests.initiator.naive_target import INVALID_FIELD_IN_CDB, check_condition, token_information
from tests.initiator.windows.bench import DESTINATION_BYTES, PT, RRTI, WUT, Bench
from tests.initiator.windows.contiguous import contiguous
from tests.initiator.windows.scripted import MIB, POWER_ON, ScriptedDisk, limits

SIZE_BYTES = MIB
ASKED = "RECEIVE ROD TOKEN INFORMATION"
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
    """Return a change of a disk that refuses the commands with these first bytes."""

    def change(disk: ScriptedDisk) -> None:
        disk.answer = lambda cdb, data: with_result if cdb.startswith(bytes(beginning)) else None

    return change


def remove(page: int) -> Break:
    def change(disk: ScriptedDisk) -> None:
        del disk.pages[page]

    return change


OTHER_DESCRIPTOR = bytes.fromhex("000C0004 00000000")
DISCOVERY: list[tuple[Rule, str, Break]] = [
    (Rule.NO_PAGE_LIST, "INQUIRY 00h", refuse(0x12, 1, 0)),
    (Rule.NO_PAGE_LIST, "INQUIRY 00h", refuse(0x12, 1, 0, with_result=POWER_ON)),
    (Rule.PAGE_LIST_ORDER, "INQUIRY 00h", page_list("00 80 83 B0 8F B2")),
    (Rule.PAGE_LIST_ORDER, "INQUIRY 00h", page_list("00 80 80 83 8F B0")),
    (Rule.PAGE_LIST_ORDER, "INQUIRY 00h", page_list("80 83 8F B0")),
    (Rule.PAGE_LIST_ORDER, "INQUIRY 00h", page_list("")),
    (Rule.PAGE_NOT_LISTED, "INQUIRY B0h", page_list("00 80 83 B0 B2")),
    (Rule.NO_COPY_PAGE, "INQUIRY 8Fh", refuse(0x12, 1, 0x8F)),
    (Rule.NO_COPY_PAGE, "INQUIRY 8Fh", refuse(0x12, 1, 0x8F, with_result=check_condition(4, 0x44, 0))),
    (Rule.COPY_PAGE_LENGTH, "INQUIRY 8Fh", copy_page(limits()[:-1])),
    (Rule.COPY_PAGE_LENGTH, "INQUIRY 8Fh", copy_page(b"")),
    (Rule.FIRST_DESCRIPTOR_TYPE, "INQUIRY 8Fh", copy_page(limits(kind=1))),
    (Rule.FIRST_DESCRIPTOR_TYPE, "INQUIRY 8Fh", copy_page(OTHER_DESCRIPTOR + limits())),
    (Rule.FIRST_DESCRIPTOR_LENGTH, "INQUIRY 8Fh", copy_page(limits(length=0x1C))),
    (Rule.FIRST_DESCRIPTOR_LENGTH, "INQUIRY 8Fh", copy_page(limits(length=0x24) + bytes(4))),
]


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(("rule", "step", "broken"), DISCOVERY)
def test_a_disk_that_says_it_wrongly_never_sees_a_token_command(end: int, rule: Rule, step: str, broken: Break) -> None:
    bench = Bench()
    broken(bench.scripted[end])
    bench.start()
    assert bench.disks[end].capability is None
    assert [finding.rule for finding in bench.host.journal.declines] == [rule]
    assert bench.step(rule) == step
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
        disk.pages[0x8F] = limits(8192) + OTHER_DESCRIPTOR * 40  # much longer than the 255 bytes that Windows reads
    assert bench.start().copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES


def set_capacity(value: bytes) -> Break:
    def change(disk: ScriptedDisk) -> None:
        disk.capacity_10 = value

    return change


def set_attribute(name: str, value: object) -> Break:
    return lambda disk: setattr(disk, name, value)


def short_capacity_16(disk: ScriptedDisk) -> None:
    disk.capacity_10 = bytes.fromhex("FFFFFFFF00000200")
    disk.answer = lambda cdb, data: CommandResult(0, bytes(8)) if cdb[0] == 0x9E else None


UNUSABLE: list[tuple[Rule, str, Break]] = [
    (Rule.LUN_NOT_REPORTED, "REPORT LUNS", set_attribute("reported", (1,))),
    (Rule.LUN_NOT_REPORTED, "REPORT LUNS", refuse(0xA0)),
    (Rule.NOT_A_DISK, "INQUIRY", set_attribute("standard", bytes([0x7F]) + bytes(35))),
    (Rule.NOT_A_DISK, "INQUIRY", refuse(0x12, 0)),
    (Rule.NO_CAPACITY, "READ CAPACITY(10)", refuse(0x25)),
    (Rule.NO_CAPACITY, "READ CAPACITY(10)", set_capacity(bytes.fromhex("0C7FFFFF00000208"))),
    (Rule.NO_CAPACITY, "READ CAPACITY(16)", short_capacity_16),
]


@pytest.mark.parametrize(("rule", "step", "broken"), UNUSABLE)
def test_a_disk_that_cannot_be_used(rule: Rule, step: str, broken: Break) -> None:
    bench = Bench()
    broken(bench.source)
    with pytest.raises(DiskUnusable) as raised:
        run(enumeration.start(bench.disks))
    assert raised.value.finding.rule is rule
    assert bench.step(rule) == step


# Requests that are refused without a command


def refused(bench: Bench, size_bytes: int = SIZE_BYTES, layouts: list[FileLayout] | None = None) -> Bench:
    report = bench.copy(size_bytes, layouts)
    assert report.offloaded_bytes == 0
    assert bench.kinds() == []
    return bench


def too_small() -> Bench:
    return refused(Bench().start(), (256 << 10) - 512)


def lives_too_long() -> Bench:
    return refused(Bench(settings=WindowsSettings(token_lifetime_s=601)).start())


def outside_the_disk() -> Bench:
    bench = Bench().start()
    outside = FileLayout((BlockRange(bench.disks[0].capacity_blocks - 1, 2048),), 512)
    bench.source.blocks += 4096  # for the reads by which the copy continues
    return refused(bench, SIZE_BYTES, [outside, contiguous(0x900000, SIZE_BYTES, 512)])


def held_off() -> Bench:
    bench = Bench().start()
    refuse(0x83, 0x11, with_result=check_condition(5, 0x23, 4))(bench.destination)
    bench.copy(SIZE_BYTES)
    bench.entries.clear()
    return refused(bench)


def token_of_less_than_a_block() -> Bench:
    bench = Bench()
    bench.scripted[1] = ScriptedDisk(bench.source.array, bench.clock, 1, 4096)
    bench.paths[1][0].disk = bench.scripted[1]
    bench.start()
    bench.source.truncate = lambda what, count: 7
    source, destination = (
        WindowsFile(disk, contiguous(DESTINATION_BYTES // disk.block_bytes, SIZE_BYTES, disk.block_bytes))
        for disk in bench.disks
    )
    run(FileCopy(bench.host, source, destination).run())
    return bench


def ends(bench: Bench) -> Bench:
    with pytest.raises(DiskUnusable):
        bench.copy(SIZE_BYTES)
    return bench


def full_pool() -> Bench:
    bench = Bench().start()
    refuse(0x83, 0x11, with_result=check_condition(7, 0x27, 7))(bench.destination)
    return ends(bench)


def unwritable() -> Bench:
    bench = Bench().start()
    bench.destination.answer = lambda cdb, data: check_condition(3, 0x0C, 0) if cdb[0] in (0x83, 0x2A) else None
    return ends(bench)


def count_in_bytes() -> Bench:
    bench = Bench().start()
    answering(token_information(0x10, 1, 100, TOKEN, units=0))(bench.source)
    refuse(0x83, with_result=check_condition(5, 0x23, 4))(bench.destination)
    bench.copy(SIZE_BYTES)
    return bench


ANYWHERE: list[tuple[Rule, str, Callable[[], Bench]]] = [
    (Rule.FILE_TOO_SMALL, "SYNCHRONIZE CACHE(10)", too_small),
    (Rule.LIFETIME_TOO_LONG, "SYNCHRONIZE CACHE(10)", lives_too_long),
    (Rule.RANGE_REFUSED, "SYNCHRONIZE CACHE(10)", outside_the_disk),
    (Rule.HELD_OFF, "SYNCHRONIZE CACHE(10)", held_off),
    (Rule.TOKEN_UNUSABLE, ASKED, token_of_less_than_a_block),
    (Rule.COUNT_UNITS, ASKED, count_in_bytes),
    (Rule.DISK_OFFLINE, ASKED, full_pool),
    (Rule.ORDINARY_FAILED, "WRITE(10)", unwritable),
]


@pytest.mark.parametrize(("rule", "step", "act"), ANYWHERE)
def test_other_reasons(rule: Rule, step: str, act: Callable[[], Bench]) -> None:
    bench = act()
    assert rule in bench.rules()
    assert bench.step(rule) == step


def test_limits_are_the_last_value_that_is_taken() -> None:
    assert Bench().start().copy(256 << 10).offloaded_bytes == 256 << 10
    bench = Bench(settings=WindowsSettings(token_lifetime_s=600)).start()
    assert bench.copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES
    assert bench.source.lists(0x10)[0][4:8] == (600).to_bytes(4, "big")


def test_a_target_that_reports_no_longest_lifetime_takes_any() -> None:
    bench = Bench(settings=WindowsSettings(token_lifetime_s=0xFFFFFFFF))
    bench.source.pages[0x8F] = bench.source.pages[0x8F][:12] + bytes(4) + bench.source.pages[0x8F][16:]
    bench.destination.pages[0x8F] = bench.source.pages[0x8F]
    assert bench.start().copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES


# Answers of RECEIVE ROD TOKEN INFORMATION


def answering(reply: bytes) -> Break:
    def change(disk: ScriptedDisk) -> None:
        disk.answer = lambda cdb, data: CommandResult(0, reply) if (cdb[0], cdb[1]) == RRTI else None

    return change


TOKEN = b"t" * 512
BLOCKS = SIZE_BYTES // 512
READ_SIDE: list[tuple[Rule, str, Break]] = [
    (Rule.POPULATE_FAILED, "POPULATE TOKEN", refuse(0x83, 0x10)),
    (Rule.INFORMATION_FAILED, ASKED, refuse(0x84)),
    (Rule.INFORMATION_MISTAKEN, ASKED, refuse(0x84, with_result=check_condition(5, 0x1A, 0))),
    (Rule.INFORMATION_MISTAKEN, ASKED, refuse(0x84, with_result=check_condition(5, 0x0D, 4))),
    (Rule.ANSWER_TOO_SHORT, ASKED, answering(token_information(0x10, 1, BLOCKS, TOKEN)[:31])),
    (Rule.NOT_COMPLETE, ASKED, answering(token_information(0x10, 0x12, BLOCKS, TOKEN))),
    (Rule.OPERATION_FAILED, ASKED, answering(token_information(0x10, 0x02, BLOCKS, TOKEN))),
    (
        Rule.OPERATION_FAILED,
        ASKED,
        answering(token_information(0x10, 0x60, BLOCKS, TOKEN, sense=POWER_ON.sense)),
    ),
    (Rule.COUNT_OVER_REQUEST, ASKED, answering(token_information(0x10, 1, BLOCKS + 1, TOKEN))),
    (Rule.COUNT_ZERO, ASKED, answering(token_information(0x10, 3, 0, TOKEN))),
    (Rule.TOKEN_DESCRIPTOR_LENGTH, ASKED, answering(token_information(0x10, 1, BLOCKS, b""))),
    (Rule.TOKEN_DESCRIPTOR_LENGTH, ASKED, answering(token_information(0x10, 1, BLOCKS, TOKEN)[:-1])),
]


@pytest.mark.parametrize(("rule", "step", "broken"), READ_SIDE)
def test_an_offload_read_that_fails(rule: Rule, step: str, broken: Break) -> None:
    bench = Bench().start()
    broken(bench.source)
    report = bench.copy(SIZE_BYTES)
    assert (report.offloaded_bytes, report.ordinary_bytes) == (0, SIZE_BYTES)
    assert bench.rules() == [rule]
    assert WUT not in bench.kinds()
    assert bench.kinds().count(RRTI) <= 1
    assert bench.step(rule) == step


MORE_THAN_ASKED = check_condition(0xA, 0x0D, 4, BLOCKS + 1)
WRITE_SIDE: list[tuple[Rule, str, Break]] = [
    (Rule.TOKEN_REFUSED, "WRITE USING TOKEN", refuse(0x83, 0x11, with_result=check_condition(5, 0x23, 5))),
    (Rule.WRITE_FAILED, ASKED, refuse(0x83, 0x11, with_result=check_condition(3, 0x0C, 0))),
    (Rule.WRITE_FAILED, ASKED, refuse(0x83, 0x11, with_result=check_condition(0xA, 0x0D, 4))),
    (
        Rule.INFORMATION_OVER_REQUEST,
        "WRITE USING TOKEN",
        refuse(0x83, 0x11, with_result=check_condition(0xA, 0x0D, 4, BLOCKS + 1)),
    ),
]


@pytest.mark.parametrize(("rule", "step", "broken"), WRITE_SIDE)
def test_an_offload_write_that_fails(rule: Rule, step: str, broken: Break) -> None:
    bench = Bench().start()
    broken(bench.destination)
    report = bench.copy(SIZE_BYTES)
    assert (report.offloaded_bytes, report.ordinary_bytes) == (0, SIZE_BYTES)
    assert bench.rules() == [rule]
    assert bench.kinds()[:3] == [PT, RRTI, WUT]
    assert bench.step(rule) == step
