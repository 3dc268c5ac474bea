"""Arrays with their pools in files: the native reader and the native loop give the data that was written."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from odx_target.initiator import cdb
from odx_target.iscsi.pdu.opcodes import Opcode
from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES, PoolBusy
from odx_target.store.segments import directory
from odx_target.store.segments.places import BLOCK_MASK, segment_of
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from tests.native.built import compiled
from tests.target.lane_sides import Side
from tests.target.raw_peer import logged_in
from tests.target.running import running

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")

SIZE_BLOCKS = 2600
ROUNDS = 150


@pytest.fixture(params=["on a disk", "in memory"], autouse=True)
def _file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run all tests of this module with segments that are read, and with segments that are mapped."""
    monkeypatch.setattr(directory, "is_in_memory", lambda _: request.param == "in memory")


def volume_of(array: Array) -> LogVolume:
    volume = array.logical_units[0].volume
    assert isinstance(volume, LogVolume)
    return volume


def config_of(folder: Path) -> Config:
    return Config(pool_dir=folder / "pool", luns=(LunConfig("first", SIZE_BLOCKS * BLOCK_BYTES),))


async def changed(volume: LogVolume, change: Callable[[], object]) -> None:
    """Make a change, and wait if a part of the map is not in memory."""
    while True:
        try:
            change()
        except PoolBusy:
            await volume.room_made()
        else:
            return


async def test_random_changes_of_a_volume(tmp_path: Path) -> None:
    random, expected = Random(3), bytearray(SIZE_BLOCKS * BLOCK_BYTES)
    async with running(config_of(tmp_path)) as array:
        volume = volume_of(array)
        assert isinstance(volume._native, compiled.BlockReader)
        frozen, content_then = volume.freeze(), bytes(expected)
        for _ in range(ROUNDS):
            block, count = random.randrange(SIZE_BLOCKS - 70), random.choice((1, 1, 2, 7, 70))
            part = slice(block * BLOCK_BYTES, (block + count) * BLOCK_BYTES)
            match random.randrange(8):
                case 0:
                    await changed(volume, partial(volume.unmap, block, count))
                    expected[part] = bytes(count * BLOCK_BYTES)
                case 1:
                    frozen.release()
                    frozen, content_then = volume.freeze(), bytes(expected)
                case 2:
                    await changed(volume, partial(volume.copy_from, frozen, block, block, count))
                    expected[part] = content_then[part]
                case 3:
                    array.pool.commit()
                case _:
                    expected[part] = content = random.randbytes(count * BLOCK_BYTES)
                    await changed(volume, partial(volume.write, block, [content]))
            if random.random() < 0.3:
                array.pool.commit()
            for source, wanted in ((volume, expected), (frozen, content_then)):
                start = max(0, block - random.randrange(5))
                size = random.choice((1, count, count + 9))
                found = source.read_now(start, size)
                if found is None:
                    found = await source.read(start, size)
                assert b"".join(found) == wanted[start * BLOCK_BYTES : (start + size) * BLOCK_BYTES]


async def test_committed_blocks_are_usual(tmp_path: Path) -> None:
    content = Random(4).randbytes(50 * BLOCK_BYTES)
    async with running(config_of(tmp_path)) as array:
        volume = volume_of(array)
        volume.write(1000, [content])
        assert volume.native_reads is not None
        reader, block_map = volume.native_reads
        assert reader.read_now(block_map, 1000, 50) is None
        array.pool.commit()
        assert reader.read_now(block_map, 1000, 50) == content


async def test_a_deleted_volume_has_no_reader(tmp_path: Path) -> None:
    async with running(config_of(tmp_path)) as array:
        volume = array.pool.create_volume("second", 8, {})
        assert volume.native_reads is not None
        array.pool.delete_volume("second")
        assert volume.native_reads is None


@pytest.mark.parametrize("offset", [0, 1, 7])
async def test_reads_by_the_native_loop(tmp_path: Path, offset: int) -> None:
    content = Random(5).randbytes(64 * BLOCK_BYTES)
    async with running(config_of(tmp_path)) as array, logged_in(array) as peer:
        await peer.settle(1)
        on = Side(array, peer, with_lane=True)
        volume_of(array).write(0, [content])
        array.pool.commit()
        for count in (1, 8, 9, 40, 400):
            lba = 8 + offset
            ((header, data),) = await on.feed(peer.encode(peer.read(cdb.read_16(lba, count), count * 512)))
            assert header[0] == Opcode.SCSI_DATA_IN
            assert data == content[lba * 512 : (lba + count) * 512]


async def test_writes_by_the_native_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All writes are written natively, once Python has made their leaf, also those of parts of store blocks."""
    random, expected = Random(7), bytearray(64 * BLOCK_BYTES)
    async with running(config_of(tmp_path)) as array, logged_in(array) as peer:
        await peer.settle(1)
        on = Side(array, peer, with_lane=True)
        volume, in_python = volume_of(array), list[int]()
        write = volume.write
        monkeypatch.setattr(volume, "write", lambda block, data: (in_python.append(block), write(block, data)))
        for number in range(120):
            lba, count = random.choice(((random.randrange(0, 400, 8), 8), (random.randrange(400), random.randrange(1, 100))))
            data = random.randbytes(count * 512)
            expected[lba * 512 : (lba + count) * 512] = data
            if number == 60:
                volume.freeze()
            before = len(in_python)
            ((header, _),) = await on.feed(peer.encode(peer.write(cdb.write_16(lba, count), count * 512), data))
            assert header[0] == Opcode.SCSI_RESPONSE
            assert len(in_python) - before == (number in (0, 60)), (number, lba, count)
        assert b"".join(await volume.read(0, 64)) == expected


@pytest.mark.parametrize("with_lane", [True, False])
async def test_writes_with_fua_are_durable_when_they_are_answered(tmp_path: Path, *, with_lane: bool) -> None:
    async with running(config_of(tmp_path)) as array, logged_in(array) as peer:
        await peer.settle(1)
        on, flushes_at_once = Side(array, peer, with_lane=with_lane), array.pool.flushes_at_once
        for lba in (0, 8, 3):
            write = peer.write(cdb.write_16(lba, 8, force_unit_access=True), 4096)
            ((header, _),) = await on.feed(peer.encode(write, bytes(4096)), waits=not flushes_at_once)
            assert (header[0], header[3]) == (Opcode.SCSI_RESPONSE, 0)
            assert array.pool.durable_osn == array.pool.commit()


async def test_the_lane_executes_writes_with_fua_only_if_the_pool_flushes_at_once(tmp_path: Path) -> None:
    async with running(config_of(tmp_path)) as array, logged_in(array) as peer:
        await peer.settle(1)
        on, flushes_at_once = Side(array, peer, with_lane=True), array.pool.flushes_at_once
        write = peer.encode(peer.write(cdb.write_16(0, 8, force_unit_access=True), 4096), bytes(4096))
        assert on.lane.run(memoryview(write)) == (len(write) if flushes_at_once else 0)
        osn = array.pool.commit()
        assert array.pool.durable_osn == osn or not flushes_at_once


async def test_a_damaged_block_is_reported(tmp_path: Path) -> None:
    async with running(config_of(tmp_path)) as array, logged_in(array) as peer:
        await peer.settle(1)
        volume_of(array).write(0, [Random(6).randbytes(3 * BLOCK_BYTES)])
        array.pool.commit()
        on = Side(array, peer, with_lane=True)
        place = volume_of(array).block_map.place(1)
        table = volume_of(array)._reader._tables[segment_of(place)]
        table[place & BLOCK_MASK] ^= 1
        reads = b"".join(peer.encode(peer.read(cdb.read_16(lba, 8), 4096)) for lba in (0, 8, 16))
        opcodes = [header[0] for header, _ in await on.feed(reads)]
        assert opcodes == [Opcode.SCSI_DATA_IN, Opcode.SCSI_RESPONSE, Opcode.SCSI_DATA_IN]
        table[place & BLOCK_MASK] ^= 1
