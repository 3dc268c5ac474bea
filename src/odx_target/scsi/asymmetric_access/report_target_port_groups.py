"""REPORT TARGET PORT GROUPS (SPC-4 6.37)."""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.asymmetric_access.port_groups import (
    MAX_IMPLICIT_TRANSITION_TIME_S,
    AccessModes,
    PortGroup,
    PortGroups,
)
from odx_target.scsi.cdb.primary_commands import ReportTargetPortGroups
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

REPORT_TARGET_PORT_GROUPS = (0xA3, 0x0A)

LENGTH_ONLY_HEADER, EXTENDED_HEADER = 0b000, 0b001
"""Values of PARAMETER DATA FORMAT and FORMAT TYPE."""

_FORMAT_BYTE, _HIGHEST_FORMAT_BIT = 1, 7

TRANSITION_RESERVE_S = 1
"""Time that is added to the duration of a change, so that a host does not give up at the moment when the change ends."""


class LengthOnlyHeader(Layout):
    """The header of the parameter data if the CDB asks for the length only."""

    return_data_length: int = number(0, 4)


class ExtendedHeader(Layout):
    """The extended header of the parameter data."""

    size_bytes = 8
    return_data_length: int = number(0, 4)
    format_type: int = bits(4, 6, 3)
    implicit_transition_time: int = number(5, 1)


class PortGroupDescriptor(Layout):
    """One target port group. The descriptors of its ports follow."""

    size_bytes = 8
    pref: bool = flag(0, 7)
    asymmetric_access_state: int = bits(0, 3, 4)
    t_sup: bool = flag(1, 7)
    o_sup: bool = flag(1, 6)
    lbd_sup: bool = flag(1, 4)
    u_sup: bool = flag(1, 3)
    s_sup: bool = flag(1, 2)
    an_sup: bool = flag(1, 1)
    ao_sup: bool = flag(1, 0)
    target_port_group: int = number(2, 2)
    status_code: int = number(5, 1)
    target_port_count: int = number(7, 1)


class PortDescriptor(Layout):
    """One target port of a group."""

    size_bytes = 4
    relative_target_port_identifier: int = number(2, 2)


def is_reported(logical_unit: LogicalUnit) -> bool:
    """True if a logical unit supports asymmetric access."""
    return logical_unit.port_groups.modes is not AccessModes.NONE


def report_target_port_groups(task: Task) -> Outcome:
    """Report all target port groups of the logical unit, with their states and ports."""
    cdb = ReportTargetPortGroups.parse(task.cdb)
    if cdb.parameter_data_format not in (LENGTH_ONLY_HEADER, EXTENDED_HEADER):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_FORMAT_BYTE, bit=_HIGHEST_FORMAT_BIT)
    data = port_groups_data(task.logical_unit.port_groups, is_extended=cdb.parameter_data_format == EXTENDED_HEADER)
    return Reply.of_parameter_data(data, cdb.allocation_length)


def port_groups_data(port_groups: PortGroups, *, is_extended: bool) -> bytes:
    """Build the parameter data with one of the two headers."""
    body = b"".join(_group_data(group) for group in port_groups.groups)
    if not is_extended:
        return LengthOnlyHeader(return_data_length=len(body)).build() + body
    time_s = port_groups.transition_time_s
    header = ExtendedHeader(
        return_data_length=ExtendedHeader.size_bytes - LengthOnlyHeader.size_bytes + len(body),
        format_type=EXTENDED_HEADER,
        implicit_transition_time=min(time_s + TRANSITION_RESERVE_S, MAX_IMPLICIT_TRANSITION_TIME_S) if time_s else 0,
    )
    return header.build() + body


def _group_data(group: PortGroup) -> bytes:
    descriptor = PortGroupDescriptor(
        pref=group.is_preferred,
        asymmetric_access_state=group.state,
        t_sup=True,
        o_sup=True,
        u_sup=True,
        s_sup=True,
        an_sup=True,
        ao_sup=True,
        target_port_group=group.number,
        status_code=group.status_code,
        target_port_count=len(group.relative_target_ports),
    )
    ports = (PortDescriptor(relative_target_port_identifier=port).build() for port in group.relative_target_ports)
    return descriptor.build() + b"".join(ports)


ROWS = (
    CommandRow(
        "REPORT TARGET PORT GROUPS",
        REPORT_TARGET_PORT_GROUPS[0],
        bytes.fromhex("a3ea00000000ffffffff0000"),
        report_target_port_groups,
        service_action=REPORT_TARGET_PORT_GROUPS[1],
        flags=CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
        availability=Availability.ALWAYS,
        is_supported=is_reported,
    ),
)
