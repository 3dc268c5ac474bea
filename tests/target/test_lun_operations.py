"""The life of LUNs: they are added, removed, renumbered, renamed and made read-only while hosts use them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, write_using_token_list
from odx_target.initiator.errors import CommandTimedOut
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.api import PoolBusy, PoolFull
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, LunConfig
from tests.target.running import LUNS, is_good, running, session_with, settled
from tests.target.test_storage_operations import (
    MIB,
    REPORT_LUNS,
    TEST_UNIT_READY,
    attentions,
    do,
    read,
    refused,
    row,
    write,
)

ZERO_TOKEN = bytes.fromhex("ffff0001 0000 01f8") + bytes(504)
REGISTER = bytes.fromhex("5f 00 00 0000 00000018 00")
READ_KEYS = bytes.fromhex("5e 00 00000000 00 0100 00")
MODE_SENSE_6 = bytes.fromhex("1a 08 3f 00 ff 00")
KEY = 0x1234
LARGE_BLOCKS = 1 << 16
"""Blocks of a copy of 32 MiB, which takes minutes at the slowest copy rate."""
LARGE = Config(luns=(LunConfig("first", LARGE_BLOCKS * 512), LUNS[1]))


async def sense_of(session: InitiatorSession, lun: int, command: bytes, data_out: bytes = b"") -> tuple[int, int, int]:
    """Return sense key, ASC and ASCQ of a command that is refused."""
    sense = (await session.execute(lun, command, data_out)).sense
    assert sense
    return sense[2] & 15, sense[12], sense[13]


async def reported_luns(session: InitiatorSession, lun: int) -> list[int]:
    report = (await session.execute(lun, REPORT_LUNS, data_in_bytes=1 << 12)).data_in
    return [int.from_bytes(report[at : at + 2], "big") & 0x3FFF for at in range(8, len(report), 8)]


async def register(session: InitiatorSession, lun: int, *, persistent: bool) -> None:
    parameters = bytes(8) + KEY.to_bytes(8, "big") + bytes(4) + bytes([persistent]) + bytes(3)
    assert is_good(await session.execute(lun, REGISTER, parameters))


async def keys(session: InitiatorSession, lun: int) -> list[int]:
    data = (await session.execute(lun, READ_KEYS, data_in_bytes=256)).data_in
    return [int.from_bytes(data[at : at + 8], "big") for at in range(8, 8 + int.from_bytes(data[4:8], "big"), 8)]


async def start_slow_copy(array: Array, session: InitiatorSession, lun: int) -> None:
    array.copy_manager.copies.copy_rate.set(131072)
    parameters = write_using_token_list(ZERO_TOKEN, [BlockRange(0, LARGE_BLOCKS)], immediate=True)
    assert is_good(await session.execute(lun, cdb.write_using_token(1, len(parameters)), parameters))


async def slow_copy(array: Array, session: InitiatorSession, results: list[CommandResult]) -> None:
    """Send a copy that takes longer than the array waits for it."""
    array.copy_manager.copies.copy_rate.set(131072)
    parameters = write_using_token_list(ZERO_TOKEN, [BlockRange(0, LARGE_BLOCKS)])
    with suppress(CommandTimedOut):  # an aborted command has no answer
        results.append(await session.execute(0, cdb.write_using_token(1, len(parameters)), parameters))


async def test_a_lun_is_removed_and_its_volume_gets_another_one() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await settled(session, 1)
        await do(array, "snapshot-create", snapshots=["second@s"])
        removed = await do(array, "lun-remove", name="second")
        assert (removed["lun"], removed["snapshots"]) == (None, 1)
        assert await attentions(session, 0) == ["3F/0E"]
        assert await sense_of(session, 1, TEST_UNIT_READY) == (5, 0x25, 0)
        assert await reported_luns(session, 0) == [0]
        added = await do(array, "lun-add", name="second", number=300)
        assert (added["lun"], added["serial"]) == (300, removed["serial"])
        assert await attentions(session, 0) == ["3F/0E"]
        assert await attentions(session, 300) == ["29/00"]
        assert await reported_luns(session, 0) == [0, 300]
        assert is_good(await session.execute(300, cdb.read_16(0, 1), data_in_bytes=4096))


async def test_the_data_of_a_removed_lun_stay() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        await do(array, "lun-remove", name="first")
        await do(array, "lun-add", name="first")
        assert array.pool.volumes["first"].attributes["lun"] == "2", "the next free number"
        await settled(session, 2)
        assert await read(session, 2) == b"1" * 4096


async def test_a_lun_gets_another_number_and_keeps_its_identity_and_reservations() -> None:
    async with running() as array, session_with(array) as session:
        for lun in (0, 1):
            await settled(session, lun)
        await write(session, 0, b"1")
        await register(session, 0, persistent=False)
        before = row(await do(array, "volumes"), "volumes")
        after = await do(array, "lun-renumber", name="first", number=9)
        assert {**before, "lun": 9} == after
        assert await attentions(session, 1) == ["3F/0E"]
        assert await sense_of(session, 0, TEST_UNIT_READY) == (5, 0x25, 0)
        assert await attentions(session, 9) == ["29/00"]
        assert await keys(session, 9) == [KEY]
        assert await read(session, 9) == b"1" * 4096
        await write(session, 9, b"2")
        assert await do(array, "lun-renumber", name="first", number=9) == after
        await do(array, "volume-resize", name="first", size="2M")
        assert await attentions(session, 9) == ["2A/09"]


@pytest.mark.parametrize("persistent", [False, True])
async def test_the_reservations_of_a_removed_lun_go(persistent: bool) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await register(session, 0, persistent=persistent)
        assert await keys(session, 0) == [KEY]
        await do(array, "lun-remove", name="first")
        assert not array.pool.remembered_keys("scsi/reservations/")
        await do(array, "lun-add", name="first", number=0)
        await settled(session)
        assert await keys(session, 0) == []


async def test_a_command_that_is_running_is_aborted_before_its_lun_goes(autojump_clock: MockClock) -> None:
    async with running(LARGE) as array, session_with(array) as session, trio.open_nursery() as nursery:
        await settled(session)
        await write(session, 0, b"1", lba=LARGE_BLOCKS - 8)
        results: list[CommandResult] = []
        nursery.start_soon(slow_copy, array, session, results)
        await trio.sleep(0.5)
        await do(array, "lun-remove", name="first")
        present = await read_all(array)
        await trio.sleep(60)
        assert await read_all(array) == present, "an aborted copy changes nothing any more"
        assert b"1" in present
        assert not results or not is_good(results[0])
        await do(array, "lun-add", name="first", number=0)
        assert await attentions(session, 0) == ["29/00"]
        nursery.cancel_scope.cancel()


async def test_a_read_only_lun_refuses_writes_and_hosts_are_told() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        assert (await do(array, "volume-read-only", name="first", read_only=True))["read_only"] is True
        assert await attentions(session, 0) == ["2A/01"]
        assert await sense_of(session, 0, cdb.write_16(0, 8), b"2" * 4096) == (7, 0x27, 0)
        header = (await session.execute(0, MODE_SENSE_6, data_in_bytes=255)).data_in
        assert header[2] & 0x80
        assert await read(session, 0) == b"1" * 4096
        await do(array, "volume-read-only", name="first", read_only=True)
        assert await attentions(session, 0) == [], "nothing has changed"
        await do(array, "volume-read-only", name="first", read_only=False)
        assert await attentions(session, 0) == ["2A/01"]
        await write(session, 0, b"3")
        header = (await session.execute(0, MODE_SENSE_6, data_in_bytes=255)).data_in
        assert not header[2] & 0x80


@pytest.mark.parametrize(
    ("operation", "arguments", "changed"),
    [
        ("volume-read-only", {"read_only": True}, ("read_only", True)),
        ("volume-set", {"compression": "lz4"}, ("compression", "lz4")),
        ("lun-renumber", {"number": 7}, ("lun", 7)),
        ("lun-remove", {}, ("lun", None)),
    ],
)
async def test_a_host_stores_its_information_while_a_lun_is_being_changed(
    monkeypatch: pytest.MonkeyPatch, operation: str, arguments: dict[str, object], changed: tuple[str, object]
) -> None:
    change, busy = LogVolume.change_attributes, []

    def busy_once(volume: LogVolume, attributes: Mapping[str, str]) -> None:
        if not busy:
            busy.append(volume)
            change(volume, {**volume.attributes, "identifying_information": "6e616d65"})
            raise PoolBusy("the pool is making room")
        change(volume, attributes)

    async with running() as array:
        monkeypatch.setattr(LogVolume, "change_attributes", busy_once)
        answer = await do(array, operation, name="first", **arguments)
        assert answer[changed[0]] == changed[1]
        assert array.pool.volumes["first"].attributes["identifying_information"] == "6e616d65"


async def test_a_running_copy_ends_when_its_lun_becomes_read_only(autojump_clock: MockClock) -> None:
    async with running(LARGE) as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1", lba=LARGE_BLOCKS - 8)
        await start_slow_copy(array, session, 0)
        await do(array, "volume-read-only", name="first", read_only=True)
        present = await read_all(array)
        await trio.sleep(60)
        assert await read_all(array) == present
        assert b"1" in present


async def read_all(array: Array) -> bytes:
    return b"".join(await array.pool.volumes["first"].read(0, LARGE_BLOCKS // 8))


async def test_a_renamed_lun_keeps_its_identity_and_its_hosts() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        before = row(await do(array, "volumes"), "volumes")
        await do(array, "volume-rename", name="first", new_name="renamed")
        assert await attentions(session, 0) == []
        await write(session, 0, b"1")
        assert row(await do(array, "volumes"), "volumes") == {**before, "name": "renamed"}


async def test_requests_that_are_refused() -> None:
    async with running() as array:
        await do(array, "volume-create", volume="hidden=1M")
        for operation, arguments in [
            ("lun-add", {"name": "first"}),
            ("lun-add", {"name": "third"}),
            ("lun-add", {"name": "hidden", "number": 1}),
            ("lun-add", {"name": "hidden", "number": 16384}),
            ("lun-add", {"name": "hidden", "number": -1}),
            ("lun-add", {"name": "hidden", "number": True}),
            ("lun-remove", {"name": "hidden"}),
            ("lun-remove", {"name": "third"}),
            ("lun-renumber", {"name": "hidden", "number": 3}),
            ("lun-renumber", {"name": "first", "number": 1}),
            ("lun-renumber", {"name": "first"}),
            ("volume-read-only", {"name": "third", "read_only": True}),
            ("volume-read-only", {"name": "first", "read_only": 1}),
        ]:
            assert await refused(array, operation, **arguments), (operation, arguments)  # type: ignore[arg-type]
        await do(array, "lun-add", name="hidden", number=16383)
        await do(array, "lun-remove", name="hidden")
        await do(array, "lun-remove", name="second")
        assert "only LUN" in await refused(array, "lun-remove", name="first")
        assert set(array.logical_units) == {0}


async def test_a_change_that_the_pool_refuses_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        volume = array.pool.volumes["first"]
        before = dict(volume.attributes)

        def refuse(_: object) -> None:
            raise PoolFull("the pool is full")

        monkeypatch.setattr(volume, "change_attributes", refuse)
        for operation, arguments in (
            ("lun-remove", {}),
            ("lun-renumber", {"number": 5}),
            ("volume-read-only", {"read_only": True}),
        ):
            assert await refused(array, operation, name="first", **arguments) == "the pool is full"
        assert (volume.attributes, set(array.logical_units)) == (before, {0, 1})
        assert await attentions(session, 0) == []
        await write(session, 0, b"1")


async def test_two_changes_of_one_lun_do_not_meet(autojump_clock: MockClock) -> None:
    async with running(LARGE) as array, session_with(array) as session:
        await settled(session)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow_copy, array, session, [])
            await trio.sleep(0.5)
            nursery.start_soon(lambda: do(array, "lun-renumber", name="first", number=5))
            await trio.sleep(1)
            for operation, arguments in (
                ("lun-remove", {}),
                ("lun-renumber", {"number": 6}),
                ("volume-delete", {"force": True}),
                ("volume-read-only", {"read_only": True}),
                ("volume-resize", {"size": "64M"}),
            ):
                assert "another request" in await refused(array, operation, name="first", **arguments)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
        await do(array, "volume-resize", name="first", size="64M")
        assert array.logical_units[5].capacity_blocks == 64 * MIB // 512
        await do(array, "lun-remove", name="first")
        assert set(array.logical_units) == {1}


async def test_numbers_and_read_only_volumes_survive_a_restart(tmp_path: Path) -> None:
    config = Config(pool_dir=tmp_path / "pool", luns=LUNS)
    async with running(config) as array:
        await do(array, "lun-renumber", name="first", number=9)
        await do(array, "volume-read-only", name="second", read_only=True)
        await do(array, "volume-rename", name="second", new_name="renamed")
    async with running(Config(pool_dir=tmp_path / "pool")) as array:
        assert {number: unit.volume.name for number, unit in array.logical_units.items()} == {9: "first", 1: "renamed"}
        assert array.logical_units[1].write_protected


async def test_settings_that_name_a_volume_without_a_lun(tmp_path: Path) -> None:
    config = Config(pool_dir=tmp_path / "pool", luns=LUNS)
    async with running(config) as array:
        await do(array, "lun-remove", name="first")
    with capture_logs() as logs:
        async with running(config) as array:
            assert set(array.logical_units) == {1}
    assert [line["name"] for line in logs if "has no LUN number" in line["event"]] == ["first"]
    only = Config(pool_dir=tmp_path / "other", luns=(LunConfig("first", MIB),))
    async with running(only) as array:
        array.pool.volumes["first"].change_attributes({"block_bytes": "512"})
    with pytest.raises(ConfigError, match="has no LUN"):
        async with running(only):
            pass


@pytest.mark.parametrize("seed", range(8))
async def test_a_random_life_of_luns_is_that_of_a_naive_table(seed: int) -> None:
    random = Random(seed)
    async with running(Config(luns=(LunConfig("keep", MIB),))) as array, session_with(array) as session:
        await settled(session)
        table: dict[str, tuple[int | None, bool]] = {}
        for step in range(40):
            name, number = random.choice("abcd"), random.randrange(1, 5)
            lun, read_only = table.get(name, (None, False))
            taken = {each for each, _ in table.values()}
            what = random.choice(["create", "delete", "add", "add", "remove", "renumber", "read-only"])
            arguments: dict[str, object] = {"name": name}
            if what == "create":
                operation, arguments = "volume-create", {"volume": f"{name}=1M"}
                works, after = name not in table, (None, False)
            elif what == "delete":
                operation, works, after = "volume-delete", name in table, None
                arguments["force"] = True
            elif what == "read-only":
                operation, works, after = "volume-read-only", name in table, (lun, step % 2 == 0)
                arguments["read_only"] = step % 2 == 0
            elif what == "remove":
                operation, works, after = "lun-remove", lun is not None, (None, read_only)
            else:
                operation, after = f"lun-{what}", (number, read_only)
                arguments["number"] = number
                works = name in table and (lun is None if what == "add" else lun is not None)
                works = works and (number not in taken or (what == "renumber" and number == lun))
            if not works:
                await refused(array, operation, **arguments)
            else:
                await do(array, operation, **arguments)
                if after is None:
                    del table[name]
                else:
                    table[name] = after
            served = {number: name for name, (number, _) in table.items() if number is not None}
            await attentions(session, 0)
            assert await reported_luns(session, 0) == [0, *sorted(served)]
            for served_number, served_name in served.items():
                unit = array.logical_units[served_number]
                assert (unit.volume.name, unit.write_protected) == (served_name, table[served_name][1])
