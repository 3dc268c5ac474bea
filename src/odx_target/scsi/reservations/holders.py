"""Persistent reservations of a logical unit: the registrations, and the reservation with its holders (SPC-4 5.13).

1. A registration is a reservation key that belongs to an I_T nexus. A registration remains after the end of its nexus: a new
   nexus with the same ports has the same registration. Resets and I_T nexus loss do not affect registrations.
2. A logical unit has at most one reservation, which is for the whole logical unit. If its type is one of the two All
   Registrants types, every registered nexus is a holder. A reservation of any other type has one holder: the nexus that made
   the reservation, or the nexus to which the reservation was moved.
3. A holder is always registered. If the last holder loses its registration, the reservation ends.

`Reservations` objects are immutable. A service action returns a new object. So if a service action fails, nothing has changed.
`conflicts` has the rule by which a reservation conflicts with a command.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from odx_target.scsi.access_kind import Access
from odx_target.scsi.reservations.conflicts import ReservationType, conflicts

LU_SCOPE = 0
"""The only scope of a reservation: the logical unit (SPC-4 6.15.3.3)."""


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
        return reservation is not None and conflicts(
            reservation.type, access, is_holder=name == reservation.holder, is_registered=name in self.registrations
        )


NO_RESERVATIONS = Reservations()

_NOBODY = NexusName("", 0)
UNKNOWN_RESERVATIONS = Reservations(
    MappingProxyType({_NOBODY: 0xFFFF_FFFF_FFFF_FFFF}),
    Reservation(ReservationType.EXCLUSIVE_ACCESS, _NOBODY),
    persists_through_power_loss=True,  # so that the next change replaces what is stored
)
"""Keeps all nexuses out of a logical unit whose reservations nobody knows. A nexus that registers can preempt or clear them."""
