"""REPORT TARGET PORT GROUPS, and what else reports target port groups."""

import pytest

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, StatusCode
from odx_target.scsi.describe.port_groups import describe_reported_port_groups, describe_set_port_groups
from odx_target.scsi.describe.rows import Row
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.port_groups import FIRST, SECOND, PortGroupsUnderTest, report_cdb, set_list
from tests.scsi.reserving import EveryPort

# Written by hand from the tables of SPC-4 6.37: group 1 is preferred and has the ports 1 and 3; group 2 has port 2 and is in
# the standby state, to which a host has changed it.
GROUPS = """
    80 cf 00 01 00 00 00 02  00 00 00 01  00 00 00 03
    02 cf 00 02 00 01 00 01  00 00 00 02
"""
SHORT = bytes.fromhex("00 00 00 1c" + GROUPS)
EXTENDED = bytes.fromhex("00 00 00 20 10 00 00 00" + GROUPS)
EXTENDED_WITH_TIME = bytes.fromhex("00 00 00 20 10 06 00 00" + GROUPS)


def standby_unit(transition_time_s: int = 0) -> PortGroupsUnderTest:
    unit = PortGroupsUnderTest(transition_time_s=transition_time_s)
    groups = unit.logical_unit.port_groups
    unit.logical_unit.port_groups = groups.with_states({SECOND: AccessState.STANDBY}, StatusCode.CHANGED_EXPLICITLY)
    return unit


@pytest.mark.parametrize("group", [FIRST, SECOND])
@pytest.mark.parametrize(
    ("data_format", "transition_time_s", "golden"),
    [(0, 0, SHORT), (0, 5, SHORT), (1, 0, EXTENDED), (1, 5, EXTENDED_WITH_TIME)],
)
def test_golden_bytes(group: int, data_format: int, transition_time_s: int, golden: bytes) -> None:
    unit = standby_unit(transition_time_s)
    reply = unit.command(report_cdb(data_format=data_format), nexus=unit.nexuses[group])
    assert data_of(reply) == golden


def test_the_longest_transition_is_reported_as_the_greatest_value() -> None:
    unit = PortGroupsUnderTest(transition_time_s=255)
    assert data_of(unit.command(report_cdb(data_format=1)))[5] == 255


@pytest.mark.parametrize("allocation_bytes", [0, 3, 4, 8, 11, 32, 100])
def test_the_data_is_cut_at_the_allocation_length(allocation_bytes: int) -> None:
    unit = standby_unit()
    reply = unit.command(report_cdb(allocation_bytes))
    assert b"".join(reply.data_in) == SHORT[:allocation_bytes]


@pytest.mark.parametrize("data_format", range(2, 8))
def test_reserved_formats_are_refused(data_format: int) -> None:
    reply = PortGroupsUnderTest().command(report_cdb(data_format=data_format))
    assert code_of(reply) == (5, 0x24, 0)
    assert reply.sense[15:18] == bytes.fromhex("cf 00 01")


@pytest.mark.parametrize("modes", AccessModes.__members__.values())
def test_modes_decide_which_commands_are_supported(modes: AccessModes) -> None:
    unit = PortGroupsUnderTest(modes)
    assert data_of(unit.command("12 00 00 00 60 00"))[5] >> 4 & 3 == modes.value
    is_reported, is_settable = modes is not AccessModes.NONE, modes.value & 2 != 0
    for cdb, is_supported in ((report_cdb(), is_reported), ("a4 0a 00 00 00 00 00 00 00 00 00 00", is_settable)):
        reply = unit.command(cdb)
        assert (reply.status == 0) == is_supported
        if not is_supported:
            assert code_of(reply) == (5, 0x24, 0)
            assert reply.sense[15:18] == bytes.fromhex("cc 00 01")
    for code, is_supported in (("a3", is_reported), ("a4", is_settable)):
        assert data_of(unit.command(f"a3 0c 02 {code} 00 0a 00 00 01 00 00 00"))[1] == (3 if is_supported else 1)
    commands = data_of(unit.command("a3 0c 00 00 00 00 00 00 20 00 00 00"))
    listed = {(commands[at], commands[at + 3]) for at in range(4, len(commands), 8)}
    assert ((0xA3, 0x0A) in listed, (0xA4, 0x0A) in listed) == (is_reported, is_settable)


def test_a_lun_without_logical_unit_has_no_port_groups() -> None:
    assert code_of(PortGroupsUnderTest().command(report_cdb(), lun=7)) == (5, 0x25, 0)


def test_the_device_identification_page_names_the_port_of_the_nexus() -> None:
    unit = PortGroupsUnderTest()
    for group in (FIRST, SECOND):
        data = data_of(unit.command("12 01 83 04 00 00", nexus=unit.nexuses[group]))
        designators, at = {}, 4
        while at < len(data):
            designators[data[at + 1] & 0x3F] = data[at + 4 : at + 4 + data[at + 3]]
            at += 4 + data[at + 3]
        assert designators[0x14] == designators[0x15] == bytes((0, 0, 0, group))
        assert designators[0x18].rstrip(b"\0").endswith(f",t,0x{group:04x}".encode())


@pytest.mark.parametrize("state", AccessState)
def test_inquiry_reports_whether_the_port_reaches_the_logical_unit(state: AccessState) -> None:
    """SPC-4 5.15.2.4.5: the peripheral qualifier is 001b in the unavailable state. All other data is as usual."""
    unit = PortGroupsUnderTest()
    cdbs = ("12 00 00 00 60 00", "12 01 00 00 ff 00", "12 01 83 04 00 00")
    usual = [data_of(unit.command(cdb, nexus=unit.nexuses[SECOND])) for cdb in cdbs]
    unit.logical_unit.port_groups = unit.logical_unit.port_groups.with_states({SECOND: state})
    qualifier = 0x20 if state in (AccessState.UNAVAILABLE, AccessState.OFFLINE) else 0
    for cdb, data in zip(cdbs, usual, strict=True):
        assert data_of(unit.command(cdb, nexus=unit.nexuses[SECOND])) == bytes((qualifier,)) + data[1:]
        assert data_of(unit.command(cdb))[0] == 0, "the other port reaches it"


@pytest.mark.parametrize("modes", AccessModes.__members__.values())
@pytest.mark.parametrize("page_control", [0, 2])
def test_the_control_extension_page_says_if_the_array_changes_states(modes: AccessModes, page_control: int) -> None:
    """IALUAE of current and default values (SPC-4 7.5.9). No host can change it."""
    unit = PortGroupsUnderTest(modes)
    data = data_of(unit.command(bytes((0x1A, 8, page_control << 6 | 0x0A, 1, 255, 0))))
    assert data[8] & 1 == modes.value & 1
    assert data_of(unit.command("1a 08 4a 01 ff 00"))[8:] == bytes(28)
    page = bytes((0x4A, *data[5:8], data[8] ^ 1, *data[9:]))
    reply = unit.command("15 10 00 00 24 00", bytes(4) + page)
    assert code_of(reply) == (5, 0x26, 0)
    assert reply.sense[15:18] == bytes.fromhex("88 00 08")
    assert unit.command("15 10 00 00 24 00", bytes(4) + data[4:]).status == 0


def test_inquiry_reports_several_target_ports() -> None:
    """MULTIP (SPC-4 6.4.2)."""
    multip = 0x10
    assert data_of(PortGroupsUnderTest().command("12 00 00 00 60 00"))[6] == multip
    assert data_of(UnitUnderTest().command("12 00 00 00 60 00"))[6] == 0


@pytest.mark.parametrize(("ports", "multip"), [((1,), 0), ((1, 1025), 0x10), ((1, 2, 3), 0x10), ((), 0)])
def test_inquiry_counts_the_ports_of_the_target(ports: tuple[int, ...], multip: int) -> None:
    unit = PortGroupsUnderTest()
    unit.server.port_access = EveryPort(ports)
    assert data_of(unit.command("12 00 00 00 60 00"))[6] == multip


def test_a_logical_unit_without_asymmetric_access_changes_nothing() -> None:
    unit = UnitUnderTest()
    assert unit.logical_unit.restricted is None
    assert data_of(unit.command("12 00 00 00 60 00"))[5] == 0


@pytest.mark.parametrize("golden", [SHORT, EXTENDED_WITH_TIME])
def test_the_data_is_described(golden: bytes) -> None:
    rows = describe_reported_port_groups(golden)
    assert [row.words for row in rows if row.name == "asymmetric_access_state"] == ["active-optimized", "standby"]
    assert [row.value for row in rows if row.name == "relative_target_port_identifier"] == ["1", "3", "2"]
    assert Row("status_code", "1", "changed by SET TARGET PORT GROUPS") in rows
    for end in range(len(golden)):
        describe_reported_port_groups(golden[:end])
    assert describe_reported_port_groups(golden[:-9])[-1].name == "partial_descriptor"


def test_a_list_of_new_states_is_described() -> None:
    rows = describe_set_port_groups(set_list((2, 1), (15, 2)))
    assert [row.words for row in rows if row.name == "asymmetric_access_state"] == ["standby", "transitioning"]
    assert describe_set_port_groups(set_list((2, 1))[:-1])[-1].name == "partial_descriptor"
