"""Lines of the trace."""

import re

from odx_target.cli.hosts.windows.trace import TracePrinter
from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.journal import LoginStep, Management, Remark
from odx_target.initiator.windows.rules import Finding, Rule
from tests.initiator.driving import run
from tests.initiator.naive_target import check_condition
from tests.initiator.windows.bench import Bench, extents
from tests.initiator.windows.scripted import MIB, NoAnswer


def trace(bench: Bench, *, with_bytes: bool = False) -> list[str]:
    lines: list[str] = []
    printer = TracePrinter(lines.append, 1000.0, with_bytes)
    for entry in bench.entries:
        printer.tell(entry)
    printer.finish()
    return [re.sub(r"^ *[\d.]+ s ", "", line) for line in lines]


def test_a_copy_by_token() -> None:
    bench = Bench().start()
    bench.copy(MIB)
    lines = trace(bench)
    assert lines[0] == "S SYNCHRONIZE CACHE(10) logical_block_address=0 number_of_logical_blocks=0 -> GOOD"
    sends = "sends inactivity_timeout=0 (the default) ranges=[1048576+2048]"
    assert lines[2] == f"S POPULATE TOKEN list_identifier=0 | {sends} -> GOOD"
    token = "rod_token=[00800000h point in time copy, default, identifier 0000000000000000, "
    assert lines[3].startswith(
        "S RECEIVE ROD TOKEN INFORMATION list_identifier=0 allocation_length=805 -> GOOD | data=550 | answers "
        f"copy_operation_status=1 (completed without error) transfer_count=2048 {token}"
    )
    assert lines[4].startswith(f"T WRITE USING TOKEN list_identifier=1 | sends offset_into_rod=0 {token}")
    assert lines[4].endswith("ranges=[9437184+2048] -> GOOD")


def test_of_many_ranges_the_first_are_shown() -> None:
    bench = Bench().start()
    layouts = [extents(512, *((at + 64 * number, 8192) for number in range(64))) for at in (0x100000, 0x900000)]
    bench.copy(layouts=layouts)
    populate = next(line for line in trace(bench) if "POPULATE" in line)
    assert "ranges=[1048576+16, 1048640+16, 1048704+16, 1048768+16, and 60 more]" in populate
    assert "and 60 more" not in "".join(trace(bench, with_bytes=True))


def test_the_bytes_of_it_with_tokens_shortened() -> None:
    bench = Bench().start()
    bench.copy(MIB)
    lines = [line.strip() for line in trace(bench, with_bytes=True)]
    assert "CDB  83 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00" in lines
    assert "list 00 1e 00 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 00 00 10 00 00 00 00 08 00 00 00 00 00" in lines
    assert "rest 00 00 00 00 00 00 00 10 00 00 00 00 00 90 00 00 00 00 08 00 00 00 00 00" in lines
    (token,) = [line for line in lines if line.startswith("token")]
    assert token == "token 00 80 00 00 00 00 01 f8 00 00 00 00 00 00 00 00 .. 512 bytes"
    assert max(len(line) for line in lines) < 600


def test_a_mode_select_shows_its_list_where_all_is_shown() -> None:
    bench = Bench()
    bench.source.modes[0x0A] = bytes.fromhex("8a0a0216000000000000001e")
    run(enumeration.start(bench.disks))
    wanted = "S MODE SELECT(6) "
    (line,) = [line for line in trace(bench, with_bytes=True) if line.startswith(wanted)]
    assert "| sends " in line
    assert "page_code=0xa (Control)" in line
    (line,) = [line for line in trace(bench) if line.startswith(wanted)]
    assert "sends" not in line


def test_a_fallback_is_a_line_for_all_reads_and_one_for_all_writes() -> None:
    bench = Bench().start()
    bench.source.answer = lambda cdb, data: check_condition(0xB, 0x55, 3) if cdb[0] == 0x83 else None
    bench.copy(MIB)
    lines = trace(bench)
    assert [re.sub(r" \| sends.*?\]", "", line) for line in lines[2:]] == [
        "S POPULATE TOKEN list_identifier=0 -> CHECK CONDITION | ABORTED COMMAND, 55h/03h insufficient resources",
        "           *** Windows gives up: S: POPULATE TOKEN failed (INSUFFICIENT_RESOURCES, ABORTED COMMAND 55h/03h"
        " insufficient resources) at byte 0 of the file [2.3]",
        "S READ(10) logical_block_address=1048576 transfer_length=512 -> GOOD, and 3 more up to block 1050624",
        "T WRITE(10) logical_block_address=9437184 transfer_length=512 -> GOOD, and 3 more up to block 9439232",
        "T SYNCHRONIZE CACHE(10) logical_block_address=0 number_of_logical_blocks=0 -> GOOD",
    ]


def test_what_is_untagged_late_or_managed() -> None:
    bench = Bench().start()
    left: list[CommandResult | None] = [None]

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[:2] == b"\x83\x11" and left:
            left.pop()
            raise NoAnswer
        return None

    bench.destination.answer = answer
    bench.copy(MIB)
    lines = trace(bench)
    start = next(at for at, line in enumerate(lines) if "WRITE USING" in line)
    cdb = "83 11 00 00 00 00 00 00 00 01 00 00 02 28 00 00"
    assert [line.partition(" -> ")[2] or line.strip() for line in lines[start : start + 5]] == [
        "no answer in 75 s",
        f"*** Windows goes on: path 0: a command is not answered in time ({cdb}) [7.2, iScsiPrt 9]",
        "path 0: LOGICAL UNIT RESET: done [iScsiPrt 39]",
        "CHECK CONDITION | UNIT ATTENTION, 29h/00h power on, reset, or bus device reset occurred",
        "GOOD",
    ]
    assert lines[start + 4].startswith("T untagged WRITE USING TOKEN")


def test_logins_and_findings() -> None:
    lines: list[str] = []
    printer = TracePrinter(lines.append)
    printer.tell(LoginStep(1.5, "login request", [("AuthMethod", "None"), ("CHAP_R", "0x1234")]))
    printer.tell(Management(2.0, "path 1", "logged in again", 34))
    printer.tell(Remark(2.0, "LUN 0", "limits: none"))
    printer.tell(Finding(Rule.NO_PORTAL_GROUP_TAG, "login"))
    assert lines == [
        "   1.500 s login request | AuthMethod=None CHAP_R=(6 characters)",
        "   2.000 s path 1: logged in again [iScsiPrt 34]",
        "   2.000 s LUN 0 limits: none",
        "           *** Windows gives up: login: the first login response of a session has no TargetPortalGroupTag"
        " [7.2, iScsiPrt 43]",
    ]


def test_the_path_is_told_where_there_are_several() -> None:
    lines: list[str] = []
    printer = TracePrinter(lines.append, with_paths=True)
    bench = Bench(path_count=2).start()
    bench.copy(MIB)
    for entry in bench.entries:
        printer.tell(entry)
    assert any("S (path 0) POPULATE TOKEN" in line for line in lines)
