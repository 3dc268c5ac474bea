"""The asymmetric access states of a target port group, and the sense data with which a logical unit refuses commands in them
(SPC-4 5.15.2.4, 5.15.2.5).
"""

from enum import IntEnum

from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.sense import (
    ASYMMETRIC_ACCESS_STATE_TRANSITION,
    LOGICAL_UNIT_NOT_READY_OFFLINE,
    TARGET_PORT_IN_STANDBY_STATE,
    TARGET_PORT_IN_UNAVAILABLE_STATE,
    Condition,
)


class AccessState(IntEnum):
    """Values of ASYMMETRIC ACCESS STATE (SPC-4 6.37).

    OFFLINE is the secondary state: the target ports of the group receive no commands at all, so it has the same value for all
    logical units (SPC-4 5.15.2.4).
    """

    ACTIVE_OPTIMIZED = 0x0
    ACTIVE_NON_OPTIMIZED = 0x1
    STANDBY = 0x2
    UNAVAILABLE = 0x3
    OFFLINE = 0xE
    TRANSITIONING = 0xF

    @property
    def is_active(self) -> bool:
        """True if every command works in this state."""
        return self not in REFUSALS

    @property
    def words(self) -> str:
        """The name of the state in settings and in the output of commands, such as `active-optimized`."""
        return self.name.lower().replace("_", "-")


STATES_BY_WORDS = {state.words: state for state in AccessState}
"""All states, by their names in settings."""

_ALWAYS = frozenset({Availability.ALWAYS})
_UNLESS_TRANSITIONING = _ALWAYS | {Availability.UNLESS_TRANSITIONING}

REFUSALS: dict[AccessState, tuple[Condition, frozenset[Availability]]] = {
    AccessState.STANDBY: (TARGET_PORT_IN_STANDBY_STATE, _UNLESS_TRANSITIONING | {Availability.IN_STANDBY}),
    AccessState.UNAVAILABLE: (TARGET_PORT_IN_UNAVAILABLE_STATE, _UNLESS_TRANSITIONING),
    AccessState.OFFLINE: (LOGICAL_UNIT_NOT_READY_OFFLINE, _ALWAYS),
    AccessState.TRANSITIONING: (ASYMMETRIC_ACCESS_STATE_TRANSITION, _ALWAYS),
}
"""For each state in which commands are refused: the sense data, and the availability of the commands that still work."""


def refusal_in(state: AccessState, availability: Availability = Availability.ACTIVE_ONLY) -> Condition | None:
    """Return the condition with which a command of this availability ends in a state. Return None if the command works."""
    refusal = REFUSALS.get(state)
    return None if refusal is None or availability in refusal[1] else refusal[0]
