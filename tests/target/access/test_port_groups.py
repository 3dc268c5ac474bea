"""Target port groups of a running array: its settings, portals and ports, the operations of its operator, and hosts with a
session through each group.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator.errors import ConnectionLost, InitiatorError, LoginFailed
from odx_target.initiator.session.session import InitiatorSession
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroups
from odx_target.target.access.targets import authentications_of, target_ports_of
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import (
    Config,
    LunConfig,
    Portal,
    PortalGroupConfig,
    PortGroupConfig,
    TargetConfig,
)
from odx_target.target.config.settings_file import load_config
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.reconfiguration import fields_that_wait, reconfigure
from tests.target.access.sessions import A, B, code, code_of, discovered, luns, session_of, write
from tests.target.running import LUNS

ONE, TWO = Portal("127.0.0.1", 0), Portal("localhost", 0)
GROUPS = Config(
    luns=LUNS,
    portals=(ONE, TWO),
    portal_groups=(PortalGroupConfig(2, (TWO,), 2),),
    port_groups=(PortGroupConfig(1, preferred=True), PortGroupConfig(2, AccessState.STANDBY)),
    asymmetric_access=AccessModes.BOTH,
)
INQUIRY_CHANGED = "6/3F/03"
GOOD, STATE_CHANGED, IN_STANDBY, IN_UNAVAILABLE, IN_TRANSITION = "good", "6/2A/06", "2/04/0B", "2/04/0C", "2/04/0A"
READ = b"\x28" + bytes(7) + b"\x01\0"


@asynccontextmanager
async def running(config: Config = GROUPS) -> AsyncIterator[Array]:
    async with Array(config, open_pool=open_pool) as array:
        yield array


def set_states(*states: tuple[int, int]) -> tuple[bytes, bytes]:
    """Return the CDB and the list of a SET TARGET PORT GROUPS with pairs of a state and a group."""
    data = bytes(4) + b"".join(bytes((state, 0)) + group.to_bytes(2, "big") for state, group in states)
    return bytes((0xA4, 0x0A, 0, 0, 0, 0)) + len(data).to_bytes(4, "big") + bytes(2), data


async def reported(session: InitiatorSession, lun: int = 0) -> dict[int, tuple[int, bool, int, list[int]]]:
    """Return the state, preference, status code and ports of each group that REPORT TARGET PORT GROUPS shows."""
    result = await session.execute(lun, bytes.fromhex("a30a 00000000 00001000 0000"), data_in_bytes=4096)
    assert result.status == 0
    data, found, at = bytes(result.data_in), {}, 4
    while at < len(data):
        ports = [int.from_bytes(data[at + 10 + 4 * port :][:2], "big") for port in range(data[at + 7])]
        found[int.from_bytes(data[at + 2 : at + 4], "big")] = data[at] & 0xF, data[at] >= 0x80, data[at + 5], ports
        at += 8 + 4 * len(ports)
    return found


async def test_each_portal_group_is_a_target_port() -> None:
    async with running() as array:
        one, two = array.portals
        assert await discovered(array, A) == {array.config.iqn: [f"{one},1", f"{two},2"]}
        async with session_of(array, A) as first, session_of(array, A, portal=two) as second:
            for session, tag, port in ((first, 1, 1), (second, 2, 1025)):
                page = bytes((await session.execute(0, bytes.fromhex("120183040000"), data_in_bytes=1024)).data_in)
                assert f"{array.config.iqn},t,0x{tag:04x}".encode() in page
                assert bytes((0x01, 0x14, 0, 4, 0, 0)) + port.to_bytes(2, "big") in page.replace(b"\x51\x94", b"\x01\x14")
                assert bytes((0x01, 0x15, 0, 4, 0, 0, 0, tag)) in page.replace(b"\x51\x95", b"\x01\x15")
            groups = {1: (0, True, 0, [1]), 2: (2, False, 0, [1025])}
            assert await reported(first) == await reported(second) == groups


async def test_the_state_of_the_port_decides() -> None:
    async with running() as array, session_of(array, A) as first, session_on_second(array) as second:
        assert await code(first, 0, READ) == GOOD
        assert await write(first, 0) == GOOD
        assert await code(second, 0) == await code(second, 0, READ) == await write(second, 0) == IN_STANDBY
        assert await luns(second) == [0, 1]


@asynccontextmanager
async def session_on_second(array: Array, initiator: str = A) -> AsyncIterator[InitiatorSession]:
    """Log in through group 2, which is in the standby state, and take the unit attentions."""
    async with session_of(array, initiator, portal=array.portals[1]) as session:
        yield session


async def test_a_host_changes_the_states_of_one_lun() -> None:
    async with running() as array, session_of(array, A) as first, session_on_second(array) as second:
        cdb, data = set_states((0, 2), (2, 1))
        assert (await second.execute(0, cdb, data)).status == 0
        assert await code(second, 0, READ) == GOOD
        assert [await code(first, 0, READ) for _ in range(2)] == [STATE_CHANGED, IN_STANDBY]
        assert await code(first, 1, b"\x28" + bytes(7) + b"\x01\0") == GOOD, "the other LUN keeps its states"
        (one, two) = (await perform(array, "port-groups", {}))["port_groups"]  # type: ignore[misc]
        assert one["luns"] == [{"lun": 0, "name": "first", "state": "standby", "status": "explicit"}]
        assert two["luns"] == [{"lun": 0, "name": "first", "state": "active-optimized", "status": "explicit"}]


async def test_the_operator_changes_all_luns_and_later_ones() -> None:
    async with running() as array, session_of(array, A) as first, session_on_second(array) as second:
        answer = await perform(array, "set-port-group", {"number": 2, "state": "active-non-optimized"})
        port = {"relative_target_port": 1025, "name": f"{array.config.iqn},t,0x0002"}
        assert answer == {
            "number": 2,
            "state": "active-non-optimized",
            "status": "implicit",
            "preferred": False,
            "ports": [port],
            "luns": [],
            "luns_not_listed": 0,
        }
        for session in (first, second):
            for lun in (0, 1):
                assert await code(session, lun) == STATE_CHANGED
            assert await code(session, 0, READ) == GOOD
        await perform(array, "set-port-group", {"number": 2, "state": "unavailable"})
        await perform(array, "add-lun", {"lun": "third=1M"})
        assert array.logical_units[2].port_groups.state_of(2) is AccessState.UNAVAILABLE
        for lun in (0, 1, 2):
            while (found := await code(second, lun))[0] == "6":
                pass
            assert found == IN_UNAVAILABLE


async def test_the_operator_changes_one_lun() -> None:
    async with running() as array, session_on_second(array) as second:
        await perform(array, "set-port-group", {"number": 2, "state": "active-optimized", "lun": "second"})
        assert [await code(second, lun) for lun in (0, 1, 1)] == [IN_STANDBY, STATE_CHANGED, GOOD]
        await perform(array, "lun-renumber", {"name": "second", "number": 9})
        assert array.logical_units[9].port_groups.state_of(2) is AccessState.ACTIVE_OPTIMIZED


async def test_a_transition_of_an_operator() -> None:
    async with running() as array, session_on_second(array) as second:
        await perform(array, "set-port-group", {"number": 2, "state": "active-optimized", "time_s": 200})
        assert [await code(second, 0) for _ in range(2)] == [STATE_CHANGED, IN_TRANSITION]
        with pytest.raises(ManagementError, match="during a transition"):
            await perform(array, "set-port-group", {"number": 2, "state": "standby", "fails": True})
        await perform(array, "lun-renumber", {"name": "second", "number": 9})
        assert array.logical_units[9].port_groups.state_of(2) is AccessState.ACTIVE_OPTIMIZED, "a new number ends it"
        await perform(array, "set-port-group", {"number": 2, "state": "transitioning"})
        await perform(array, "set-port-group", {"number": 2, "state": "standby"})
        assert [await code(second, 0) for _ in range(3)] == ["6/3F/0E", STATE_CHANGED, IN_STANDBY]


async def test_a_change_that_fails() -> None:
    async with running() as array, session_on_second(array) as second:
        await perform(array, "set-port-group", {"number": 2, "state": "active-optimized", "fails": True})
        assert [await code(second, 0) for _ in range(2)] == ["6/2A/07", IN_STANDBY]


async def test_a_group_that_is_offline_accepts_no_sessions() -> None:
    config = replace(GROUPS, transition_time_s=5, targets=(TargetConfig("iqn.2026-11.example:other", port_group=1),))
    async with running(config) as array, session_of(array, A) as first:
        async with session_on_second(array) as second:
            await perform(array, "set-port-group", {"number": 2, "state": "offline"})
            with pytest.raises(InitiatorError):
                await code(second, 0)
        with pytest.raises(LoginFailed, match="service unavailable"):
            async with session_on_second(array):
                pass
        async with session_of(array, A, "iqn.2026-11.example:other", array.portals[1]) as other:
            assert await code(other, 0) == GOOD, "this port is in another group"
        assert await discovered(array, A, array.portals[1]), "a discovery that names no target uses no port"
        assert await code(first, 0) == STATE_CHANGED
        assert (await reported(first))[2][0] == 0xE
        cdb, data = set_states((0, 2))
        assert await host_changes(first, cdb, data) == "5/26/00", "a host cannot change it"
        with pytest.raises(ManagementError, match="for all LUNs"):
            await perform(array, "set-port-group", {"number": 2, "state": "standby", "lun": "first"})
        await perform(array, "set-port-group", {"number": 2, "state": "standby", "time_s": 0})
        async with session_on_second(array) as second:
            assert await code(second, 0) == IN_STANDBY


async def host_changes(session: InitiatorSession, cdb: bytes, data: bytes) -> str:
    return code_of(await session.execute(0, cdb, data))


async def test_a_group_is_offline_from_the_start_and_after_a_reload() -> None:
    offline = replace(GROUPS, port_groups=(PortGroupConfig(1), PortGroupConfig(2, AccessState.OFFLINE)))
    async with running(offline) as array:
        with pytest.raises(LoginFailed, match="service unavailable"):
            async with session_on_second(array):
                pass
        online = replace(offline, port_groups=GROUPS.port_groups)
        await reconfigure(array, offline, online)
        async with session_on_second(array) as second:
            assert await code(second, 0) == IN_STANDBY
            await reconfigure(array, online, offline)
            with pytest.raises(InitiatorError):
                await code(second, 0)


async def test_the_operator_prefers_a_group() -> None:
    async with running() as array, session_of(array, A) as first:
        await perform(array, "prefer-port-group", {"number": 2})
        await perform(array, "prefer-port-group", {"number": 1, "preferred": False})
        assert await code(first, 0) == STATE_CHANGED
        assert [each[1] for each in (await reported(first)).values()] == [False, True]


@pytest.mark.parametrize(
    ("modes", "arguments", "message"),
    [
        (AccessModes.BOTH, {"number": 3, "state": "standby"}, "there is no target port group 3; there are 1, 2"),
        (AccessModes.BOTH, {"number": 0, "state": "standby"}, "want a number from 1 to 65535"),
        (AccessModes.BOTH, {"number": "9" * 5000, "state": "standby"}, "want a number from 1 to 65535"),
        (AccessModes.BOTH, {"number": 2, "state": "standby", "time_s": 10**400}, "want seconds from 0 to 254"),
        (AccessModes.BOTH, {"number": 2, "state": "off"}, "want one of active-optimized"),
        (AccessModes.BOTH, {"number": 2, "state": "offline", "lun": "first"}, "is offline for all LUNs"),
        (AccessModes.BOTH, {"number": 2, "state": "offline", "fails": True}, "cannot fail"),
        (AccessModes.BOTH, {"number": 2, "state": "standby", "lun": "x"}, "there is no LUN x"),
        (AccessModes.BOTH, {"number": 2, "state": "standby", "time_s": 255}, "want seconds from 0 to 254"),
        (AccessModes.BOTH, {"number": 2, "state": "standby", "time_s": "soon"}, "want seconds from 0 to 254"),
        (AccessModes.EXPLICIT, {"number": 2, "state": "standby"}, "set asymmetric-access to implicit or both"),
    ],
)
async def test_refused_requests(modes: AccessModes, arguments: dict[str, object], message: str) -> None:
    async with running(replace(GROUPS, asymmetric_access=modes)) as array:
        with pytest.raises(ManagementError, match=message):
            await perform(array, "set-port-group", arguments)
        assert array.logical_units[0].port_groups.state_of(2) is AccessState.STANDBY


async def test_an_array_without_target_port_groups() -> None:
    async with running(Config(luns=LUNS, portals=(ONE,))) as array, session_of(array, A) as session:
        answer = await perform(array, "port-groups", {})
        assert answer["asymmetric_access"] == "none"
        assert await code(session, 0, bytes.fromhex("a30a 00000000 00001000 0000")) == "5/24/00"


async def test_a_target_has_its_own_port_group() -> None:
    second = "iqn.2026-11.example:second"
    config = replace(GROUPS, portals=(ONE,), portal_groups=(), targets=(TargetConfig(second, port_group=2),))
    async with running(config) as array, session_of(array, A) as one, session_of(array, A, second) as two:
        assert await reported(one) == await reported(two) == {1: (0, True, 0, [1]), 2: (2, False, 0, [2])}
        assert [await code(each, 0) for each in (one, two)] == [GOOD, IN_STANDBY]


async def test_registrations_belong_to_a_port() -> None:
    """PERSISTENT RESERVE OUT works in the standby state, and the two ports of one initiator are two nexuses."""
    register = b"\x5f\x06\0\0\0\0\0\0\x18\0"
    async with running() as array, session_of(array, A) as first, session_on_second(array) as second:
        for session, key in ((first, 1), (second, 2)):
            assert (await session.execute(0, register, bytes(8) + key.to_bytes(8, "big") + bytes(8))).status == 0
        full_status = bytes.fromhex("5e03 00000000 000400 00")
        data = bytes((await second.execute(0, full_status, data_in_bytes=1024)).data_in)
        names = [name.relative_target_port for name in array.logical_units[0].reservations.registrations]
        assert names == [1, 1025]
        assert all(port.to_bytes(2, "big") in data for port in names)
        reserve = b"\x5f\x01\x01\0\0\0\0\0\x18\0"
        assert (await second.execute(0, reserve, (2).to_bytes(8, "big") + bytes(16))).status == 0
        assert (await first.execute(0, b"\x2a" + bytes(7) + b"\x01\0", bytes(512))).status == 0x18
        assert await code(second, 0, READ) == IN_STANDBY


async def test_a_reload_changes_what_has_changed_in_the_file() -> None:
    async with running() as array, session_on_second(array) as second:
        after = replace(GROUPS, port_groups=(PortGroupConfig(1), PortGroupConfig(2, AccessState.ACTIVE_OPTIMIZED)))
        await reconfigure(array, GROUPS, after)
        assert [await code(second, 0) for _ in range(2)] == [STATE_CHANGED, GOOD]
        assert [each[1] for each in (await reported(second)).values()] == [False, False]
        await perform(array, "set-port-group", {"number": 2, "state": "unavailable"})
        await reconfigure(array, after, after)
        assert array.logical_units[0].port_groups.state_of(2) is AccessState.UNAVAILABLE, "the file has not changed"


async def test_a_reload_adds_and_removes_ports() -> None:
    third = "iqn.2026-11.example:third"
    async with running() as array, session_on_second(array) as second:
        await perform(array, "set-port-group", {"number": 2, "state": "active-non-optimized"})
        after = replace(GROUPS, targets=(TargetConfig(third, port_group=2),))
        await reconfigure(array, GROUPS, after)
        assert await code(second, 0) == STATE_CHANGED
        ports = {number: ports for number, (_, _, _, ports) in (await reported(second)).items()}
        assert ports == {1: [1], 2: [2, 1025, 1026]}
        async with session_of(array, A, third) as session:
            assert (await reported(session))[2] == (1, False, 2, [2, 1025, 1026])
        await reconfigure(array, after, GROUPS)
        assert await code(second, 0) == STATE_CHANGED
        assert (await reported(second))[2][3] == [1025]


def port_groups_of(array: Array) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Return the state and the ports of each group of the first LUN."""
    groups = array.logical_units[0].port_groups.groups
    return {group.number: (group.state.words, group.relative_target_ports) for group in groups}


async def test_a_reload_moves_a_port_to_another_group() -> None:
    async with running() as array, session_of(array, A) as first, session_on_second(array) as second:
        after = replace(GROUPS, portal_groups=(PortalGroupConfig(2, (TWO,), 3),), port_groups=(PortGroupConfig(1),))
        await reconfigure(array, GROUPS, after)
        assert port_groups_of(array) == {1: ("active-optimized", (1,)), 3: ("active-optimized", (1025,))}
        assert fields_that_wait(GROUPS, after) == []
        assert [await code(second, 0) for _ in range(3)] == [INQUIRY_CHANGED, STATE_CHANGED, GOOD]
        assert await code(first, 0) == STATE_CHANGED
        page = bytes((await second.execute(0, bytes.fromhex("120183040000"), data_in_bytes=1024)).data_in)
        assert bytes((0x01, 0x15, 0, 4, 0, 0, 0, 3)) in page.replace(b"\x51\x95", b"\x01\x15")
        async with session_on_second(array, B) as later:
            assert await code(later, 0, READ) == GOOD
        await reconfigure(array, after, GROUPS)
        assert [await code(second, 0) for _ in range(3)] == [INQUIRY_CHANGED, STATE_CHANGED, IN_STANDBY]


async def test_a_reload_adds_a_portal_in_a_group_of_its_own() -> None:
    third = Portal("127.0.0.2", 0)
    async with running() as array, session_of(array, A) as first, session_on_second(array) as second:
        after = replace(
            GROUPS,
            portals=(ONE, TWO, third),
            portal_groups=(*GROUPS.portal_groups, PortalGroupConfig(7, (third,), 4)),
            port_groups=(*GROUPS.port_groups, PortGroupConfig(4, AccessState.UNAVAILABLE)),
        )
        await reconfigure(array, GROUPS, after)
        tagged = [f"{portal},{tag}" for portal, tag in zip(array.portals, (1, 2, 7), strict=True)]
        assert await discovered(array, A) == {array.config.iqn: tagged}
        assert port_groups_of(array)[4] == ("unavailable", (6145,))
        assert [await code(each, 0) for each in (first, second)] == [STATE_CHANGED, STATE_CHANGED]
        assert [await code(each, 0) for each in (first, second)] == [GOOD, IN_STANDBY]
        async with session_of(array, B, portal=array.portals[2]) as session:
            assert await code(session, 0) == IN_UNAVAILABLE


async def test_a_reload_moves_a_portal_to_another_portal_group() -> None:
    """A session has one portal group for its whole life, so the sessions through this portal end, and no others."""
    async with running() as array, session_of(array, A) as first, session_of(array, B, portal=array.portals[1]) as second:
        after = replace(GROUPS, portal_groups=(PortalGroupConfig(3, (TWO,), 2),))
        await reconfigure(array, GROUPS, after)
        with pytest.raises(ConnectionLost):
            await code(second, 0)
        assert [await code(first, 0) for _ in range(2)] == [STATE_CHANGED, GOOD]
        one, two = array.portals
        assert await discovered(array, A) == {array.config.iqn: [f"{one},1", f"{two},3"]}
        async with session_on_second(array) as again:
            assert await code(again, 0) == IN_STANDBY
        assert port_groups_of(array) == {1: ("active-optimized", (1,)), 2: ("standby", (2049,))}


async def test_a_reload_moves_a_port_to_an_offline_group() -> None:
    async with running() as array, session_of(array, A) as first, session_of(array, B, portal=array.portals[1]) as second:
        groups = (PortGroupConfig(1), PortGroupConfig(3, AccessState.OFFLINE))
        after = replace(GROUPS, portal_groups=(PortalGroupConfig(2, (TWO,), 3),), port_groups=groups)
        await reconfigure(array, GROUPS, after)
        with pytest.raises(ConnectionLost):
            await code(second, 0)
        assert [await code(first, 0) for _ in range(2)] == [STATE_CHANGED, GOOD]
        with pytest.raises(LoginFailed):
            async with session_on_second(array):
                pass


async def test_a_reload_without_portal_groups() -> None:
    async with running() as array, session_of(array, A) as first, session_of(array, B, portal=array.portals[1]) as second:
        after = replace(GROUPS, portal_groups=(), port_groups=(), asymmetric_access=None)
        await reconfigure(array, GROUPS, after)
        with pytest.raises(ConnectionLost):
            await code(second, 0)
        assert [await code(first, 0) for _ in range(2)] == [INQUIRY_CHANGED, GOOD]
        assert (await first.execute(0, bytes.fromhex("a30a 00000000 00001000 0000"), data_in_bytes=4096)).status == 2
        assert array.targets[0].ports.keys() == {1}


async def test_a_reload_changes_who_can_change_states() -> None:
    async with running(replace(GROUPS, port_groups=(), asymmetric_access=None)) as array, session_on_second(array) as second:
        before = array.config
        after = replace(GROUPS, asymmetric_access=AccessModes.IMPLICIT, transition_time_s=9)
        assert (await second.execute(0, bytes(6))).status == 0
        await reconfigure(array, before, replace(after, transition_time_s=0))
        assert [await code(second, 0) for _ in range(3)] == [INQUIRY_CHANGED, STATE_CHANGED, IN_STANDBY]
        data = (await second.execute(0, bytes.fromhex("120000006000"), data_in_bytes=96)).data_in
        assert data[5] >> 4 & 3 == 1, "TPGS"
        cdb, states = set_states((0, 2))
        assert (await second.execute(0, cdb, states)).status == 2
        await reconfigure(array, after, replace(after, asymmetric_access=AccessModes.BOTH))
        assert await code(second, 0) == INQUIRY_CHANGED
        assert (await second.execute(0, cdb, states)).status == 0
        assert array.logical_units[0].port_groups.transition_time_s == 9
        assert await code(second, 0) == IN_TRANSITION


async def test_a_group_that_the_file_describes_later_or_no_longer() -> None:
    bare = replace(GROUPS, port_groups=())
    async with running(bare) as array:
        await reconfigure(array, bare, GROUPS)
        assert array.logical_units[0].port_groups.state_of(2) is AccessState.STANDBY
        assert array.logical_units[0].port_groups.groups[0].is_preferred
        await reconfigure(array, GROUPS, bare)
        assert array.logical_units[0].port_groups.state_of(2) is AccessState.ACTIVE_OPTIMIZED
        assert not array.logical_units[0].port_groups.groups[0].is_preferred


async def test_states_that_only_hosts_change_are_not_applied_in_part() -> None:
    explicit = replace(GROUPS, asymmetric_access=AccessModes.EXPLICIT)
    changed = replace(explicit, port_groups=(PortGroupConfig(1), PortGroupConfig(2)))
    async with running(explicit) as array:
        with capture_logs() as logs:
            await reconfigure(array, explicit, changed)
        assert [(line["event"], line["keys"]) for line in logs] == [("settings are not applied", ["target-port-group"])]
        assert array.logical_units[0].port_groups.state_of(2) is AccessState.STANDBY
        assert array.logical_units[0].port_groups.groups[0].is_preferred
        await reconfigure(array, changed, replace(changed, asymmetric_access=AccessModes.BOTH))
        assert array.logical_units[0].port_groups.state_of(2) is AccessState.ACTIVE_OPTIMIZED
        assert not array.logical_units[0].port_groups.groups[0].is_preferred


def groups_of(config: Config) -> PortGroups:
    """Return the target port groups when an array with these settings starts."""
    ports = target_ports_of(config)
    return ports.port_groups(ports.all_ports())


FILE = """
portal = ["127.0.0.1:3260", "127.0.0.1:3261"]
asymmetric-access = "both"
transition-time = 5
port-group = 1
[[portal-group]]
tag = 2
portal = "127.0.0.1:3261"
port-group = 7
[[target-port-group]]
number = 7
state = "unavailable"
preferred = true
[[target]]
iqn = "iqn.2026-11.example:second"
[[target]]
iqn = "iqn.2026-11.example:third"
port-group = 7
"""


def test_settings_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    config = load_config(tmp_path / "a.toml")
    groups = groups_of(config)
    assert (groups.modes, groups.transition_time_s) == (AccessModes.BOTH, 5)
    found = [(group.number, group.state, group.is_preferred, group.relative_target_ports) for group in groups.groups]
    assert found == [
        (1, AccessState.ACTIVE_OPTIMIZED, False, (1, 2, 1025)),
        (7, AccessState.UNAVAILABLE, True, (3, 1026, 1027)),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('asymmetric-access = "yes"', "asymmetric-access: want one of none, implicit, explicit, both"),
        ("transition-time = 255", "transition-time: want a number from 0 to 254"),
        ("port-group = 0", "port-group: want a number from 1 to 65535"),
        ("port-group = 65536", "port-group: want a number from 1 to 65535"),
        ('[[portal-group]]\nportal = "127.0.0.1"', "portal-group: tag is missing"),
        ('[[portal-group]]\ntag = 61\nportal = "127.0.0.1"', "portal-group: tag: want a number from 1 to 60"),
        ('[[portal-group]]\ntag = 2\nportal = "127.0.0.1"\nx = 1', "portal-group: unknown key 'x'"),
        ("[portal-group]", r"want tables \[\[portal-group\]\]"),
        ('[[target-port-group]]\nstate = "standby"', "target-port-group: number is missing"),
        ('[[target-port-group]]\nnumber = 1\nstate = "off"', "target-port-group: state: want one of active-optimized"),
        ("[[target-port-group]]\nnumber = 1\npreferred = 1", "preferred: want true or false"),
        ("[[target-port-group]]\nnumber = 1\n" * 257, "257 tables are over the limit of 256"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(line)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "a.toml")


MANY = tuple(TargetConfig(f"iqn.2026-11.example:{number}") for number in range(255))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(portal_groups=(PortalGroupConfig(2, (TWO,)),)), "localhost:0 is no portal of the array"),
        (replace(GROUPS, portal_groups=(PortalGroupConfig(2, (TWO,)), PortalGroupConfig(2, (ONE,)))), "tag 2 is named twice"),
        (
            replace(GROUPS, portal_groups=(PortalGroupConfig(2, (TWO,)), PortalGroupConfig(3, (TWO,)))),
            "localhost:0 is named twice",
        ),
        (replace(GROUPS, port_groups=(PortGroupConfig(1), PortGroupConfig(1))), "number 1 is named twice"),
        (replace(GROUPS, port_groups=(PortGroupConfig(3),)), "no port is in group 3"),
        (replace(GROUPS, asymmetric_access=AccessModes.NONE), "asymmetric-access is none"),
        (Config(targets=MANY), "group 1 has 256 ports, at most 255"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(config: Config, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        authentications_of(config, bytes)


def test_the_largest_number_of_ports_of_a_group() -> None:
    (group,) = groups_of(Config(targets=MANY[:-1])).groups
    assert group.relative_target_ports == tuple(range(1, 256))


def test_the_relative_target_ports_of_all_targets_differ() -> None:
    portals = tuple(Portal("127.0.0.1", port) for port in range(1, 61))
    groups = tuple(PortalGroupConfig(tag, (portal,), tag) for tag, portal in enumerate(portals, 1))
    targets = MANY[:253]
    found = groups_of(Config(portals=portals, portal_groups=groups, targets=targets)).groups
    ports = [port for group in found for port in group.relative_target_ports]
    assert len(set(ports)) == len(ports) == 60 * 254
    assert max(ports) < 1 << 16


async def test_many_ports_without_asymmetric_access_are_served() -> None:
    config = Config(luns=(LunConfig("a", 1 << 20),), portals=(ONE,), targets=MANY[:3])
    async with running(config) as array, session_of(array, B) as session:
        assert await luns(session) == [0]
