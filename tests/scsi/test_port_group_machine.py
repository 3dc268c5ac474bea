"""Hosts and an operator change the states of two target port groups in any order, with and without transitions. States, unit
attentions and the commands that work agree with a naive model.
"""

from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from odx_target.scsi.reply import Reply
from tests.scsi.array import code_of
from tests.scsi.port_groups import (
    FIRST,
    OPTIMIZED,
    SECOND,
    STANDBY,
    STATE_CHANGED,
    TRANSITION_FAILED,
    TRANSITIONING,
    UNAVAILABLE,
    PortGroupsUnderTest,
    report_cdb,
)
from tests.settings import searching

COMMANDS = {
    # The CDB of a command, and the states in which it works besides the active ones.
    "00 00 00 00 00 00": set(),
    "28 00 00 00 00 00 00 00 01 00": set(),
    "88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00": set(),
    "1a 00 3f 00 ff 00": {STANDBY},
    "5e 00 00 00 00 00 00 00 ff 00": {STANDBY},
    "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00": {STANDBY},
    "a4 0a 00 00 00 00 00 00 00 00 00 00": {STANDBY, UNAVAILABLE},
    report_cdb().hex(): {STANDBY, UNAVAILABLE, TRANSITIONING},
}
QUALIFIERS = {STANDBY: 0x0B, UNAVAILABLE: 0x0C, TRANSITIONING: 0x0A}


@dataclass
class Transition:
    """The end of a transition: its moment, the last states, the status code, the group that asked, and if it fails."""

    end_s: int
    states: dict[int, int]
    status: int
    by: int | None
    fails: bool


groups = st.sampled_from([FIRST, SECOND])
states = st.sampled_from([OPTIMIZED, 1, STANDBY, UNAVAILABLE])
times = st.sampled_from([0, 0, 3])


class PortGroupMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.unit = PortGroupsUnderTest()
        self.states = {FIRST: OPTIMIZED, SECOND: OPTIMIZED}
        self.status = {FIRST: 0, SECOND: 0}
        self.attentions: dict[int, list[tuple[int, int]]] = {FIRST: [], SECOND: []}
        self.under_way: list[Transition] = []
        self.now_s = 0

    def is_told(self, group: int, reply: Reply) -> bool:
        if not self.attentions[group]:
            return False
        assert code_of(reply) == (6, *self.attentions[group].pop(0))
        return True

    def notify(self, attention: tuple[int, int], but: int | None) -> None:
        for group, pending in self.attentions.items():
            if group != but and attention not in pending:
                pending.append(attention)

    def begin(self, changed: dict[int, int], time_s: int, status: int, by: int | None, *, fails: bool = False) -> None:
        final = {group: self.states[group] for group in changed} if fails else changed
        for transition in self.under_way:
            transition.states = {group: state for group, state in transition.states.items() if group not in changed}
        begun = Transition(self.now_s + time_s, dict(final), status, by, fails)
        if time_s:
            self.under_way.append(begun)
            self.states |= dict.fromkeys(changed, TRANSITIONING)
            self.status |= dict.fromkeys(changed, status)
            self.notify(STATE_CHANGED, by)
        else:
            self.end(begun)

    def end(self, transition: Transition) -> None:
        if transition.states:
            self.states |= transition.states
            self.status |= dict.fromkeys(transition.states, transition.status)
            self.notify(TRANSITION_FAILED if transition.fails else STATE_CHANGED, transition.by)

    @rule(time_s=times)
    def configure(self, time_s: int) -> None:
        groups = self.unit.logical_unit.port_groups
        self.unit.logical_unit.port_groups = type(groups)(groups.modes, groups.groups, time_s)

    @rule(group=groups, wanted=st.dictionaries(groups, states, min_size=1))
    def set_explicitly(self, group: int, wanted: dict[int, int]) -> None:
        reply = self.unit.set_states(*((state, number) for number, state in wanted.items()), group=group)
        if self.is_told(group, reply):
            return
        if TRANSITIONING in self.states.values():
            assert code_of(reply) == (2, 4, 0x0A)
            return
        assert reply.status == 0
        changed = {number: state for number, state in wanted.items() if self.states[number] != state}
        if changed:
            self.begin(changed, self.unit.logical_unit.port_groups.transition_time_s, 1, group)

    @rule(group=groups, state=states, time_s=times, fails=st.booleans())
    def change_implicitly(self, group: int, state: int, time_s: int, fails: bool) -> None:
        if fails and TRANSITIONING in self.states.values():
            return
        self.unit.change(group, state, time_s, fails=fails)
        self.begin({group: state}, time_s, 2, None, fails=fails)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds: int) -> None:
        self.unit.environment.advance(seconds)
        self.now_s += seconds
        ended = [transition for transition in self.under_way if transition.end_s <= self.now_s]
        self.under_way = [transition for transition in self.under_way if transition.end_s > self.now_s]
        for transition in sorted(ended, key=lambda each: each.end_s):
            self.end(transition)

    @rule(group=groups, cdb=st.sampled_from(sorted(COMMANDS)))
    def send(self, group: int, cdb: str) -> None:
        reply = self.unit.command(cdb, nexus=self.unit.nexuses[group])
        if self.is_told(group, reply):
            return
        state = self.states[group]
        if state not in QUALIFIERS or state in COMMANDS[cdb]:
            assert reply.status == 0
        else:
            assert code_of(reply) == (2, 4, QUALIFIERS[state])

    @rule(group=groups)
    def request_sense(self, group: int) -> None:
        reply = self.unit.command("03 00 00 00 12 00", nexus=self.unit.nexuses[group])
        sense = b"".join(reply.data_in)
        code = (sense[2] & 0xF, sense[12], sense[13])
        if self.attentions[group]:
            assert code == (6, *self.attentions[group].pop(0))
        elif self.states[group] in QUALIFIERS:
            assert code == (2, 4, QUALIFIERS[self.states[group]])
        else:
            assert code == (0, 0, 0)

    @invariant()
    def states_agree(self) -> None:
        found = {each.number: (each.state, each.status_code) for each in self.unit.logical_unit.port_groups.groups}
        assert found == {group: (self.states[group], self.status[group]) for group in self.states}


TestPortGroups = PortGroupMachine.TestCase
TestPortGroups.settings = searching(60, steps=30)
