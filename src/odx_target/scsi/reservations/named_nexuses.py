"""The nexuses that a PERSISTENT RESERVE OUT names by ALL_TG_PT, by TransportIDs, and by a relative target port (SPC-4 6.16.3,
6.16.4).

A command can name only nexuses that can exist: the access rules of a target must admit the initiator to the logical unit. With
ALL_TG_PT, a registration is for all target ports of all targets through which the initiator may use the logical unit, as if the
initiator had sent the command through each of these ports. Ports that are added later are not registered.
"""

from collections.abc import Container, Iterator, Sequence
from itertools import islice

from odx_target.scsi.limits import MAX_REGISTRATIONS
from odx_target.scsi.reservations.holders import NexusName
from odx_target.scsi.reservations.parameter_lists import (
    MIN_TRANSPORT_ID_BYTES,
    TRANSPORT_ID_ALIGNMENT_BYTES,
    TRANSPORT_IDS_BYTE,
    BasicList,
    MoveList,
)
from odx_target.scsi.reservations.persistent_reserve_out_effects import TRANSPORT_ID_BYTE
from odx_target.scsi.reservations.transport_id import TransportId, decode_transport_ids
from odx_target.scsi.sense import (
    INSUFFICIENT_REGISTRATION_RESOURCES,
    INVALID_FIELD_IN_PARAMETER_LIST,
    PARAMETER_LIST_LENGTH_ERROR,
    CheckCondition,
)
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_manager import TaskManager

_RELATIVE_TARGET_PORT_BYTE = 18
_MOVE_LENGTH_BYTE = 20


def nexuses_at_other_ports(task_manager: TaskManager, task: Task) -> list[NexusName]:
    """Return the nexuses of the sender's initiator port at all target ports of the logical unit except the port of the command.
    If there are more of them than can be registered, the registered ones are among those that are returned.
    """
    sender, registered = task.nexus.name, task.logical_unit.reservations.registrations
    found = [name for name in _at_all_ports(task_manager, task, sender.initiator_port_name) if name != sender]
    return sorted(found, key=lambda name: name not in registered)[: MAX_REGISTRATIONS + 1]


def specified_nexuses(task_manager: TaskManager, task: Task, data: bytes, *, all_ports: bool) -> list[NexusName]:
    """Return the nexuses that a REGISTER with SPEC_I_PT specifies by TransportIDs. Their target port is the one that received
    the command. If `all_ports` is True (ALL_TG_PT), they have all target ports of the logical unit. Raises CheckCondition.
    """
    if len(data) < TRANSPORT_IDS_BYTE:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    length = int.from_bytes(data[BasicList.size_bytes : TRANSPORT_IDS_BYTE], "big")
    listed = data[TRANSPORT_IDS_BYTE:][:length]
    if len(listed) < length:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    names: dict[NexusName, None] = {}
    for transport_id in dict.fromkeys(decode_transport_ids(listed, TRANSPORT_IDS_BYTE)):
        names |= dict.fromkeys(_nexuses_of(task_manager, task, transport_id, all_ports=all_ports))
        if len(names) > MAX_REGISTRATIONS:
            raise CheckCondition(INSUFFICIENT_REGISTRATION_RESOURCES)
    return list(names)


def destination_nexus(task_manager: TaskManager, task: Task, data: bytes) -> NexusName:
    """Return the nexus that a REGISTER AND MOVE specifies by its initiator port and its target port. Raises CheckCondition."""
    fields = MoveList.parse(data)
    length = fields.transportid_length
    if len(data) < MoveList.size_bytes + length:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    if length < MIN_TRANSPORT_ID_BYTES or length % TRANSPORT_ID_ALIGNMENT_BYTES:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_MOVE_LENGTH_BYTE)
    found = decode_transport_ids(data[MoveList.size_bytes :][:length], TRANSPORT_ID_BYTE)
    if len(found) != 1 or not found[0].is_port:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=TRANSPORT_ID_BYTE)
    destination = NexusName(found[0].name, fields.relative_target_port_identifier)
    if destination.relative_target_port not in _relative_target_ports(task_manager, task):
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_RELATIVE_TARGET_PORT_BYTE)
    if not _may_exist(task_manager, task, destination):
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=TRANSPORT_ID_BYTE)
    return destination


def _nexuses_of(task_manager: TaskManager, task: Task, transport_id: TransportId, *, all_ports: bool) -> Sequence[NexusName]:
    """Return the nexuses that a TransportID names. If it names a whole initiator device, its initiator ports are those that are
    logged in, at the port of the command or at any port. Raises CheckCondition if there is no such nexus.
    """
    own_port = task.nexus.target_port.relative_target_port
    initiator_ports = [transport_id.name] if transport_id.is_port else _known_ports(task_manager, task, transport_id, all_ports)
    found: list[NexusName] = []
    for initiator_port in initiator_ports:
        own = NexusName(initiator_port, own_port)
        if all_ports:
            found += islice(_at_all_ports(task_manager, task, initiator_port), MAX_REGISTRATIONS + 1 - len(found))
        elif _may_exist(task_manager, task, own):
            found.append(own)
    if not found:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=TRANSPORT_IDS_BYTE)
    return found


def _known_ports(task_manager: TaskManager, task: Task, device: TransportId, all_ports: bool) -> list[str]:
    names = (nexus.name for nexus in task_manager.nexuses if nexus.lun_of(task.logical_unit) is not None)
    own_port = task.nexus.target_port.relative_target_port
    here = (name for name in names if all_ports or name.relative_target_port == own_port)
    ports = (name.initiator_port_name for name in here)
    return list(dict.fromkeys(port for port in ports if port.startswith(f"{device.name},")))


def _at_all_ports(task_manager: TaskManager, task: Task, initiator_port_name: str) -> Iterator[NexusName]:
    """Yield the nexuses of an initiator port at all target ports through which it may use the logical unit."""
    ports = task_manager.port_access
    if ports is None:
        yield NexusName(initiator_port_name, task.nexus.target_port.relative_target_port)
        return
    for relative_target_port in ports.ports_of(initiator_port_name, task.logical_unit):
        yield NexusName(initiator_port_name, relative_target_port)


def _relative_target_ports(task_manager: TaskManager, task: Task) -> Container[int]:
    ports = task_manager.port_access
    return [task.nexus.target_port.relative_target_port] if ports is None else ports.relative_target_ports()


def _may_exist(task_manager: TaskManager, task: Task, name: NexusName) -> bool:
    ports = task_manager.port_access
    return ports is None or ports.may_use(name.initiator_port_name, name.relative_target_port, task.logical_unit)
