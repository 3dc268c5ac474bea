"""Persistent reservations of a logical unit: registrations, the reservation, and which nexuses it keeps out (SPC-4 5.13).

1. A registration is a reservation key that belongs to an I_T nexus. It outlives the nexus: a new nexus with the same names has
   it again. Resets and I_T nexus loss do not affect it.
2. There is at most one reservation, of the whole logical unit. Under an all registrants type every registered nexus is a
   holder; under the other types, the nexus that made the reservation or to which it was moved.
3. A holder is always registered: a reservation ends with the registration of its last holder.

`Reservations` are immutable: a service action returns new ones, so that one that fails half-way has changed nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from odx_target.scsi.access import Access

LU_SCOPE = 0
"""The only scope (SPC-4 6.15.3.3)."""


class ReservationType(IntEnum):
    """SPC-4 6.15.3.4."""

    WRITE_EXCLUSIVE = 0x1
    EXCLUSIVE_ACCESS = 0x3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 0x6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 0x7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 0x8

    @property
    def keeps_readers_out(self) -> bool:
        """True for the Exclusive Access types."""
        return self in _EXCLUSIVE_ACCESS

    @property
    def is_all_registrants(self) -> bool:
        """True if every registered nexus is a holder."""
        return self in _ALL_REGISTRANTS

    @property
    def lets_registrants_in(self) -> bool:
        """True for the registrants only and all registrants types."""
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
    """The lasting name of an I_T nexus: that of its initiator port (for iSCSI name and ISID) and of the target port."""

    initiator_port_name: str
    relative_target_port: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation; `holder` is None for an all registrants type."""

    type: ReservationType
    holder: NexusName | None


@dataclass(frozen=True, slots=True)
class Reservations:
    """Registrations and reservation of a logical unit; `registrations` has the reservation keys, oldest first."""

    registrations: Mapping[NexusName, int] = field(default_factory=lambda: MappingProxyType({}))
    reservation: Reservation | None = None
    generation: int = 0
    """PRGENERATION: counts changes of the registrations; starts at zero with every power on (SPC-4 6.15.2)."""
    persists_through_power_loss: bool = False
    """The latest APTPL bit received (SPC-4 5.13.5.1)."""

    def is_holder(self, name: NexusName) -> bool:
        """True if a nexus holds the reservation, alone or with others (SPC-4 5.13.10)."""
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
