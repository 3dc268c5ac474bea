"""A file of 10 GiB that is written with zeros by the zero token, byte for byte as Windows does it."""

import pytest

from odx_target.initiator.copying.token_commands import ZERO_TOKEN
from odx_target.initiator.windows.copying.copy_engine import CopyReport, FileCopy, WindowsFile
from odx_target.initiator.windows.copying.offload_write import OffloadWrite, Written
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import WindowsSettings
from tests.initiator.driving import run
from tests.initiator.naive_target import check_condition
from tests.initiator.windows.bench import DESTINATION_BYTES, WUT, Bench, words
from tests.initiator.windows.contiguous import contiguous
from tests.initiator.windows.scripted import GIB, MIB

SIZE_BYTES = 10 * GIB
BLOCK_BYTES = pytest.mark.parametrize("block_bytes", [512, 4096])
LAST = {512: "00000000 01C80000 00080000", 4096: "00000000 00390000 00010000"}
FIRST = {512: "00000000 00900000 00080000", 4096: "00000000 00120000 00010000"}


def mark(bench: Bench) -> list[int]:
    """Write data to five blocks: three in the range and its two neighbours. Returns the neighbours."""
    block_bytes = bench.block_bytes
    start, count = DESTINATION_BYTES // block_bytes, SIZE_BYTES // block_bytes
    neighbours = [start - 1, start + count]
    for lba in (start, start + count // 2, start + count - 1, *neighbours):
        bench.destination.content.write(lba, b"old content.... " * (block_bytes // 16))
    return neighbours


def zero(bench: Bench) -> CopyReport:
    neighbours = mark(bench)
    layout = contiguous(DESTINATION_BYTES // bench.block_bytes, SIZE_BYTES, bench.block_bytes)
    report = run(FileCopy(bench.host, None, WindowsFile(bench.disks[1], layout)).run())
    assert sorted(bench.destination.content.data) == neighbours
    assert bench.source.sent == []
    assert set(bench.kinds()) == {WUT}
    return report


@BLOCK_BYTES
def test_requests_of_256_mib(block_bytes: int) -> None:
    bench = Bench("A", block_bytes).start()
    assert zero(bench).offloaded_bytes == SIZE_BYTES
    assert [cdb for _, cdb in bench.commands()] == [words(f"83110000 0000 000000{at:02X} 00000228 0000") for at in range(40)]
    sent = bench.destination.lists(0x11)
    head = words("0226") + bytes(14) + words("FFFF0001 000001F8") + bytes(504) + words("000000000000 0010")
    assert sent[0] == head + words(FIRST[block_bytes]) + bytes(4)
    assert sent[39] == head + words(LAST[block_bytes]) + bytes(4)
    assert {data[8:16] for data in sent} == {bytes(8)}


def test_without_an_optimum_pieces_of_64_mib() -> None:
    bench = Bench("B").start()
    zero(bench)
    assert len(bench.commands()) == 160


def request(bench: Bench, done_bytes: int, token_offset_bytes: int) -> Written:
    """Make one offload write for all remaining data."""
    layout = contiguous(DESTINATION_BYTES // bench.block_bytes, SIZE_BYTES, bench.block_bytes)
    left_bytes = SIZE_BYTES - done_bytes
    return run(OffloadWrite(bench.disks[1], layout, done_bytes, left_bytes, ZERO_TOKEN, token_offset_bytes).run())


@BLOCK_BYTES
@pytest.mark.parametrize("running_offset", [False, True])
def test_one_request_of_10_gib_ends_after_four_seconds(block_bytes: int, running_offset: bool) -> None:
    bench = Bench("A", block_bytes).start()
    neighbours = mark(bench)
    bench.destination.seconds = lambda cdb: 0.25
    requests, done_bytes = 0, 0
    while done_bytes < SIZE_BYTES:
        written = request(bench, done_bytes, done_bytes if running_offset else 0)
        assert written.failure is None
        done_bytes, requests = done_bytes + written.size_bytes, requests + 1
    assert requests == 3  # each has 16 WRITE USING TOKEN commands in 4 s
    assert bench.rules() == [Rule.TOO_LONG] * 2
    assert sorted(bench.destination.content.data) == neighbours
    step = 256 * MIB // block_bytes
    offsets = [int.from_bytes(data[8:16], "big") for data in bench.destination.lists(0x11)]
    assert offsets == [step * (at if running_offset else at % 16) for at in range(40)]


def test_an_offset_of_any_size() -> None:
    bench = Bench().start()
    written = request(bench, SIZE_BYTES - 256 * MIB, 0xFFFFFFFFFFFFF000 * 512)
    assert written.size_bytes == 256 * MIB
    (data,) = bench.destination.lists(0x11)
    assert data[8:16] == words("FFFFFFFFFFFFF000")


def test_a_target_without_the_zero_token_gets_ordinary_writes() -> None:
    bench = Bench(settings=WindowsSettings()).start()
    layout = contiguous(DESTINATION_BYTES // 512, MIB, 512)
    bench.destination.content.write(layout.extents[0].lba, b"x" * 512)
    bench.destination.answer = lambda cdb, data: check_condition(5, 0x23, 1) if cdb[0] == 0x83 else None
    report = run(FileCopy(bench.host, None, WindowsFile(bench.disks[1], layout)).run())
    assert (report.offloaded_bytes, report.ordinary_bytes) == (0, MIB)
    assert bench.rules() == [Rule.TOKEN_REFUSED]
    assert bench.destination.content.data == {}
