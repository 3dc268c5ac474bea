"""SET TARGET PORT GROUPS: every rule, the unit attentions, and transitions that take time."""

import pytest

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.changes import StateChange
from odx_target.scsi.asymmetric_access.port_groups import AccessModes
from tests.scsi.array import UnitUnderTest, code_of
from tests.scsi.port_groups import (
    FIRST,
    NON_OPTIMIZED,
    OPTIMIZED,
    SECOND,
    STANDBY,
    STATE_CHANGED,
    TRANSITION_FAILED,
    TRANSITIONING,
    UNAVAILABLE,
    PortGroupsUnderTest,
    set_cdb,
    set_list,
)

READ = "28 00 00 00 00 00 00 00 01 00"
TEST_UNIT_READY = "00 00 00 00 00 00"
IN_STANDBY, IN_UNAVAILABLE, IN_TRANSITION = (2, 4, 0x0B), (2, 4, 0x0C), (2, 4, 0x0A)


@pytest.mark.parametrize("state", [NON_OPTIMIZED, STANDBY, UNAVAILABLE])
def test_a_host_changes_the_state_of_a_group(state: int) -> None:
    unit = PortGroupsUnderTest()
    reply = unit.set_states((state, SECOND))
    assert (reply.status, reply.transfer_bytes) == (0, 8)
    assert unit.reported() == {FIRST: (OPTIMIZED, 0), SECOND: (state, 1)}
    assert unit.nexuses[SECOND].unit_attentions == {0: [STATE_CHANGED]}
    assert not unit.nexus.unit_attentions, "the nexus that asked is not notified"
    assert unit.command(READ).status == 0


def test_several_groups_change_at_once() -> None:
    unit = PortGroupsUnderTest()
    assert unit.set_states((STANDBY, FIRST), (NON_OPTIMIZED, SECOND)).status == 0
    assert unit.states() == {FIRST: STANDBY, SECOND: NON_OPTIMIZED}
    assert code_of(unit.command(READ)) == IN_STANDBY
    assert unit.set_states((OPTIMIZED, FIRST)).status == 0, "the command works in the standby state"
    assert unit.command(READ).status == 0


def test_the_present_states_change_nothing() -> None:
    unit = PortGroupsUnderTest(transition_time_s=5)
    assert unit.set_states((OPTIMIZED, FIRST), (OPTIMIZED, SECOND)).status == 0
    assert unit.reported() == {FIRST: (OPTIMIZED, 0), SECOND: (OPTIMIZED, 0)}
    assert not unit.nexuses[SECOND].unit_attentions


def test_no_list_changes_nothing() -> None:
    unit = PortGroupsUnderTest()
    assert unit.command(set_cdb(0)).status == 0
    assert unit.command(set_cdb(4), bytes(4)).status == 0
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: OPTIMIZED}


@pytest.mark.parametrize(
    ("data", "code", "pointer"),
    [
        (set_list((TRANSITIONING, SECOND)), (5, 0x26, 0), "8b 00 04"),
        (set_list((0xE, SECOND)), (5, 0x26, 0), "8b 00 04"),
        (set_list((0x4, SECOND)), (5, 0x26, 0), "8b 00 04"),
        (set_list((STANDBY, SECOND), (0x5, FIRST)), (5, 0x26, 0), "8b 00 08"),
        (set_list((STANDBY, 3)), (5, 0x26, 0), "80 00 06"),
        (set_list((STANDBY, SECOND), (STANDBY, SECOND)), (5, 0x26, 0), "80 00 0a"),
        (set_list((STANDBY, SECOND))[:7], (5, 0x1A, 0), "00 00 00"),
        (bytes(3), (5, 0x1A, 0), "00 00 00"),
    ],
)
def test_an_invalid_list_is_refused_and_changes_nothing(data: bytes, code: tuple[int, int, int], pointer: str) -> None:
    unit = PortGroupsUnderTest()
    reply = unit.command(set_cdb(len(data)), data)
    assert code_of(reply) == code
    assert reply.sense[15:18] == bytes.fromhex(pointer)
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: OPTIMIZED}


def test_a_group_that_is_offline_is_not_changed() -> None:
    unit = PortGroupsUnderTest()
    unit.change(SECOND, AccessState.OFFLINE)
    unit.nexus.unit_attentions.clear()
    data = set_list((STANDBY, FIRST), (OPTIMIZED, SECOND))
    reply = unit.command(set_cdb(len(data)), data)
    assert code_of(reply) == (5, 0x26, 0)
    assert reply.sense[15:18] == bytes.fromhex("80 00 0a")
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: 0xE}


def test_an_incomplete_list_is_refused() -> None:
    assert code_of(PortGroupsUnderTest().command(set_cdb(8), bytes(4))) == (5, 0x1A, 0)


def test_a_transition_takes_its_time() -> None:
    unit = PortGroupsUnderTest(transition_time_s=5)
    assert unit.set_states((STANDBY, SECOND)).status == 0
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: TRANSITIONING}
    second = unit.nexuses[SECOND]
    assert code_of(unit.command(TEST_UNIT_READY, nexus=second)) == (6, *STATE_CHANGED)
    assert code_of(unit.command(TEST_UNIT_READY, nexus=second)) == IN_TRANSITION
    assert unit.command(READ).status == 0, "the other group stays active"
    unit.environment.advance(4.9)
    assert unit.states()[SECOND] == TRANSITIONING
    unit.environment.advance(0.2)
    assert unit.reported() == {FIRST: (OPTIMIZED, 0), SECOND: (STANDBY, 1)}
    assert code_of(unit.command(TEST_UNIT_READY, nexus=second)) == (6, *STATE_CHANGED)
    assert code_of(unit.command(TEST_UNIT_READY, nexus=second)) == IN_STANDBY
    assert not unit.nexus.unit_attentions


@pytest.mark.parametrize("group", [FIRST, SECOND])
def test_no_change_is_accepted_during_a_transition(group: int) -> None:
    unit = PortGroupsUnderTest(transition_time_s=5)
    unit.set_states((STANDBY, SECOND))
    unit.nexuses[SECOND].unit_attentions.clear()
    assert code_of(unit.set_states((UNAVAILABLE, FIRST), group=group)) == IN_TRANSITION
    assert code_of(unit.set_states((OPTIMIZED, SECOND), group=group)) == IN_TRANSITION
    unit.environment.advance(6)
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: STANDBY}


def test_a_change_that_cannot_begin_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = PortGroupsUnderTest(transition_time_s=5)

    def start_soon(*_arguments: object) -> None:
        raise RuntimeError("the array is stopping")

    monkeypatch.setattr(unit.environment, "start_soon", start_soon)
    assert code_of(unit.set_states((STANDBY, SECOND))) == (4, 0x67, 0x0A)
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: OPTIMIZED}
    assert not unit.nexuses[SECOND].unit_attentions


def test_an_implicit_change_notifies_every_nexus() -> None:
    unit = PortGroupsUnderTest(AccessModes.IMPLICIT)
    unit.change(SECOND, UNAVAILABLE)
    assert unit.nexus.unit_attentions == unit.nexuses[SECOND].unit_attentions == {0: [STATE_CHANGED]}
    unit.nexus.unit_attentions.clear()
    assert unit.reported() == {FIRST: (OPTIMIZED, 0), SECOND: (UNAVAILABLE, 2)}


def test_a_later_implicit_change_replaces_a_transition() -> None:
    unit = PortGroupsUnderTest()
    unit.change(SECOND, STANDBY, 5)
    unit.change(SECOND, NON_OPTIMIZED)
    unit.nexus.unit_attentions.clear()
    unit.environment.advance(10)
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: NON_OPTIMIZED}
    assert not unit.nexus.unit_attentions


def test_a_preferred_group_changes_during_a_transition() -> None:
    unit = PortGroupsUnderTest()
    unit.change(SECOND, STANDBY, 5)
    unit.logical_unit.port_groups = unit.logical_unit.port_groups.with_preferred({FIRST: False, SECOND: True})
    unit.environment.advance(6)
    unit.nexus.unit_attentions.clear()
    assert unit.states() == {FIRST: OPTIMIZED, SECOND: STANDBY}
    assert [group.is_preferred for group in unit.logical_unit.port_groups.groups] == [False, True]


@pytest.mark.parametrize("time_s", [0, 5])
def test_an_implicit_change_that_fails_keeps_the_former_state(time_s: int) -> None:
    unit = PortGroupsUnderTest()
    unit.change(SECOND, NON_OPTIMIZED)
    unit.change(SECOND, STANDBY, time_s, fails=True)
    unit.nexus.unit_attentions.clear()
    assert unit.states()[SECOND] == (TRANSITIONING if time_s else NON_OPTIMIZED)
    unit.environment.advance(6)
    expected = [STATE_CHANGED, TRANSITION_FAILED]
    assert unit.nexuses[SECOND].unit_attentions == {0: expected}
    unit.nexus.unit_attentions.clear()
    assert unit.states()[SECOND] == NON_OPTIMIZED


def test_a_transition_ends_for_units_that_the_change_reaches_after_its_time() -> None:
    unit, later = PortGroupsUnderTest(), UnitUnderTest().logical_unit
    later.port_groups = unit.logical_unit.port_groups
    change = StateChange({SECOND: AccessState.STANDBY}, 5)
    steps = unit.changes.change_all([unit.logical_unit, later], change, unit.environment)
    next(steps)
    unit.environment.advance(6)
    assert len(list(steps)) == 1
    unit.environment.advance(100)
    assert later.port_groups.state_of(SECOND) is unit.logical_unit.port_groups.state_of(SECOND) is AccessState.STANDBY
    assert not later.pending_states
