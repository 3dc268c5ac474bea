"""The rule by which a persistent reservation conflicts with a command (SPC-4 table 65, SBC-3 table 13).

type of the reservation    commands of the holder    of another registered nexus    of a nexus that is not registered
Write Exclusive            allowed                   writes conflict                writes conflict
Exclusive Access           allowed                   reads and writes conflict      reads and writes conflict
WE, Registrants Only       allowed                   allowed                        writes conflict
EA, Registrants Only       allowed                   allowed                        reads and writes conflict
WE, All Registrants        allowed                   (a holder)                     writes conflict
EA, All Registrants        allowed                   (a holder)                     reads and writes conflict

The row of a command in the command table determines its kind of access (`access_kind`).
"""

from enum import IntEnum

from odx_target.scsi.access_kind import Access


class ReservationType(IntEnum):
    """Types of persistent reservations (SPC-4 6.15.3.4)."""

    WRITE_EXCLUSIVE = 0x1
    EXCLUSIVE_ACCESS = 0x3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 0x6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 0x7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 0x8

    @property
    def keeps_readers_out(self) -> bool:
        """True for the Exclusive Access types, which prevent reads as well as writes."""
        return self in _EXCLUSIVE_ACCESS

    @property
    def is_all_registrants(self) -> bool:
        """True if every registered nexus is a holder."""
        return self in _ALL_REGISTRANTS

    @property
    def lets_registrants_in(self) -> bool:
        """True for the Registrants Only and the All Registrants types, which admit all registered nexuses."""
        return self not in _HOLDER_ALONE


_HOLDER_ALONE = (ReservationType.WRITE_EXCLUSIVE, ReservationType.EXCLUSIVE_ACCESS)
_ALL_REGISTRANTS = (
    ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS,
    ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
)
_EXCLUSIVE_ACCESS = (
    ReservationType.EXCLUSIVE_ACCESS,
    ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY,
    ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
)


def conflicts(reservation_type: ReservationType, access: Access, *, is_holder: bool, is_registered: bool) -> bool:
    """True if a command with this kind of access must end with RESERVATION CONFLICT. `is_holder` is True if the nexus of the
    command has made the reservation or got it by a move. `is_registered` is True if this nexus is registered.
    """
    if access in (Access.ALWAYS_ALLOWED, Access.ALLOWED) or is_holder:
        return False
    if reservation_type.lets_registrants_in and is_registered:
        return False
    return access is Access.WRITES or reservation_type.keeps_readers_out
