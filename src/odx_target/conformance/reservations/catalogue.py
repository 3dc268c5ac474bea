"""The table of the checks of persistent reservations."""

from odx_target.conformance.check import Check, Need
from odx_target.conformance.reservations import checks as rules
from odx_target.conformance.reservations.commands import Type
from odx_target.conformance.reservations.ports import all_ports

_OUT, _IN, _ACCESS = "SPC-4 6.16", "SPC-4 6.15", "SPC-4 5.13.1"
RESERVES = Need.RESERVATIONS | Need.DESTRUCTIVE
_TOKENS = RESERVES | Need.TOKEN_COPY


def _access(name: str, title: str, kind: Type, *, registered: bool = False, reads: bool = False, writes: bool = False) -> Check:
    run = rules.access(kind, other_registers=registered, reads=reads, writes=writes)
    return Check(f"reserve.access.{name}", _ACCESS, title, run, RESERVES)


CHECKS = (
    Check("reserve.key.register", _OUT, "REGISTER registers keys of several initiators", rules.registers, RESERVES),
    Check("reserve.key.unregister", _OUT, "REGISTER with the key 0 removes a registration", rules.unregisters, RESERVES),
    Check("reserve.key.wrong", _OUT, "REGISTER with a wrong key conflicts", rules.wrong_key, RESERVES),
    Check("reserve.key.ignore", _OUT, "REGISTER AND IGNORE EXISTING KEY replaces a key", rules.ignores_existing_key, RESERVES),
    Check(
        "reserve.key.generation",
        _OUT,
        "PRGENERATION counts registrations, not reservations",
        rules.counts_generations,
        RESERVES,
    ),
    Check(
        "reserve.hold.unregistered",
        _OUT,
        "RESERVE without a registration conflicts",
        rules.reserve_needs_registration,
        RESERVES,
    ),
    Check("reserve.hold.report", _IN, "READ RESERVATION reports key and type", rules.reports_the_reservation, RESERVES),
    Check(
        "reserve.hold.second", _OUT, "Another RESERVE conflicts, and the same is accepted", rules.second_reservation, RESERVES
    ),
    Check("reserve.hold.reset", "SPC-4 5.13.3", "LOGICAL UNIT RESET keeps a reservation", rules.survives_reset, RESERVES),
    _access("write-exclusive", "Write Exclusive lets others read only", Type.WRITE_EXCLUSIVE, reads=True),
    _access("exclusive", "Exclusive Access lets others neither read nor write", Type.EXCLUSIVE_ACCESS),
    _access("exclusive-registered", "Exclusive Access excludes registered initiators", Type.EXCLUSIVE_ACCESS, registered=True),
    _access(
        "registrants",
        "Exclusive Access - Registrants Only lets registered initiators write",
        Type.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY,
        registered=True,
        reads=True,
        writes=True,
    ),
    _access(
        "registrants-other",
        "Write Exclusive - Registrants Only lets unregistered initiators read only",
        Type.WRITE_EXCLUSIVE_REGISTRANTS_ONLY,
        reads=True,
    ),
    _access(
        "all-registrants",
        "Write Exclusive - All Registrants lets registered initiators write",
        Type.WRITE_EXCLUSIVE_ALL_REGISTRANTS,
        registered=True,
        reads=True,
        writes=True,
    ),
    Check("reserve.access.always", _ACCESS, "INQUIRY and the like never conflict", rules.always_allowed, RESERVES),
    Check(
        "reserve.access.write-token",
        "SBC-3 4.17",
        "WRITE USING TOKEN conflicts as a write does",
        rules.conflict_of_write_using_token,
        _TOKENS,
    ),
    Check(
        "reserve.access.populate",
        "SBC-3 4.17",
        "POPULATE TOKEN conflicts as a read does",
        rules.conflict_of_populate_token,
        _TOKENS,
    ),
    Check("reserve.end.release", _OUT, "RELEASE ends the reservation", rules.releases, RESERVES),
    Check("reserve.end.release-type", _OUT, "RELEASE of another type is refused", rules.release_of_another_type, RESERVES),
    Check("reserve.end.release-other", _OUT, "RELEASE by another initiator does nothing", rules.release_by_another, RESERVES),
    Check("reserve.end.clear", _OUT, "CLEAR removes keys and reservation", rules.clears, RESERVES),
    Check(
        "reserve.end.clear-attention", _OUT, "CLEAR establishes RESERVATIONS PREEMPTED", rules.clear_tells_the_others, RESERVES
    ),
    Check("reserve.end.preempt", _OUT, "PREEMPT takes over the reservation", rules.preempts, RESERVES),
    Check(
        "reserve.end.preempt-attention",
        _OUT,
        "PREEMPT establishes REGISTRATIONS PREEMPTED",
        rules.preempt_tells_the_other,
        RESERVES,
    ),
    Check(
        "reserve.end.unregister", _OUT, "The end of the registration ends the reservation", rules.end_of_registration, RESERVES
    ),
    Check("reserve.report.full", _IN, "READ FULL STATUS reports key and initiator", rules.full_status, RESERVES),
    Check("reserve.report.capabilities", _IN, "REPORT CAPABILITIES has the types", rules.capabilities, Need.RESERVATIONS),
    Check(
        "reserve.report.all-ports",
        _OUT,
        "REGISTER with ALL_TG_PT is for all target ports, or is refused as ATP_C announces",
        all_ports,
        RESERVES,
    ),
    Check("reserve.refuse.short-list", _OUT, "A parameter list of 23 bytes is refused", rules.short_list, RESERVES),
    Check("reserve.refuse.in-action", _IN, "A reserved service action is refused", rules.reserved_in, Need.RESERVATIONS),
    Check("reserve.refuse.type", _OUT, "A reserved type is refused", rules.reserved_type, RESERVES),
)
