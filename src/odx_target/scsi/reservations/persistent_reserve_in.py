"""PERSISTENT RESERVE IN (SPC-4 6.15): report registrations, the reservation, and the capabilities."""

from collections.abc import Callable
from struct import Struct

from odx_target.scsi.access import Access
from odx_target.scsi.cdb import cdb_layout
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.layout import Layout
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.holders import LU_SCOPE, NexusName, Reservations, ReservationType
from odx_target.scsi.reservations.transport_id import encode_transport_id
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

PERSISTENT_RESERVE_IN = 0x5E
READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS = range(4)

HEADER = Layout("prgeneration:32 additional_length:32")
RESERVATION_DESCRIPTOR = Layout("reservation_key:64 -:32 -:8 scope:4 type:4 -:16")
CAPABILITIES = Layout(
    "length:16 rlr_c:1 -:2 crh:1 sip_c:1 atp_c:1 -:1 ptpl_c:1 tmv:1 allow_commands:3 -:3 ptpl_a:1 "
    "wr_ex_ar:1 ex_ac_ro:1 wr_ex_ro:1 -:1 ex_ac:1 -:1 wr_ex:1 -:1 -:7 ex_ac_ar:1 -:16"
)
FULL_STATUS_DESCRIPTOR = Layout(
    "reservation_key:64 -:32 -:6 all_tg_pt:1 r_holder:1 scope:4 type:4 -:32 relative_target_port_identifier:16 "
    "additional_descriptor_length:32"
)

# The same descriptor as a struct, for speed: a report may have hundreds of descriptors.
_FAST_FULL_STATUS = Struct(">Q4xBB4xHI")

KEY_BYTES = 8
# ALLOW COMMANDS (SPC-4 table 208): TEST UNIT READY and commands that retrieve copy results are allowed under all types of
# reservations, MODE SENSE and similar commands under the Write Exclusive types. This is the newest version of table 65.
ALLOWS_WHAT_THE_NEWEST_TABLE_ALLOWS = 0b100

TYPE_MASK_BITS = {
    ReservationType.WRITE_EXCLUSIVE: "wr_ex",
    ReservationType.EXCLUSIVE_ACCESS: "ex_ac",
    ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY: "wr_ex_ro",
    ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY: "ex_ac_ro",
    ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS: "wr_ex_ar",
    ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS: "ex_ac_ar",
}


def read_keys(reservations: Reservations) -> bytes:
    """READ KEYS: report the key of every registration. A key that two registrations share is listed twice."""
    return _with_header(reservations, b"".join(key.to_bytes(KEY_BYTES, "big") for key in reservations.registrations.values()))


def read_reservation(reservations: Reservations) -> bytes:
    """READ RESERVATION: report the reservation, if any. Under an all registrants type, its key is zero."""
    reservation = reservations.reservation
    if reservation is None:
        return _with_header(reservations, b"")
    key = 0 if reservation.holder is None else reservations.registrations[reservation.holder]
    return _with_header(reservations, RESERVATION_DESCRIPTOR.build(reservation_key=key, scope=LU_SCOPE, type=reservation.type))


def report_capabilities(reservations: Reservations) -> bytes:
    """REPORT CAPABILITIES: report support of all six types, SPEC_I_PT, ALL_TG_PT and APTPL, but not of CRH."""
    return CAPABILITIES.build(
        length=CAPABILITIES.size_bytes,
        sip_c=1,
        atp_c=1,
        ptpl_c=1,
        tmv=1,
        allow_commands=ALLOWS_WHAT_THE_NEWEST_TABLE_ALLOWS,
        ptpl_a=int(reservations.persists_through_power_loss),
        **dict.fromkeys(TYPE_MASK_BITS.values(), 1),
    )


def read_full_status(reservations: Reservations) -> bytes:
    """READ FULL STATUS: report a descriptor for each registered nexus. Each names a target port, so ALL_TG_PT is zero."""
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
    return HEADER.build(prgeneration=reservations.generation, additional_length=len(body)) + body


def _row(name: str, service_action: int, parameter_data: Callable[[Reservations], bytes]) -> CommandRow:
    layout = cdb_layout(PERSISTENT_RESERVE_IN, service_action)

    def persistent_reserve_in(task: Task) -> Outcome:
        data = parameter_data(task.logical_unit.reservations)
        return Reply.of_parameter_data(data, layout.parse(task.cdb)["allocation_length"])

    usage = bytes((PERSISTENT_RESERVE_IN, service_action)) + bytes.fromhex("0000000000ffff00")
    return CommandRow(
        f"PERSISTENT RESERVE IN, {name}",
        PERSISTENT_RESERVE_IN,
        usage,
        persistent_reserve_in,
        service_action=service_action,
        access=Access.ALLOWED,
    )


ROWS = (
    _row("READ KEYS", READ_KEYS, read_keys),
    _row("READ RESERVATION", READ_RESERVATION, read_reservation),
    _row("REPORT CAPABILITIES", REPORT_CAPABILITIES, report_capabilities),
    _row("READ FULL STATUS", READ_FULL_STATUS, read_full_status),
)
