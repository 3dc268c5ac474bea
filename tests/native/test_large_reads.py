"""Large reads of the short lane: their replies are those of the general way, and their memory is returned."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator import cdb
from odx_target.iscsi.pdu.header import encode_lun
from odx_target.iscsi.pdu.headers import ScsiCommand
from odx_target.native.choice import NATIVE
from odx_target.scsi.limits import SMALL_READ_BYTES
from odx_target.scsi.traffic import CommandKind
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments import directory
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.server.large_reads import MAX_COPIED_BYTES
from odx_target.target.server.memory_claims import Share
from tests.native.built import compiled
from tests.settings import searching
from tests.target.lane_sides import Side, pdus, side
from tests.target.raw_peer import KEYS

pytestmark = pytest.mark.skipif(NATIVE is None or compiled is None, reason="the native module is switched off")

LUN_BYTES = 3 << 20
LOGICAL_BLOCK_BYTES = {0: 512, 1: 4096}
LUNS = tuple(LunConfig(f"lun{lun}", LUN_BYTES, block_bytes) for lun, block_bytes in LOGICAL_BLOCK_BYTES.items())
MIB = 1 << 20
CONTENT = Random(11).randbytes(LUN_BYTES)


@pytest.fixture(autouse=True)
def _mapped_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "is_in_memory", lambda _: True)


@asynccontextmanager
async def filled(folder: Path, keys: Mapping[str, str] = KEYS, *, with_lane: bool = True) -> AsyncIterator[Side]:
    """Run an array whose volumes have CONTENT, apart from one block in the third MiB that was written again."""
    config = Config(pool_dir=folder / "pool", luns=LUNS)
    async with side(with_lane=with_lane, config=config, keys=KEYS | dict(keys)) as on:
        for unit in on.array.logical_units.values():
            for block in range(0, LUN_BYTES // BLOCK_BYTES, 64):
                unit.volume.write(block, [CONTENT[block * BLOCK_BYTES : (block + 64) * BLOCK_BYTES]])
                on.array.pool.commit()
            unit.volume.write(600, [CONTENT[600 * BLOCK_BYTES : 601 * BLOCK_BYTES]])
            on.array.pool.commit()
        yield on


def read(on: Side, lba: int, count: int, lun: int = 0) -> ScsiCommand:
    return on.peer.read(cdb.read_16(lba, count), count * LOGICAL_BLOCK_BYTES[lun], lun=lun)


def read_memory(on: Side) -> Share:
    assert on.executor.memory is not None
    return on.executor.memory.read


def executed(on: Side, command: ScsiCommand) -> bool:
    """Run the lane, and return True if it has executed the command."""
    encoded = on.peer.encode(command)
    return on.lane.run(memoryview(encoded)) == len(encoded)


async def test_the_data_is_sent_in_pdus_of_the_agreed_size(tmp_path: Path) -> None:
    async with filled(tmp_path) as on:
        assert executed(on, read(on, 1, MIB // 512))
        answers = pdus(on.output.take(), on.peer)
        assert b"".join(data for _, data in answers) == CONTENT[512 : 512 + MIB]
        assert [len(data) for _, data in answers] == [256 << 10] * 4
        assert [header[1] for header, _ in answers] == [0x80, 0x80, 0x80, 0x81]
        assert [counts[CommandKind.READ] for counts in on.counted] == [1, MIB]


reads = st.tuples(st.sampled_from([0, 0, 1]), st.integers(0, 5000), st.integers(0, 4200), st.sampled_from([512, 4096]))
LENGTHS = ["16384", "65536", "262144", "5000", "4096", "1024"]


BURSTS = ["16384", "262144", "100000"]
DIGESTS = [{}, {}, {"DataDigest": "CRC32C"}, {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}]


@searching(6)
@given(st.lists(reads, min_size=4, max_size=12), st.sampled_from(LENGTHS), st.sampled_from(BURSTS), st.sampled_from(DIGESTS))
def test_both_ways_give_the_same_replies(
    plan: list[tuple[int, int, int, int]], segment: str, burst: str, digests: dict[str, str]
) -> None:
    async def compare() -> None:
        with TemporaryDirectory() as name:
            async with AsyncExitStack() as stack:
                answers = []
                for with_lane in (True, False):
                    lengths = {"MaxRecvDataSegmentLength": segment, "MaxBurstLength": burst, "FirstBurstLength": "16384"}
                    folder = Path(name) / str(with_lane)
                    folder.mkdir()
                    on = await stack.enter_async_context(filled(folder, lengths | digests, with_lane=with_lane))
                    found = []
                    for lun, lba, count, unit_bytes in plan:
                        command = read(on, lba, count * unit_bytes // 512, lun)
                        found.append(await on.feed(on.peer.encode(command)))
                    answers.append((found, on.counted, read_memory(on).used_bytes))
                assert answers[0] == answers[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "is_in_memory", lambda _: True)
        trio.run(compare)


CHANGES: dict[str, Callable[[ScsiCommand], None]] = {
    "FUA": lambda command: setattr(command, "cdb", command.cdb[:1] + b"\x08" + command.cdb[2:]),
    "group number": lambda command: setattr(command, "cdb", command.cdb[:14] + b"\x01\0"),
    "CONTROL": lambda command: setattr(command, "cdb", command.cdb[:15] + b"\x04"),
    "another command": lambda command: setattr(command, "cdb", b"\x8f" + command.cdb[1:]),
    "beyond the capacity": lambda command: setattr(command, "cdb", command.cdb[:2] + b"\1" + command.cdb[3:]),
    "longer expected length": lambda command: setattr(command, "expected_data_transfer_length", MIB + BLOCK_BYTES),
    "no data expected": lambda command: setattr(command, "expected_data_transfer_length", 0),
    "no whole blocks": lambda command: setattr(command, "expected_data_transfer_length", MIB + 512),
    "no tag": lambda command: setattr(command, "initiator_task_tag", 0xFFFFFFFF),
    "later CmdSN": lambda command: setattr(command, "cmd_sn", command.cmd_sn + 1),
    "ordered": lambda command: setattr(command, "attribute", 2),
    "immediate": lambda command: setattr(command, "immediate", True),
    "write": lambda command: setattr(command, "write", True),
    "no logical unit": lambda command: setattr(command, "lun", encode_lun(9)),
}


def no_memory(on: Side) -> None:
    on.lane._large_reads._memory = NoMemory()  # type: ignore[union-attr]


class NoMemory:
    def take(self, size_bytes: int) -> bool:
        return size_bytes == 0


def unmapped(on: Side) -> None:
    on.array.logical_units[0].volume.native_reads = None  # type: ignore[misc]


def damaged(on: Side) -> None:
    assert on.array.config.pool_dir is not None
    for path in on.array.config.pool_dir.rglob("*"):
        if path.is_file() and path.stat().st_size > LUN_BYTES:
            with path.open("r+b") as segment:
                segment.seek(MIB // 2)
                segment.write(bytes(BLOCK_BYTES))


def short_of_heap(on: Side) -> None:
    class Reader:
        def view_now(self, *_: object) -> NoReturn:
            raise MemoryError

    on.array.logical_units[0].volume.native_reads = Reader(), None  # type: ignore[misc, assignment]


def reserved(on: Side) -> None:
    on.array.logical_units[0].is_reserved = True


CIRCUMSTANCES = (no_memory, unmapped, damaged, short_of_heap, reserved)


@pytest.mark.parametrize("change", CHANGES)
async def test_an_unusual_command_is_left(tmp_path: Path, change: str) -> None:
    async with filled(tmp_path) as on:
        await is_left(on, change)


async def is_left(on: Side, change: str | None = None) -> None:
    window, writer = on.lane._state.window, on.lane._state.writer
    before = window.exp_cmd_sn, window.max_cmd_sn, writer.stat_sn
    command = read(on, 0, MIB // 512)
    if change is not None:
        CHANGES[change](command)
    assert on.lane.run(memoryview(on.peer.encode(command))) == 0
    assert (window.exp_cmd_sn, window.max_cmd_sn, writer.stat_sn) == before
    assert not writer.output
    assert not read_memory(on).used_bytes


@pytest.mark.parametrize("arrange", CIRCUMSTANCES, ids=lambda each: each.__name__)
async def test_nothing_is_executed_in_unusual_circumstances(tmp_path: Path, arrange: Callable[[Side], None]) -> None:
    async with filled(tmp_path) as on:
        arrange(on)
        await is_left(on)


@pytest.mark.parametrize(("lba", "count"), [(0, 8), (8, 64), (0, 512), (1, 8), (1, 64), (8, 33), (4700, 512)])
async def test_the_digest_of_a_read_that_is_not_large_is_that_of_its_data(tmp_path: Path, lba: int, count: int) -> None:
    async with filled(tmp_path, {"DataDigest": "CRC32C"}) as on:
        assert executed(on, read(on, lba, count))
        found = b"".join(on.lane._state.writer.output) or on.output.take()
        assert [data for _, data in pdus(found, on.peer)] == [CONTENT[lba * 512 : (lba + count) * 512]]


@pytest.mark.parametrize("keys", [{"HeaderDigest": "CRC32C"}, {"DataDigest": "CRC32C"}], ids=str)
async def test_large_reads_with_digests_are_left(tmp_path: Path, keys: dict[str, str]) -> None:
    async with filled(tmp_path, keys) as on:
        await is_left(on)


@pytest.mark.parametrize("lba", [400 * 8, 400 * 8 - 3])
async def test_scattered_blocks_are_copied(tmp_path: Path, lba: int) -> None:
    assert MAX_COPIED_BYTES == MIB
    async with filled(tmp_path) as on:
        assert executed(on, read(on, lba, MIB // 512))
        answers = pdus(on.output.take(), on.peer)
        assert b"".join(data for _, data in answers) == CONTENT[lba * 512 : lba * 512 + MIB]
        assert not read_memory(on).used_bytes


async def test_more_scattered_blocks_are_left(tmp_path: Path) -> None:
    async with filled(tmp_path) as on:
        assert not executed(on, read(on, 400 * 8, (MIB + BLOCK_BYTES) // 512))
        assert not read_memory(on).used_bytes


async def test_memory_is_held_until_the_data_is_sent(tmp_path: Path) -> None:
    async with filled(tmp_path) as on:
        on.output.accepts = False
        assert executed(on, read(on, 0, MIB // 512))
        assert read_memory(on).used_bytes == MIB
        on.output.accepts = True
        assert on.server._sender.send_now()
        assert not read_memory(on).used_bytes


async def test_a_read_that_is_not_large_takes_no_memory(tmp_path: Path) -> None:
    async with filled(tmp_path, {"MaxRecvDataSegmentLength": "65536"}) as on:
        on.output.accepts = False
        assert executed(on, read(on, 0, SMALL_READ_BYTES // 512))
        assert not read_memory(on).used_bytes
