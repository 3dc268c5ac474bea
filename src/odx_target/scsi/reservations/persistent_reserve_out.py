"""PERSISTENT RESERVE OUT (SPC-4 6.16): decode parameter lists, apply service actions, and notify nexuses.

`persistent_reserve_out_effects` has the effects of the service actions on registrations, reservation and unit attentions.

SPC-4 table 66 lists the service actions that a reservation allows. This table need not be checked: every service action except
REGISTER and REGISTER AND IGNORE EXISTING KEY is refused unless the sender is registered and sends its key.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import PersistentReserveOut
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.commands.durability import flushed
from odx_target.scsi.layout import Layout, flag, number
from odx_target.scsi.limits import MAX_RESERVE_OUT_BYTES
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.durable import keep
from odx_target.scsi.reservations.holders import NexusName, Reservations
from odx_target.scsi.reservations.persistent_reserve_out_effects import (
    FLAGS_BYTE,
    SPEC_I_PT_BIT,
    TRANSPORT_ID_BYTE,
    Change,
    clear,
    preempt,
    register,
    register_and_ignore_existing_key,
    register_and_move,
    release,
    reserve,
)
from odx_target.scsi.reservations.reserve_release import require_not_reserved
from odx_target.scsi.reservations.transport_id import TransportId, decode_transport_ids
from odx_target.scsi.sense import (
    INSUFFICIENT_REGISTRATION_RESOURCES,
    INVALID_FIELD_IN_PARAMETER_LIST,
    PARAMETER_LIST_LENGTH_ERROR,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.store.api import PoolFull

PERSISTENT_RESERVE_OUT = 0x5F


class ServiceAction(IntEnum):
    """Service actions (SPC-4 table 213).

    REPLACE LOST RESERVATION is not supported, because reservations can be lost only together with the pool.
    """

    REGISTER = 0x00
    RESERVE = 0x01
    RELEASE = 0x02
    CLEAR = 0x03
    PREEMPT = 0x04
    PREEMPT_AND_ABORT = 0x05
    REGISTER_AND_IGNORE_EXISTING_KEY = 0x06
    REGISTER_AND_MOVE = 0x07


class BasicList(Layout):
    """The parameter list of all service actions except REGISTER AND MOVE."""

    size_bytes = 24
    reservation_key: int = number(0, 8)
    service_action_reservation_key: int = number(8, 8)
    spec_i_pt: bool = flag(20, 3)
    all_tg_pt: bool = flag(20, 2)
    aptpl: bool = flag(20, 0)


class MoveList(Layout):
    """The parameter list of REGISTER AND MOVE."""

    reservation_key: int = number(0, 8)
    service_action_reservation_key: int = number(8, 8)
    unreg: bool = flag(17, 1)
    aptpl: bool = flag(17, 0)
    relative_target_port_identifier: int = number(18, 2)
    transportid_length: int = number(20, 4)


TRANSPORT_ID_LENGTH_BYTES = 4
MIN_TRANSPORT_ID_BYTES = 24
TRANSPORT_ID_ALIGNMENT_BYTES = 4
_TRANSPORT_IDS_BYTE = BasicList.size_bytes + TRANSPORT_ID_LENGTH_BYTES
_RELATIVE_TARGET_PORT_BYTE = 18
_MOVE_LENGTH_BYTE = 20

Act = Callable[[TaskManager, Task, PersistentReserveOut, bytes], Change]
"""Function that takes a task, the fields of its CDB and its parameter list, and returns the requested change."""


def rows(task_manager: TaskManager) -> list[CommandRow]:
    """Return the rows of PERSISTENT RESERVE OUT for the command table. The handlers use `task_manager` to notify preempted
    nexuses and to abort their tasks.
    """
    return [_row(task_manager, service_action, act) for service_action, act in _ACTS.items()]


def _row(task_manager: TaskManager, service_action: ServiceAction, act: Act) -> CommandRow:
    def persistent_reserve_out(task: Task) -> Outcome:
        require_not_reserved(task)
        cdb = PersistentReserveOut.parse(task.cdb)
        data = _parameter_list(task, cdb.parameter_list_length)
        change = act(task_manager, task, cdb, data)
        return _carry_out(task_manager, task, change, len(data), aborts=service_action is ServiceAction.PREEMPT_AND_ABORT)

    return CommandRow(
        f"PERSISTENT RESERVE OUT, {service_action.name.replace('_', ' ')}",
        PERSISTENT_RESERVE_OUT,
        bytes((PERSISTENT_RESERVE_OUT, service_action)) + bytes.fromhex("ff0000ffffffff00"),
        persistent_reserve_out,
        service_action=service_action,
        access=Access.ALLOWED,
        availability=Availability.IN_STANDBY,
    )


def _carry_out(task_manager: TaskManager, task: Task, change: Change, transfer_bytes: int, *, aborts: bool) -> Outcome:
    """Apply a change without an `await`, so that no other task sees a partial change.

    If the pool must store the change durably (APTPL), the reply waits for the disk.
    """
    logical_unit = task.logical_unit
    try:
        must_flush = keep(logical_unit.pool, logical_unit.volume.identity, logical_unit.reservations, change.after)
    except PoolFull:
        raise CheckCondition(INSUFFICIENT_REGISTRATION_RESOURCES) from None
    logical_unit.reservations = change.after
    for name, condition in change.told:
        for nexus in task_manager.nexuses_of(name):
            task_manager.tell(nexus, logical_unit, condition)
    if aborts:
        preempted = [nexus for name in change.preempted for nexus in task_manager.nexuses_of(name)]
        task_manager.abort_preempted(preempted, task)
    return Waiting(flushed, task, transfer_bytes) if must_flush else Reply(transfer_bytes=transfer_bytes)


def _parameter_list(task: Task, length: int) -> bytes:
    """Return the parameter list. Raises CheckCondition if the length in the CDB is invalid, or if fewer bytes arrived."""
    if not BasicList.size_bytes <= length <= MAX_RESERVE_OUT_BYTES:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    return parameter_list(task, length)


def _basic_fields(data: bytes) -> BasicList:
    """Parse a basic parameter list, in which SPEC_I_PT must be zero (SPC-4 6.16.3)."""
    fields = BasicList.parse(data)
    if fields.spec_i_pt:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=FLAGS_BYTE, bit=SPEC_I_PT_BIT)
    if len(data) != BasicList.size_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    return fields


def _register(task_manager: TaskManager, task: Task, _cdb: PersistentReserveOut, data: bytes) -> Change:
    """Handle REGISTER. ALL_TG_PT has no effect: even if the target device has several target ports, only the nexus of the
    command and the specified nexuses are registered.
    """
    fields, specified = BasicList.parse(data), None
    if fields.spec_i_pt:
        specified = _specified_nexuses(task_manager, task, data)
    else:
        fields = _basic_fields(data)
    return register(*_sender(task), *_keys(fields), persists=fields.aptpl, specified=specified)


def _register_and_ignore_existing_key(
    _task_manager: TaskManager, task: Task, _cdb: PersistentReserveOut, data: bytes
) -> Change:
    fields = _basic_fields(data)
    return register_and_ignore_existing_key(*_sender(task), fields.service_action_reservation_key, persists=fields.aptpl)


def _reserve(_task_manager: TaskManager, task: Task, cdb: PersistentReserveOut, data: bytes) -> Change:
    return reserve(*_sender(task), _basic_fields(data).reservation_key, cdb.scope, cdb.type)


def _release(_task_manager: TaskManager, task: Task, cdb: PersistentReserveOut, data: bytes) -> Change:
    return release(*_sender(task), _basic_fields(data).reservation_key, cdb.scope, cdb.type)


def _clear(_task_manager: TaskManager, task: Task, _cdb: PersistentReserveOut, data: bytes) -> Change:
    return clear(*_sender(task), _basic_fields(data).reservation_key)


def _preempt(_task_manager: TaskManager, task: Task, cdb: PersistentReserveOut, data: bytes) -> Change:
    return preempt(*_sender(task), *_keys(_basic_fields(data)), cdb.scope, cdb.type)


def _register_and_move(task_manager: TaskManager, task: Task, _cdb: PersistentReserveOut, data: bytes) -> Change:
    fields = MoveList.parse(data)
    return register_and_move(
        *_sender(task),
        *_keys(fields),
        _destination(task_manager, task, fields, data),
        unregisters=fields.unreg,
        persists=fields.aptpl,
    )


def _sender(task: Task) -> tuple[Reservations, NexusName]:
    return task.logical_unit.reservations, task.nexus.name


def _keys(fields: BasicList | MoveList) -> tuple[int, int]:
    return fields.reservation_key, fields.service_action_reservation_key


def _specified_nexuses(task_manager: TaskManager, task: Task, data: bytes) -> list[NexusName]:
    """Return the nexuses that a REGISTER specifies by TransportIDs of initiator ports. Their target port is the one that
    received the command.
    """
    if len(data) < _TRANSPORT_IDS_BYTE:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    length = int.from_bytes(data[BasicList.size_bytes : _TRANSPORT_IDS_BYTE], "big")
    listed = data[_TRANSPORT_IDS_BYTE:][:length]
    if len(listed) < length:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    names: list[NexusName] = []
    for transport_id in decode_transport_ids(listed, _TRANSPORT_IDS_BYTE):
        names += _ports_of(task_manager, task, transport_id)
    return names


def _ports_of(task_manager: TaskManager, task: Task, transport_id: TransportId) -> Sequence[NexusName]:
    """Return the nexuses that a TransportID names. If it names a whole initiator device, return the nexuses of this device that
    are logged in through the target port of the command.
    """
    logical_unit, relative_target_port = task.logical_unit, task.nexus.target_port.relative_target_port
    if transport_id.is_port:
        _require_access(task_manager, task, transport_id, _TRANSPORT_IDS_BYTE)
        return [NexusName(transport_id.name, relative_target_port)]
    names = [nexus.name for nexus in task_manager.nexuses if nexus.lun_of(logical_unit) is not None]
    here = [name for name in names if name.relative_target_port == relative_target_port]
    found = [name for name in here if name.initiator_port_name.startswith(f"{transport_id.name},")]
    if not found:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_TRANSPORT_IDS_BYTE)
    return found


def _destination(task_manager: TaskManager, task: Task, fields: MoveList, data: bytes) -> NexusName:
    """Return the nexus that a REGISTER AND MOVE specifies by its initiator port and the target port of the command."""
    length = fields.transportid_length
    if len(data) < MoveList.size_bytes + length:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    if length < MIN_TRANSPORT_ID_BYTES or length % TRANSPORT_ID_ALIGNMENT_BYTES:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_MOVE_LENGTH_BYTE)
    found = decode_transport_ids(data[MoveList.size_bytes :][:length], TRANSPORT_ID_BYTE)
    if len(found) != 1 or not found[0].is_port:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=TRANSPORT_ID_BYTE)
    relative_target_port = fields.relative_target_port_identifier
    if relative_target_port != task.nexus.target_port.relative_target_port:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_RELATIVE_TARGET_PORT_BYTE)
    _require_access(task_manager, task, found[0], TRANSPORT_ID_BYTE)
    return NexusName(found[0].name, relative_target_port)


def _require_access(task_manager: TaskManager, task: Task, transport_id: TransportId, data_field: int) -> None:
    """Raise CheckCondition if the initiator that a TransportID names may not use the logical unit of the task."""
    if task_manager.may_use is not None and not task_manager.may_use(transport_id.name, task.logical_unit):
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=data_field)


_ACTS: dict[ServiceAction, Act] = {
    ServiceAction.REGISTER: _register,
    ServiceAction.RESERVE: _reserve,
    ServiceAction.RELEASE: _release,
    ServiceAction.CLEAR: _clear,
    ServiceAction.PREEMPT: _preempt,
    ServiceAction.PREEMPT_AND_ABORT: _preempt,
    ServiceAction.REGISTER_AND_IGNORE_EXISTING_KEY: _register_and_ignore_existing_key,
    ServiceAction.REGISTER_AND_MOVE: _register_and_move,
}
