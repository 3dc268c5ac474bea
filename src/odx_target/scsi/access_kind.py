"""The kinds of access of commands. `reservations/conflicts` has the table that decides by the kind of access if a reservation
conflicts with a command.
"""

from enum import Enum, auto


class Access(Enum):
    """The kinds of access of commands. A nexus that the reservation admits may send commands of all three kinds."""

    ALLOWED = auto()
    """The command never conflicts with a reservation."""
    READS = auto()
    """The command conflicts with reservations of the Exclusive Access types."""
    WRITES = auto()
    """The command conflicts with reservations of all types."""
