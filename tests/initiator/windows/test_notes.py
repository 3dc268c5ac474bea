"""The rules that Windows only notes: a scripted target breaks each, and the copy by token succeeds."""

import pytest

from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copying.copy_engine import FileCopy, Metadata, WindowsFile
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import QerrOverride, WindowsSettings
from tests.initiator.driving import run
from tests.initiator.naive_target import INVALID_FIELD_IN_CDB, check_condition
from tests.initiator.windows.bench import PT, RRTI, WUT, Bench, words
from tests.initiator.windows.scripted import MIB, POWER_ON, ScriptedDisk, limits
from tests.initiator.windows.test_declines import Break, copy_page, refuse, remove

SIZE_BYTES = MIB


def no_queueing(disk: ScriptedDisk) -> None:
    disk.standard = disk.standard[:7] + bytes([0]) + disk.standard[8:]


def qerr(disk: ScriptedDisk) -> None:
    disk.modes[0x0A] = bytes.fromhex("0A0A0002") + bytes(8)


def write_protected(disk: ScriptedDisk) -> None:
    reply = bytes([3, 0, 0x80, 0])
    disk.answer = lambda cdb, data: CommandResult(0, reply) if cdb[:3] == b"\x1a\x00\x3f" else None


NOTES: list[tuple[Rule, Break]] = [
    (Rule.NO_COMMAND_QUEUEING, no_queueing),
    (Rule.NO_SERIAL_NUMBER, remove(0x80)),
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


def metadata_copy(bench: Bench) -> None:
    """Copy with the file system's own writes: 4 KiB that belong to no file."""
    layouts = bench.layouts(SIZE_BYTES)
    bench.fill(layouts[0])
    files = [WindowsFile(disk, layout) for disk, layout in zip(bench.disks, layouts, strict=True)]
    lba = 0x800000 * 512 // bench.block_bytes
    metadata = Metadata(lba, b"m" * 4096)
    report = run(FileCopy(bench.host, files[0], files[1], metadata=metadata).run())
    assert report.offloaded_bytes == SIZE_BYTES
    assert bench.destination.content.read(lba, 4096 // bench.block_bytes) == b"m" * 4096


FUA_WRITES = {512: "2A 08 00 80 00 00 00 00 08 00", 4096: "2A 08 00 10 00 00 00 00 01 00"}


@pytest.mark.parametrize("block_bytes", FUA_WRITES)
def test_the_file_system_writes_its_own_blocks_with_fua_before_and_after_the_copy(block_bytes: int) -> None:
    bench = Bench(block_bytes=block_bytes).start()
    metadata_copy(bench)
    flush, metadata = bytes.fromhex("35") + bytes(9), words(FUA_WRITES[block_bytes])
    sent = bench.destination.cdbs()
    assert sent == [metadata, metadata, flush, *bench.destination.cdbs(0x83), flush, metadata, metadata]


def test_without_a_write_cache_no_fua() -> None:
    bench = Bench()
    bench.destination.modes[0x08] = bytes([0x88, 18, 0]).ljust(20, b"\0")
    bench.start()
    metadata_copy(bench)
    assert {cdb[1] for cdb in bench.destination.cdbs(0x2A)} == {0}


def test_a_target_that_refuses_fua_is_taken_to_have_no_cache() -> None:
    bench = Bench().start()
    bench.destination.answer = lambda cdb, data: INVALID_FIELD_IN_CDB if cdb[0] == 0x2A and cdb[1] & 8 else None
    metadata_copy(bench)
    assert bench.rules() == [Rule.FUA_REFUSED]
    assert [cdb[1] for cdb in bench.destination.cdbs(0x2A)] == [8, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("override", "has_tokens", "asks"), [(0, True, True), (0, False, False), (1, False, True), (2, True, False)]
)
def test_when_qerr_is_looked_at(override: int, has_tokens: bool, asks: bool) -> None:
    bench = Bench(settings=WindowsSettings(qerr_override=QerrOverride(override)))
    if not has_tokens:
        remove(0x8F)(bench.source)
        remove(0x8F)(bench.destination)
    run(enumeration.start(bench.disks))
    assert (words("1A 00 0A 00 C0 00") in bench.source.cdbs()) == asks


def test_a_qerr_that_cannot_be_set_is_left_alone() -> None:
    bench = Bench()
    qerr(bench.source)
    bench.source.answer = lambda cdb, data: check_condition(6, 0x29, 0) if cdb[0] == 0x15 else None
    bench.start()
    assert bench.copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES
    bench = Bench()
    qerr(bench.source)
    bench.source.answer = lambda cdb, data: check_condition(6, 0x29, 0) if cdb[0] == 0x15 else None
    run(enumeration.start(bench.disks))
    assert len(bench.source.cdbs(0x15)) == 2


def test_more_pages_than_255_bytes_show() -> None:
    bench = Bench()
    for disk in bench.scripted:
        disk.page_list = bytes(range(256))
        disk.pages |= {page: disk.pages.get(page, bytes(4)) for page in range(256)}
    bench.start()
    assert bench.disks[0].capability is not None
    bench = Bench()
    bench.source.page_list = bytes(range(251)) + b"\0\0"  # more than Windows reads of the page
    assert bench.start().disks[0].capability is not None


def test_the_transfer_lengths_of_b0h_do_not_bound_a_range() -> None:
    bench = Bench()
    for disk in bench.scripted:
        disk.pages[0xB0] = bytes(4) + (8).to_bytes(4, "big") + (8).to_bytes(4, "big") + bytes(48)
    assert bench.start().copy(256 * MIB).tokens == 1


def test_an_answer_for_another_command() -> None:
    bench = Bench().start()

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if (cdb[0], cdb[1]) != RRTI:
            return None
        reply = bytes(bench.source.obey(cdb, data).data_in)
        return CommandResult(0, reply[:4] + b"\x11" + reply[5:])

    bench.source.answer = answer
    assert bench.copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES
    assert bench.rules() == [Rule.FOREIGN_ANSWER]


@pytest.mark.parametrize(("kind", "times", "sent"), [(PT, 1, 2), (RRTI, 1, 2), (WUT, 2, 3)])
def test_retries_of_token_commands_are_the_same_bytes_and_the_last_is_untagged(
    kind: tuple[int, int], times: int, sent: int
) -> None:
    bench = Bench().start()
    disk = bench.destination if kind == WUT else bench.source
    left = [POWER_ON] * times
    disk.answer = lambda cdb, data: left.pop() if (cdb[0], cdb[1]) == kind and left else None
    assert bench.copy(SIZE_BYTES).offloaded_bytes == SIZE_BYTES
    tries = [(attribute, cdb, data) for _, attribute, cdb, data in disk.sent if (cdb[0], cdb[1]) == kind]
    assert [attribute for attribute, _, _ in tries] == [1] * (sent - 1) + [0]
    assert len({(cdb, data) for _, cdb, data in tries}) == 1


def test_the_question_after_a_write_is_asked_three_times() -> None:
    bench = Bench().start()
    failing = {WUT: check_condition(4, 0x44, 0), RRTI: POWER_ON}
    bench.destination.answer = lambda cdb, data: failing.get((cdb[0], cdb[1]))
    bench.copy(SIZE_BYTES)
    assert bench.kinds() == [PT, RRTI, WUT, RRTI, RRTI, RRTI]


@pytest.mark.parametrize("valid_bytes", [0, SIZE_BYTES // 2])
def test_what_was_never_written_is_answered_by_the_file_system(valid_bytes: int) -> None:
    bench = Bench().start()
    source, destination = bench.layouts(SIZE_BYTES)
    bench.source.content.write(source.extents[0].lba, b"x" * 512)
    bench.destination.content.write(destination.extents[0].lba + 2000, b"old" * 170 + b"ol")
    files = WindowsFile(bench.disks[0], source, valid_bytes), WindowsFile(bench.disks[1], destination)
    report = run(FileCopy(bench.host, *files).run())
    assert report.offloaded_bytes == SIZE_BYTES
    zeros = [data for data in bench.destination.lists(0x11) if data[16:20] == words("FFFF0001")]
    assert len(zeros) == 1
    assert bench.kinds() == ([WUT] if not valid_bytes else [PT, RRTI, WUT, WUT])
    assert list(bench.destination.content.data) == ([] if not valid_bytes else [destination.extents[0].lba])


def test_reads_and_writes_beyond_what_was_written_are_zeros() -> None:
    bench = Bench().start()
    source, destination = bench.layouts(SIZE_BYTES)
    bench.source.content.write(source.extents[0].lba, b"x" * 512)
    bench.source.content.write(source.extents[0].lba + 1500, b"y" * 512)
    refuse(0x83, with_result=check_condition(0xB, 0x55, 3))(bench.source)
    files = WindowsFile(bench.disks[0], source, SIZE_BYTES // 2), WindowsFile(bench.disks[1], destination)
    assert run(FileCopy(bench.host, *files).run()).ordinary_bytes == SIZE_BYTES
    assert list(bench.destination.content.data) == [destination.extents[0].lba]
    assert len(bench.source.cdbs(0x28)) == 2
