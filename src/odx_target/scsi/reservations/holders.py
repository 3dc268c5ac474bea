"""Persistent reservations of a logical unit: the registrations, the reservation, and the check of commands (SPC-4 5.13).

1. A registration is a reservation key that belongs to an I_T nexus. A registration remains after the end of its nexus: a new
   nexus with the same ports has the same registration. Resets and I_T nexus loss do not affect registrations.
2. A logical unit has at most one reservation, which is for the whole logical unit. If its type is one of the two All
   Registrants types, every registered nexus is a holder. A reservation of any other type has one holder: the nexus that made
   the reservation, or the nexus to which the reservation was moved.
3. A holder is always registered. If the last holder loses its registration, the reservation ends.

`Reservations` objects are immutable. A service action returns a new object. So if a service action fails, nothing has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from odx_target.scsi.access import Access

LU_SCOPE = 0
"""The only scope of a reservation: the logical unit (SPC-4 6.15.3.3)."""


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


class NexusName(NamedTuple):
    """The permanent name of an I_T nexus: the name of the initiator port and the number of the target port.

    In iSCSI, the name of an initiator port consists of the iSCSI name and the ISID.
    """

    initiator_port_name: str
    relative_target_port: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation. `holder` is the nexus that has made the reservation or got it by a move. For the All Registrants types,
    `holder` is None.
    """

    type: ReservationType
    holder: NexusName | None


@dataclass(frozen=True, slots=True)
class Reservations:
    """The registrations and the reservation of a logical unit.

    `registrations` maps nexuses to reservation keys. The oldest registration comes first.
    """

    registrations: Mapping[NexusName, int] = field(default_factory=lambda: MappingProxyType({}))
    reservation: Reservation | None = None
    generation: int = 0
    """PRGENERATION: number of changes of the registrations since the last power-on (SPC-4 6.15.2)."""
    persists_through_power_loss: bool = False
    """The last APTPL bit that an initiator has sent (SPC-4 5.13.5.1)."""

    def is_holder(self, name: NexusName) -> bool:
        """True if a nexus is a holder of the reservation (SPC-4 5.13.10)."""
        if self.reservation is None:
            return False
        return name in self.registrations if self.reservation.type.is_all_registrants else name == self.reservation.holder

    def conflict(self, name: NexusName, access: Access) -> bool:
        """True if a command of this nexus must end with RESERVATION CONFLICT."""
        reservation = self.reservation
        if reservation is None or access is Access.ALLOWED:
            return False
        if reservation.type.lets_registrants_in and name in self.registrations:
            return False
        if name == reservation.holder:
            return False
        return access is Access.WRITES or reservation.type.keeps_readers_out


NO_RESERVATIONS = Reservations()
