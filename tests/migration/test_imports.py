"""Imports on the virtual clock: reads through, the background copy, cuts, bad blocks, comparison and the end."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.migration.worlds import RATE, WANTED, World
from tests.store.pools import block

from odx_target.environment import Buffer
from odx_target.migration.import_table import ImportRefused
from odx_target.migration.limits import (
    CHECK_PAUSE_S,
    MAX_BAD_RANGES,
    MAX_FINISHED,
    MAX_IMPORTS,
    MAX_PIECES,
    PIECE_BLOCKS,
    POOL_PAUSE_S,
    SOURCE_WAIT_S,
)
from odx_target.migration.progress import State
from odx_target.migration.record import ImportRecord, InvalidRecord, Phase, decode, encode
from odx_target.migration.source import Source, SourceLun, SourceRefused
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, OutOfResources, PoolBusy, SourceAway, StoreError, Unreadable, Volume

SIZES = [(512, 600 * BLOCK_BYTES + 1536), (4096, 300 * BLOCK_BYTES), (512, 512)]


@pytest.mark.parametrize(("block_bytes", "size_bytes"), SIZES)
def test_a_lun_is_imported_whole(block_bytes: int, size_bytes: int) -> None:
    world = World(size_bytes, block_bytes)
    world.begin()
    count = world.volume.size_blocks
    assert world.read(count - 1, 1) == world.old(count - 1, 1)
    world.until_finished()
    assert world.source.is_closed
    assert set(world.machine.pool.volumes) == {"a"}
    assert world.read(0, count) == world.old(0, count)
    (record,) = world.table.records()
    assert record.phase is Phase.FINISHED
    assert record.finished is not None
    assert (record.user, record.secret) == (None, None)
    assert world.source.most_running <= MAX_PIECES + 1
    world.restart()
    assert world.read(0, count) == world.old(0, count)


def test_hosts_read_through_and_their_writes_stay() -> None:
    world = World()
    world.source.delay_s = 0.01
    world.begin(rate=64 << 10)
    world.volume.write(100, [block(7)])
    world.volume.unmap(101, 2)
    snapshot = world.volume.snapshot("s")
    world.volume.write(99, [block(8)])
    assert world.read(98, 6) == world.old(98, 1) + block(8) + block(7) + bytes(2 * BLOCK_BYTES) + world.old(103, 1)
    reads = len(world.source.reads)
    assert world.read(103, 1) == world.old(103, 1)
    assert len(world.source.reads) == reads, "a fetched block is kept"
    world.environment.run(world.importer.set_rate(RATE))
    world.until_finished()
    assert world.read(98, 6) == world.old(98, 1) + block(8) + block(7) + bytes(2 * BLOCK_BYTES) + world.old(103, 1)
    assert b"".join(world.environment.run(snapshot.read(98, 4))) == world.old(98, 2) + block(7) + bytes(BLOCK_BYTES)


def test_an_import_continues_after_a_restart() -> None:
    world = World()
    world.begin(rate=4 << 20)
    world.environment.advance(0.4)
    before = world.environment.run(world.machine.pool.bases.count_missing(world.machine.pool.volumes["a.import"]))
    assert 0 < before < world.volume.size_blocks
    world.volume.write(599, [block(9)])
    world.restart()
    world.until_finished()
    assert sum(count for _, count in world.source.reads) <= before * 8
    assert world.read(0, 601) == world.old(0, 599) + block(9) + world.old(600, 1)


def test_a_restart_in_every_half_second() -> None:
    world = World()
    world.begin(rate=256 << 10)
    for _ in range(24):
        if not world.table.running:
            break
        world.environment.advance(0.5)
        world.restart()
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)


def test_a_read_waits_for_an_old_array_that_is_away() -> None:
    world = World()
    world.begin(rate=64 << 10)
    world.source.failure = "gone"
    began_s = world.environment.monotonic()
    with pytest.raises(SourceAway, match="gone"):
        world.read(500, 1)
    assert SOURCE_WAIT_S - 1 <= world.environment.monotonic() - began_s <= SOURCE_WAIT_S
    assert world.importer.progress().state is State.WAITING
    assert world.importer.progress().reason == "gone"
    waiting = world.environment.spawn(world.volume.read(500, 1))
    world.environment.advance(5)
    assert not waiting.done
    world.source.failure = ""
    world.environment.advance(1)
    assert b"".join(waiting.value()) == world.old(500, 1)
    world.environment.run(world.importer.set_rate(RATE))
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)


def test_failed_reads_are_repeated() -> None:
    world = World()
    world.source.failures = 0
    world.begin()
    world.source.failures = 7
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)


def test_the_rate_is_bounded_and_shown() -> None:
    world = World(16 << 20)
    world.begin(rate=1 << 20)
    world.environment.advance(8)
    progress = world.importer.progress()
    copied = (progress.size_blocks - (progress.missing_blocks or 0)) * BLOCK_BYTES
    assert 7 << 20 <= copied <= 9 << 20
    assert 0.85 * (1 << 20) <= progress.rate <= 1.2 * (1 << 20)
    assert progress.remaining_s is not None
    assert 5 <= progress.remaining_s <= 11


def test_holes_of_the_old_lun_are_not_read() -> None:
    world = World()
    content = bytearray(world.content)
    content[8 * 512 : 4000 * 512] = bytes(3992 * 512)
    world.source.content = world.content = bytes(content)
    world.source.holes = [(8, 3992), (4804, 2)]
    world.begin()
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)
    assert not [lba for lba, count in world.source.reads if lba < 4000 and lba + count > 16]


def test_bad_blocks_of_the_old_lun_are_read_again_later() -> None:
    world = World()
    world.source.bad = {805, 2001}
    world.begin()
    world.environment.advance(5)
    progress = world.importer.progress()
    assert progress.unreadable.count_blocks == 2
    assert sorted(progress.unreadable.ranges) == [(100, 1), (250, 1)]
    assert progress.missing_blocks == 2
    with pytest.raises(DamagedBlock) as error:
        world.read(249, 2)
    assert error.value.block == 250
    assert world.read(101, 149) == world.old(101, 149)
    world.source.bad.clear()
    world.environment.advance(CHECK_PAUSE_S)
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)


def test_many_bad_blocks_are_counted_but_not_all_listed() -> None:
    world = World(8 * MAX_BAD_RANGES * BLOCK_BYTES)
    world.source.bad = set(range(0, 64 * MAX_BAD_RANGES, 32))
    world.begin()
    world.environment.advance(30)
    unreadable = world.importer.progress().unreadable
    assert unreadable.count_blocks == 2 * MAX_BAD_RANGES
    assert len(unreadable.ranges) == MAX_BAD_RANGES


@pytest.mark.parametrize("is_accepted", [False, True])
def test_a_changed_old_lun_is_found_by_the_comparison(is_accepted: bool) -> None:
    world = World()
    world.begin(verify=True, rate=1 << 20)
    world.environment.advance(1.5)
    changed = bytearray(world.content)
    changed[5 * BLOCK_BYTES + 3] ^= 1
    before, world.source.content = world.content, bytes(changed)
    world.environment.advance(20)
    progress = world.importer.progress()
    assert progress.state is State.DIFFERENT
    assert progress.different.ranges == [(5, 1)]
    if is_accepted:
        world.importer.accept()
    else:
        world.source.content = before
        world.environment.run(world.importer.verify())
        world.environment.advance(1)
        assert world.importer.progress().state is State.VERIFYING
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)


def test_the_copy_waits_for_room_in_the_pool() -> None:
    world = World(600 * BLOCK_BYTES, limit_bytes=512 * BLOCK_BYTES)
    world.begin()
    world.environment.advance(3)
    progress = world.importer.progress()
    assert progress.state is State.WAITING
    assert "room" in progress.reason or "full" in progress.reason or "limit" in progress.reason
    assert world.read(599, 1) == world.old(599, 1), "reads go through although the pool is full"
    world.machine.pool.change_options(replace(world.machine.options, limit_bytes=None))  # type: ignore[arg-type]
    world.environment.advance(POOL_PAUSE_S + 1)
    world.until_finished()
    assert world.read(0, 600) == world.old(0, 600)


def test_a_source_that_does_not_answer_leaves_nothing() -> None:
    world = World()
    world.source.failure = "no route to host"
    with pytest.raises(ImportRefused, match="no route"):
        world.begin()
    assert not world.machine.pool.volumes
    assert not world.table.running
    assert world.source.is_closed


def test_a_name_that_is_taken_leaves_nothing() -> None:
    world = World()
    world.machine.pool.create_volume("a", 5, {})
    with pytest.raises(StoreError, match="already"):
        world.begin()
    assert set(world.machine.pool.volumes) == {"a"}
    assert not world.machine.pool.bases.volumes()


@pytest.mark.parametrize("error", [PoolBusy("the pool makes room"), OutOfResources("the pool is full")])
def test_an_import_that_cannot_begin_in_a_busy_pool_leaves_nothing(error: StoreError) -> None:
    """The record cannot be stored, and neither can the deletions that follow, until the pool has made room."""
    world = World()
    pool = world.machine.pool
    remember, delete_volume, delete_base = pool.remember, pool.delete_volume, pool.bases.delete
    refusals: dict[str, list[StoreError]] = {"record": [error], "volume": [PoolBusy("busy")] * 2, "base": [PoolBusy("busy")]}

    def remember_later(key: str, value: bytes, *, spare: bool = False) -> None:
        if refusals["record"] and key.startswith("import/"):
            raise refusals["record"].pop()
        remember(key, value, spare=spare)

    def delete_later(name: str) -> None:
        if refusals["volume"]:
            raise refusals["volume"].pop()
        delete_volume(name)

    def delete_base_later(base: Volume) -> None:
        if refusals["base"]:
            raise refusals["base"].pop()
        delete_base(base)

    pool.remember, pool.delete_volume = remember_later, delete_later  # type: ignore[method-assign]
    pool.bases.delete = delete_base_later  # type: ignore[method-assign]
    if isinstance(error, PoolBusy):
        world.begin()
        assert set(pool.volumes) == {"a", "a.import"}
        world.until_finished()
        assert world.read(0, 601) == world.old(0, 601)
        return
    with pytest.raises(OutOfResources, match="full"):
        world.begin()
    world.environment.advance(1.0)
    assert not refusals["base"]
    assert not pool.volumes
    assert not world.table.running


def test_the_volume_of_an_operator_is_not_deleted_with_an_import_that_cannot_begin() -> None:
    """While the deletion of the volume waits for room, an operator deletes it, and makes another volume of its name."""
    world = World()
    pool = world.machine.pool
    remember, delete_volume = pool.remember, pool.delete_volume

    def refuse(key: str, value: bytes, *, spare: bool = False) -> None:
        if key.startswith("import/"):
            raise OutOfResources("the pool is full")
        remember(key, value, spare=spare)

    def delete_and_make_another(name: str) -> None:
        pool.delete_volume = delete_volume  # type: ignore[method-assign]
        pool.delete_volume(name)
        pool.create_volume(name, 7, {})
        raise PoolBusy("busy")

    pool.remember, pool.delete_volume = refuse, delete_and_make_another  # type: ignore[method-assign]
    with pytest.raises(OutOfResources, match="full"):
        world.begin()
    world.environment.advance(1.0)
    assert {name: volume.size_blocks for name, volume in pool.volumes.items()} == {"a": 7}


def test_a_base_without_its_import_is_deleted_at_the_start() -> None:
    world = World()
    world.environment.run(world.machine.pool.bases.create("a.import", 50, {}))
    world.restart()
    assert not world.machine.pool.volumes


def test_imports_are_limited() -> None:
    world = World()
    for number in range(MAX_IMPORTS):
        world.begin(f"v{number}", rate=64 << 10)
    with pytest.raises(ImportRefused, match=str(MAX_IMPORTS)):
        world.begin("more")


def test_old_imports_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odx_target.migration.import_table.MAX_FINISHED", 2)
    assert MAX_FINISHED > 2
    world = World(BLOCK_BYTES)
    for number in range(4):
        world.begin(f"v{number}")
        world.until_finished()
    assert len(world.table.records()) == 3


def test_a_cancelled_import_leaves_nothing() -> None:
    world = World()
    world.begin(rate=64 << 10)
    importer = world.importer
    world.environment.run(importer.stop())
    with pytest.raises(SourceAway):
        world.read(300, 1)
    world.table.drop(importer, world.volume)
    world.restart()
    assert not world.machine.pool.volumes
    assert not world.table.records()


def test_no_secret_is_shown() -> None:
    record = replace(WANTED, volume="ab", base="cd", block_bytes=512, capacity_blocks=9)
    assert decode(encode(record)) == record
    assert "s3cret" not in repr(record)
    assert decode(encode(record.without_secrets())).secret is None


@pytest.mark.parametrize("change", [{"rate": 0}, {"block_bytes": "512"}, {"phase": "x"}, {"base": "z"}, {"more": 1}])
def test_damaged_records_are_refused(change: dict[str, object]) -> None:
    fields = json.loads(encode(replace(WANTED, volume="ab", base="cd", block_bytes=512, capacity_blocks=9)))
    with pytest.raises(InvalidRecord):
        decode(json.dumps({**fields, **change}).encode())
    with pytest.raises(InvalidRecord):
        decode(b"[]")


def test_a_record_that_cannot_be_read_keeps_its_base_and_stops_no_other_import() -> None:
    world = World()
    world.begin("b", rate=64 << 10)
    world.begin(rate=64 << 10)
    first, _ = world.table.records()
    world.machine.pool.remember(first.key, b"{}")
    world.restart()
    assert set(world.machine.pool.volumes) == {"a", "a.import", "b", "b.import"}
    assert world.lines[0][0] == "error"
    assert world.read(300, 1) == world.old(300, 1)
    assert len(world.table.running) == 1


def test_an_import_whose_url_cannot_be_read_stops_no_other_import(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.begin("b", rate=64 << 10)
    world.begin(rate=64 << 10)
    first, _ = world.table.records()
    world.machine.pool.remember(first.key, encode(replace(first, url="nonsense")))
    world.machine.pool.commit()
    world.machine.kill()
    world.begin_table()
    make_source = world.table._make_source

    def make(record: ImportRecord, lun: SourceLun | None) -> Source:
        if record.url == "nonsense":
            raise SourceRefused("nonsense is no URL")
        return make_source(record, lun)

    monkeypatch.setattr(world.table, "_make_source", make)
    world.table.start()
    assert [level for level, line in world.lines if "nonsense is no URL" in line] == ["error"]
    assert set(world.machine.pool.volumes) == {"a", "a.import", "b", "b.import"}
    assert world.read(300, 1) == world.old(300, 1)
    assert len(world.table.running) == 1


def test_a_read_that_the_old_array_refuses_is_shown() -> None:
    world = World()
    world.begin(rate=64 << 10)
    world.source.failures = 1_000_000
    world.environment.advance(3)
    progress = world.importer.progress()
    assert (progress.state, progress.reason) == (State.WAITING, "the connection broke")
    world.source.failures = 0
    world.environment.advance(3)
    assert world.importer.progress().state is State.COPYING


def test_a_piece_that_became_too_large_is_divided() -> None:
    world = World()
    world.source.failures = 0
    world.begin()
    world.source.failures = 20
    world.environment.advance(0.3)
    world.source.max_read_blocks = 16
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)


def test_pieces_are_as_small_as_the_old_array_wants() -> None:
    world = World()
    world.source.max_read_blocks = 20
    world.begin()
    world.until_finished()
    assert max(count for _, count in world.source.reads) <= 20
    assert PIECE_BLOCKS * 8 > 20
    assert world.read(0, 601) == world.old(0, 601)


def test_a_change_that_waits_for_room_undoes_no_later_change() -> None:
    world = World()
    world.begin(rate=64 << 10)
    importer = world.importer
    remember = world.machine.pool.remember
    refusals = [PoolBusy("the pool makes room")]

    def remember_later(key: str, value: bytes, *, spare: bool = False) -> None:
        if refusals:
            raise refusals.pop()
        remember(key, value, spare=spare)

    async def wait_for_the_end() -> None:
        while world.table.running:
            await world.environment.sleep(1.0)

    world.machine.pool.remember = remember_later  # type: ignore[method-assign]
    importer.base.room_made = wait_for_the_end  # type: ignore[method-assign]
    world.environment.start_soon(importer.set_rate, 1 << 20)
    world.environment.settle()
    assert not refusals
    world.until_finished()
    world.environment.advance(2.0)
    world.environment.settle()
    (record,) = world.table.records()
    assert (record.phase, record.rate, record.secret) == (Phase.FINISHED, 1 << 20, None)


def test_the_record_of_an_import_whose_base_is_gone_has_no_secrets() -> None:
    world = World()
    world.begin(rate=64 << 10)
    importer = world.importer
    world.environment.run(importer.stop())
    world.machine.pool.bases.delete(importer.base)
    world.restart()
    (record,) = world.table.records()
    assert (record.phase, record.user, record.secret) == (Phase.FINISHED, None, None)


@pytest.mark.parametrize("error", [OutOfResources("no thread"), Unreadable(0, "the disk failed")])
def test_an_import_continues_after_a_failure_of_the_pool_that_passes(error: StoreError) -> None:
    world = World()
    bases = world.machine.pool.bases
    count_missing = bases.count_missing
    failures = [error]

    async def count(volume: Volume) -> int:
        if failures:
            raise failures.pop()
        return await count_missing(volume)

    bases.count_missing = count  # type: ignore[method-assign]
    world.begin()
    world.environment.advance(1)
    progress = world.importer.progress()
    assert (progress.state, progress.reason) == (State.WAITING, str(error))
    world.until_finished()
    assert world.read(0, 601) == world.old(0, 601)


def test_a_block_that_this_pool_has_lost_counts_as_different() -> None:
    world = World()
    world.begin(verify=True)
    base = world.importer.base
    read = base.read

    async def read_around_5(block: int, count_blocks: int) -> Sequence[Buffer]:
        if block <= 5 < block + count_blocks:
            raise DamagedBlock(5)
        return await read(block, count_blocks)

    base.read = read_around_5  # type: ignore[method-assign]
    world.environment.advance(20)
    progress = world.importer.progress()
    assert (progress.state, progress.different.ranges) == (State.DIFFERENT, [(5, 1)])
