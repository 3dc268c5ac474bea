"""The lines of `esxi-copy`: pieces, findings, the report, and the state of an interrupted copy."""

import signal
import sys
from collections import Counter

import pytest

from odx_target.cli import main as cli
from odx_target.cli.failure import Interrupted
from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.esxi.content import locks_beside, overlap
from odx_target.cli.hosts.esxi.printer import JournalPrinter
from odx_target.cli.hosts.esxi.report import finding_lines, piece_lines, work_words
from odx_target.initiator import cdb
from odx_target.initiator.esxi.data_mover import CopyReport
from odx_target.initiator.esxi.disk import EsxiDisk, Place
from odx_target.initiator.esxi.host import EsxiHost, Exchange, PieceDone, Remark, Work
from odx_target.initiator.esxi.rules import Finding, Rule
from odx_target.initiator.result import CommandResult
from tests.initiator.esxi.bench import RUNTIME
from tests.initiator.esxi.naive_disk import NaiveEsxiDisk

MIB = 1 << 20
CLONED, BY_HOST = Work(extended_copies=8), Work(reads=512, writes=512)
GOOD, FAILED = CommandResult(0), CommandResult(2, sense=bytes.fromhex("70 00 0a 00 00 00 00 0a 00 00 00 00 0d 02 00 00 00 00"))


def exchange(command: bytes, result: CommandResult | None = GOOD, *data: bytes) -> Exchange:
    return Exchange(1.5, "LUN 1", command, data, result, "" if result else "no answer in 30 s")


def printed(*entries: Exchange | PieceDone | Remark | Finding, with_all: bool = False) -> list[str]:
    lines: list[str] = []
    printer = JournalPrinter(lines.append, 1.0, with_all)
    for entry in entries:
        printer.tell(entry)
    printer.finish()
    return lines


def test_equal_pieces_are_one_line() -> None:
    pieces = [PieceDone(1.0 + at, at, 32 * MIB, CLONED if at < 3 else BY_HOST) for at in range(4)]
    assert printed(*pieces, PieceDone(6.0, 4, 8 * MIB, BY_HOST)) == [
        "   2.000 s pieces 0 to 2 of 32.0 MiB: 8 EXTENDED COPY each",
        "   3.000 s piece 3 of 32.0 MiB: 512 READ, 512 WRITE",
        "   5.000 s piece 4 of 8.0 MiB: 512 READ, 512 WRITE",
    ]


def test_commands_of_the_data_mover_are_printed_only_if_they_failed() -> None:
    routine = [cdb.shortest_read(0, 8), cdb.shortest_write(0, 8), cdb.write_same_16(0, 8), cdb.extended_copy(0)]
    assert printed(*(exchange(each) for each in routine)) == []
    assert [line.split(" -> ")[1] for line in printed(*(exchange(each, FAILED) for each in routine))] == [
        "CHECK CONDITION | COPY ABORTED, 0Dh/02h copy target device not reachable"
    ] * 4
    assert printed(exchange(cdb.extended_copy(0), None))[0].endswith(" -> no answer in 30 s")
    assert printed(exchange(cdb.test_unit_ready())) == ["   0.500 s LUN 1 TEST UNIT READY -> GOOD"]


def test_findings_and_remarks_follow_the_pieces_before_them() -> None:
    lines = printed(
        PieceDone(2.0, 0, 32 * MIB, CLONED),
        Finding(Rule.COPY_FAILED, "LUN 1", "BUSY", 4096),
        PieceDone(2.0, 1, 32 * MIB, BY_HOST),
        Remark(2.5, "LUN 1", "is slow"),
    )
    assert [line.strip() for line in lines] == [
        "1.000 s piece 0 of 32.0 MiB: 8 EXTENDED COPY",
        "*** ESXi gives up the offload: LUN 1: EXTENDED COPY failed (BUSY) at byte 4096 of the virtual disk",
        "1.000 s piece 1 of 32.0 MiB: 512 READ, 512 WRITE",
        "1.500 s LUN 1 is slow",
    ]


def test_all_bytes() -> None:
    lines = printed(
        exchange(cdb.extended_copy(16), FAILED, bytes(16)),
        exchange(cdb.shortest_read(0, 1), CommandResult(0, bytes(512))),
        exchange(cdb.read_capacity_10(), CommandResult(0, bytes(8))),
        with_all=True,
    )
    assert [line.strip() for line in lines if line.startswith(" " * 10)] == [
        "CDB  83 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00",
        f"list {bytes(16).hex(' ')}",
        f"sense {FAILED.sense.hex(' ')}",
        "CDB  28 00 00 00 00 00 00 00 01 00",
        "CDB  25 00 00 00 00 00 00 00 00 00",
        "data 00 00 00 00 00 00 00 00",
    ]


def test_numbers_of_commands() -> None:
    assert work_words(Work(1, 2, 3, 4)) == "1 EXTENDED COPY, 4 WRITE SAME, 2 READ, 3 WRITE"
    assert piece_lines(Counter({(32 * MIB, CLONED): 3, (MIB, BY_HOST): 1})) == [
        "3 pieces of 32.0 MiB: 8 EXTENDED COPY each",
        "1 piece of 1.0 MiB: 512 READ, 512 WRITE",
    ]


def test_the_most_severe_finding_is_first_and_each_rule_is_one_line() -> None:
    host = EsxiHost(RUNTIME)
    for rule in (Rule.OFFLOAD_AGAIN, Rule.COPY_FAILED, Rule.COPY_FAILED, Rule.LOCK_LOST):
        host.find(rule)
    assert finding_lines(host) == [
        "ESXi gives up the copy: another host has changed a block that this host had locked",
        "ESXi gives up the offload: EXTENDED COPY failed, 2 times",
        "ESXi goes on: the offload is tried again",
    ]


def places(source_lba: int, destination_lba: int, *, same: bool, capacity_blocks: int = 1000) -> tuple[Place, Place]:
    disks = [EsxiDisk(EsxiHost(RUNTIME), name, NaiveEsxiDisk(bytearray())) for name in "ab"]
    for disk in disks:
        disk.unit.capacity_blocks = capacity_blocks
    return Place(disks[0], source_lba), Place(disks[0 if same else 1], destination_lba)


@pytest.mark.parametrize(
    ("source_lba", "destination_lba", "same", "lba"),
    [
        (0, 0, False, 100),
        (0, 900, False, 898),
        (0, 899, False, 897),  # only one block after the virtual disk
        (0, 100, True, 200),
        (900, 800, True, 798),
        (799, 900, True, 797),  # only one block between the virtual disks
        (100, 0, True, 200),
    ],
)
def test_blocks_of_the_locks(source_lba: int, destination_lba: int, same: bool, lba: int) -> None:
    both = places(source_lba, destination_lba, same=same)
    assert locks_beside(*both, 100 * 512) == lba


def test_no_room_for_locks() -> None:
    assert locks_beside(*places(0, 0, same=False, capacity_blocks=101), 100 * 512) is None
    assert locks_beside(*places(0, 100, same=True, capacity_blocks=200), 100 * 512) is None


@pytest.mark.parametrize(("distance", "same", "expected"), [(99, True, True), (100, True, False), (0, False, False)])
def test_overlap(distance: int, same: bool, expected: bool) -> None:
    assert overlap(*places(0, distance, same=same), 100 * 512) is expected
    assert overlap(*places(distance, 0, same=same), 100 * 512) is expected


@pytest.mark.parametrize(
    ("cloned_bytes", "copied_bytes", "zeroed_bytes", "state"),
    [
        (0, 0, 0, "nothing is copied"),
        (
            4096,
            8192,
            0,
            "12288 of 1048576 bytes are done (4096 bytes offloaded, 8192 by reads and writes), and nothing is compared",
        ),
        (
            *(0, 0, 512),
            "512 of 1048576 bytes are done (0 bytes offloaded, 0 by reads and writes, "
            "512 zeroed by WRITE SAME, 0 zeroed by writes)",
        ),
    ],
)
def test_an_interrupted_copy_reports_how_far_it_came(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cloned_bytes: int,
    copied_bytes: int,
    zeroed_bytes: int,
    state: str,
) -> None:
    def interrupted(_work: object, _wish: object, report: CopyReport) -> None:
        report.cloned_bytes, report.copied_bytes, report.zeroed_bytes = cloned_bytes, copied_bytes, zeroed_bytes
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(host_command, "run", interrupted)
    urls = [f"iscsi://127.0.0.1:1/iqn.2026-11.io.a/{lun}" for lun in (0, 1)]
    monkeypatch.setattr(sys, "argv", ["odx-target", "esxi-copy", *urls, "--disk-size", "1M"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    rest = ", and nothing is compared" if state.endswith(")") else ""
    assert capsys.readouterr() == ("", f"odx-target: interrupted: {state}{rest}\n")
