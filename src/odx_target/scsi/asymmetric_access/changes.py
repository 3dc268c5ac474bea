"""Changes of the asymmetric access states of target port groups, and the unit attentions that report them (SPC-4 5.15.2.5 to
5.15.2.7).

A change may take some time, in which the groups are transitioning. A background job ends the change, whatever happens to the
command or the operator that began it. A later change of the same group and logical unit replaces it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from odx_target.environment import Environment
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import PendingState, PortGroups, StatusCode
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import (
    ASYMMETRIC_ACCESS_STATE_CHANGED,
    IMPLICIT_ASYMMETRIC_ACCESS_STATE_TRANSITION_FAILED,
    Condition,
)
from odx_target.scsi.tasks.change_notifications import AttachedNexuses
from odx_target.scsi.unit.logical_unit import LogicalUnit

STEPS_OF_A_UNIT = 4
"""Number of steps (see `turns`) that the change of one logical unit takes, without the notification of nexuses."""

States = Mapping[int, AccessState]
"""States by the numbers of target port groups."""
Values = dict[tuple[PortGroups, tuple[tuple[int, AccessState], ...]], PortGroups]
"""The groups after a change, by the groups before it and the new states. Logical units with equal groups share them."""


@dataclass(frozen=True, slots=True, eq=False)
class StateChange:
    """New states of target port groups, by the numbers of the groups.

    The groups are transitioning for `time_s` seconds. 0 means that the change is indivisible. `by` is the nexus that makes the
    change by SET TARGET PORT GROUPS. None means that the array makes it, so that it is implicit. If `fails` is True, the groups
    get their former states back in the end.
    """

    states: States
    time_s: float = 0.0
    by: Nexus | None = None
    fails: bool = False

    @property
    def status_code(self) -> StatusCode:
        return StatusCode.CHANGED_IMPLICITLY if self.by is None else StatusCode.CHANGED_EXPLICITLY


@dataclass(slots=True, eq=False)
class _Transition:
    """A change that takes time. `ends` has its logical units so far, with their last states.

    `is_over` is True as soon as its job has ended. Logical units that the change reaches later get their last states at once.
    """

    ends: list[tuple[LogicalUnit, States]] = field(default_factory=list)
    is_over: bool = False


class PortGroupChanges:
    """Changes the states of target port groups. `nexuses` are the nexuses that are notified."""

    def __init__(self, nexuses: AttachedNexuses) -> None:
        self._nexuses = nexuses

    def change(self, logical_unit: LogicalUnit, change: StateChange) -> None:
        """Change the states of one logical unit, or begin a transition that a background job ends.

        Raises RuntimeError if the array is stopping. Then nothing has changed.
        """
        for _ in self.change_all([logical_unit], change, logical_unit.environment):
            pass

    def change_all(self, logical_units: Sequence[LogicalUnit], change: StateChange, environment: Environment) -> Iterator[int]:
        """Change the states of several logical units as `change` does, one after the other. Yields after each logical unit the
        number of its steps (see `turns`). The caller must iterate to the end, and may let other tasks run between two steps.
        """
        transition = _Transition(is_over=not change.time_s)
        if change.time_s:
            environment.start_soon(self._end, transition, change, environment)
        values: Values = {}
        for logical_unit in logical_units:
            former = {number: logical_unit.port_groups.state_of(number) for number in change.states}
            final = former if change.fails else change.states
            if transition.is_over:
                self._set_final(logical_unit, final, change, values)
            else:
                logical_unit.pending_states.update({number: PendingState(change, state) for number, state in final.items()})
                transition.ends.append((logical_unit, final))
                self._set(logical_unit, dict.fromkeys(final, AccessState.TRANSITIONING), change, values)
            yield self._steps()

    async def _end(self, transition: _Transition, change: StateChange, environment: Environment) -> None:
        """End the transitions that no later change has replaced."""
        await environment.sleep(change.time_s)
        values: Values = {}
        for logical_unit, final in transition.ends:
            pending = logical_unit.pending_states
            own = {number: state for number, state in final.items() if number in pending and pending[number].change is change}
            if own:
                self._set_final(logical_unit, own, change, values)
            environment.turns.take(self._steps())
            await environment.turns.next_if_spent()
        transition.is_over = True

    def _set_final(self, logical_unit: LogicalUnit, states: States, change: StateChange, values: Values) -> None:
        for number in states:
            logical_unit.pending_states.pop(number, None)
        if change.fails:
            self._set(logical_unit, states, change, values, IMPLICIT_ASYMMETRIC_ACCESS_STATE_TRANSITION_FAILED)
        else:
            self._set(logical_unit, states, change, values)

    def _set(
        self,
        logical_unit: LogicalUnit,
        states: States,
        change: StateChange,
        values: Values,
        condition: Condition = ASYMMETRIC_ACCESS_STATE_CHANGED,
    ) -> None:
        """Set states and notify nexuses."""
        key = logical_unit.port_groups, tuple(states.items())
        if key not in values:
            values[key] = key[0].with_states(states, change.status_code)
        logical_unit.port_groups = values[key]
        self._nexuses.tell_all(logical_unit, condition, but=change.by)

    def _steps(self) -> int:
        return STEPS_OF_A_UNIT + len(self._nexuses.nexuses)
