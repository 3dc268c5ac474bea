"""Operations on volumes and snapshots: their results and refusals, and their effects on hosts."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.api import PoolFull
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.control.operations import Data, ManagementError, perform
from odx_target.target.control.storage import snapshots, volumes
from tests.target.running import is_good, running, session_with, settled

MIB = 1 << 20
REPORT_LUNS = bytes.fromhex("a0 00 00 000000 00100000 00 00")
TEST_UNIT_READY = bytes(6)


async def do(array: Array, operation: str, **arguments: object) -> Data:
    answer = await perform(array, operation, arguments)
    copied: Data = json.loads(json.dumps(answer))
    assert copied == answer
    return copied


async def refused(array: Array, operation: str, **arguments: object) -> str:
    with pytest.raises(ManagementError) as caught:
        await perform(array, operation, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def attentions(session: InitiatorSession, lun: int) -> list[str]:
    """Return the pending unit attentions of a LUN."""
    found = []
    while sense := (await session.execute(lun, TEST_UNIT_READY)).sense:
        found.append(f"{sense[12]:02X}/{sense[13]:02X}")
    return found


async def read(session: InitiatorSession, lun: int, lba: int = 0, blocks: int = 8) -> bytes:
    result = await session.execute(lun, cdb.read_16(lba, blocks), data_in_bytes=blocks * 512)
    assert is_good(result)
    return result.data_in


async def write(session: InitiatorSession, lun: int, fill: bytes, lba: int = 0, blocks: int = 8) -> None:
    assert is_good(await session.execute(lun, cdb.write_16(lba, blocks), fill * (512 * blocks)))


def row(answer: Data, key: str, index: int = 0) -> Mapping[str, object]:
    rows = answer[key]
    assert isinstance(rows, list)
    found: Mapping[str, object] = rows[index]
    return found


async def test_a_snapshot_is_listed_shown_renamed_held_and_deleted() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        made = row(await do(array, "snapshot-create", snapshots=["first@one"], attributes={"why": "test"}), "snapshots")
        assert (made["volume"], made["name"], made["group"], made["size_bytes"]) == ("first", "one", None, MIB)
        assert made["attributes"] == {"why": "test", "size_bytes": str(MIB), "block_bytes": "512"}
        both = await do(array, "snapshot-create", snapshots=["first@both", "second@both"])
        assert row(both, "snapshots")["group"] == row(both, "snapshots", 1)["group"] is not None
        assert len((await do(array, "snapshots"))["snapshots"]) == 3  # type: ignore[arg-type]
        assert len((await do(array, "snapshots", volume="first"))["snapshots"]) == 2  # type: ignore[arg-type]
        await write(session, 0, b"2")
        await do(array, "snapshot-delete", snapshot="first@both")
        shown = await do(array, "snapshot-show", snapshot=made["guid"])
        assert (shown["unique_bytes"], shown["shared_bytes"]) == (4096, 0)
        await do(array, "snapshot-rename", snapshot="first@one", new_name="two")
        held = await do(array, "snapshot-hold", snapshot="first@two", owner="backup")
        assert held["holds"] == ["backup"]
        assert "backup" in await refused(array, "snapshot-delete", snapshot="first@two")
        await do(array, "snapshot-unhold", snapshot="first@two", owner="backup")
        await do(array, "snapshot-delete", snapshot="first@two")
        assert row(await do(array, "snapshots"), "snapshots")["volume"] == "second"


async def test_requests_that_are_refused() -> None:
    async with running() as array:
        await do(array, "snapshot-create", snapshots=["first@s"])
        for operation, arguments in [
            ("snapshot-create", {"snapshots": ["first@s"]}),
            ("snapshot-create", {"snapshots": ["first@a", "second@b"]}),
            ("snapshot-create", {"snapshots": ["first@a", "first@a"]}),
            ("snapshot-create", {"snapshots": ["third@a"]}),
            ("snapshot-create", {"snapshots": []}),
            ("snapshot-create", {"snapshots": ["first@a\n"]}),
            ("snapshot-create", {"snapshots": ["first@" + "n" * 256]}),
            ("snapshot-create", {"snapshots": ["first@b"], "attributes": {"a": 1}}),
            ("snapshot-show", {"snapshot": "first@no"}),
            ("snapshot-show", {"snapshot": "0" * 32}),
            ("snapshot-show", {"snapshot": "nothing"}),
            ("snapshot-restore", {"snapshot": "first@s", "to": "second"}),
            ("snapshot-restore", {"snapshot": "first@s", "to": "third"}),
            ("snapshot-diff", {"older": "first"}),
            ("snapshot-diff", {"older": "first@s", "block": -1}),
            ("clone", {"origin": "first@s", "name": "second"}),
            ("clone", {"origin": "first@s", "name": "a b"}),
            ("clone", {"origin": "first@s", "name": "a", "count": 0}),
            ("clone", {"origin": "first@s", "name": "a", "count": 16385}),
            ("clone", {"origin": "first@s", "name": "a", "count": 16383, "lun": True}),
            ("volume-create", {"volume": "first=1M"}),
            ("volume-create", {"volume": "a@b=1M"}),
            ("volume-delete", {"name": "first"}),
            ("volume-delete", {"name": "third"}),
            ("volume-rename", {"name": "first", "new_name": "second"}),
            ("volume-rename", {"name": "first", "new_name": "a@b"}),
            ("volume-resize", {"name": "first", "size": "512"}),
            ("snapshots", {"volume": "third"}),
        ]:
            assert await refused(array, operation, **arguments), (operation, arguments)  # type: ignore[arg-type]
        assert set(array.pool.volumes) == {"first", "second"}
        assert len(array.pool.snapshots) == 1


async def test_a_restored_lun_has_its_former_data_and_size_and_hosts_are_told() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        await do(array, "snapshot-create", snapshots=["first@s"])
        parameters = populate_token_list([BlockRange(0, 8)])
        await write(session, 0, b"2")
        assert is_good(await session.execute(0, cdb.populate_token(1, len(parameters)), parameters))
        answer = await session.execute(0, cdb.receive_rod_token_information(1, 4096), data_in_bytes=4096)
        (token,) = read_rod_token_information(answer.data_in).tokens
        await do(array, "snapshot-restore", snapshot="first@s")
        assert await attentions(session, 0) == ["28/00"]
        assert await read(session, 0) == b"1" * 4096
        parameters = write_using_token_list(token, [BlockRange(8, 8)])
        assert is_good(await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters))
        assert await read(session, 0, 8) == b"2" * 4096, "the token keeps the data of its moment"
        await do(array, "volume-resize", name="first", size="3M")
        assert await attentions(session, 0) == ["2A/09"]
        restored = await do(array, "snapshot-restore", snapshot="first@s")
        assert restored["size_bytes"] == MIB
        assert await attentions(session, 0) == ["28/00", "2A/09"]
        assert not is_good(await session.execute(0, cdb.read_16(2048, 1), data_in_bytes=512))


async def test_a_long_copy_is_aborted_before_a_restore(autojump_clock: MockClock) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1", blocks=256)
        await do(array, "snapshot-create", snapshots=["first@s"])
        array.copy_manager.copies.copy_rate.set(131072)
        zeros = bytes.fromhex("ffff0001 0000 01f8") + bytes(504)
        parameters = write_using_token_list(zeros, [BlockRange(0, 2048)], immediate=True)
        assert is_good(await session.execute(0, cdb.write_using_token(1, len(parameters)), parameters))
        await do(array, "snapshot-restore", snapshot="first@s")
        await trio.sleep(60.0)
        assert (await attentions(session, 0))[-1] == "28/00"
        assert await read(session, 0, 0, 256) == b"1" * (256 * 512)


async def test_clones_become_luns_at_once() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await settled(session, 1)
        await write(session, 0, b"1")
        await do(array, "snapshot-create", snapshots=["first@s"])
        await write(session, 0, b"2")
        made = await do(array, "clone", origin="first@s", name="vm-{}", count=300, lun=True)
        assert await attentions(session, 1) == ["3F/0E"]
        rows = made["volumes"]
        assert isinstance(rows, list)
        assert [each["name"] for each in rows[:2]] == ["vm-001", "vm-002"]
        assert [each["lun"] for each in rows] == list(range(2, 302))
        assert len({each["serial"] for each in rows}) == len({each["naa"] for each in rows}) == 300
        report = (await session.execute(0, REPORT_LUNS, data_in_bytes=1 << 16)).data_in
        assert int.from_bytes(report[:4], "big") == 302 * 8
        assert report[8 + 8 * 255 : 8 + 8 * 257] == bytes.fromhex("00ff000000000000 4100000000000000")
        for lun in (2, 255, 256, 301):
            await settled(session, lun)
            assert await read(session, lun) == b"1" * 4096
        await write(session, 301, b"3")
        assert await read(session, 300 - 45) == b"1" * 4096
        assert await read(session, 0) == b"2" * 4096


async def test_a_clone_may_be_read_only_and_a_volume_no_lun() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        clone = row(await do(array, "clone", origin="first", name="copy", lun=True, read_only=True), "volumes")
        assert (clone["lun"], clone["read_only"], clone["size_bytes"]) == (2, True, MIB)
        await settled(session, 2)
        assert await read(session, 2) == b"1" * 4096
        sense = (await session.execute(2, cdb.write_16(0, 8), b"x" * 4096)).sense
        assert sense
        assert (sense[2] & 15, sense[12]) == (7, 0x27)
        assert (await do(array, "volume-create", volume="hidden=2M,block=4096"))["lun"] is None
        assert len(array.logical_units) == 3
        assert (await do(array, "volume-resize", name="hidden", size="4096", shrink=True))["size_bytes"] == 4096
        assert (await do(array, "volume-rename", name="hidden", new_name="shown"))["name"] == "shown"
        assert [each["name"] for each in (await do(array, "volumes"))["volumes"]] == ["copy", "first", "second", "shown"]  # type: ignore[attr-defined]


async def test_clones_and_snapshots_do_not_get_the_identifying_information() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        for information_type, text in ((0, b"name"), (2, b"text\0")):
            set_information = bytes((0xA4, 6, 0, 0, 0, 0, 0, 0, 0, len(text), information_type << 1, 0))
            assert is_good(await session.execute(0, set_information, text))
        await do(array, "snapshot-create", snapshots=["first@s"])
        for origin, name in (("first", "live"), ("first@s", "frozen")):
            await do(array, "clone", origin=origin, name=name)
            assert not [each for each in array.pool.volumes[name].attributes if each.startswith("identifying")]
        assert array.pool.volumes["first"].attributes["identifying_information"] == b"name".hex()


async def test_a_deleted_lun_is_missed_and_its_snapshots_stay() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await settled(session, 1)
        await do(array, "snapshot-create", snapshots=["second@s"])
        assert "--force" in await refused(array, "volume-delete", name="second")
        await do(array, "volume-delete", name="second", force=True)
        assert await attentions(session, 0) == ["3F/0E"]
        sense = (await session.execute(1, TEST_UNIT_READY)).sense
        assert sense
        assert (sense[12], sense[13]) == (0x25, 0)
        assert row(await do(array, "snapshots"), "snapshots")["volume_is_deleted"] is True
        assert "clone the snapshot" in await refused(array, "snapshot-restore", snapshot="second@s")
        again = row(await do(array, "clone", origin="second@s", name="second", lun=True), "volumes")
        assert (again["lun"], again["block_bytes"]) == (1, 4096)
        await do(array, "snapshot-delete", snapshot="second@s")
        await do(array, "volume-delete", name="second", force=True)
        assert "only LUN" in await refused(array, "volume-delete", name="first", force=True)


async def test_differences_and_allocated_ranges() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1", blocks=16)
        await do(array, "snapshot-create", snapshots=["first@a"])
        await write(session, 0, b"2", lba=8)
        await write(session, 0, b"2", lba=80)
        await do(array, "snapshot-create", snapshots=["first@b"])
        await write(session, 0, b"3", lba=160)
        first = [{"offset_bytes": 4096, "length_bytes": 4096, "kind": "data"}]
        second = [{"offset_bytes": 40960, "length_bytes": 4096, "kind": "data"}]
        third = [{"offset_bytes": 81920, "length_bytes": 4096, "kind": "data"}]
        assert await do(array, "snapshot-diff", older="first@a", newer="first@b") == {"ranges": first + second, "next": None}
        assert await do(array, "snapshot-diff", older="first@a") == {"ranges": first + second + third, "next": None}
        found = await do(array, "allocated", source="first@a")
        assert found == {"ranges": [{"offset_bytes": 0, "length_bytes": 8192, "kind": "data"}], "next": None}


async def test_clones_whose_content_may_not_stay_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would serve such clones until the next start of the array, which would serve them without a word."""

    async def unknown(*_arguments: object) -> None:
        raise ManagementError("nobody knows")

    async with running() as array:
        await do(array, "snapshot-create", snapshots=["first@s"])
        with monkeypatch.context() as patch:
            patch.setattr(volumes, "acknowledged", unknown)
            for origin in ("first", "first@s"):
                assert await refused(array, "clone", origin=origin, name="vm", count=3, lun=True) == "nobody knows"
        assert set(array.pool.volumes) == {"first", "second"}
        made: Any = await do(array, "clone", origin="first", name="vm", count=3, lun=True)
        assert [each["lun"] for each in made["volumes"]] == [2, 3, 4]


async def test_snapshots_whose_content_may_not_stay_are_deleted_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        pool = array.pool

        async def unknown(*_arguments: object) -> None:
            raise ManagementError("nobody knows")

        async def unknown_and_held(*_arguments: object) -> None:
            pool.volumes["first"].snapshots["s"].hold("backup")
            raise ManagementError("nobody knows")

        async def unknown_at_a_former_primary(*_arguments: object) -> None:
            def another_primary(*_arguments: object) -> None:
                raise ConfigError("another primary")

            patch.setattr(snapshots, "check_not_secondary", another_primary)
            raise ManagementError("nobody knows")

        both = ["first@s", "second@s"]
        with monkeypatch.context() as patch:
            patch.setattr(snapshots, "acknowledged", unknown)
            assert await refused(array, "snapshot-create", snapshots=both) == "nobody knows"
            assert await refused(array, "snapshot-create", snapshots=both, before="true") == "nobody knows"
            assert not pool.snapshots
            patch.setattr(snapshots, "acknowledged", unknown_and_held)
            assert await refused(array, "snapshot-create", snapshots=both) == "nobody knows; still here: first@s"
            assert list(pool.volumes["first"].snapshots) == ["s"]
            assert not pool.volumes["second"].snapshots
            patch.setattr(snapshots, "acknowledged", unknown_at_a_former_primary)
            assert await refused(array, "snapshot-create", snapshots=["second@s"]) == "nobody knows; still here: second@s"
            assert list(pool.volumes["second"].snapshots) == ["s"]


async def test_clones_are_made_wholly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        real, made = array.pool.create_volume, []

        def fail_at_the_third(*arguments: object) -> object:
            if len(made) == 2:
                raise PoolFull("the pool is full")
            made.append(real(*arguments))  # type: ignore[arg-type]
            return made[-1]

        monkeypatch.setattr(array.pool, "create_volume", fail_at_the_third)
        assert await refused(array, "clone", origin="first", name="vm", count=5, lun=True) == "the pool is full"
        assert set(array.pool.volumes) == {"first", "second"}
        assert set(array.logical_units) == {0, 1}


async def test_writes_of_hosts_during_restores_are_before_or_after_one() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1", blocks=64)
        await do(array, "snapshot-create", snapshots=["first@s"])
        ended = False

        async def write_on() -> None:
            fill = 2
            while not ended:
                # 3 logical blocks of 512 bytes: the array reads and changes blocks of the store
                await session.execute(0, cdb.write_16(5, 3), bytes([fill % 256]) * 1536)
                fill += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_on)
            for _ in range(20):
                await trio.sleep(0.005)
                await do(array, "snapshot-restore", snapshot="first@s")
            ended = True
        await do(array, "snapshot-restore", snapshot="first@s")
        await attentions(session, 0)
        assert await read(session, 0, 0, 64) == b"1" * (64 * 512)


async def test_many_new_luns_are_presented_in_turns() -> None:
    count = 1500
    async with running() as array, session_with(array) as session:
        await settled(session)
        steps = []
        turns = array.environment.turns
        take = turns.take

        def noted(count: int = 1) -> int:
            left = take(count)
            steps.append(-left)
            return left

        turns.take = noted  # type: ignore[method-assign]
        await do(array, "clone", origin="first", name="c-{}", count=count, lun=True)
        assert max(steps) <= turns.of_a_turn // 4, "no turn took many more steps than it had"
        assert await attentions(session, 0) == ["3F/0E"]
        assert await attentions(session, 2 + count - 1) == ["29/00"]
        before = turns.taken
        await do(array, "volume-delete", name="c-0001", force=True)
        assert turns.taken - before >= 2
        assert await attentions(session, 0) == ["3F/0E"]
