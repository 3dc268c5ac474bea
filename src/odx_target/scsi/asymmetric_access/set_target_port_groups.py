"""SET TARGET PORT GROUPS (SPC-4 6.45), with which hosts change the states of target port groups explicitly."""

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.asymmetric_access.changes import PortGroupChanges, StateChange
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroups
from odx_target.scsi.cdb.primary_commands import SetTargetPortGroups
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.layout import Layout, bits, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    ASYMMETRIC_ACCESS_STATE_TRANSITION,
    INVALID_FIELD_IN_PARAMETER_LIST,
    PARAMETER_LIST_LENGTH_ERROR,
    SET_TARGET_PORT_GROUPS_COMMAND_FAILED,
    CheckCondition,
)
from odx_target.scsi.tasks.change_notifications import AttachedNexuses
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

SET_TARGET_PORT_GROUPS = (0xA4, 0x0A)

SETTABLE_STATES = (
    AccessState.ACTIVE_OPTIMIZED,
    AccessState.ACTIVE_NON_OPTIMIZED,
    AccessState.STANDBY,
    AccessState.UNAVAILABLE,
)
"""The primary target port asymmetric access states that a host can set. Only the operator sets the secondary state offline."""

LIST_HEADER_BYTES = 4
"""Reserved bytes before the first descriptor."""

_HIGHEST_STATE_BIT = 3


class SetPortGroupDescriptor(Layout):
    """The new state of one target port group."""

    size_bytes = 4
    asymmetric_access_state: int = bits(0, 3, 4)
    target_port_group: int = number(2, 2)


def accepts_explicit_changes(logical_unit: LogicalUnit) -> bool:
    """True if hosts can change the states of a logical unit."""
    return AccessModes.EXPLICIT in logical_unit.port_groups.modes


def rows(nexuses: AttachedNexuses) -> list[CommandRow]:
    """Return the row of the command. The handler notifies the other nexuses in `nexuses`.

    The command ends with GOOD as soon as a transition has begun. In a transition, REPORT TARGET PORT GROUPS shows its progress.
    """
    changes = PortGroupChanges(nexuses)

    def set_target_port_groups(task: Task) -> Outcome:
        length = SetTargetPortGroups.parse(task.cdb).parameter_list_length
        if not length:
            return Reply()
        data = parameter_list(task, length)
        port_groups = task.logical_unit.port_groups
        if port_groups.is_transitioning:
            raise CheckCondition(ASYMMETRIC_ACCESS_STATE_TRANSITION)
        states = port_groups.changed_by(_states(data, port_groups))
        if states:
            try:
                changes.change(task.logical_unit, StateChange(states, port_groups.transition_time_s, task.nexus))
            except RuntimeError:
                raise CheckCondition(SET_TARGET_PORT_GROUPS_COMMAND_FAILED) from None
        return Reply(transfer_bytes=length)

    return [
        CommandRow(
            "SET TARGET PORT GROUPS",
            SET_TARGET_PORT_GROUPS[0],
            bytes.fromhex("a40a00000000ffffffff0000"),
            set_target_port_groups,
            service_action=SET_TARGET_PORT_GROUPS[1],
            flags=CommandFlag.NOT_ORDERED,
            availability=Availability.UNLESS_TRANSITIONING,
            is_supported=accepts_explicit_changes,
        )
    ]


def _states(data: bytes, port_groups: PortGroups) -> dict[int, AccessState]:
    """Return the states in a parameter list, by the numbers of the groups. Raises CheckCondition for an invalid list."""
    size_bytes = SetPortGroupDescriptor.size_bytes
    if len(data) < LIST_HEADER_BYTES or (len(data) - LIST_HEADER_BYTES) % size_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR, transfer_bytes=len(data))
    states: dict[int, AccessState] = {}
    for at in range(LIST_HEADER_BYTES, len(data), size_bytes):
        descriptor = SetPortGroupDescriptor.parse(data[at:])
        if descriptor.asymmetric_access_state not in SETTABLE_STATES:
            raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=at, bit=_HIGHEST_STATE_BIT)
        group = descriptor.target_port_group
        found = port_groups.find(group)
        if found is None or found.state is AccessState.OFFLINE or group in states:
            place = SetPortGroupDescriptor.places["target_port_group"].start // 8
            raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=at + place)
        states[group] = AccessState(descriptor.asymmetric_access_state)
    return states
