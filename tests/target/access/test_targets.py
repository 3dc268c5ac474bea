"""Several targets of one array: their portals, initiators, CHAP users and ports."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from odx_target.cli.serving.access_warnings import warn_of_missing_volumes
from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.errors import LoginFailed
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.access.lun_maps import LunMaps
from odx_target.target.access.targets import authentications_of
from odx_target.target.array import Array
from odx_target.target.config.access_settings import AccessRule, MappedLun
from odx_target.target.config.chap import ChapUser
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, PortalGroupConfig, TargetConfig
from odx_target.target.config.settings_file import load_config
from odx_target.target.control.operations import perform
from odx_target.target.reconfiguration import reconfigure
from tests.target.access.sessions import A, B, code, discovered, luns, session_of, write
from tests.target.running import LUNS, running

SECOND = "iqn.2026-11.example:second"
ANY_PORT, OWN_PORTAL = Portal(port=0), Portal("localhost", 0)
USER = ChapUser("user", b"secret-of-a-user")


def with_second(**fields: object) -> Config:
    return Config(luns=LUNS, targets=(TargetConfig(SECOND, **fields),))  # type: ignore[arg-type]


def tagged(portal: Portal) -> str:
    return f"{portal},1"


async def test_targets_at_the_same_portal_present_the_same_volumes() -> None:
    async with running(with_second()) as array:
        address = tagged(array.portals[0])
        assert await discovered(array, A) == {array.config.iqn: [address], SECOND: [address]}
        async with session_of(array, A) as first, session_of(array, A, SECOND) as second:
            assert await luns(first) == await luns(second) == [0, 1]
            assert await write(first, 0) == "good"
            read = await second.execute(0, cdb.read_16(0, 1), data_in_bytes=512)
            assert bytes(read.data_in) == b"w" * 512
            pages = [
                bytes((await each.execute(0, cdb.inquiry(252, 0x83), data_in_bytes=252)).data_in) for each in (first, second)
            ]
        names = [array.config.iqn.encode(), SECOND.encode()]
        assert [[name in page for name in names] for page in pages] == [[True, False], [False, True]]
        identity = array.logical_units[0].identity
        assert all(identity in page for page in pages), "the same disk"


async def test_a_target_with_its_own_portal_is_reached_only_there() -> None:
    async with running(with_second(portals=(OWN_PORTAL,))) as array:
        common, own = array.portals
        assert await discovered(array, A, common) == {array.config.iqn: [tagged(common)]}
        assert await discovered(array, A, own) == {SECOND: [tagged(own)]}
        async with session_of(array, A, SECOND, own) as session:
            assert await luns(session) == [0, 1]
        for name, portal in ((SECOND, common), (array.config.iqn, own)):
            with pytest.raises(LoginFailed):
                async with session_of(array, A, name, portal):
                    pass


async def test_each_target_has_its_own_rules() -> None:
    rules = (AccessRule((B,), (MappedLun(2, "second"),)),)
    async with running(replace(with_second(access=rules), access=(AccessRule((A,)),))) as array:
        assert list(await discovered(array, A)) == [array.config.iqn]
        assert list(await discovered(array, B)) == [SECOND]
        async with session_of(array, B, SECOND) as session:
            assert await luns(session) == [2]
        unit = array.logical_units[0]
        access = array.device_server.port_access
        assert access is not None
        assert [list(access.ports_of(f"{name},i,0x1", unit)) for name in (A, B)] == [[1], []]
        assert [access.may_use(f"{A},i,0x1", port, unit) for port in (1, 2, 3)] == [True, False, False]


async def test_one_initiator_port_with_two_targets_is_two_nexuses() -> None:
    async with running(with_second()) as array, session_of(array, A) as first, session_of(array, A, SECOND) as second:
        assert await code(first, 0, bytes.fromhex("160000000000")) == "good"
        assert (await second.execute(0, bytes.fromhex("160000000000"))).status == 0x18, "reserved by another nexus"
        sessions = (await perform(array, "sessions", {}))["sessions"]
        assert sorted(each["target"] for each in sessions) == sorted([array.config.iqn, SECOND])  # type: ignore[union-attr]


async def test_each_target_has_its_own_chap_users() -> None:
    async with running(with_second(chap_users=(USER,))) as array:
        async with session_of(array, A) as session:
            assert await luns(session) == [0, 1]
        with pytest.raises(LoginFailed):
            async with session_of(array, A, SECOND):
                pass


async def test_each_target_has_its_own_limit_of_sessions() -> None:
    async with running(with_second(max_sessions=1)) as array, session_of(array, A, SECOND) as session:
        with pytest.raises(LoginFailed, match="03h/02h"):
            async with session_of(array, B, SECOND):
                pass
        async with session_of(array, A), session_of(array, B) as other:
            assert await luns(other) == [0, 1]
        assert await discovered(array, B), "discovery sessions do not count"
        assert await luns(session) == [0, 1]


async def test_each_target_has_its_own_command_window() -> None:
    async with running(replace(with_second(max_commands=2), max_commands=5)) as array:
        for name, size in ((array.config.iqn, 5), (SECOND, 2)):
            async with session_of(array, A, name) as session:
                window = array.sessions()[0].session.connection.writer.window  # type: ignore[attr-defined]
                assert (window.max_cmd_sn - window.exp_cmd_sn + 1) & 0xFFFFFFFF == size
                assert await luns(session) == [0, 1]
                async with trio.open_nursery() as nursery:
                    for _ in range(9):
                        nursery.start_soon(code, session, 0)
                assert (window.max_cmd_sn - window.exp_cmd_sn + 1) & 0xFFFFFFFF == size


async def test_each_target_has_its_own_share_of_the_memory() -> None:
    config = replace(with_second(memory_share=50), memory_share=10)
    async with running(config) as array, session_of(array, A), session_of(array, B), session_of(array, A, SECOND):
        shares = list(array.memory_budget.written._shares)
        assert [share.group for share in shares] == [array.config.iqn, array.config.iqn, SECOND]
        common = array.memory_budget.written.common_bytes
        assert shares[0].take(size := common * 9 // 100)
        assert not shares[1].take(size), "both sessions of the target together have a tenth"
        assert shares[2].take(size)
        await reconfigure(array, config, replace(config, memory_share=None))
        assert shares[1].take(size)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("max-commands = 0", "max-commands: want a number from 1 to 128"),
        ("max-commands = 129", "max-commands: want a number from 1 to 128"),
        ("memory-share = 0", "memory-share: want a percentage from 1 to 100"),
        ("memory-share = 101", "memory-share: want a percentage from 1 to 100"),
        ("memory-share = true", "memory-share: want a percentage from 1 to 100"),
    ],
)
@pytest.mark.parametrize("table", ["", '[[target]]\niqn = "iqn.2026-11.example:second"\n'])
def test_wrong_limits_are_refused(tmp_path: Path, table: str, line: str, words: str) -> None:
    (tmp_path / "a.toml").write_text(table + line)
    with pytest.raises(ConfigError, match=words):
        load_config(tmp_path / "a.toml")


def test_a_target_without_chap_has_that_of_the_array() -> None:
    config = replace(with_second(), chap_users=(USER,))
    first, second = authentications_of(config, bytes)
    assert first is not None
    assert second is not None
    own = replace(with_second(chap_users=()), chap_users=(USER,))
    assert authentications_of(own, bytes)[1] is None


async def test_inquiry_counts_the_ports_of_the_target_of_the_session() -> None:
    """MULTIP (SPC-4 6.4.2)."""
    multip = 0x10
    config = Config(
        luns=LUNS,
        portals=(ANY_PORT,),
        portal_groups=(PortalGroupConfig(2, (OWN_PORTAL,)),),
        targets=(TargetConfig(SECOND, (ANY_PORT, OWN_PORTAL)),),
    )
    async with Array(config, open_pool=open_pool) as array:
        for target, expected in ((array.config.iqn, 0), (SECOND, multip)):
            async with session_of(array, A, target) as session:
                result = await session.execute(0, cdb.inquiry(96), data_in_bytes=96)
                assert result.data_in[6] & multip == expected, target


def test_a_name_is_used_once() -> None:
    with pytest.raises(ConfigError, match="used twice"):
        Array(with_second().__class__(luns=LUNS, iqn=SECOND, targets=(TargetConfig(SECOND),)), open_pool=None)  # type: ignore[arg-type]


async def test_the_luns_are_listed_once_for_all_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list takes milliseconds with many LUNs, and an array may have hundreds of targets."""
    listed: list[LunMaps] = []
    real = LunMaps.units_by_volume

    def units_by_volume(self: LunMaps) -> dict[str, LogicalUnit]:
        listed.append(self)
        return real(self)

    monkeypatch.setattr(LunMaps, "units_by_volume", units_by_volume)
    async with running(with_second()) as array:
        assert len(array.targets) == 2
        await array.access_changes.change({})
        assert len(listed) == 1
        warn_of_missing_volumes(array.targets)
        assert len(listed) == 2
