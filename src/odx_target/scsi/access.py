"""Kinds of access by which a reservation of another I_T nexus conflicts with a command (SPC-4 table 65, SBC-3 table 13)."""

from enum import Enum, auto


class Access(Enum):
    """Kinds of access. A nexus that holds the reservation, or shares in it, is allowed all three kinds."""

    ALLOWED = auto()
    """The command never conflicts with a reservation."""
    READS = auto()
    """The command conflicts with reservations of the Exclusive Access types."""
    WRITES = auto()
    """The command conflicts with reservations of all types."""
