"""The ways in which the time of an array passes."""

from enum import StrEnum


class ClockMode(StrEnum):
    """The ways in which the time of an array passes."""

    REAL = "real"
    """As in the machine. The time cannot be advanced."""
    SHIFTED = "shifted"
    """As in the machine, and it can be advanced."""
    VIRTUAL = "virtual"
    """Only when it is advanced."""
