"""Target port groups of a running array: its ports, its operator, and hosts with a session through each group."""

from dataclasses import replace

import pytest

from odx_target.initiator.errors import InitiatorError, LoginFailed
from odx_target.initiator.session.session import InitiatorSession
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import AccessModes
from odx_target.target.config.settings import (
    Config,
    TargetConfig,
)
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from tests.target.access.port_groups import (
    GOOD,
    GROUPS,
    IN_STANDBY,
    IN_TRANSITION,
    IN_UNAVAILABLE,
    ONE,
    READ,
    STATE_CHANGED,
    reported,
    running,
    session_on_second,
    set_states,
)
from tests.target.access.sessions import A, code, code_of, discovered, luns, session_of, write
from tests.target.running import LUNS


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
