"""WRITE USING TOKEN: all destinations and block lengths, overlaps with the source, partial results, time limits, failures."""

from collections.abc import Iterator
from typing import Any

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.tokens.rod_source import Piece, PieceKind
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.environment import Buffer
from odx_target.store.api import DamagedBlock, FrozenMap, PoolBusy, PoolFailed, PoolFull
from odx_target.store.pool_options import PoolOptions
from tests.copymgr.array import CopyArray, Range, code_of, data_of, pattern
from tests.copymgr.golden import golden

STEP = CopyLimits(copy_step_bytes=8192, remap_step_bytes=16384)


def filled(limits: CopyLimits | None = None, **options: int) -> CopyArray:
    """An array whose blocks on LUNs 0 and 2 contain their LBAs; LUNs 1 and 3 are empty."""
    array = CopyArray(limits, **options)  # type: ignore[arg-type]
    for lun in (0, 2):
        size = array.block_bytes(lun)
        array.write(lun, 0, pattern(lun, 0, array.size_store_blocks * 4096 // size, size))
    return array


def test_the_example_of_the_standard() -> None:
    """The ROD is LBAs 15-20 and 40-100. An offset of one block of 4096 bytes is block 8 of the ROD, which is LBA 42."""
    array = filled()
    token = array.token(0, 1, [(15, 6), (40, 61)])
    assert code_of(array.write_using(3, 2, token, [(7, 1)], offset_into_rod=1)) == "good"
    assert array.read(3, 7, 1) == pattern(0, 42, 8, 512)


@pytest.mark.parametrize("limits", [CopyLimits(), STEP], ids=["at once", "in steps"])
@pytest.mark.parametrize(
    ("source", "sources", "destination", "destinations"),
    [
        (0, [(0, 64)], 1, [(64, 64)]),
        (0, [(3, 100)], 1, [(3, 100)]),
        (0, [(3, 100)], 1, [(11, 100)]),
        (0, [(3, 100)], 1, [(4, 100)]),
        (0, [(3, 1), (9, 1), (5, 1)], 1, [(100, 3)]),
        (0, [(0, 8), (16, 8), (32, 8)], 1, [(7, 24)]),
        (0, [(8, 24), (32, 24)], 1, [(0, 8), (100, 16), (9, 24)]),
        (0, [(1, 48)], 3, [(2, 2), (9, 4)]),
        (0, [(8, 48)], 3, [(2, 6)]),
        (2, [(1, 6)], 1, [(3, 20), (30, 28)]),
        (2, [(1, 3), (9, 3)], 1, [(8, 48)]),
        (2, [(5, 2), (1, 2)], 3, [(1, 1), (0, 1), (8, 2)]),
        (0, [(2, 500)], 0, [(1000, 500)]),
    ],
)
def test_any_range_to_any_range(
    limits: CopyLimits, source: int, sources: list[Range], destination: int, destinations: list[Range]
) -> None:
    array = filled(limits)
    rod = b"".join(array.read(source, lba, count) for lba, count in sources)
    size = array.block_bytes(destination)
    before = array.read(destination, 0, array.logical_units[destination].capacity_blocks)
    token = array.token(source, 1, sources)
    assert code_of(array.write_using(destination, 2, token, destinations)) == "good"
    expected, position = bytearray(before), 0
    for lba, count in destinations:
        expected[lba * size : (lba + count) * size] = rod[position : position + count * size]
        position += count * size
    assert position == len(rod)
    assert array.read(destination, 0, len(before) // size) == expected
    assert int.from_bytes(data_of(array.information(destination, 2))[16:24], "big") == len(rod) // size


@pytest.mark.parametrize("limits", [CopyLimits(), STEP], ids=["at once", "in steps"])
@pytest.mark.parametrize(("source", "destination"), [(100, 104), (104, 100), (96, 104), (100, 101), (101, 100), (100, 100)])
def test_onto_itself_as_if_the_rod_had_been_read_before(limits: CopyLimits, source: int, destination: int) -> None:
    array = filled(limits)
    token = array.token(0, 1, [(source, 400)])
    assert code_of(array.write_using(0, 2, token, [(destination, 400)])) == "good"
    assert array.read(0, destination, 400) == pattern(0, source, 400, 512)


def test_a_token_holds_the_data_of_its_moment() -> None:
    array = filled()
    token = array.token(0, 1, [(0, 64)])
    array.write(0, 10, pattern(5, 10, 8, 512))
    array.command(0, bytes.fromhex("93 08 0000000000000010 00000010 00 00"), bytes(512))
    for lba in (0, 3):
        assert code_of(array.write_using(1, 2, token, [(lba, 64)])) == "good"
        assert array.read(1, lba, 64) == pattern(0, 0, 64, 512)


@pytest.mark.parametrize(("blocks", "asked", "lun"), [(100, 150, 1), (100, 101, 1), (100, 13, 3), (1, 2, 1), (1, 1, 3)])
def test_a_rod_that_ends_before_the_request(blocks: int, asked: int, lun: int) -> None:
    array = filled()
    array.write(lun, 0, pattern(7, 0, 256, array.block_bytes(lun)))
    token = array.token(0, 1, [(5, blocks)])
    size = array.block_bytes(lun)
    fits = -(-blocks * 512 // size)
    reply = array.write_using(lun, 2, token, [(0, asked)])
    assert code_of(reply) == ("A/0D/04" if fits < asked else "good")
    assert array.read(lun, 0, fits) == pattern(0, 5, blocks, 512).ljust(fits * size, b"\0")
    assert array.read(lun, fits, 100) == pattern(7, fits, 100, size)
    if fits < asked:
        assert reply.sense[0] == 0xF0
        assert int.from_bytes(reply.sense[3:7], "big") == fits
        answer = data_of(array.information(lun, 2))
        assert answer[5] == 0x03
        assert answer[12:16].hex() == "021412f1"
        assert answer[32:50] == reply.sense


def test_a_zero_token_makes_holes_and_zeros_at_the_edges() -> None:
    array = filled(STEP)
    assert code_of(array.write_using(0, 1, ZERO_TOKEN, [(3, 100), (200, 50)], offset_into_rod=0xFFFF_FFFF_FFFF_F000)) == "good"
    assert array.read(0, 3, 100) == bytes(51200)
    assert array.read(0, 0, 3) == pattern(0, 0, 3, 512)
    assert array.read(0, 103, 97) == pattern(0, 103, 97, 512)
    holes = [(block, count) for block, count, mapped in array.volume(0).extents(0) if not mapped]
    assert holes == [(1, 11), (25, 6)]


def test_holes_stay_holes_also_where_nothing_is_aligned() -> None:
    array = filled()
    token = array.token(1, 1, [(0, 800)])
    assert code_of(array.write_using(0, 2, token, [(5, 800)])) == "good"
    assert array.read(0, 0, 810) == pattern(0, 0, 5, 512) + bytes(800 * 512) + pattern(0, 805, 5, 512)
    assert array.manager.copies.counters.moved_bytes == 0


@pytest.mark.parametrize("position", ["source", "destination"])
def test_data_that_must_be_waited_for(position: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array = filled()
    token = array.token(0, 1, [(3, 600)])
    array.write(1, 0, pattern(6, 0, 700, 512))
    (live,) = array.manager.copies.tokens.live.values()
    target = live.rod.frozen if position == "source" else array.volume(1)
    monkeypatch.setattr(target, "read_now", lambda block, count_blocks: None)
    started = array.start_write_using(1, 2, token, [(10, 600)])
    assert not started.is_done
    assert code_of(started.wait(array.environment)) == "good"
    monkeypatch.undo()
    assert array.read(1, 0, 620) == pattern(6, 0, 10, 512) + pattern(0, 3, 600, 512) + pattern(6, 610, 10, 512)


class FarRod:
    """A source that must be read and waited for, as a ROD of another array would be."""

    is_remote = False

    def __init__(self, array: CopyArray, data: bytes) -> None:
        self.array = array
        self.data = data
        self.size_bytes: int | None = len(data)

    def piece_at(self, offset_bytes: int) -> Piece:
        return Piece(PieceKind.BYTES, len(self.data) - offset_bytes)

    def read_now(self, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:
        return None

    async def read(self, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        await self.array.environment.sleep(0.1)
        return [self.data[offset_bytes : offset_bytes + size_bytes]]

    def release(self) -> None:
        pass


@pytest.mark.parametrize(("lun", "size_bytes", "count"), [(1, 51200, 100), (3, 51200, 13), (1, 300, 1)])
def test_a_source_that_can_only_be_read(lun: int, size_bytes: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    array = filled(STEP)
    data = bytes(index % 251 for index in range(size_bytes))
    rod = FarRod(array, data)
    token = array.token(0, 1, [(0, 200)])
    (live,) = array.manager.copies.tokens.live.values()
    monkeypatch.setattr(live, "rod", rod)
    assert code_of(array.write_using(lun, 2, token, [(5, count)])) == "good"
    assert array.read(lun, 5, count) == data.ljust(count * array.block_bytes(lun), b"\0")
    assert array.manager.copies.counters.moved_bytes == count * array.block_bytes(lun)


def test_aligned_copies_answer_at_once_and_move_nothing() -> None:
    array = filled()
    token = array.token(0, 1, [(0, 2048)])
    assert array.start_write_using(1, 2, token, [(0, 2048)]).is_done
    assert array.manager.copies.counters.moved_bytes == 0
    assert array.manager.copies.counters.shared_bytes == 2048 * 512


def delays(array: CopyArray, *delays_s: float) -> None:
    """Delay the first steps of copies by the given times."""
    left: Iterator[float] = iter(delays_s)
    array.manager.copies.before_step = lambda operation: array.environment.sleep(next(left, 0.0))


@pytest.mark.parametrize(
    ("delays_s", "steps"),
    [((1.0, 1.0, 1.0, 1.0, 1.0), 3), ((9.0,), 1), ((1.875, 1.875, 0.1), 2), ((1.8751, 1.8751), 1), ((0.5,) * 9, 7)],
)
def test_a_command_stops_in_time_and_a_later_one_goes_on(delays_s: tuple[float, ...], steps: int) -> None:
    array = filled(STEP)
    token = array.token(0, 1, [(1, 160)])
    began_s = array.environment.monotonic()
    delays(array, *delays_s)
    reply = array.write_using(1, 2, token, [(8, 160)])
    count = 16 * steps
    assert code_of(reply) == "A/0D/04"
    assert int.from_bytes(reply.sense[3:7], "big") == count
    assert array.environment.monotonic() - began_s <= max(4.0, delays_s[0] + 0.01)
    assert array.read(1, 0, 168)[: (8 + count) * 512] == bytes(8 * 512) + pattern(0, 1, count, 512)
    answer = data_of(array.information(1, 2))
    assert (answer[5], int.from_bytes(answer[16:24], "big")) == (3, count)
    assert array.manager.copies.refusals.latest[-1]["rule"] == "the time is up"
    array.manager.copies.before_step = None
    rest = 160 - count
    assert code_of(array.write_using(1, 3, token, [(8 + count, rest)], offset_into_rod=count)) == "good"
    assert array.read(1, 8, 160) == pattern(0, 1, 160, 512)


def test_a_command_with_nothing_left_is_not_late() -> None:
    array = filled(STEP)
    token = array.token(0, 1, [(1, 16)])
    delays(array, 9.0)
    assert code_of(array.write_using(1, 2, token, [(8, 16)])) == "good"


def test_the_budget_is_not_for_the_background() -> None:
    array = filled(STEP)
    token = array.token(0, 1, [(1, 160)])
    delays(array, *(3.0,) * 9)
    assert code_of(array.write_using(1, 2, token, [(8, 160)], flags=ListFlag.IMMED)) == "good"
    array.environment.advance(28.0)
    answer = data_of(array.information(1, 2))
    assert (answer[5], int.from_bytes(answer[16:24], "big")) == (1, 160)


def test_del_tkn_deletes_what_was_used_up_and_keeps_what_time_cut_short() -> None:
    array = filled(STEP)
    token = array.token(0, 1, [(1, 160)])
    delays(array, 9.0)
    assert code_of(array.write_using(1, 2, token, [(8, 160)], flags=ListFlag.DEL_TKN)) == "A/0D/04"
    array.manager.copies.before_step = None
    for refused in ([(0, 8), (4, 8)], [(1 << 20, 8)]):
        array.write_using(1, 3, token, refused, flags=ListFlag.DEL_TKN)
    assert code_of(array.write_using(1, 4, token, [(8, 200)], flags=ListFlag.DEL_TKN)) == "A/0D/04"
    assert code_of(array.write_using(1, 5, token, [(8, 1)])) == "5/23/09"
    assert array.pool.frozen_maps == {}


def test_a_deleted_token_serves_the_copy_that_uses_it() -> None:
    array = filled(STEP)
    token = array.token(0, 1, [(1, 160)])
    delays(array, 1.0)
    slow = array.start_write_using(1, 2, token, [(8, 160)])
    array.environment.settle()
    assert code_of(array.write_using(0, 3, token, [(900, 8)], flags=ListFlag.DEL_TKN)) == "good"
    assert array.all_tokens(0) == []
    assert code_of(slow.wait(array.environment)) == "good"
    assert array.read(1, 8, 160) == pattern(0, 1, 160, 512)
    assert array.pool.frozen_maps == {}


def test_an_empty_request_honours_del_tkn() -> None:
    array = filled()
    token = array.token(0, 1, [(1, 160)])
    assert code_of(array.write_using(1, 2, token, [(8, 0)], flags=ListFlag.DEL_TKN)) == "good"
    assert code_of(array.write_using(1, 3, token, [(8, 1)])) == "5/23/09"


@pytest.mark.parametrize(("damaged", "destination", "count"), [(0, 1, 0), (10, 1, 79), (10, 3, 9), (20, 1, 159)])
def test_a_damaged_source_is_written_up_to_the_damage(
    damaged: int, destination: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = filled()
    token = array.token(0, 1, [(1, 192)])
    (live,) = array.manager.copies.tokens.live.values()
    damage(monkeypatch, live.rod.frozen, damaged)
    lba = 9 if destination == 3 else 80
    reply = array.write_using(destination, 2, token, [(lba, 192 if destination == 1 else 24)])
    assert code_of(reply) == "3/11/00"
    assert reply.sense[0] == 0x70
    answer = data_of(array.information(destination, 2))
    assert (answer[5], int.from_bytes(answer[16:24], "big")) == (2, count)
    assert answer[32:50] == reply.sense
    size = array.block_bytes(destination)
    assert array.read(destination, lba, count + 1) == pattern(0, 1, count * size // 512, 512) + bytes(size)
    assert code_of(array.write_using(1, 3, token, [(80, 192)])) == "3/11/00", "the token still is what it was"


def test_a_damaged_edge_of_the_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    array = filled()
    array.write(1, 0, pattern(6, 0, 64, 512))
    token = array.token(0, 1, [(0, 20)])
    damage(monkeypatch, array.volume(1), 5)
    reply = array.write_using(1, 2, token, [(24, 20)])
    assert code_of(reply) == "3/11/00"
    assert int.from_bytes(reply.sense[3:7], "big") == 40
    answer = data_of(array.information(1, 2))
    assert (answer[5], int.from_bytes(answer[16:24], "big")) == (2, 16)


def damage(monkeypatch: pytest.MonkeyPatch, source: object, block: int) -> None:
    """Make reads of a block raise, as in a store with a bad disk."""
    original = source.read_now  # type: ignore[attr-defined]

    def read_now(*arguments: Any) -> object:  # `source` may be a class of sources
        first, count_blocks = arguments[-2:]
        if first <= block < first + count_blocks:
            raise DamagedBlock(block)
        return original(*arguments)

    monkeypatch.setattr(source, "read_now", read_now)


@pytest.mark.parametrize(
    ("error", "code", "sense"),
    [
        (PoolFull("full"), "7/27/07", golden("refusals", "pool_full")),
        (PoolFailed("failed"), "4/03/00", None),
        (RuntimeError("a bug"), "4/44/00", None),
    ],
)
@pytest.mark.parametrize("flags", [0, ListFlag.IMMED])
def test_a_store_that_refuses(
    error: Exception, code: str, sense: bytes | None, flags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = filled()
    token = array.token(0, 1, [(0, 64), (128, 64)])
    original = array.volume(1).copy_from

    def copy_from(source: object, source_block: int, block: int, count_blocks: int) -> int:
        if source_block:
            raise error
        return original(source, source_block, block, count_blocks)  # type: ignore[arg-type]

    monkeypatch.setattr(array.volume(1), "copy_from", copy_from)
    reply = array.write_using(1, 2, token, [(0, 128)], flags=flags | ListFlag.DEL_TKN)
    array.environment.settle()
    answer = data_of(array.information(1, 2))
    assert (answer[5], int.from_bytes(answer[16:24], "big")) == (2, 64)
    assert f"{answer[34] & 0xF:X}/{answer[44]:02X}/{answer[45]:02X}" == code
    assert code_of(reply) == ("good" if flags else code)
    if sense is not None:
        assert answer[32:50] == sense
    assert array.internal_errors == ([error] if isinstance(error, RuntimeError) else [])
    assert len(array.all_tokens(0)) == 1, "what failed deletes nothing"
    assert array.manager.copies.operations == {}


def test_a_pool_that_really_is_full() -> None:
    array = CopyArray(pool_options=PoolOptions(limit_bytes=2 << 20, segment_blocks=64))
    array.write(0, 0, pattern(0, 0, 1024, 512))
    token = array.token(0, 1, [(1, 1000)])
    codes = [code_of(array.write_using(1, number, token, [(1000 * (number % 2), 1000)])) for number in range(10)]
    assert "7/27/07" in codes
    first = codes.index("7/27/07")
    answer = data_of(array.information(1, first))
    assert answer[5] == 2
    assert array.read(0, 0, 1024) == pattern(0, 0, 1024, 512)


@pytest.mark.parametrize(("flags", "rod_type"), [(0, 0), (ListFlag.RTV, 0x0080_0002)])
def test_populate_in_a_pool_without_room(flags: int, rod_type: int, monkeypatch: pytest.MonkeyPatch) -> None:
    array = filled()

    def refuse(*arguments: object, **options: object) -> None:
        raise PoolFull("full")

    with monkeypatch.context() as patch:
        patch.setattr(array.volume(0), "freeze", refuse)
        assert code_of(array.populate(0, 1, [(0, 8)], flags=flags, rod_type=rod_type)) == "5/55/0C"
    array.manager.copies.issuer._next_identifier = 0
    with monkeypatch.context() as patch:
        patch.setattr(array.pool, "remember", refuse)
        assert code_of(array.populate(0, 1, [(0, 8)], flags=flags, rod_type=rod_type)) == "5/55/0D"
    if flags:
        assert len(array.token(0, 1, [(0, 8)])) == 512
        with monkeypatch.context() as patch:
            patch.setattr(array.pool, "remember", refuse)
            assert code_of(array.populate(0, 2, [(0, 8)], flags=flags, rod_type=rod_type)) == "5/55/0D"
    assert len(array.pool.frozen_maps) == len(array.manager.copies.tokens.live)
    assert array.manager.copies.operations == {}


def test_writes_that_overlap_a_copy_keep_their_order() -> None:
    array = filled(STEP)
    token = array.token(0, 1, [(1, 160)])
    delays(array, 1.0)
    order: list[str] = []
    copy = array.start_write_using(1, 2, token, [(8, 160)])
    write = array.start(1, bytes.fromhex("8a 00 0000000000000010 00000008 00 00"), pattern(3, 16, 8, 512))
    read = array.start(1, bytes.fromhex("88 00 0000000000000010 00000010 00 00"))
    beside = array.start(1, bytes.fromhex("8a 00 0000000000000200 00000008 00 00"), pattern(3, 512, 8, 512))
    populate = array.start_populate(1, 3, [(8, 24)])
    assert beside.is_done
    assert not any(started.is_done for started in (copy, write, read, populate))
    for started in (copy, write, read, populate):
        assert code_of(started.wait(array.environment)) == "good"
        order.append("done")
    assert b"".join(read.reply.data_in) == pattern(3, 16, 8, 512) + pattern(0, 17, 8, 512)
    token = data_of(array.information(1, 3))[38:]
    array.write_using(0, 4, token, [(0, 24)])
    assert array.read(0, 0, 24) == pattern(0, 1, 8, 512) + pattern(3, 16, 8, 512) + pattern(0, 17, 8, 512)


def test_an_operation_reports_progress_without_gaps() -> None:
    array = filled(STEP)
    token = array.token(0, 1, [(1, 160)])
    seen: list[int] = []

    def look(operation: CopyOperation) -> None:
        count = int.from_bytes(data_of(array.information(1, 2))[16:24], "big")
        assert array.read(1, 0, 2000)[: (8 + count) * 512] == bytes(8 * 512) + pattern(0, 1, count, 512)
        seen.append(count)

    array.manager.copies.before_step = look
    array.write_using(1, 2, token, [(8, 160)], flags=ListFlag.IMMED)
    array.environment.settle()
    assert seen == list(range(0, 160, 16))
    assert array.internal_errors == []


@pytest.mark.parametrize("limits", [CopyLimits(), STEP], ids=["at once", "in steps"])
def test_a_copy_waits_while_the_pool_makes_room(limits: CopyLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    array = filled(limits)
    token = array.token(0, 1, [(0, 100)])
    volume = array.volume(1)
    copy_from, busy = volume.copy_from, [PoolBusy("room is being made")] * 3

    def busy_at_first(source: FrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        if busy:
            raise busy.pop()
        return copy_from(source, source_block, block, count_blocks)

    monkeypatch.setattr(volume, "copy_from", busy_at_first)
    assert code_of(array.write_using(1, 2, token, [(0, 100)])) == "good"
    assert not busy
    assert array.read(1, 0, 100) == array.read(0, 0, 100)
