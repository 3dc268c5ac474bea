"""Imports over iSCSI: an old array and a new one in this process, with hosts, tokens, snapshots, cuts and restarts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from odx_target.configured_pool import PoolParts, memory_parts, open_pool
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.disk import Disk
from odx_target.initiator.sense import SenseKey, read_sense
from odx_target.initiator.session.session import InitiatorSession
from odx_target.migration.importer import Importer
from odx_target.store.api import Volume
from odx_target.target.array import Array
from odx_target.target.config.chap import ChapUser
from odx_target.target.config.settings import Config, LunConfig, Portal
from tests.target.running import is_good, running, session_with, settled
from tests.target.test_storage_operations import do, refused

SIZE = (1 << 20) + 1536
"""Size of the old LUN in bytes. It ends inside a store block."""

SLOW = 64 << 10
"""A rate at which hosts read before the copy."""

OLD = Config(luns=(LunConfig("old", SIZE), LunConfig("native", 1 << 20, 4096)))


def sector(number: int) -> bytes:
    return (number + 1).to_bytes(8, "big") * 64


@asynccontextmanager
async def old_array(config: Config = OLD, memory: PoolParts | None = None) -> AsyncIterator[Array]:
    """Run an old array whose first LUN has other data in each sector, except some zeros. `memory` has its pool."""
    ports = config.portals if config.portals[0].port != 3260 else (Portal(port=0),)
    async with Array(replace(config, portals=ports), open_pool=partial(open_pool, memory=memory)) as array:
        unit = array.logical_units[0]
        await unit.blocks.write(0, [b"".join(map(sector, range(SIZE // 512)))])
        await unit.blocks.unmap(512, 64)
        yield array


def source_of(array: Array, lun: int = 0) -> str:
    return f"iscsi://127.0.0.1:{array.portals[0].port}/{array.config.iqn}/{lun}"


def old_data(lba: int, count: int) -> bytes:
    return b"".join(bytes(512) if 512 <= at < 576 else sector(at) for at in range(lba, lba + count))


async def disk_of(session: InitiatorSession, lun: int) -> Disk:
    return await Disk.probe(session.logical_unit(lun), trio.sleep, "new")


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(30):
        while not await ready():
            await trio.sleep(0.01)


async def row(array: Array) -> dict[str, Any]:
    (found,) = (await do(array, "imports"))["imports"]
    return found


async def finished(array: Array) -> None:
    async def is_finished() -> bool:
        return bool((await row(array))["state"] == "finished")

    await until(is_finished)


async def test_hosts_use_an_old_lun_at_once_and_the_old_array_goes() -> None:
    async with running() as new:
        async with old_array() as old, session_with(new) as session:
            answer = await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
            assert (answer["lun"], answer["size_bytes"], answer["state"]) == (2, SIZE, "copying")
            assert answer["is_source_needed"]
            disk = await disk_of(session, 2)
            assert (disk.capacity_blocks, disk.block_bytes) == (SIZE // 512, 512)
            assert bytes(await disk.read_blocks(500, 100)) == old_data(500, 100)
            assert bytes(await disk.read_blocks(SIZE // 512 - 2, 2)) == old_data(SIZE // 512 - 2, 2)
            await disk.write_blocks(1001, b"w" * 512)
            assert bytes(await disk.read_blocks(1000, 3)) == old_data(1000, 1) + b"w" * 512 + old_data(1002, 1)
            compared = cdb.compare_and_write(1500, 1)
            assert is_good(await session.execute(2, compared, old_data(1500, 1) + b"c" * 512))
            assert not is_good(await session.execute(2, compared, old_data(1500, 1) + b"d" * 512))
            assert bytes(await disk.read_blocks(1499, 3)) == old_data(1499, 1) + b"c" * 512 + old_data(1501, 1)
            unmap = bytes.fromhex("0016 0010 00000000") + (1600).to_bytes(8, "big") + (20).to_bytes(4, "big") + bytes(4)
            assert is_good(await session.execute(2, bytes.fromhex("42 00 00000000 00 0018 00"), unmap))
            assert is_good(await session.execute(2, cdb.write_same_16(1700, 10), b"s" * 512))
            await do(new, "snapshot-create", snapshots=["moved@s"])
            await disk.write_blocks(1800, b"n" * 512)
            await do(new, "import-rate", name="moved", rate="1G")
            await finished(new)
        expected = bytearray(old_data(0, SIZE // 512))
        for lba, data in [
            (1001, b"w" * 512),
            (1500, b"c" * 512),
            (1600, bytes(20 * 512)),
            (1700, b"s" * 5120),
        ]:
            expected[lba * 512 : lba * 512 + len(data)] = data
        at_snapshot = bytes(expected)
        expected[1800 * 512 : 1801 * 512] = b"n" * 512
        async with session_with(new) as session:
            disk = await disk_of(session, 2)
            assert bytes(await disk.read_blocks(0, SIZE // 512)) == bytes(expected)
            assert "moved.import" not in new.pool.volumes
            await do(new, "clone", origin="moved@s", name="again", lun=True)
            clone = await disk_of(session, 3)
            assert bytes(await clone.read_blocks(0, SIZE // 512)) == at_snapshot
        assert not (await row(new))["is_source_needed"]


async def test_a_token_has_the_data_of_its_moment() -> None:
    async with old_array() as old, running() as new, session_with(new) as session:
        await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
        await settled(session, 0)
        disk = await disk_of(session, 2)
        listed = populate_token_list([BlockRange(1000, 64)])
        assert is_good(await session.execute(2, cdb.populate_token(1, len(listed)), listed))
        received = await session.execute(2, cdb.receive_rod_token_information(1, 4096), (), 4096)
        token = read_rod_token_information(received.data_in).tokens[0]
        await disk.write_blocks(1000, b"x" * 64 * 512)
        other = await disk_of(session, 0)
        for lun, lba in [(0, 101), (0, 800)]:
            written = write_using_token_list(token, [BlockRange(lba, 64)])
            assert is_good(await session.execute(lun, cdb.write_using_token(2, len(written)), written))
        assert bytes(await other.read_blocks(101, 64)) == old_data(1000, 64)
        assert "first" in await refused(new, "import-cancel", name="moved")
        await do(new, "import-rate", name="moved", rate="1G")
        await finished(new)
        assert bytes(await other.read_blocks(800, 64)) == old_data(1000, 64)
        assert bytes(await disk.read_blocks(1000, 64)) == b"x" * 64 * 512


async def test_an_import_survives_restarts_of_both_arrays() -> None:
    parts, old_parts = memory_parts(), memory_parts()
    config = Config(luns=(LunConfig("first", 1 << 20),), portals=(Portal(port=0),))
    opened = partial(open_pool, memory=parts)
    async with old_array(memory=old_parts) as old:
        port = old.portals[0].port
        async with Array(config, open_pool=opened) as new:
            await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW, verify=True)
            await new.logical_units[1].blocks.write(10, [b"w" * 512])
            before = (await row(new))["started"]
    async with Array(config, open_pool=opened) as new:

        async def is_waiting() -> bool:
            found = await row(new)
            return bool(found["state"] == "waiting" and str(port) in found["reason"])

        await until(is_waiting)
        assert (await row(new))["started"] == before
        async with old_array(Config(luns=OLD.luns, portals=(Portal(port=port),)), memory=old_parts):
            await do(new, "import-rate", name="moved", rate="1G")
            await finished(new)
        data = b"".join(await new.pool.volumes["moved"].read(0, new.pool.volumes["moved"].size_blocks))
        assert data[:SIZE] == old_data(0, 10) + b"w" * 512 + old_data(11, SIZE // 512 - 11)


async def test_another_lun_at_the_old_place_is_not_copied() -> None:
    async with running() as new:
        async with old_array() as old:
            port = old.portals[0].port
            await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
        async with old_array(Config(luns=OLD.luns, portals=(Portal(port=port),))):

            async def is_refused() -> bool:
                return "another LUN answers" in (await row(new))["reason"]

            await until(is_refused)
            assert (await row(new))["missing_bytes"] > 0


async def test_another_lun_that_takes_the_place_during_a_session_is_not_copied() -> None:
    luns = (LunConfig("old", SIZE), LunConfig("twin", SIZE))
    async with old_array(Config(luns=luns)) as old, running() as new:
        await old.logical_units[1].blocks.write(0, [b"wrong!!!" * (SIZE // 8)])
        await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
        await do(old, "lun-renumber", name="old", number=7)
        await do(old, "lun-renumber", name="twin", number=0)

        async def is_refused() -> bool:
            return "another LUN answers" in (await row(new))["reason"]

        await until(is_refused)
        await do(old, "lun-renumber", name="twin", number=8)
        await do(old, "lun-renumber", name="old", number=0)
        await do(new, "import-rate", name="moved", rate="1G")
        await finished(new)
        data = b"".join(await new.pool.volumes["moved"].read(0, new.pool.volumes["moved"].size_blocks))
        assert data[:SIZE] == old_data(0, SIZE // 512)


async def test_an_import_that_ends_while_it_is_cancelled_keeps_its_lun(monkeypatch: pytest.MonkeyPatch) -> None:
    async with old_array() as old, running() as new:
        await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
        stop = Importer.stop

        async def stop_at_the_end(importer: Importer) -> None:
            await do(new, "import-rate", name="moved", rate="1G")
            await finished(new)
            await stop(importer)

        monkeypatch.setattr(Importer, "stop", stop_at_the_end)
        await refused(new, "import-cancel", name="moved")
        assert sorted(new.logical_units) == [0, 1, 2]
        assert (await row(new))["state"] == "finished"
        assert b"".join(await new.pool.volumes["moved"].read(0, 8)) == old_data(0, 64)


@pytest.mark.parametrize("is_settled", [False, True])
async def test_an_import_that_has_failed_at_its_end_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, is_settled: bool) -> None:
    async with old_array() as old, running() as new:
        settle = new.pool.bases.settle

        async def fail(base: Volume) -> bool:
            if is_settled:
                await settle(base)
            raise RuntimeError("a fault of the program")

        monkeypatch.setattr(new.pool.bases, "settle", fail)
        await do(new, "import-start", source=source_of(old), name="moved", rate="1G")

        async def has_failed() -> bool:
            return bool((await row(new))["state"] == "failed")

        await until(has_failed)
        assert not (await row(new))["is_source_needed"]
        await do(new, "import-cancel", name="moved")
        assert set(new.pool.volumes) == {"first", "second"}
        monkeypatch.setattr(new.pool.bases, "settle", settle)
        await do(new, "import-start", source=source_of(old), name="moved", rate="1G")
        await finished(new)


async def test_chap_is_used_and_its_secret_is_shown_nowhere() -> None:
    users = (ChapUser("host", b"secret-of-the-host"),)
    async with old_array(Config(luns=OLD.luns, chap_users=users)) as old, running() as new:
        assert "login" in (await refused(new, "import-start", source=source_of(old), name="moved")).lower()
        given = {"user": "host", "secret": "secret-of-the-host"}
        answer = await do(new, "import-start", source=source_of(old), name="moved", **given)
        assert "secret-of-the-host" not in repr(answer)
        await finished(new)
        assert b"secret-of-the-host" not in (new.pool.remembered(new.pool.remembered_keys("import/")[0]) or b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "http://a"}, "iscsi://"),
        ({"source": "iscsi://u%s3cret@127.0.0.1/iqn.a:b/0"}, "arguments of their own"),
        ({"name": "first"}, "already"),
        ({"name": "a b"}, "LUN name"),
        ({"name": "a" * 60}, "LUN name"),
        ({"rate": 5}, "rate"),
        ({"user": "a"}, "secret"),
        ({"target_user": "a", "target_secret": "b"}, "user"),
        ({"initiator_name": "x"}, "iqn"),
        ({"compression": "zip"}, "compression"),
        ({"source": "iscsi://127.0.0.1:1/iqn.a:b/0"}, "127.0.0.1:1"),
    ],
)
async def test_imports_that_are_refused(arguments: dict[str, object], message: str) -> None:
    async with running() as new:
        said = await refused(new, "import-start", **{"source": "iscsi://127.0.0.1:1/iqn.a:b/0", "name": "moved", **arguments})
        assert message in said
        assert "s3cret" not in said
        assert set(new.pool.volumes) == {"first", "second"}


async def test_a_cancelled_import_takes_its_lun_away() -> None:
    async with old_array() as old, running() as new, session_with(new) as session:
        await settled(session, 0)
        await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
        await do(new, "snapshot-create", snapshots=["moved@s"])
        assert "snapshot moved@s" in await refused(new, "import-cancel", name="moved")
        await do(new, "snapshot-delete", snapshot="moved@s")
        for operation, more in [("volume-delete", {"force": True}), ("lun-add", {}), ("volume-resize", {"size": 8 << 20})]:
            assert "import" in await refused(new, operation, name="moved.import", **more)
        assert "cancel the import" in await refused(new, "volume-delete", name="moved", force=True)
        schedule = {"name": "hourly", "fields": {"every": "hourly", "keep": 3, "default": True}}
        await do(new, "schedule-add", **schedule)
        book = new.schedules.book
        applied = await book.volumes_of(book.find("hourly"))
        assert [volume.name for volume in applied] == ["first", "second", "moved"]
        await do(new, "schedule-remove", name="hourly")
        assert "no comparison" in await refused(new, "import-accept", name="moved")
        assert "no running import" in await refused(new, "import-verify", name="first")
        assert "was not imported" in await refused(new, "import-cancel", name="first")
        await do(new, "import-cancel", name="moved")
        assert set(new.pool.volumes) == {"first", "second"}
        assert (await do(new, "imports"))["imports"] == []
        assert sorted(new.logical_units) == [0, 1]


async def test_a_lun_of_4096_bytes_is_compared_and_forgotten() -> None:
    async with old_array() as old, running() as new:
        await old.logical_units[1].blocks.write(3, [b"q" * 8192])
        await do(new, "import-start", source=source_of(old, 1), name="moved", verify=True, compression="lz4")
        await finished(new)
        assert b"".join(await new.pool.volumes["moved"].read(0, 256)) == bytes(3 * 4096) + b"q" * 8192 + bytes(251 * 4096)
        assert new.logical_units[2].block_bytes == 4096
        assert (await do(new, "import-cancel", name="moved"))["state"] == "finished"
        assert (await do(new, "imports"))["imports"] == []
        assert "moved" in new.pool.volumes
        await do(new, "import-start", source=source_of(old, 1), name="again")
        await finished(new)
        await do(new, "volume-delete", name="again", force=True)
        assert (await do(new, "imports"))["imports"] == []


async def test_a_changed_old_lun_waits_for_the_operator() -> None:
    async with old_array() as old, running() as new:
        await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW, verify=True)
        await new.pool.volumes["moved"].read(0, 1)
        await old.logical_units[0].blocks.write(1, [b"changed!" * 64])
        await do(new, "import-rate", name="moved", rate="1G")

        async def is_different() -> bool:
            return bool((await row(new))["state"] == "different")

        await until(is_different)
        assert (await row(new))["different"] == {"bytes": 4096, "ranges": [[0, 4096]]}
        assert (await do(new, "import-accept", name="moved"))["volume"] == "moved"
        await finished(new)


async def test_a_running_import_is_not_deleted_with_its_snapshots() -> None:
    async with old_array() as old, running() as new, session_with(new) as session:
        await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
        disk = await disk_of(session, 2)
        await do(new, "clone", origin="moved", name="clone", lun=True)
        assert "volume clone" in await refused(new, "import-cancel", name="moved")
        assert bytes(await disk.read_blocks(900, 9)) == old_data(900, 9)
        await do(new, "snapshot-create", snapshots=["moved@s"])
        await disk.write_blocks(900, b"r" * 512)
        await do(new, "snapshot-restore", snapshot="moved@s")
        assert bytes(await (await disk_of(session, 2)).read_blocks(900, 9)) == old_data(900, 9)


async def test_a_bad_block_of_the_old_lun_is_a_medium_error_with_its_lba() -> None:
    async with old_array() as old, running() as new, session_with(new) as session:
        await do(old, "fault-add", rule="command=read lba=1003-1003 sense=unrecovered-read-error", name="bad")
        await do(new, "import-start", source=source_of(old), name="moved", rate="1G")
        disk = await disk_of(session, 2)

        async def is_blocked() -> bool:
            return bool((await row(new))["unreadable"]["bytes"] == 4096)

        await until(is_blocked)
        assert (await row(new))["unreadable"]["ranges"] == [[1000 * 512, 4096]]
        result = await session.execute(2, cdb.read_16(1000, 8), (), 4096)
        sense = read_sense(result.sense)
        assert sense is not None
        assert (sense.key, sense.code) == (SenseKey.MEDIUM_ERROR, (0x11, 0x00))
        assert sense.information in range(1000, 1008)
        assert bytes(await disk.read_blocks(992, 8)) == old_data(992, 8)
        await disk.write_blocks(1000, b"h" * 4096)
        assert bytes(await disk.read_blocks(1000, 8)) == b"h" * 4096


@pytest.mark.parametrize(
    "rule",
    [
        "command=get-lba-status sense=invalid-field-in-cdb",
        "command=read-capacity-16 sense=invalid-field-in-cdb",
        "command=read first=3 status=busy",
        "command=read first=3 close",
        "command=read first=2 transfer=50%",
    ],
)
async def test_old_arrays_with_weaknesses_are_imported_too(rule: str) -> None:
    async with running() as new, old_array() as old:
        await do(old, "fault-add", rule=rule, name="weak")
        await do(new, "import-start", source=source_of(old), name="moved", rate="1G")
        await finished(new)
        assert b"".join(await new.pool.volumes["moved"].read(0, SIZE // 4096)) == old_data(0, SIZE // 4096 * 8)


async def test_hosts_are_told_to_repeat_reads_while_the_old_array_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odx_target.migration.fetching.SOURCE_WAIT_S", 0.3)
    async with running() as new, session_with(new) as session:
        async with old_array() as old:
            await do(new, "import-start", source=source_of(old), name="moved", rate=SLOW)
            disk = await disk_of(session, 2)
            assert bytes(await disk.read_blocks(1200, 8)) == old_data(1200, 8)
        for command, size_bytes, data in [(cdb.read_16(1600, 8), 4096, b""), (cdb.write_16(1604, 2), 0, bytes(1024))]:
            result = await session.execute(2, command, data, size_bytes)
            sense = read_sense(result.sense)
            assert sense is not None
            assert (sense.key, sense.code) == (SenseKey.NOT_READY, (0x04, 0x01))
        assert bytes(await disk.read_blocks(1200, 8)) == old_data(1200, 8)
        await disk.write_blocks(1608, b"w" * 4096)
        assert bytes(await disk.read_blocks(1608, 8)) == b"w" * 4096
