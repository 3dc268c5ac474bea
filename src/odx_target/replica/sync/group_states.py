"""The states of a member of a group for hosts, and the errors of what hosts and people ask of it."""

from enum import Enum


class NotServing(Exception):
    """The member does not serve hosts now, or cannot say whether a change is made. The message is one line."""


class ChangeRefused(Exception):
    """The other member cannot make a change, so that neither member has made it. The message is one line."""


class GroupState(Enum):
    """State of a member for hosts."""

    SERVING = "serving"
    STANDBY = "standby"
    """In sync, and may take over."""
    WAITING = "waiting"
    """The primary, without a lease or before it has compared its stream."""
    OUT_OF_SYNC = "out of sync"
    TAKING_OVER = "taking over"
    HANDING_OVER = "handing over"
    """The primary, which ends the commands under way and then makes the other member the primary."""
    SETTLING = "settling"
    """The primary, for the moment in which a change of the membership becomes durable, or until it has its first lease."""
