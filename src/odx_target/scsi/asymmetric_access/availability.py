"""The asymmetric access states of a target port in which a command works (SPC-4 5.15.2.4, 5.15.2.5)."""

from enum import Enum, auto


class Availability(Enum):
    """The states in which a command works. In all other states, it ends with NOT READY. Every command works in the active
    states.
    """

    ALWAYS = auto()
    """The command works in every state."""
    UNLESS_TRANSITIONING = auto()
    """The command also works in the standby state and in the unavailable state."""
    IN_STANDBY = auto()
    """The command also works in the standby state."""
    ACTIVE_ONLY = auto()
    """The command works only in the active states."""
