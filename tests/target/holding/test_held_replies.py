"""Tests of held replies, with groups whose acknowledgements the test gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import given

from odx_target.iscsi.session.events import CommandReady
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.sense import TARGET_PORT_IN_STANDBY_STATE, CheckCondition
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.target.server.holding.held_replies import NOT_COMMITTED, HeldReplies, HeldReply


class FakeGate:
    """A group that has acknowledged all changes below `due_osn`."""

    access_state = AccessState.STANDBY

    def __init__(self, name: str) -> None:
        self.name = name
        self.on_progress: set[Callable[[], None]] = set()
        self.due_osn: int | None = 0
        self.alone: tuple[GroupGate, ...] = (self,)

    def is_open(self) -> bool:
        return True

    def refusal(self) -> CheckCondition | None:
        return None

    def admit(self) -> None: ...

    def lost_reply(self) -> CheckCondition:
        return CheckCondition(TARGET_PORT_IN_STANDBY_STATE)

    async def flush(self) -> None: ...

    def reported_port(self, port: TargetPort) -> TargetPort:
        return port

    def progress(self, due_osn: int | None) -> None:
        self.due_osn = due_osn
        for function in list(self.on_progress):
            function()


class Unit:
    descriptor_format_sense = False


@dataclass
class Together:
    """The replies to commands with some tags."""

    gates: tuple[GroupGate, ...]
    tags: list[int]
    osn: int = NOT_COMMITTED

    def __len__(self) -> int:
        return len(self.tags)


class Connection:
    """A connection whose pool has committed changes below `osn`."""

    def __init__(self) -> None:
        self.osn = 1
        self.sent: list[tuple[int, int]] = []
        self.lost: list[tuple[str, int]] = []
        self.held: HeldReplies[Together] = HeldReplies(
            self._send,
            lambda together: self.sent.extend((tag, Status.GOOD) for tag in together.tags),
            lambda together: [self._reply(tag, together.gates, together.osn) for tag in together.tags],
            self.commit,
            lambda group, count: self.lost.append((group, count)),
        )

    def end(self, tag: int, *gates: FakeGate) -> None:
        self.held.hold(self._reply(tag, gates))

    def end_together(self, tags: Sequence[int], gate: FakeGate) -> None:
        self.held.hold_together(Together(gate.alone, list(tags)))

    def _reply(self, tag: int, gates: tuple[GroupGate, ...], osn: int = NOT_COMMITTED) -> HeldReply:
        command = CommandReady(0, 0, bytes(16), 0, tag, 0, False, False, False, tag)
        task = Task(None, Unit(), bytes(16))  # type: ignore[arg-type]
        return HeldReply(command, task, Reply(), gates, 0.0, 0, osn)

    def commit(self) -> None:
        self.held.release(self.osn)

    def _send(self, held: HeldReply) -> None:
        self.sent.append((held.command.initiator_task_tag, held.reply.status))


def test_replies_go_in_order_when_they_are_due() -> None:
    connection, gate = Connection(), FakeGate("db")
    connection.end(1, gate)
    gate.progress(9)
    assert connection.sent == []  # The change is not committed yet.
    connection.osn = 5
    gate.due_osn = 4
    connection.commit()
    connection.end(2, gate)
    connection.osn = 7
    connection.commit()
    assert connection.sent == []
    gate.progress(6)
    assert connection.sent == [(1, Status.GOOD)]
    assert connection.held.has(0, 2)
    assert not connection.held.has(0, 1)
    assert not connection.held.has(1, 2)
    gate.progress(7)
    assert connection.sent == [(1, Status.GOOD), (2, Status.GOOD)]
    assert not connection.held
    assert not gate.on_progress


@pytest.mark.parametrize("is_divided", [True, False])
def test_replies_that_are_held_together_are_sent_or_lost_one_by_one(*, is_divided: bool) -> None:
    connection, gate = Connection(), FakeGate("db")
    connection.end_together([1, 2], gate)
    connection.end(3, gate)
    connection.commit()
    connection.osn = 2
    connection.end_together([4, 5], gate)
    if is_divided:
        connection.held.divide_all()
        assert connection.held.has(0, 2)
    gate.progress(1)
    assert connection.sent == [(1, Status.GOOD), (2, Status.GOOD), (3, Status.GOOD)]
    connection.commit()
    gate.progress(None)
    assert connection.sent[3:] == [(4, Status.CHECK_CONDITION), (5, Status.CHECK_CONDITION)]
    assert connection.lost == [("db", 2)]


def test_replies_of_a_group_that_is_lost_report_its_state() -> None:
    connection, gate, other = Connection(), FakeGate("db"), FakeGate("other")
    for tag in (1, 2):
        connection.end(tag, gate)
    connection.end(3, other)
    connection.commit()
    gate.progress(None)
    assert connection.sent == [(1, Status.CHECK_CONDITION), (2, Status.CHECK_CONDITION)]
    assert connection.lost == [("db", 2)]
    other.progress(1)
    assert connection.sent[2:] == [(3, Status.GOOD)]


def test_a_copy_between_two_groups_waits_for_both() -> None:
    connection, gate, other = Connection(), FakeGate("db"), FakeGate("other")
    connection.end(1, other)
    connection.end(2, gate, other)
    connection.commit()
    gate.progress(1)
    assert connection.sent == []
    connection.end(3, other)
    connection.osn = 2
    other.progress(1)
    assert connection.sent == [(1, Status.GOOD), (2, Status.GOOD)]
    other.progress(2)
    assert connection.sent[2:] == [(3, Status.GOOD)]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_copy_between_two_groups_sends_no_other_reply_early(*, is_first: bool) -> None:
    connection, gate, other = Connection(), FakeGate("db"), FakeGate("other")
    for tag, each in enumerate((gate, other) if is_first else (other, gate)):
        connection.end(tag, each)
    connection.end(2, gate, other)
    connection.commit()
    assert connection.sent == []


@pytest.mark.parametrize("is_first", [True, False])
def test_a_copy_between_two_groups_is_lost_with_either_of_them(*, is_first: bool) -> None:
    """A group that was lost may serve again later, but without the change."""
    connection, gate, other = Connection(), FakeGate("db"), FakeGate("other")
    lost, slow = (gate, other) if is_first else (other, gate)
    connection.end(1, gate, other)
    connection.commit()
    lost.progress(None)
    lost.progress(1)
    slow.progress(1)
    assert connection.sent == [(1, Status.CHECK_CONDITION)]
    assert connection.lost == [(lost.name, 1)]
    assert not connection.held.has(0, 1)
    assert not connection.held
    assert not gate.on_progress | other.on_progress


def test_a_closed_connection_hears_no_more_of_its_groups() -> None:
    connection, gate = Connection(), FakeGate("db")
    connection.end(1, gate)
    connection.held.close()
    gate.progress(9)
    assert (connection.sent, connection.lost, gate.on_progress) == ([], [], set())


class Model:
    """A list of all replies that are not sent: each has its groups, and an OSN as soon as it is committed."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, set[FakeGate]]] = []
        self.osn_of: dict[float, int] = {}
        self.sent: list[float] = []

    def end(self, tag: float, gates: tuple[FakeGate, ...]) -> None:
        self.waiting.append((tag, set(gates)))
        self.osn_of[tag] = 0

    def commit(self, osn: int) -> None:
        for tag, _ in self.waiting:
            self.osn_of[tag] = self.osn_of[tag] or osn

    def is_due(self, tag: float, gate: FakeGate) -> bool:
        assert gate.due_osn is not None
        return 0 < self.osn_of[tag] <= gate.due_osn

    def settle(self) -> None:
        for tag, left in list(self.waiting):
            left -= {gate for gate in left if self.is_due(tag, gate)}
        self.sent += [tag for tag, left in self.waiting if not left]
        self.waiting = [entry for entry in self.waiting if entry[1]]


STEPS = ["end", "together", "divide", "commit", "progress"]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2), st.integers(0, 3))))
def test_no_reply_is_sent_early_or_kept_late(steps: list[tuple[str, int, int]]) -> None:
    """Compare with the model. Replies belong to one of two groups, or to both."""
    connection, gates, model = Connection(), (FakeGate("one"), FakeGate("two")), Model()
    choices = (gates[:1], gates[1:], gates)
    for tag, (step, number, amount) in enumerate(steps):
        if step == "end":
            connection.end(tag, *choices[number])
            model.end(tag, choices[number])
        elif step == "together" and number < len(gates):
            tags = [tag + part / 8 for part in range(amount + 1)]
            connection.end_together(tags, gates[number])  # type: ignore[arg-type]
            for each in tags:
                model.end(each, choices[number])
        elif step == "divide":
            connection.held.divide_all()
        elif step == "commit":
            connection.osn += amount
            model.commit(connection.osn)
            model.settle()
            connection.commit()
        for gate in choices[number] if step == "progress" else ():
            gate.due_osn = (gate.due_osn or 0) + amount
            if any(model.is_due(each, gate) for each, left in model.waiting if gate in left):
                model.commit(connection.osn)  # The caller of `on_progress` commits everything.
            model.settle()
            gate.progress(gate.due_osn)
        assert sorted(tag for tag, _ in connection.sent) == sorted(model.sent)
        for own in range(3):
            tags = [tag for tag, _ in connection.sent if steps[int(tag)][1] == own]
            assert tags == sorted(tags)
