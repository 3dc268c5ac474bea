"""The service actions of PERSISTENT RESERVE OUT, as functions that take and return reservations (SPC-4 5.13.7 to 5.13.11).

Each function takes the present reservations, the sender and values of the parameter list, and returns a `Change`. If a function
raises an exception, nothing has changed. A function raises ReservationConflict if the sender is not registered, sends the wrong
key or conflicts with the reservation. A function raises CheckCondition if the request is invalid.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from odx_target.scsi.limits import MAX_REGISTRATIONS
from odx_target.scsi.reservations.conflicts import ReservationType
from odx_target.scsi.reservations.holders import LU_SCOPE, NexusName, Reservation, Reservations
from odx_target.scsi.sense import (
    INSUFFICIENT_REGISTRATION_RESOURCES,
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_PARAMETER_LIST,
    INVALID_RELEASE_OF_PERSISTENT_RESERVATION,
    REGISTRATIONS_PREEMPTED,
    RESERVATIONS_PREEMPTED,
    RESERVATIONS_RELEASED,
    CheckCondition,
    Condition,
)
from odx_target.scsi.tasks.task import ReservationConflict

# Positions of fields for the field pointers in sense data.
SCOPE_AND_TYPE_BYTE = 2
SCOPE_BIT, TYPE_BIT = 7, 3
SERVICE_ACTION_KEY_BYTE = 8
FLAGS_BYTE, SPEC_I_PT_BIT = 20, 3
TRANSPORT_ID_BYTE = 24

_MAX_GENERATION = 0xFFFF_FFFF

Telling = tuple[NexusName, Condition]


@dataclass(frozen=True, slots=True)
class Change:
    """The result of a service action: the new reservations, the unit attentions to establish, and the preempted nexuses."""

    after: Reservations
    told: Sequence[Telling] = ()
    preempted: Sequence[NexusName] = ()


def register(
    before: Reservations,
    sender: NexusName,
    key: int,
    new_key: int,
    *,
    persists: bool,
    others: Sequence[NexusName] = (),
    specified: Sequence[NexusName] | None = None,
) -> Change:
    """REGISTER: register, change the key, or unregister if `new_key` is zero (SPC-4 5.13.7 table 67).

    `others` lists the nexuses of the sender's initiator port at other target ports, which ALL_TG_PT adds. The request is for
    all of them or for none: it conflicts if one of them is registered with a key that is not `key`. `specified` lists further
    nexuses to register with the key `new_key`. It is None if SPEC_I_PT is zero.
    """
    if before.registrations.get(sender, 0) != key or any(before.registrations.get(name, key) != key for name in others):
        raise ReservationConflict
    if specified is None:
        return _set_key(before, sender, others, new_key, persists=persists)
    if sender in before.registrations:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=FLAGS_BYTE, bit=SPEC_I_PT_BIT)
    if not new_key:
        return Change(before)
    if any(name in before.registrations for name in specified):
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=TRANSPORT_ID_BYTE)
    return _set_key(before, sender, [*others, *specified], new_key, persists=persists)


def register_and_ignore_existing_key(
    before: Reservations, sender: NexusName, new_key: int, *, persists: bool, others: Sequence[NexusName] = ()
) -> Change:
    """REGISTER AND IGNORE EXISTING KEY: like REGISTER, but the old keys are not checked (SPC-4 5.13.7 table 68)."""
    return _set_key(before, sender, others, new_key, persists=persists)


def reserve(before: Reservations, sender: NexusName, key: int, scope: int, type_code: int) -> Change:
    """RESERVE: make the sender the holder. If the sender already holds the same reservation, nothing changes (SPC-4 5.13.9)."""
    _verify(before, sender, key)
    wanted = _reservation(sender, scope, type_code)
    if before.reservation is None:
        return Change(replace(before, reservation=wanted))
    if before.is_holder(sender) and before.reservation.type is wanted.type:
        return Change(before)
    raise ReservationConflict


def release(before: Reservations, sender: NexusName, key: int, scope: int, type_code: int) -> Change:
    """RELEASE: end the reservation. Does nothing if the sender is not a holder (SPC-4 5.13.11.2.2)."""
    _verify(before, sender, key)
    if before.reservation is None or not before.is_holder(sender):
        return Change(before)
    if (scope, type_code) != (LU_SCOPE, before.reservation.type):
        raise CheckCondition(INVALID_RELEASE_OF_PERSISTENT_RESERVATION, cdb_field=SCOPE_AND_TYPE_BYTE)
    told = before.registrations if before.reservation.type.lets_registrants_in else ()
    return Change(replace(before, reservation=None), _tellings(told, RESERVATIONS_RELEASED, but=sender))


def clear(before: Reservations, sender: NexusName, key: int) -> Change:
    """CLEAR: remove the reservation and all registrations (SPC-4 5.13.11.2.7)."""
    _verify(before, sender, key)
    told = _tellings(before.registrations, RESERVATIONS_PREEMPTED, but=sender)
    return Change(_registered(before, {}, None), told)


def preempt(before: Reservations, sender: NexusName, key: int, service_action_key: int, scope: int, type_code: int) -> Change:
    """PREEMPT: remove all registrations with a key.

    If one of these registrations holds the reservation, make the sender the holder (SPC-4 5.13.11.2.4). If `service_action_key`
    is zero, all other registrations are removed. Zero is valid only if the reservation has an All Registrants type.
    """
    _verify(before, sender, key)
    reservation = before.reservation
    held_by_all = reservation is not None and reservation.type.is_all_registrants
    if not service_action_key and not held_by_all:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=SERVICE_ACTION_KEY_BYTE)
    preempted = [name for name, its_key in before.registrations.items() if service_action_key in (0, its_key)]
    if not preempted:
        raise ReservationConflict
    told = _tellings(preempted, REGISTRATIONS_PREEMPTED, but=sender)
    takes_over = not service_action_key if held_by_all else reservation is not None and reservation.holder in preempted
    if not takes_over:
        kept = _without(before, preempted)
        left = None if held_by_all and not kept else reservation
        return Change(_registered(before, kept, left), told, preempted)
    assert reservation is not None
    wanted = _reservation(sender, scope, type_code)
    kept = _without(before, [name for name in preempted if name != sender])
    if wanted.type is not reservation.type:
        told += _tellings(kept, RESERVATIONS_RELEASED, but=sender)
    return Change(_registered(before, kept, wanted), told, preempted)


def register_and_move(
    before: Reservations,
    sender: NexusName,
    key: int,
    new_key: int,
    destination: NexusName,
    *,
    unregisters: bool,
    persists: bool,
) -> Change:
    """REGISTER AND MOVE: register another nexus, and make that nexus the holder instead of the sender (SPC-4 5.13.8)."""
    _verify(before, sender, key)
    reservation = before.reservation
    if reservation is None:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1)
    if reservation.type.is_all_registrants or not before.is_holder(sender):
        raise ReservationConflict
    if not new_key:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=SERVICE_ACTION_KEY_BYTE)
    if destination.initiator_port_name == sender.initiator_port_name:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=TRANSPORT_ID_BYTE)
    kept = {**before.registrations, destination: new_key}
    _check_room(kept)  # checked before the sender is unregistered, so that there is room for the sender and the destination
    if unregisters:
        del kept[sender]
    after = _registered(before, kept, Reservation(reservation.type, destination))
    return Change(replace(after, persists_through_power_loss=persists))


def _set_key(before: Reservations, sender: NexusName, others: Sequence[NexusName], new_key: int, *, persists: bool) -> Change:
    """Register the sender and other nexuses with a key, or unregister them if the key is zero."""
    names = [sender, *others]
    told: list[Telling] = []
    if new_key:
        after = _registered(before, {**before.registrations, **dict.fromkeys(names, new_key)}, before.reservation)
        _check_room(after.registrations)
    else:
        gone = [name for name in names if name in before.registrations]
        if not gone:
            return Change(before)
        after, told = _unregistered(before, gone)
    return Change(replace(after, persists_through_power_loss=persists), told)


def _unregistered(before: Reservations, gone: Sequence[NexusName]) -> tuple[Reservations, list[Telling]]:
    """Return the reservations without the registrations in `gone`, and the unit attentions for other nexuses (SPC-4
    5.13.11.2.3).
    """
    kept = _without(before, gone)
    reservation = before.reservation
    if reservation is None or not any(before.is_holder(name) for name in gone):
        return _registered(before, kept, reservation), []
    if reservation.type.is_all_registrants and kept:
        return _registered(before, kept, reservation), []
    told = [(name, RESERVATIONS_RELEASED) for name in kept] if reservation.type.lets_registrants_in else []
    return _registered(before, kept, None), told


def _verify(before: Reservations, sender: NexusName, key: int) -> None:
    if before.registrations.get(sender) != key:
        raise ReservationConflict


def _reservation(holder: NexusName, scope: int, type_code: int) -> Reservation:
    if scope != LU_SCOPE:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=SCOPE_AND_TYPE_BYTE, bit=SCOPE_BIT)
    if type_code not in list(ReservationType):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=SCOPE_AND_TYPE_BYTE, bit=TYPE_BIT)
    reservation_type = ReservationType(type_code)
    return Reservation(reservation_type, None if reservation_type.is_all_registrants else holder)


def _registered(before: Reservations, kept: Mapping[NexusName, int], reservation: Reservation | None) -> Reservations:
    """Return reservations with exactly the registrations in `kept`, and increment PRGENERATION."""
    generation = (before.generation + 1) & _MAX_GENERATION
    return Reservations(MappingProxyType(dict(kept)), reservation, generation, before.persists_through_power_loss)


def _without(before: Reservations, gone: Sequence[NexusName]) -> dict[NexusName, int]:
    return {name: key for name, key in before.registrations.items() if name not in gone}


def _tellings(names: Iterable[NexusName], condition: Condition, *, but: NexusName) -> list[Telling]:
    return [(name, condition) for name in names if name != but]


def _check_room(kept: Mapping[NexusName, int]) -> None:
    if len(kept) > MAX_REGISTRATIONS:
        raise CheckCondition(INSUFFICIENT_REGISTRATION_RESOURCES)
