"""Lines of the trace."""

import re

from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows.journal import LoginStep, Management
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.trace import TracePrinter
from tests.initiator.naive_target import check_condition
from tests.initiator.windows.bench import Bench
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
    assert lines[0] == "S SYNCHRONIZE CACHE (10) -> GOOD"
    assert lines[2] == "S POPULATE TOKEN list 00000000h, 2048 blocks at 1048576 -> GOOD"
    assert lines[3].startswith(
        "S RECEIVE ROD TOKEN INFORMATION list 00000000h, allocation 805 -> "
        "GOOD, status 01h, 2048 blocks, token 00800000000001f8"
    )
    assert lines[4] == "T WRITE USING TOKEN list 00000001h, offset 0, 2048 blocks at 9437184 -> GOOD"


def test_the_bytes_of_it_with_tokens_shortened() -> None:
    bench = Bench().start()
    bench.copy(MIB)
    lines = [line.strip() for line in trace(bench, with_bytes=True)]
    assert "CDB  83 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00" in lines
    assert "list 00 1e 00 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 00 00 10 00 00 00 00 08 00 00 00 00 00" in lines
    assert "rest 00 00 00 00 00 00 00 10 00 00 00 00 00 90 00 00 00 00 08 00 00 00 00 00" in lines
    (token,) = [line for line in lines if line.startswith("token")]
    assert token == "token 00 80 00 00 00 00 01 f8 00 00 00 00 00 00 00 00 .. 512 bytes"
    assert max(len(line) for line in lines) < 400


def test_a_fallback_is_a_line_for_all_reads_and_one_for_all_writes() -> None:
    bench = Bench().start()
    bench.source.answer = lambda cdb, data: check_condition(0xB, 0x55, 3) if cdb[0] == 0x83 else None
    bench.copy(MIB)
    lines = trace(bench)
    assert lines[2:] == [
        "S POPULATE TOKEN list 00000000h, 2048 blocks at 1048576 -> ABORTED COMMAND 55h/03h insufficient resources",
        "           *** Windows gives up: S: POPULATE TOKEN failed (INSUFFICIENT_RESOURCES, ABORTED COMMAND 55h/03h"
        " insufficient resources) at byte 0 of the file [2.3]",
        "S READ (10) 512 blocks at 1048576 -> GOOD, and 3 more up to block 1050624",
        "T WRITE (10) 512 blocks at 9437184 -> GOOD, and 3 more up to block 9439232",
        "T SYNCHRONIZE CACHE (10) -> GOOD",
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
    assert [line.partition(" -> ")[2] or line for line in lines[start : start + 4]] == [
        "no answer in 75 s",
        "path 0: LOGICAL UNIT RESET: done",
        "UNIT ATTENTION 29h/00h power on, reset, or bus device reset occurred",
        "GOOD",
    ]
    assert lines[start + 3].startswith("T untagged WRITE USING TOKEN")


def test_logins_and_findings() -> None:
    lines: list[str] = []
    printer = TracePrinter(lines.append)
    printer.tell(LoginStep(1.5, "login request", [("AuthMethod", "None"), ("A", "B")]))
    printer.tell(Management(2.0, "path 1", "logged in again"))
    printer.tell(Finding(Rule.NO_PORTAL_GROUP_TAG, "login"))
    assert lines == [
        "   1.500 s login request: AuthMethod=None A=B",
        "   2.000 s path 1: logged in again",
        "           *** Windows gives up: login: the first login response of a session has no TargetPortalGroupTag [7.2]",
    ]


def test_the_path_is_told_where_there_are_several() -> None:
    lines: list[str] = []
    printer = TracePrinter(lines.append, with_paths=True)
    bench = Bench(path_count=2).start()
    bench.copy(MIB)
    for entry in bench.entries:
        printer.tell(entry)
    assert any("S (path 0) POPULATE TOKEN" in line for line in lines)
