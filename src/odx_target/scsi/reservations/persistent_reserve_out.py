"""PERSISTENT RESERVE OUT (SPC-4 6.16): decode parameter lists, apply service actions, and notify nexuses.

`persistent_reserve_out_effects` has the effects of the service actions on registrations, reservation and unit attentions.

SPC-4 table 66 lists the service actions that a reservation allows. This table need not be checked: every service action except
REGISTER and REGISTER AND IGNORE EXISTING KEY is refused unless the sender is registered and sends its key.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import IntEnum

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import PersistentReserveOut
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.commands.durability import flushed
from odx_target.scsi.limits import MAX_RESERVE_OUT_BYTES
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.durable import keep
from odx_target.scsi.reservations.holders import NexusName, Reservations
from odx_target.scsi.reservations.named_nexuses import destination_nexus, nexuses_at_other_ports, specified_nexuses
from odx_target.scsi.reservations.parameter_lists import BasicList, MoveList
from odx_target.scsi.reservations.persistent_reserve_out_effects import (
    FLAGS_BYTE,
    SPEC_I_PT_BIT,
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
        flags=CommandFlag.IN_GROUP,
        access=Access.ALLOWED,
        availability=Availability.IN_STANDBY,
    )


def _carry_out(task_manager: TaskManager, task: Task, change: Change, transfer_bytes: int, *, aborts: bool) -> Outcome:
    """Apply a change without an `await`, so that no other task sees a partial change.

    If the pool must store the change durably (APTPL), the reply waits for the disk.
    """
    logical_unit, after = task.logical_unit, change.after
    if logical_unit.group is not None:  # The other array must know them when it takes over, so the pool always stores them.
        after = replace(after, persists_through_power_loss=True)
    try:
        must_flush = keep(logical_unit.pool, logical_unit.volume.identity, logical_unit.reservations, after)
    except PoolFull:
        raise CheckCondition(INSUFFICIENT_REGISTRATION_RESOURCES) from None
    logical_unit.reservations = after
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
    fields, specified = BasicList.parse(data), None
    if fields.spec_i_pt:
        specified = specified_nexuses(task_manager, task, data, all_ports=fields.all_tg_pt)
    else:
        fields = _basic_fields(data)
    others = _at_other_ports(task_manager, task, fields)
    return register(*_sender(task), *_keys(fields), persists=fields.aptpl, others=others, specified=specified)


def _register_and_ignore_existing_key(task_manager: TaskManager, task: Task, _cdb: PersistentReserveOut, data: bytes) -> Change:
    fields = _basic_fields(data)
    others = _at_other_ports(task_manager, task, fields)
    key = fields.service_action_reservation_key
    return register_and_ignore_existing_key(*_sender(task), key, persists=fields.aptpl, others=others)


def _at_other_ports(task_manager: TaskManager, task: Task, fields: BasicList) -> Sequence[NexusName]:
    return nexuses_at_other_ports(task_manager, task) if fields.all_tg_pt else ()


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
        destination_nexus(task_manager, task, data),
        unregisters=fields.unreg,
        persists=fields.aptpl,
    )


def _sender(task: Task) -> tuple[Reservations, NexusName]:
    return task.logical_unit.reservations, task.nexus.name


def _keys(fields: BasicList | MoveList) -> tuple[int, int]:
    return fields.reservation_key, fields.service_action_reservation_key


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
