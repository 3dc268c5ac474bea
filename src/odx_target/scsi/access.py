"""Kinds of access by which a reservation of another I_T nexus conflicts with a command (SPC-4 table 65, SBC-3 table 13)."""

from enum import Enum, auto


class Access(Enum):
    """The three kinds of rows in those tables. A nexus that holds the reservation, or shares in it, may do all three."""

    ALLOWED = auto()
    """Never in conflict."""
    READS = auto()
    """In conflict with the Exclusive Access types."""
    WRITES = auto()
    """In conflict with all types."""
