"""Asymmetric access states of a target port: every command in every state, copies, reservations and task management."""

import pytest

from odx_target.copymgr.limits import CopyLimits
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.changes import PortGroupChanges, StateChange
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroup, PortGroups
from odx_target.scsi.target_port import TargetPort
from tests.copymgr.array import TARGET_NAME, CopyArray, code_of, pattern
from tests.copymgr.extended_copy import BlocksSegment, copy, lun_list, start_copy

TEST_UNIT_READY, READ, WRITE = bytes(6), b"\x88" + bytes(12) + b"\x01", b"\x8a" + bytes(12) + b"\x01"

REFUSED = {
    AccessState.STANDBY: "2/04/0B",
    AccessState.UNAVAILABLE: "2/04/0C",
    AccessState.OFFLINE: "2/04/12",
    AccessState.TRANSITIONING: "2/04/0A",
}
ALWAYS = {"INQUIRY", "REPORT LUNS", "REPORT TARGET PORT GROUPS", "REQUEST SENSE"}
"""Commands that work in every state (SPC-4 5.15.2.5). The echo modes of READ BUFFER and WRITE BUFFER work too."""
UNAVAILABLE = ALWAYS | {"SET TARGET PORT GROUPS"}
"""Commands that work in the unavailable state (SPC-4 5.15.2.4.5)."""
STANDBY = UNAVAILABLE | {
    # SPC-4 5.15.2.4.4
    "LOG SENSE",
    "MODE SELECT(6)",
    "MODE SELECT(10)",
    "MODE SENSE(6)",
    "MODE SENSE(10)",
    "RECEIVE DIAGNOSTIC RESULTS",
    "SEND DIAGNOSTIC",
    "READ BUFFER(10)",
    "READ BUFFER(16)",
    "WRITE BUFFER",
    "PERSISTENT RESERVE IN",
    "PERSISTENT RESERVE OUT",
    # Other commands that hosts send when they find a path.
    "READ CAPACITY(10)",
    "READ CAPACITY(16)",
    "REPORT SUPPORTED OPERATION CODES",
    "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
}
WORKING = {
    AccessState.STANDBY: STANDBY,
    AccessState.UNAVAILABLE: UNAVAILABLE,
    AccessState.OFFLINE: ALWAYS,
    AccessState.TRANSITIONING: ALWAYS,
}
ECHO_MODES = (0x0A, 0x0B)


def set_state(array: CopyArray, state: AccessState, *luns: int) -> None:
    """Set the state of the group of all nexuses for logical units; without numbers, for all."""
    for lun in luns or array.logical_units:
        unit = array.logical_units[lun]
        unit.port_groups = PortGroups(AccessModes.BOTH, (PortGroup(1, state=state), PortGroup(2, (2,))))


def is_refusal(code: str) -> bool:
    return code in REFUSED.values()


@pytest.mark.parametrize("state", AccessState)
def test_every_command_in_every_state(state: AccessState) -> None:
    array = CopyArray()
    rows = list(array.server.commands.rows())
    for row in rows:
        set_state(array, state)
        name = row.name.partition(",")[0]
        cdb = bytes((row.operation_code, row.service_action or 0, *bytes(14)))
        reply = array.command(0, cdb)
        if state.is_active or name in WORKING[state]:
            if "BUFFER" not in name:
                assert not is_refusal(code_of(reply)), row.name
        else:
            assert code_of(reply) == REFUSED[state], row.name
    names = {row.name.partition(",")[0] for row in rows}
    assert names >= STANDBY
    assert not array.internal_errors


@pytest.mark.parametrize("state", AccessState)
@pytest.mark.parametrize("code", [0x3B, 0x3C, 0x9B])
@pytest.mark.parametrize("mode", range(0x20))
def test_buffers_in_every_state(state: AccessState, code: int, mode: int) -> None:
    array = CopyArray()
    set_state(array, state)
    works = state.is_active or state is AccessState.STANDBY or mode in ECHO_MODES
    assert is_refusal(code_of(array.command(0, bytes((code, mode, *bytes(14)))))) != works


@pytest.mark.parametrize("state", REFUSED)
def test_the_other_group_is_not_restricted(state: AccessState) -> None:
    array = CopyArray()
    set_state(array, state)
    other = array.new_nexus()
    other.target_port = TargetPort(TARGET_NAME, f"{TARGET_NAME},t,0x0002", 2, 2)
    for cdb in (TEST_UNIT_READY, READ):
        assert code_of(array.command(0, cdb)) == REFUSED[state]
        assert array.command(0, cdb, nexus=other).status == 0


@pytest.mark.parametrize("state", REFUSED)
def test_request_sense_reports_the_state(state: AccessState) -> None:
    array = CopyArray()
    set_state(array, state)
    sense = b"".join(array.command(0, b"\x03\0\0\0\x12\0").data_in)
    assert f"{sense[2] & 15:X}/{sense[12]:02X}/{sense[13]:02X}" == REFUSED[state]


@pytest.mark.parametrize("state", REFUSED)
def test_unit_attentions_come_before_the_state(state: AccessState) -> None:
    array = CopyArray()
    set_state(array, state)
    array.nexus.establish_unit_attention(0, 0x2A, 0x06)
    assert code_of(array.command(0, READ)) == "6/2A/06"
    assert code_of(array.command(0, READ)) == REFUSED[state]


def test_a_reservation_is_not_reported_by_a_port_that_refuses_the_command() -> None:
    array = CopyArray()
    holder = array.new_nexus("iqn.other")
    assert array.command(0, b"\x16\0\0\0\0\0", nexus=holder).status == 0
    assert array.command(0, READ).status == 0x18
    set_state(array, AccessState.STANDBY)
    assert code_of(array.command(0, READ)) == "2/04/0B"


@pytest.mark.parametrize("state", REFUSED)
def test_token_commands(state: AccessState) -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 8)])
    set_state(array, state, 1)
    assert code_of(array.populate(1, 2, [(0, 8)])) == REFUSED[state]
    assert code_of(array.write_using(1, 3, token, [(0, 8)])) == REFUSED[state]
    assert code_of(array.information(1, 1)) == REFUSED[state]
    assert array.write_using(0, 4, token, [(0, 8)]).status == 0, "the other logical unit is active"


def test_a_state_change_ends_a_copy_by_token() -> None:
    array = CopyArray(CopyLimits(copy_step_bytes=8192))
    array.write(0, 0, pattern(1, 0, 128, 512))
    token = array.token(0, 1, [(3, 64)])
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    started = array.start_write_using(1, 2, token, [(16, 64)])
    array.environment.advance(2.5)
    set_state(array, AccessState.STANDBY, 1)
    array.environment.advance(10)
    assert code_of(started.reply) == "2/04/0B"
    set_state(array, AccessState.ACTIVE_OPTIMIZED, 1)
    assert array.read(1, 16, 32) == pattern(1, 3, 32, 512)
    assert array.read(1, 48, 32) == bytes(32 * 512), "nothing was written in the standby state"


@pytest.mark.parametrize("receiver", [0, 1, 2])
@pytest.mark.parametrize("lun", [0, 1, 2])
def test_extended_copy_reaches_no_logical_unit_through_a_port_in_standby(receiver: int, lun: int) -> None:
    array = CopyArray()
    set_state(array, AccessState.STANDBY, lun)
    reply = copy(array, receiver, lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)]))
    if receiver == lun:
        assert code_of(reply) == "2/04/0B"
    elif lun == 2:
        assert reply.status == 0
    else:
        assert code_of(reply) == "A/0D/01"
        forwarded = reply.sense[18:]
        assert (forwarded[0], forwarded[3] & 0xF, *forwarded[13:15]) == (2, 2, 0x04, 0x0B)


def test_a_state_change_ends_an_extended_copy() -> None:
    array = CopyArray(CopyLimits(copy_step_bytes=8192))
    array.write(0, 0, pattern(1, 0, 128, 512))
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    started = start_copy(array, 2, lun_list(array, [0, 1], [BlocksSegment(0, 3, 1, 16, 64)]))
    array.environment.advance(2.5)
    set_state(array, AccessState.UNAVAILABLE, 0)
    array.environment.advance(10)
    assert code_of(started.reply) == "A/0D/01"
    assert array.read(1, 48, 32) == bytes(32 * 512)


@pytest.mark.parametrize("state", REFUSED)
def test_a_task_that_waited_is_refused(state: AccessState) -> None:
    array = CopyArray(CopyLimits(copy_step_bytes=8192))
    array.write(0, 0, pattern(1, 0, 128, 512))
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    copying = start_copy(array, 2, lun_list(array, [0, 1], [BlocksSegment(0, 3, 1, 16, 64)]))
    array.environment.advance(1.5)
    waiting = array.start(1, b"\x8a" + bytes(8) + b"\0\0\0\0\x20\0\0", pattern(2, 0, 32, 512))
    assert not waiting.is_done
    set_state(array, state, 1)
    array.environment.advance(20)
    assert copying.is_done
    assert code_of(waiting.reply) == REFUSED[state]


@pytest.mark.parametrize("state", REFUSED)
def test_task_management_works_in_every_state(state: AccessState) -> None:
    array = CopyArray(CopyLimits(copy_step_bytes=8192))
    array.write(0, 0, pattern(1, 0, 128, 512))
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    start_copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 3, 1, 16, 64)]), tag=77)
    array.environment.advance(1.5)
    set_state(array, state, 0)
    assert array.server.abort_task(array.nexus, 0, 77)
    array.server.reset_logical_unit(array.logical_units[0], array.nexus)
    assert array.logical_units[0].port_groups.state_of(1) is state, "a reset does not change the state"


def test_a_change_of_many_logical_units_shares_their_groups() -> None:
    array = CopyArray()
    units = list(array.logical_units.values())
    groups = PortGroups(AccessModes.IMPLICIT, (PortGroup(1), PortGroup(2, (2,))))
    for unit in units:
        unit.port_groups = groups
    change = StateChange({2: AccessState.STANDBY}, 1)
    for _ in PortGroupChanges(array.server).change_all(units, change, array.environment):
        pass
    assert {unit.port_groups.state_of(2) for unit in units} == {AccessState.TRANSITIONING}
    array.environment.advance(2)
    assert len({id(unit.port_groups) for unit in units}) == 1
    assert units[0].port_groups.state_of(2) is AccessState.STANDBY
    assert array.nexus.unit_attentions == {unit.number: [(0x2A, 0x06)] for unit in units}
