"""Writes of several sessions with little memory: the limit is never exceeded, every write ends, and all memory is given
back.
"""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.headers import (
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    Reject,
    ScsiCommand,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, RejectReason
from odx_target.iscsi.session.events import CommandReady, PduRejected, TaskManagement
from odx_target.iscsi.session.session_registry import Session
from odx_target.target.server.memory_claims import Allotment
from odx_target.target.server.memory_division import SessionShares
from tests.iscsi.conversation import Conversation, Directory, joined
from tests.settings import searching

SESSIONS = 3
FIRST_BURST = 1024
MOST_WRITTEN = 6000
GUARANTEED_UNSOLICITED, COMMON_UNSOLICITED = FIRST_BURST, 2 * FIRST_BURST
GUARANTEED_WRITTEN, COMMON_WRITTEN = 3000, MOST_WRITTEN
GOOD, BUSY, TASK_SET_FULL = 0, 8, 0x28
KEYS = {
    "InitialR2T": "No",
    "MaxOutstandingR2T": "2",
    "MaxBurstLength": "2048",
    "FirstBurstLength": str(FIRST_BURST),
    "MaxRecvDataSegmentLength": "1024",
}


def content(tag: int, size: int) -> bytes:
    return bytes((tag * 31 + i) & 0xFF for i in range(size))


class Budget:
    def __init__(self) -> None:
        self.unsolicited = Allotment(SESSIONS * GUARANTEED_UNSOLICITED + COMMON_UNSOLICITED, SESSIONS, GUARANTEED_UNSOLICITED)
        self.written = Allotment(SESSIONS * GUARANTEED_WRITTEN + COMMON_WRITTEN, SESSIONS, GUARANTEED_WRITTEN)

    def open(self) -> SessionShares:
        written = self.written.open_share()
        return SessionShares(self.unsolicited.open_share(), written, written)


class Host:
    """An initiator that keeps the rules, and a server that acts when a test calls it.

    `woken` is the number of calls that reported new R2Ts without received bytes.
    """

    def __init__(self, budget: Budget, number: int = 0) -> None:
        memories: list[SessionShares] = []

        def open_memory(_session: Session) -> SessionShares:
            memories.append(budget.open())
            return memories[-1]

        self.talk = Conversation(Directory(), isid=bytes([0x80, 0, 0, 0, 0, number]), open_memory=open_memory).logged_in(**KEYS)
        (self.memory,) = memories
        self.talk.unread.clear()
        self.talk.connection.on_output = self.talk.collect
        self.open: dict[int, ScsiCommand] = {}
        self.with_edge: list[CommandReady] = []
        self.kept: list[CommandReady] = []
        self.asked: list[ReadyToTransfer] = []
        self.statuses: list[int] = []

    def write(self, size: int, immediate: int = 0, *, unsolicited: bool = False) -> ScsiCommand:
        talk = self.talk
        data = content(talk.next_tag + 1, size)
        first = min(size, FIRST_BURST)
        immediate = min(immediate, first)
        more = unsolicited and immediate < first
        command = talk.write(size, data[:immediate], final=not more)
        self.open[command.initiator_task_tag] = command
        if more:
            talk.data_out(command, immediate, data[immediate:first])
        return command

    def answer_r2t(self) -> None:
        r2t = self.asked.pop(0)
        command = self.open[r2t.initiator_task_tag]
        end = r2t.buffer_offset + r2t.desired_data_transfer_length
        data = content(r2t.initiator_task_tag, command.expected_data_transfer_length)[r2t.buffer_offset : end]
        self.talk.data_out(command, r2t.buffer_offset, data, target_transfer_tag=r2t.target_transfer_tag)

    def keep(self, event: CommandReady) -> None:
        """Keep the data of a command that has to wait inside the array."""
        self.with_edge.remove(event)
        if self.talk.connection.keep(event, sum(map(len, event.data_out))):
            self.kept.append(event)
        else:
            self.talk.connection.refuse(event)
            self.talk.collect()

    def finish(self, event: CommandReady) -> None:
        if event in self.kept:
            self.kept.remove(event)
            self.talk.connection.release(event)
        else:
            self.with_edge.remove(event)
        self.talk.reply(event, GOOD, size=event.expected_data_transfer_length)

    def abort(self, tag: int) -> None:
        request = TaskManagementFunctionRequest(
            immediate=True, function=1, initiator_task_tag=self.talk.tag(), referenced_task_tag=tag, cmd_sn=self.talk.cmd_sn
        )
        self.talk.send(request)
        self.take_all()
        self.open.pop(tag, None)
        self.asked = [r2t for r2t in self.asked if r2t.initiator_task_tag != tag]

    def end(self) -> None:
        """End the connection. The tasks inside the array end a little later."""
        self.talk.connection.connection_lost("end", self.talk.now)
        for event in self.kept:
            self.talk.connection.release(event)
        self.memory.close()

    def take_all(self) -> None:
        talk = self.talk
        while talk.events or talk.unread:
            for event in [talk.events.pop(0) for _ in range(len(talk.events))]:
                self.take_event(event)
            while talk.unread:
                self.take_pdu(talk.take_with_data(Pdu)[0])

    def take_event(self, event: object) -> None:
        if isinstance(event, TaskManagement):
            self.talk.answer(event)
            return
        assert isinstance(event, CommandReady), event
        if not event.aborted:
            assert joined(event) == content(event.initiator_task_tag, event.expected_data_transfer_length)
            self.with_edge.append(event)

    def take_pdu(self, pdu: Pdu) -> None:
        if isinstance(pdu, ReadyToTransfer):
            assert pdu.initiator_task_tag in self.open
            self.asked.append(pdu)
        elif isinstance(pdu, ScsiResponse):
            del self.open[pdu.initiator_task_tag]
            self.statuses.append(pdu.status)
        else:
            assert isinstance(pdu, TaskManagementFunctionResponse), pdu


class SessionMemoryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget()
        self.hosts: list[Host] = [Host(self.budget, number) for number in range(SESSIONS)]

    def take_all(self) -> None:
        for host in self.hosts:
            host.take_all()
            host.with_edge = [event for event in host.with_edge if not event.aborted]

    @rule(
        number=st.integers(0, SESSIONS - 1),
        size=st.integers(1, MOST_WRITTEN),
        immediate=st.integers(0, FIRST_BURST),
        unsolicited=st.booleans(),
    )
    def write(self, number: int, size: int, immediate: int, unsolicited: bool) -> None:
        if len(self.hosts[number].open) < 20:
            self.hosts[number].write(size, immediate, unsolicited=unsolicited)
        self.take_all()

    @precondition(lambda self: any(host.asked for host in self.hosts))
    @rule(data=st.data())
    def answer_r2t(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([host for host in self.hosts if host.asked])).answer_r2t()
        self.take_all()

    @precondition(lambda self: any(host.with_edge for host in self.hosts))
    @rule(data=st.data(), kept=st.booleans())
    def execute(self, data: st.DataObject, kept: bool) -> None:
        host = data.draw(st.sampled_from([host for host in self.hosts if host.with_edge]))
        event = data.draw(st.sampled_from(host.with_edge))
        if kept:
            host.keep(event)
        else:
            host.finish(event)
        self.take_all()

    @precondition(lambda self: any(host.kept for host in self.hosts))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        host = data.draw(st.sampled_from([host for host in self.hosts if host.kept]))
        host.finish(data.draw(st.sampled_from(host.kept)))
        self.take_all()

    @precondition(lambda self: any(host.open for host in self.hosts))
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        host = data.draw(st.sampled_from([host for host in self.hosts if host.open]))
        host.abort(data.draw(st.sampled_from(list(host.open))))
        self.take_all()

    @rule(number=st.integers(0, SESSIONS - 1))
    def begin_again(self, number: int) -> None:
        self.hosts[number].end()
        self.hosts[number] = Host(self.budget, number)
        self.take_all()

    @invariant()
    def never_is_too_much_granted(self) -> None:
        for allotment, guaranteed, common in (
            (self.budget.unsolicited, GUARANTEED_UNSOLICITED, COMMON_UNSOLICITED),
            (self.budget.written, GUARANTEED_WRITTEN, COMMON_WRITTEN),
        ):
            assert 0 <= allotment.used_bytes <= SESSIONS * guaranteed + common
            assert 0 <= allotment.free_common_bytes <= common
        for host in self.hosts:
            assert set(host.statuses) <= {GOOD, BUSY, TASK_SET_FULL}
            collecting = host.talk.connection._full_feature._collector._collections  # type: ignore[union-attr]
            kept_bytes = sum(len(piece) for each in collecting.values() for piece in each.pieces)
            assert kept_bytes <= host.memory.unsolicited.used_bytes + host.memory.written.used_bytes

    def teardown(self) -> None:
        """Check that every write ends and no memory is held, if hosts send all requested data and the array answers."""
        self.take_all()
        while any(host.asked or host.with_edge or host.kept for host in self.hosts):
            for host in self.hosts:
                if host.asked:
                    host.answer_r2t()
                for event in [*host.with_edge, *host.kept]:
                    host.finish(event)
            self.take_all()
        assert [host.open for host in self.hosts] == [{}] * SESSIONS
        assert self.budget.unsolicited.used_bytes == self.budget.written.used_bytes == 0
        for host in self.hosts:
            host.end()


SessionMemoryMachine.TestCase.settings = searching(60, steps=50)
TestSessionMemory = SessionMemoryMachine.TestCase


def test_unasked_data_without_room_is_refused_and_the_rest_goes_on() -> None:
    host = Host(Budget())
    commands = [host.write(3 * FIRST_BURST, unsolicited=True) for _ in range(8)]
    host.take_all()
    assert TASK_SET_FULL in host.statuses
    assert host.open
    while host.asked or host.with_edge:
        if host.asked:
            host.answer_r2t()
        for event in list(host.with_edge):
            host.finish(event)
        host.take_all()
    assert len(host.statuses) == len(commands)
    assert not host.open


def test_the_only_command_of_a_session_is_told_that_the_array_is_busy() -> None:
    budget = Budget()
    others = [Host(budget, 1), Host(budget, 2)]
    for other in others:
        for _ in range(9):
            other.write(3 * FIRST_BURST, unsolicited=True)
    host = Host(budget)
    assert host.memory.unsolicited.take(GUARANTEED_UNSOLICITED)
    host.write(2 * FIRST_BURST, unsolicited=True)
    host.take_all()
    assert host.statuses == [BUSY]


def test_r2ts_come_when_another_session_gives_back() -> None:
    budget = Budget()
    first, second = Host(budget, 1), Host(budget, 2)
    first.write(MOST_WRITTEN)
    first.take_all()
    command = second.write(MOST_WRITTEN)
    second.take_all()
    assert not second.asked
    first.abort(next(iter(first.open)))
    second.take_all()
    assert [r2t.initiator_task_tag for r2t in second.asked] == [command.initiator_task_tag] * 2


def test_a_write_that_waits_for_memory_and_is_aborted_waits_no_more() -> None:
    budget = Budget()
    first, second = Host(budget, 1), Host(budget, 2)
    first.write(MOST_WRITTEN)
    waiting = [second.write(MOST_WRITTEN).initiator_task_tag, second.write(100).initiator_task_tag]
    second.take_all()
    second.abort(waiting[0])
    second.take_all()
    assert [r2t.initiator_task_tag for r2t in second.asked] == waiting[1:]


def test_data_of_an_aborted_command_that_the_edge_still_works_with_is_counted() -> None:
    host = Host(Budget())
    host.write(2000)
    host.take_all()
    host.answer_r2t()
    host.take_all()
    (event,) = host.with_edge
    host.keep(event)
    host.abort(event.initiator_task_tag)
    assert event.aborted
    assert host.memory.written.used_bytes == 2000
    host.talk.connection.release(event)
    assert host.memory.written.used_bytes == 0


def test_commands_that_came_early_are_counted() -> None:
    host = Host(Budget())
    command = ScsiCommand(initiator_task_tag=50, cmd_sn=host.talk.cmd_sn + 1, write=True, expected_data_transfer_length=300)
    host.talk.send(command, bytes(300))
    assert host.memory.unsolicited.used_bytes > 300
    host.open[50] = command
    host.talk.command(cmd_sn=host.talk.cmd_sn)
    assert host.memory.unsolicited.used_bytes == 0


def test_early_commands_without_room_end_the_connection() -> None:
    host = Host(Budget())
    assert host.memory.unsolicited.take(GUARANTEED_UNSOLICITED)
    while host.memory.unsolicited.take(1):
        pass
    host.talk.send(ScsiCommand(initiator_task_tag=50, cmd_sn=host.talk.cmd_sn + 1))
    assert host.talk.connection.closed


def test_answers_that_nobody_has_taken_stop_what_is_received() -> None:
    talk = Conversation().logged_in()
    talk.unread.clear()
    snack = b"\x10\x80".ljust(48, b"\0")
    ping = NopOut(immediate=True, initiator_task_tag=9, cmd_sn=talk.cmd_sn)
    for raw, kind, least in ((snack, Reject, 500), (talk.encode(replace(ping), bytes(200_000)), NopIn, 2)):
        stream = raw * 5000 if kind is Reject else raw * 5
        at = 0
        rounds = []
        while at < len(stream):
            at += talk.connection.receive(memoryview(stream)[at:], talk.now)
            assert talk.connection.is_paused_by_output == (at < len(stream))
            output = sum(map(len, talk.connection.writer.output))
            assert output <= limits.MAX_UNSENT_ANSWER_BYTES + 262_144
            talk.collect()
            assert not talk.connection.is_paused_by_output
            rounds.append(len(talk.unread))
            assert {type(received.pdu) for received in talk.unread} == {kind}
            talk.unread.clear()
        assert sum(rounds) == len(stream) // len(raw)
        assert rounds[0] >= least
    assert {event.reason for event in talk.events if isinstance(event, PduRejected)} == {RejectReason.SNACK_REJECT}
    assert NO_TAG not in {command.initiator_task_tag for command in talk.events if isinstance(command, CommandReady)}
