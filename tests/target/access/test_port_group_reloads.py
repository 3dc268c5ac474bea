"""Target port groups when the settings of a running array change."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from odx_target.initiator.errors import ConnectionLost, InitiatorError, LoginFailed
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import AccessModes
from odx_target.target.array import Array
from odx_target.target.config.settings import (
    Portal,
    PortalGroupConfig,
    PortGroupConfig,
    TargetConfig,
)
from odx_target.target.control.operations import perform
from odx_target.target.reconfiguration import fields_that_wait, reconfigure
from tests.target.access.port_groups import (
    GOOD,
    GROUPS,
    IN_STANDBY,
    IN_TRANSITION,
    IN_UNAVAILABLE,
    INQUIRY_CHANGED,
    ONE,
    READ,
    STATE_CHANGED,
    TWO,
    reported,
    running,
    session_on_second,
    set_states,
)
from tests.target.access.sessions import A, B, code, discovered, session_of


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
