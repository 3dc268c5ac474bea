"""PERSISTENT RESERVE IN (SPC-4 6.15): report registrations, the reservation, and the capabilities."""

from collections.abc import Callable
from struct import Struct

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import PersistentReserveIn
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.holders import LU_SCOPE, NexusName, Reservations
from odx_target.scsi.reservations.reserve_release import require_not_reserved
from odx_target.scsi.reservations.transport_id import encode_transport_id
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

PERSISTENT_RESERVE_IN = 0x5E
READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS = range(4)


class ReserveInHeader(Layout):
    """The header of READ KEYS, READ RESERVATION and READ FULL STATUS."""

    prgeneration: int = number(0, 4)
    additional_length: int = number(4, 4)


class ReservationDescriptor(Layout):
    """The reservation that READ RESERVATION reports."""

    size_bytes = 16
    reservation_key: int = number(0, 8)
    scope: int = bits(13, 7, 4)
    type: int = bits(13, 3, 4)


class Capabilities(Layout):
    """The parameter data of REPORT CAPABILITIES."""

    size_bytes = 8
    length: int = number(0, 2)
    rlr_c: bool = flag(2, 7)
    crh: bool = flag(2, 4)
    sip_c: bool = flag(2, 3)
    atp_c: bool = flag(2, 2)
    ptpl_c: bool = flag(2, 0)
    tmv: bool = flag(3, 7)
    allow_commands: int = bits(3, 6, 3)
    ptpl_a: bool = flag(3, 0)
    wr_ex_ar: bool = flag(4, 7)
    ex_ac_ro: bool = flag(4, 6)
    wr_ex_ro: bool = flag(4, 5)
    ex_ac: bool = flag(4, 3)
    wr_ex: bool = flag(4, 1)
    ex_ac_ar: bool = flag(5, 0)


class FullStatusDescriptor(Layout):
    """One registration in READ FULL STATUS. The TransportID of the initiator port follows the descriptor."""

    reservation_key: int = number(0, 8)
    all_tg_pt: bool = flag(12, 1)
    r_holder: bool = flag(12, 0)
    scope: int = bits(13, 7, 4)
    type: int = bits(13, 3, 4)
    relative_target_port_identifier: int = number(18, 2)
    additional_descriptor_length: int = number(20, 4)


# A fast encoder of the same descriptor, because a report may have hundreds of descriptors.
_FAST_FULL_STATUS = Struct(">Q4xBB4xHI")

KEY_BYTES = 8
# ALLOW COMMANDS (SPC-4 table 208): all types of reservations allow TEST UNIT READY and commands that retrieve copy results. The
# Write Exclusive types also allow MODE SENSE and similar commands. Table 65 of the newest version of SPC-4 has these rules.
ALLOWS_WHAT_THE_NEWEST_TABLE_ALLOWS = 0b100


def read_keys(reservations: Reservations) -> bytes:
    """READ KEYS: report the key of every registration. If two registrations have equal keys, the key is listed twice."""
    return _with_header(reservations, b"".join(key.to_bytes(KEY_BYTES, "big") for key in reservations.registrations.values()))


def read_reservation(reservations: Reservations) -> bytes:
    """READ RESERVATION: report the reservation, if there is one. For an All Registrants type, the reported key is zero."""
    reservation = reservations.reservation
    if reservation is None:
        return _with_header(reservations, b"")
    key = 0 if reservation.holder is None else reservations.registrations[reservation.holder]
    return _with_header(reservations, ReservationDescriptor(reservation_key=key, scope=LU_SCOPE, type=reservation.type).build())


def report_capabilities(reservations: Reservations) -> bytes:
    """REPORT CAPABILITIES: report the supported features. The array supports all six types, SPEC_I_PT, ALL_TG_PT, APTPL and
    CRH.
    """
    return Capabilities(
        length=Capabilities.size_bytes,
        crh=True,
        sip_c=True,
        atp_c=True,
        ptpl_c=True,
        tmv=True,
        allow_commands=ALLOWS_WHAT_THE_NEWEST_TABLE_ALLOWS,
        ptpl_a=reservations.persists_through_power_loss,
        wr_ex=True,
        ex_ac=True,
        wr_ex_ro=True,
        ex_ac_ro=True,
        wr_ex_ar=True,
        ex_ac_ar=True,
    ).build()


def read_full_status(reservations: Reservations) -> bytes:
    """READ FULL STATUS: report a descriptor for each registered nexus.

    ALL_TG_PT is zero, because each descriptor identifies one target port.
    """
    return _with_header(
        reservations, b"".join(_full_status(reservations, name, key) for name, key in reservations.registrations.items())
    )


def _full_status(reservations: Reservations, name: NexusName, key: int) -> bytes:
    transport_id = encode_transport_id(name.initiator_port_name)
    held = reservations.reservation if reservations.is_holder(name) else None
    scope_and_type = LU_SCOPE << 4 | (0 if held is None else held.type)
    holds = int(held is not None)
    return _FAST_FULL_STATUS.pack(key, holds, scope_and_type, name.relative_target_port, len(transport_id)) + transport_id


def _with_header(reservations: Reservations, body: bytes) -> bytes:
    return ReserveInHeader(prgeneration=reservations.generation, additional_length=len(body)).build() + body


def _row(name: str, service_action: int, parameter_data: Callable[[Reservations], bytes]) -> CommandRow:
    def persistent_reserve_in(task: Task) -> Outcome:
        require_not_reserved(task)
        data = parameter_data(task.logical_unit.reservations)
        return Reply.of_parameter_data(data, PersistentReserveIn.parse(task.cdb).allocation_length)

    usage = bytes((PERSISTENT_RESERVE_IN, service_action)) + bytes.fromhex("0000000000ffff00")
    return CommandRow(
        f"PERSISTENT RESERVE IN, {name}",
        PERSISTENT_RESERVE_IN,
        usage,
        persistent_reserve_in,
        service_action=service_action,
        flags=CommandFlag.IN_GROUP,
        access=Access.ALLOWED,
        availability=Availability.IN_STANDBY,
    )


ROWS = (
    _row("READ KEYS", READ_KEYS, read_keys),
    _row("READ RESERVATION", READ_RESERVATION, read_reservation),
    _row("REPORT CAPABILITIES", REPORT_CAPABILITIES, report_capabilities),
    _row("READ FULL STATUS", READ_FULL_STATUS, read_full_status),
)
