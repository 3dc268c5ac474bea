"""A copy of a 1 GiB file, byte for byte as Windows sends it."""

import pytest

from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copying.copy_engine import FileCopy, WindowsFile
from odx_target.initiator.windows.settings import WindowsSettings
from tests.initiator.driving import run
from tests.initiator.naive_target import GOOD
from tests.initiator.windows.bench import PT, RRTI, WUT, Bench, extents, words
from tests.initiator.windows.contiguous import contiguous
from tests.initiator.windows.scripted import GIB, MIB, ScriptedDisk, token_of

BLOCK_BYTES = pytest.mark.parametrize("block_bytes", [512, 4096])

ENUMERATION = """
12 00 00 00 24 00
12 01 00 00 FF 00
12 01 80 00 FF 00
12 01 83 00 FF 00
00 00 00 00 00 00
25 00 00 00 00 00 00 00 00 00
9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00
12 01 00 00 FF 00
12 01 B2 00 FF 00
12 01 B0 00 FF 00
12 01 8F 00 FF 00
1A 00 0A 00 C0 00
1A 00 08 00 C0 00
1A 00 1C 00 C0 00
1A 00 3F 00 C0 00
28 00 00 00 00 00 00 00 01 00
28 00 00 00 00 01 00 00 01 00
"""


def test_a_disk_is_enumerated_in_this_order() -> None:
    bench = Bench()
    run(enumeration.start(bench.disks))
    expected = [words(line) for line in ENUMERATION.split("\n") if line]
    assert bench.source.cdbs() == [words("A0 00 00 00 00 00 00 00 10 00 00 00"), *expected]
    assert bench.destination.cdbs() == expected
    disk = bench.disks[0]
    assert (disk.capacity_blocks, disk.block_bytes, disk.has_write_cache, disk.is_long) == (209_715_200, 512, True, False)
    assert disk.capability is not None
    assert disk.capability.max_range_descriptors == 64
    assert disk.capability.optimal_transfer_blocks == 0x80000
    assert disk.capability.max_token_transfer_blocks == 0x200000
    assert (disk.capability.max_inactivity_timeout_s, disk.capability.default_inactivity_timeout_s) == (600, 60)
    assert disk.identity != bench.disks[1].identity


def test_a_disk_past_2_tib_is_asked_in_12_bytes_and_read_by_16() -> None:
    bench = Bench()
    bench.source.blocks = 0x1_0000_0001
    bench.start()
    assert bench.disks[0].capacity_blocks == 0x1_0000_0001
    run(bench.disks[0].read(0, 1))
    assert bench.source.cdbs() == [words("88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00")]


def test_the_12_byte_capacity_command() -> None:
    bench = Bench()
    bench.source.blocks = 0x1_0000_0001
    run(enumeration.start(bench.disks))
    assert words("9E 10 00 00 00 00 00 00 00 00 00 00 00 0C 00 00") in bench.source.cdbs()


def test_qerr_is_cleared_by_mode_select() -> None:
    bench = Bench()
    bench.source.modes[0x0A] = words("8A 0A 02 16 00 00 00 00 00 00 00 1E")
    run(enumeration.start(bench.disks))
    (sent,) = [(cdb, data) for _, _, cdb, data in bench.source.sent if cdb[0] == 0x15]
    assert sent == (words("15 11 00 00 10 00"), words("00 00 00 00 0A 0A 02 10 00 00 00 00 00 00 00 1E"))


ROUNDS = {
    512: [
        ("83 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", "00100000", "00900000"),
        ("83 10 00 00 00 00 00 00 00 02 00 00 00 20 00 00", "00180000", "00980000"),
        ("83 10 00 00 00 00 00 00 00 04 00 00 00 20 00 00", "00200000", "00A00000"),
        ("83 10 00 00 00 00 00 00 00 06 00 00 00 20 00 00", "00280000", "00A80000"),
    ],
    4096: [
        ("83 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", "00020000", "00120000"),
        ("83 10 00 00 00 00 00 00 00 02 00 00 00 20 00 00", "00030000", "00130000"),
        ("83 10 00 00 00 00 00 00 00 04 00 00 00 20 00 00", "00040000", "00140000"),
        ("83 10 00 00 00 00 00 00 00 06 00 00 00 20 00 00", "00050000", "00150000"),
    ],
}
COUNTS = {512: "00080000", 4096: "00010000"}


@BLOCK_BYTES
def test_profile_a_is_four_rounds(block_bytes: int) -> None:
    bench = Bench("A", block_bytes).start()
    report = bench.copy(GIB)
    assert (report.offloaded_bytes, report.ordinary_bytes, report.tokens, report.stop) == (GIB, 0, 4, None)
    expected = []
    for number, (populate, _, _) in enumerate(ROUNDS[block_bytes]):
        information = f"84 07 00 00 00 {2 * number:02X} 00 00 00 00 00 00 03 25 00 00"
        write = f"83 11 00 00 00 00 00 00 00 {2 * number + 1:02X} 00 00 02 28 00 00"
        expected += [("S", words(populate)), ("S", words(information)), ("T", words(write))]
    assert bench.commands() == expected
    lists = [
        f"001E0000 00000000 00000000 00000010 00000000 {lba} {COUNTS[block_bytes]} 00000000"
        for _, lba, _ in ROUNDS[block_bytes]
    ]
    assert bench.source.lists(0x10) == [words(text) for text in lists]
    for number, (data, (_, _, lba)) in enumerate(zip(bench.destination.lists(0x11), ROUNDS[block_bytes], strict=True)):
        head, tail = (
            words("02260000 00000000 00000000 00000000"),
            words(f"000000000000 0010 00000000 {lba} {COUNTS[block_bytes]} 00000000"),
        )
        assert data == head + token_of(number) + tail
    assert bench.rules() == []
    assert bench.management() == []
    assert not bench.source.cdbs(0x28)
    assert not bench.destination.cdbs(0x2A)
    assert bench.source.cdbs(0x35) == [bytes.fromhex("35") + bytes(9)]
    assert len(bench.destination.cdbs(0x35)) == 2


@BLOCK_BYTES
def test_profile_b_is_one_token_and_16_writes(block_bytes: int) -> None:
    bench = Bench("B", block_bytes).start()
    report = bench.copy(GIB)
    assert (report.offloaded_bytes, report.tokens) == (GIB, 1)
    assert bench.kinds() == [PT, RRTI] + [WUT] * 16
    step = 64 * MIB // block_bytes
    count = {512: "00200000", 4096: "00040000"}[block_bytes]
    assert bench.source.lists(0x10) == [
        words(f"001E0000 00000000 00000000 00000010 00000000 {ROUNDS[block_bytes][0][1]} {count} 00000000")
    ]
    first = int(ROUNDS[block_bytes][0][2], 16)
    for number, (data, cdb) in enumerate(zip(bench.destination.lists(0x11), bench.destination.cdbs(0x83), strict=True)):
        assert int.from_bytes(cdb[6:10], "big") == number + 1
        assert int.from_bytes(data[8:16], "big") == number * step
        assert int.from_bytes(data[536:544], "big") == first + number * step
        assert int.from_bytes(data[544:548], "big") == step


def test_profile_b_with_requests_of_256_mib() -> None:
    bench = Bench("B", settings=WindowsSettings(read_request_bytes=256 * MIB)).start()
    bench.copy(GIB)
    assert bench.kinds() == ([PT, RRTI] + [WUT] * 4) * 4


@BLOCK_BYTES
def test_profile_c_is_16_rounds(block_bytes: int) -> None:
    bench = Bench("C", block_bytes).start()
    report = bench.copy(GIB)
    assert report.tokens == 16
    assert bench.kinds() == [PT, RRTI, WUT] * 16
    assert {data[24:28].hex() for data in bench.source.lists(0x10)} == {"00020000" if block_bytes == 512 else "00004000"}
    assert int.from_bytes(bench.destination.cdbs(0x83)[-1][6:10], "big") == 31


@BLOCK_BYTES
def test_profile_d_is_11_rounds_of_at_most_100_mib(block_bytes: int) -> None:
    bench = Bench("D", block_bytes).start()
    report = bench.copy(GIB)
    assert (report.tokens, report.offloaded_bytes) == (11, GIB)
    counts = [int.from_bytes(data[24:28], "big") * block_bytes // MIB for data in bench.source.lists(0x10)]
    assert counts == [100] * 10 + [24]
    assert [int.from_bytes(data[544:548], "big") * block_bytes // MIB for data in bench.destination.lists(0x11)] == counts


def test_fragments() -> None:
    bench = Bench().start()
    source = extents(512, (0x100000, 16 * MIB), (0x400000, 64 * MIB), (0x600000, 176 * MIB))
    destination = extents(512, (0x900000, 128 * MIB), (0xB00000, 128 * MIB))
    bench.copy(layouts=[source, destination])
    assert bench.commands(PT, WUT) == [
        ("S", words("83 10 00 00 00 00 00 00 00 00 00 00 00 40 00 00")),
        ("T", words("83 11 00 00 00 00 00 00 00 01 00 00 02 38 00 00")),
    ]
    assert bench.source.lists(0x10) == [
        words(
            "00 3E 00 00 00 00 00 00 00 00 00 00 00 00 00 30"
            "00 00 00 00 00 10 00 00 00 00 80 00 00 00 00 00"
            "00 00 00 00 00 40 00 00 00 02 00 00 00 00 00 00"
            "00 00 00 00 00 60 00 00 00 05 80 00 00 00 00 00"
        )
    ]
    (data,) = bench.destination.lists(0x11)
    assert data[:16] == words("02 36 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
    assert data[528:] == words(
        "00 00 00 00 00 00 00 20 00 00 00 00 00 90 00 0000 04 00 00 00 00 00 00 00 00 00 00 00 B0 00 0000 04 00 00 00 00 00 00"
    )


@pytest.mark.parametrize("count", [64, 100])
def test_64_descriptors_and_no_more(count: int) -> None:
    bench = Bench().start()
    source = extents(512, *((0x100000 + 64 * at, 8192) for at in range(count)))
    destination = extents(512, *((0x900000 + 64 * at, 8192) for at in reversed(range(count))))
    report = bench.copy(layouts=[source, destination])
    lengths = [int.from_bytes(cdb[10:14], "big") for _, cdb in bench.commands(PT, WUT)]
    assert lengths[:2] == [0x410, 0x618]
    assert report.tokens == (1 if count == 64 else 2)
    assert report.offloaded_bytes == count * 8192
    assert bench.rules() == []


def test_a_device_that_takes_fewer_descriptors() -> None:
    bench = Bench()
    for disk in bench.scripted:
        disk.pages[0x8F] = disk.pages[0x8F][:10] + bytes([0, 8]) + disk.pages[0x8F][12:]
    bench.start()
    layouts = [extents(512, *((at + 64 * number, 65536) for number in range(20))) for at in (0x100000, 0x900000)]
    assert bench.copy(layouts=layouts).tokens == 3


@pytest.mark.parametrize(
    ("first", "last", "taken"),
    [
        (0, 0xFFFFFFFF, [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7]),
        (0xFFFFFFFD, 0xFFFFFFFF, [0xFFFFFFFD, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF, 0, 1, 1, 2, 3, 3, 4]),
        (254, 256, [254, 254, 255, 256, 256, 0, 1, 1, 2, 3, 3, 4]),
        (0x12345678, 0xFFFFFFFF, [0x12345678 + at for at in (0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7)]),
    ],
)
def test_list_identifiers_count_and_wrap(first: int, last: int, taken: list[int]) -> None:
    bench = Bench(settings=WindowsSettings(first_list_identifier=first, max_list_identifier=last)).start()
    bench.copy(GIB)
    found = [int.from_bytes(cdb[2:6] if cdb[0] == 0x84 else cdb[6:10], "big") for _, cdb in bench.commands()]
    assert found == taken


def test_settings_that_windows_would_ignore_are_refused() -> None:
    for wrong in ({"max_list_identifier": 255}, {"first_list_identifier": 2**32}, {"max_duration_s": 3.0}):
        with pytest.raises(ValueError, match="must"):
            WindowsSettings(**wrong)


def test_a_short_token_is_written_and_the_next_begins_where_it_ended() -> None:
    bench = Bench().start()
    bench.source.truncate = lambda what, count: 0x30000 if count == 0x80000 else count
    report = bench.copy(GIB)
    assert (report.offloaded_bytes, report.ordinary_bytes) == (GIB, 0)
    assert int.from_bytes(bench.destination.lists(0x11)[0][544:548], "big") == 0x30000
    assert int.from_bytes(bench.source.lists(0x10)[1][16:24], "big") == 0x130000


def test_between_block_sizes_the_offset_counts_in_blocks_of_the_destination() -> None:
    bench = Bench("B")
    other = bench.scripted[1] = ScriptedDisk(bench.source.array, bench.clock, 1, 4096)
    other.pages[0x8F] = bench.source.pages[0x8F]
    other.answer = lambda cdb, data: GOOD if cdb[0] == 0x83 else None
    bench.paths[1][0].disk = other
    bench.start()
    source, destination = contiguous(0x100000, 256 * MIB, 512), contiguous(0x120000, 256 * MIB, 4096)
    files = WindowsFile(bench.disks[0], source), WindowsFile(bench.disks[1], destination)
    assert run(FileCopy(bench.host, *files).run()).offloaded_bytes == 256 * MIB
    assert [int.from_bytes(data[8:16], "big") for data in other.lists(0x11)] == [0, 0x4000, 0x8000, 0xC000]
