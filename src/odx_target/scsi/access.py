"""What a command does to a logical unit that somebody else has reserved (SPC-4 5.13.1 table 65, SBC-3 4.17 table 13)."""

from enum import Enum, auto


class Access(Enum):
    """The three kinds of rows that those tables have. Whoever holds the reservation, or shares in it, may do all of it."""

    ALLOWED = auto()
    """Never in conflict."""
    READS = auto()
    """In conflict with the Exclusive Access types."""
    WRITES = auto()
    """In conflict with all types."""
