"""Access rules of an array with real sessions, and changes of the rules while the array runs."""

from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from odx_target.cli.serving.reload import Reloader, Settings
from odx_target.copymgr.commands.parameter_lists import ListFlag, encode_write_using_token
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.initiator import cdb
from odx_target.initiator.errors import ConnectionLost, LoginFailed
from odx_target.iscsi.pdu.headers import TaskManagementFunctionResponse
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.scsi.lun_map import LunMap
from odx_target.scsi.reservations.holders import NexusName
from odx_target.scsi.sense import WRITE_PROTECTED
from odx_target.scsi.tasks.task import Task
from odx_target.target.array import Array
from odx_target.target.config.access_settings import AccessRule, MappedLun
from odx_target.target.config.settings import Config, LunConfig, ServeConfig
from odx_target.target.control.operations import perform
from tests.target.access.sessions import (
    BOTH_SWAPPED,
    FIRST_ONLY,
    LUNS_CHANGED,
    MODE_CHANGED,
    NEW_NEXUS,
    NO_LUN,
    PROTECTED,
    RULES,
    STRANGER,
    A,
    B,
    code,
    discovered,
    luns,
    session_of,
    write,
)
from tests.target.raw_peer import logged_in
from tests.target.running import LUNS, running

CONFIG = Config(luns=LUNS, access=RULES)
HERE = 'portal = "127.0.0.1:0"\n'


async def change(array: Array, *rules: AccessRule) -> bool:
    return await array.access_changes.change({array.config.iqn: rules})


async def test_each_initiator_sees_its_luns() -> None:
    async with running(CONFIG) as array, session_of(array, A) as a, session_of(array, B) as b:
        assert (await luns(a), await luns(b)) == ([0], [0, 7])
        assert [await write(a, 0), await write(b, 0, 4096), await write(b, 7)] == ["good", "good", PROTECTED]
        assert await code(a, 7) == NO_LUN


async def test_an_initiator_without_a_rule_sees_no_target() -> None:
    async with running(CONFIG) as array:
        assert await discovered(array, STRANGER) == {}
        assert list(await discovered(array, A.upper())) == [array.config.iqn]
        with pytest.raises(LoginFailed):
            async with session_of(array, STRANGER):
                pass


async def test_a_new_lun_is_notified_and_the_session_continues() -> None:
    async with running(CONFIG) as array, session_of(array, A) as a, session_of(array, B) as b:
        assert await change(array, AccessRule((A,), (*FIRST_ONLY, MappedLun(9, "second"))), RULES[1])
        assert [await code(a, 0), await code(a, 9), await code(a, 0)] == [LUNS_CHANGED, NEW_NEXUS, "good"]
        assert await luns(a) == [0, 9]
        assert [await code(b, 0), await code(b, 7)] == ["good", "good"], "nothing has changed for the other initiator"


async def test_a_lun_that_is_taken_away_ends_its_tasks_and_reservations() -> None:
    async with running(CONFIG) as array, session_of(array, B) as b:
        unit = array.logical_units[0]
        assert await code(b, 7, bytes.fromhex("160000000000")) == "good"
        assert unit.reserved_by is not None
        assert await change(array, RULES[0], AccessRule((B,), BOTH_SWAPPED[:1]))
        assert unit.reserved_by is None
        assert [await code(b, 7), await code(b, 0), await code(b, 0)] == [NO_LUN, LUNS_CHANGED, "good"]


async def test_a_lun_with_another_volume_is_a_new_logical_unit() -> None:
    async with running(CONFIG) as array, session_of(array, A) as a:
        assert await change(array, AccessRule((A,), (MappedLun(0, "second"),)))
        assert [await code(a, 0), await code(a, 0)] == [NEW_NEXUS, "good"]
        assert await write(a, 0, 4096) == "good"


async def test_queued_commands_never_reach_another_volume() -> None:
    """The LUN gets another volume while the first of several commands that were received together is executed."""
    two = (LunConfig("first", 1 << 20), LunConfig("second", 1 << 20))
    async with running(Config(luns=two)) as array, logged_in(array) as peer:
        first, second = array.logical_units[0], array.logical_units[1]
        server = array.device_server
        (nexus,) = server.nexuses

        def change_once(task: Task) -> None:
            server.before_command = None
            other = LunMap()
            other.add(0, second, read_only=False)
            list(server.change_lun_map(nexus, other))

        server.before_command = change_once
        writes = [peer.write(write_10(lba), 512) for lba in range(4)]
        missing, early = peer.command(bytes(6)), peer.write(write_10(9), 512)
        await peer.stream.send_all(b"".join(peer.encode(pdu, b"w" * 512) for pdu in (*writes, early)))
        assert await peer.answer_to(writes[0]) == (0, b""), "it was executed by the unit to which it was addressed"
        status, sense = await peer.status_of(missing)
        assert (status, sense[2], sense[12:14]) == (2, 6, b"\x29\x00")
        assert (await peer.status_of(peer.command(bytes(6))))[0] == 0
        for unit, written in ((first, [0]), (second, [])):
            content = b"".join(bytes(part) for part in await unit.volume.read(0, 2))
            assert [lba for lba in range(16) if any(content[lba * 512 :][:512])] == written


@pytest.mark.parametrize("operation", ["lun-renumber", "lun-remove"])
async def test_held_commands_of_a_removed_lun_never_reach_its_successor(operation: str) -> None:
    """Writes wait for a missing CmdSN while their LUN is removed or renumbered, and another volume gets the number."""
    two = (LunConfig("first", 1 << 20), LunConfig("second", 1 << 20))
    async with running(Config(luns=two)) as array, logged_in(array) as peer:
        missing = peer.command(bytes(6), lun=1)
        for lba in range(2):
            await peer.send(peer.write(write_10(lba), 512), b"w" * 512)
        await peer.send(peer.manage(TaskManagementFunction.LOGICAL_UNIT_RESET, lun=1))
        assert (await peer.take(TaskManagementFunctionResponse)).response == 0, "the writes have arrived before it"
        await perform(array, operation, {"name": "first", **({"number": 9} if operation == "lun-renumber" else {})})
        await perform(array, "lun-renumber", {"name": "second", "number": 0})
        assert (await peer.status_of(missing))[1][12:14] == b"\x25\x00", "there is no LUN 1 any more"
        assert (await peer.status_of(peer.command(bytes(6))))[0] == 2, "the unit attention of the new LUN"
        assert (await peer.status_of(peer.command(bytes(6))))[0] == 0
        assert not any(b"".join(bytes(part) for part in await array.logical_units[0].volume.read(0, 2)))


def write_10(lba: int) -> bytes:
    return b"\x2a\0" + lba.to_bytes(4, "big") + b"\0\0\x01\0"


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_lun_becomes_read_only_or_writable(read_only: bool) -> None:
    before, after = (AccessRule((A,), (MappedLun(0, "first", read_only=value),)) for value in (not read_only, read_only))
    async with running(Config(luns=LUNS, access=(before,))) as array, session_of(array, A) as a:
        assert await write(a, 0) == ("good" if read_only else PROTECTED)
        assert await change(array, after)
        assert [await code(a, 0), await write(a, 0)] == [MODE_CHANGED, PROTECTED if read_only else "good"]


async def test_only_the_sessions_of_initiators_without_a_rule_are_ended() -> None:
    async with running(CONFIG) as array, session_of(array, A) as a, session_of(array, B) as b:
        assert await change(array, RULES[0])
        with pytest.raises(ConnectionLost):
            await code(b, 0)
        assert await code(a, 0) == "good"
        with pytest.raises(LoginFailed):
            async with session_of(array, B):
                pass
        assert not await change(array, RULES[0]), "nothing has changed"
        assert await change(array)
        async with session_of(array, B) as again:
            assert await luns(again) == [0, 1], "without rules, every initiator sees all LUNs"
        assert await luns(a) == [0, 1]


async def test_a_session_may_end_while_its_rule_changes() -> None:
    """The change lets other tasks run between two nexuses, so any of the nexuses may be lost meanwhile."""
    async with running(CONFIG) as array:
        async with session_of(array, B):
            (nexus,) = array.device_server.nexuses
        while array._listener._connections:
            await trio.lowlevel.checkpoint()
        array.device_server.nexuses.append(nexus)  # as in the list of a change that has begun before
        assert await change(array, *RULES[:1])
        array.device_server.nexuses.remove(nexus)


async def test_volumes_come_and_go_in_the_maps() -> None:
    rules = (AccessRule((A,), (*FIRST_ONLY, MappedLun(4, "later"))),)
    with capture_logs() as logs:
        async with running(Config(luns=LUNS, access=rules)) as array, session_of(array, A) as a:
            assert await luns(a) == [0]
            await perform(array, "volume-create", {"volume": "later=1M"})
            await perform(array, "lun-add", {"name": "later"})
            assert [await code(a, 0), await code(a, 4)] == [LUNS_CHANGED, NEW_NEXUS]
            await perform(array, "lun-renumber", {"name": "later", "number": 99})
            assert await luns(a) == [0, 4], "the map gives the number"
            assert [await code(a, 4), await code(a, 4)] == [NEW_NEXUS, "good"]
            await code(a, 0)
            await perform(array, "lun-remove", {"name": "later"})
            assert [await code(a, 4), await code(a, 0)] == [NO_LUN, LUNS_CHANGED]
            await perform(array, "lun-remove", {"name": "second"})
            assert await code(a, 0) == "good", "the initiator never had this LUN"
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_a_running_copy_ends_when_its_lun_is_taken_away() -> None:
    async with running(CONFIG) as array, session_of(array, A) as a:
        copies = array.copy_manager.copies
        started, go_on = trio.Event(), trio.Event()

        async def hold() -> None:
            started.set()
            await go_on.wait()

        copies.before_step = lambda _operation: hold()
        parameters = encode_write_using_token(ZERO_TOKEN, [(0, 8)], flags=int(ListFlag.IMMED))
        assert (await a.execute(0, cdb.write_using_token(1, len(parameters)), parameters)).status == 0
        await started.wait()
        assert len(copies.operations) == 1
        await change(array, AccessRule((A,), (MappedLun(0, "second"),)))
        (operation,) = copies.operations
        assert not operation.is_in_progress
        go_on.set()


async def test_a_background_copy_ends_when_its_lun_becomes_read_only_after_the_end_of_its_session() -> None:
    async with running(CONFIG) as array:
        copies = array.copy_manager.copies
        started, go_on = trio.Event(), trio.Event()

        async def hold() -> None:
            started.set()
            await go_on.wait()

        copies.before_step = lambda _operation: hold()
        async with session_of(array, A) as a:
            parameters = encode_write_using_token(ZERO_TOKEN, [(0, 8)], flags=int(ListFlag.IMMED))
            assert (await a.execute(0, cdb.write_using_token(1, len(parameters)), parameters)).status == 0
            await started.wait()
        while array.device_server.nexuses:
            await trio.lowlevel.checkpoint()
        (operation,) = copies.operations
        await change(array, AccessRule((A,), (MappedLun(0, "first", read_only=True),)))
        assert operation.is_in_progress
        go_on.set()
        while operation.is_in_progress:
            await trio.lowlevel.checkpoint()
        assert operation.sense[12:14] == bytes([WRITE_PROTECTED.asc, WRITE_PROTECTED.ascq])


async def test_a_volume_that_was_renamed_follows_the_rules_after_a_reload(tmp_path: Path) -> None:
    luns_of_a = 'luns = [{ lun = 3, volume = "first" }, { lun = 4, volume = "later" }]'
    path = file_of(tmp_path / "array.toml", f'[[access]]\ninitiator = "{A}"\n{luns_of_a}\n')
    async with running(Config(luns=LUNS)) as array:
        reloader = Reloader(array, path)
        await reloader.reload()
        async with session_of(array, A) as a:
            assert await luns(a) == [3]
            await perform(array, "volume-rename", {"name": "second", "new_name": "later"})
            await perform(array, "volume-rename", {"name": "first", "new_name": "other"})
            assert await luns(a) == [3], "hosts keep the LUN"
            await reloader.reload()
            assert await luns(a) == [4]
            assert [await code(a, 3), await code(a, 4)] == [NO_LUN, NEW_NEXUS]


async def test_a_transport_id_of_an_initiator_without_access_is_refused() -> None:
    async with running(CONFIG) as array, session_of(array, A):
        server, unit = array.device_server, array.logical_units[1]
        access = server.port_access
        assert access is not None
        assert [access.may_use(f"{name},i,0x1", 1, unit) for name in (A, B, STRANGER)] == [False, True, False]
        assert server.nexuses[0].name == NexusName(server.nexuses[0].initiator_port_name, 1)


def file_of(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def test_a_reload_applies_the_rules_and_names_the_rest(tmp_path: Path) -> None:
    rule = f'[[access]]\ninitiator = "{A}"\nluns = [{{ lun = 3, volume = "second" }}, {{ lun = 4, volume = "nowhere" }}]\n'
    keys = 'capacity-tier = "tier"\ncopy-rate = "1M"\niqn = "iqn.2026-11.example:x"\n'
    path = file_of(tmp_path / "array.toml", HERE + keys + rule)
    async with running(Config(luns=LUNS, iqn="iqn.2026-11.example:x")) as array, session_of(array, A) as a:
        reloader = Reloader(array, path)
        with capture_logs() as logs:
            await reloader.reload()
        assert await luns(a) == [3]
        assert array.copy_manager.copies.copy_rate.bytes_per_s == 1 << 20
        assert [line["keys"] for line in logs if "keys" in line] == [["capacity-tier"]]
        assert [line["volume"] for line in logs if "volume" in line] == ["nowhere"]
        with capture_logs() as logs:
            await reloader.reload()
        assert not [line for line in logs if "keys" in line], "named once"
        file_of(path, "access = 3")
        with capture_logs() as logs:
            await reloader.reload()
        assert [line["log_level"] for line in logs] == ["error"]
        assert await luns(a) == [3]


async def test_a_reload_applies_chap_to_later_logins(tmp_path: Path) -> None:
    path = file_of(tmp_path / "array.toml", f'{HERE}[[chap]]\nuser = "u"\nsecret = "secret-of-u-000"\n')
    async with running(Config(luns=LUNS)) as array, session_of(array, A) as a:
        await Reloader(array, path).reload()
        with pytest.raises(LoginFailed):
            async with session_of(array, B):
                pass
        assert await code(a, 0) == "good"


async def test_a_reload_keeps_the_sizes_of_luns_on_the_command_line(tmp_path: Path) -> None:
    named = Settings(Config(luns=(LunConfig(LUNS[0].name, LUNS[0].size_bytes * 2, grows=False),)), ServeConfig())
    async with running(Config(luns=LUNS)) as array:
        size_blocks = array.logical_unit_named(LUNS[0].name).capacity_blocks
        await Reloader(array, tmp_path, named, lambda _: named).reload()
        assert array.logical_unit_named(LUNS[0].name).capacity_blocks == size_blocks
