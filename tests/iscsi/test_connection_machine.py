"""Whole conversations: one with an initiator that keeps the rules, and one whose bytes are damaged."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from odx_target.iscsi.pdu import framing
from odx_target.iscsi.pdu.headers import (
    LoginResponse,
    LogoutRequest,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    TextRequest,
    decode_header,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.iscsi.pdu.text import encode_pairs
from odx_target.iscsi.session.command_window import is_before
from odx_target.iscsi.session.connection import MAX_PDU_BYTES, TargetConnection
from odx_target.iscsi.session.events import (
    CommandAccepted,
    CommandReady,
    ConnectionEnding,
    SessionClosed,
    SessionOpened,
    TaskManagement,
)
from tests.iscsi.conversation import NORMAL_KEYS, Conversation, Directory, joined
from tests.iscsi.examples import pdus
from tests.settings import searching

MASK = 0xFFFFFFFF


def content(tag: int, size: int) -> bytes:
    return bytes((tag * 31 + i) & 0xFF for i in range(size))


class ConnectionMachine(RuleBasedStateMachine):
    """An initiator that keeps the rules, and a server that answers at random times.

    The model knows the open commands and how they may end. Every PDU that the target sends is checked.
    """

    @initialize(
        first=st.sampled_from([0, 5, 0x7FFFFFFE, 0xFFFFFFF8]),
        immediate=st.sampled_from(["Yes", "No"]),
        initial_r2t=st.sampled_from(["Yes", "No"]),
        outstanding=st.sampled_from(["1", "3"]),
        digest=st.sampled_from(["None", "CRC32C"]),
    )
    def log_in(self, first: int, immediate: str, initial_r2t: str, outstanding: str, digest: str) -> None:
        self.talk = Conversation(cmd_sn=first, exp_stat_sn=first).logged_in(
            ImmediateData=immediate,
            InitialR2T=initial_r2t,
            MaxOutstandingR2T=outstanding,
            HeaderDigest=digest,
            DataDigest=digest,
            MaxBurstLength="2048",
            FirstBurstLength="1024",
            MaxRecvDataSegmentLength="1024",
        )
        self.talk.unread.clear()
        self.parameters = self.talk.connection.session.parameters  # type: ignore[union-attr]
        self.exp_cmd_sn = self.talk.cmd_sn
        self.max_cmd_sn = (self.talk.cmd_sn + 127) & MASK
        self.open: dict[int, ScsiCommand] = {}
        self.with_edge: list[CommandReady] = []
        self.functions: list[TaskManagement] = []
        self.asked: list[ReadyToTransfer] = []
        self.answered: set[int] = set()
        self.aborted: set[int] = set()
        self.arriving: list[CommandReady] = []

    # Actions of the initiator

    @rule(size=st.integers(0, 6000), lun=st.integers(0, 2))
    def read(self, size: int, lun: int) -> None:
        self.start(self.talk.read(size, lun=lun))

    @rule(size=st.integers(0, 6000), part=st.integers(0, 1024), lun=st.integers(0, 2), wait=st.booleans())
    def write(self, size: int, part: int, lun: int, wait: bool) -> None:
        talk = self.talk
        tag = talk.next_tag + 1
        data = content(tag, size)
        unsolicited = min(size, 1024)
        immediate = min(part, unsolicited) if self.parameters.immediate_data else 0
        more = not self.parameters.initial_r2t and immediate < unsolicited and not wait
        command = talk.write(size, data[:immediate], final=not more, lun=lun)
        if more:
            talk.data_out(command, immediate, data[immediate:unsolicited])
        self.start(command)

    def start(self, command: ScsiCommand) -> None:
        self.open[command.initiator_task_tag] = command
        self.take_all()

    @precondition(lambda self: self.asked)
    @rule(segment=st.sampled_from([300, 2048]))
    def answer_r2t(self, segment: int) -> None:
        r2t = self.asked.pop(0)
        command = self.open.get(r2t.initiator_task_tag, ScsiCommand(initiator_task_tag=r2t.initiator_task_tag))
        data = content(r2t.initiator_task_tag, command.expected_data_transfer_length)
        end = r2t.buffer_offset + r2t.desired_data_transfer_length
        for data_sn, at in enumerate(range(r2t.buffer_offset, end, segment)):
            stop = min(at + segment, end)
            self.talk.data_out(
                command, at, data[at:stop], data_sn=data_sn, target_transfer_tag=r2t.target_transfer_tag, final=stop == end
            )
        self.take_all()

    @rule(function=st.sampled_from([2, 5, 6]), lun=st.integers(0, 2), immediate=st.booleans())
    def reset(self, function: int, lun: int, immediate: bool) -> None:
        self.manage(function, lun << 48, NO_TAG, immediate)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), immediate=st.booleans())
    def abort_task(self, data: st.DataObject, immediate: bool) -> None:
        command = data.draw(st.sampled_from(list(self.open.values())))
        self.manage(1, command.lun, command.initiator_task_tag, immediate)

    def manage(self, function: int, lun: int, referenced: int, immediate: bool) -> None:
        if immediate and len(self.functions) >= 16:
            return
        pdu = TaskManagementFunctionRequest(
            immediate=immediate, function=function, lun=lun, initiator_task_tag=self.talk.tag(), referenced_task_tag=referenced
        )
        pdu.cmd_sn = self.talk.cmd_sn if immediate else self.talk.next_cmd_sn()
        self.talk.send(pdu)
        # Commands whose data had not all arrived end at once, so the server may not answer them later.
        for tag, command in list(self.open.items()):
            in_scope = tag == referenced if function == 1 else function == 6 or command.lun == lun
            if in_scope and not self.is_with_edge(tag):
                self.end(tag, self.aborted)
        self.take_all()

    def is_with_edge(self, tag: int) -> bool:
        self.talk.collect()
        waiting = [event for event in self.talk.events if isinstance(event, CommandReady)]
        return any(event.initiator_task_tag == tag and not event.aborted for event in [*self.with_edge, *waiting])

    @rule(immediate=st.booleans(), data=st.binary(max_size=50))
    def ping(self, immediate: bool, data: bytes) -> None:
        pdu = NopOut(immediate=immediate, initiator_task_tag=self.talk.tag())
        pdu.cmd_sn = self.talk.cmd_sn if immediate else self.talk.next_cmd_sn()
        self.talk.send(pdu, data)
        assert [r.data for r in self.talk.unread if isinstance(r.pdu, NopIn)] == [data]
        self.take_all()

    @precondition(lambda self: not self.asked)
    @rule()
    def silence(self) -> None:
        timer = self.talk.connection.next_timer()
        assert timer is not None
        self.talk.connection.handle_timer(timer)
        self.talk.collect()
        self.take_all()
        self.talk.now = timer + 1
        self.ping(immediate=True, data=b"")

    # Actions of the server

    @precondition(lambda self: self.with_edge)
    @rule(data=st.data(), good=st.booleans())
    def reply(self, data: st.DataObject, good: bool) -> None:
        event = data.draw(st.sampled_from(self.with_edge))
        self.with_edge.remove(event)
        size = event.expected_data_transfer_length
        parts = [content(event.initiator_task_tag, size)] if event.reads and good and size else []
        was_aborted = event.aborted
        self.talk.reply(event, 0 if good else 2, parts, size if good else 0, b"" if good else bytes(18))
        if was_aborted:
            assert not self.talk.unread
        self.take_all()

    @precondition(lambda self: self.with_edge)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.with_edge))
        self.with_edge.remove(event)
        if not event.aborted:
            self.end(event.initiator_task_tag, self.aborted)
        self.talk.connection.abandon(event)
        self.talk.collect()
        self.take_all()

    @precondition(lambda self: self.functions)
    @rule(done=st.booleans())
    def answer_function(self, done: bool) -> None:
        function = self.functions.pop(0)
        affected = [event for event in function.affected if not event.aborted and event.initiator_task_tag in self.open]
        self.talk.answer(function, 0 if done else 5)
        for event in affected:
            assert event.aborted == done
            if done:
                self.end(event.initiator_task_tag, self.aborted)
        assert self.talk.unread[-1].pdu.response == (0 if done else 5)  # type: ignore[union-attr]
        self.take_all()

    # Invariants

    def end(self, tag: int, how: set[int]) -> None:
        del self.open[tag]
        assert tag not in self.answered | self.aborted
        how.add(tag)
        self.asked = [r2t for r2t in self.asked if r2t.initiator_task_tag != tag]

    def take_places(self) -> None:
        """Check that commands are accepted once and in the order of CmdSN, and then end or arrive with their data."""
        for place in self.talk.places:
            if isinstance(place, CommandAccepted):
                assert place.command not in self.arriving
                assert all(is_before(other.cmd_sn, place.command.cmd_sn) for other in self.arriving)
                self.arriving.append(place.command)
            else:
                self.arriving.remove(place.command)
        self.talk.places.clear()
        ready = [event for event in self.talk.events if isinstance(event, CommandReady)]
        self.arriving = [command for command in self.arriving if command not in ready]

    def take_all(self) -> None:
        self.take_places()
        for event in self.talk.events:
            if isinstance(event, CommandReady):
                command = self.open[event.initiator_task_tag]
                whole = content(event.initiator_task_tag, command.expected_data_transfer_length)
                assert joined(event) == (whole if event.writes else b"")
                event.data_out = ()
                self.with_edge.append(event)
            else:
                assert isinstance(event, TaskManagement), event
                self.functions.append(event)
        self.talk.events.clear()
        while self.talk.unread:
            self.check(self.talk.take_with_data(Pdu)[0])
        with_edge = {event.initiator_task_tag for event in self.with_edge if not event.aborted}
        assert {command.initiator_task_tag for command in self.arriving} == self.open.keys() - with_edge

    def check(self, pdu: Any) -> None:
        assert not is_before(pdu.exp_cmd_sn, self.exp_cmd_sn)
        assert not is_before(pdu.max_cmd_sn, self.max_cmd_sn)
        assert not is_before((pdu.max_cmd_sn + 1) & MASK, pdu.exp_cmd_sn)
        self.exp_cmd_sn, self.max_cmd_sn = pdu.exp_cmd_sn, pdu.max_cmd_sn
        if isinstance(pdu, ReadyToTransfer):
            assert pdu.initiator_task_tag in self.open
            self.asked.append(pdu)
        elif isinstance(pdu, ScsiDataIn):
            assert self.open[pdu.initiator_task_tag].read
            if pdu.has_status:
                self.end(pdu.initiator_task_tag, self.answered)
        elif isinstance(pdu, ScsiResponse):
            self.end(pdu.initiator_task_tag, self.answered)
        else:
            assert isinstance(pdu, NopIn | TaskManagementFunctionResponse), pdu

    @invariant()
    def is_open(self) -> None:
        if hasattr(self, "talk"):
            assert not self.talk.connection.closed
            assert self.exp_cmd_sn == self.talk.connection.writer.window.exp_cmd_sn or not self.talk.unread

    def teardown(self) -> None:
        if not hasattr(self, "talk"):
            return
        self.talk.connection.connection_lost("end", self.talk.now)
        assert all(event.aborted for event in self.with_edge if event.initiator_task_tag in self.open)
        assert self.talk.connection._full_feature.tasks.active == {}  # type: ignore[union-attr]
        assert self.talk.connection._full_feature._collector.collected_bytes == 0  # type: ignore[union-attr]


ConnectionMachine.TestCase.settings = searching(40, steps=40)
TestHonestInitiator = ConnectionMachine.TestCase


# Damaged bytes


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a conversation that begins with a login, and change some of them."""
    talk = Conversation()
    keys = {**NORMAL_KEYS, "DataDigest": draw(st.sampled_from(["None", "CRC32C"]))}
    raw = bytearray(talk.encode(talk.login_pdu(1, 3), encode_pairs([*talk.names().items(), *keys.items()])))
    talk.data_digest = keys["DataDigest"] == "CRC32C"
    for tag in range(draw(st.integers(1, 8))):
        raw += draw(requests(talk, tag))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at] = draw(st.integers(0, 255))
    return bytes(raw)


@st.composite
def requests(draw: st.DrawFn, talk: Conversation, tag: int) -> bytes:
    data = draw(st.binary(max_size=40))
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return draw(st.binary(max_size=60))
    if kind == 1:
        return talk.encode(draw(pdus()), data)
    cmd_sn = talk.next_cmd_sn()
    known: list[Pdu] = [
        ScsiCommand(read=True, initiator_task_tag=tag, expected_data_transfer_length=len(data), cmd_sn=cmd_sn),
        ScsiCommand(write=True, initiator_task_tag=tag, expected_data_transfer_length=100, cmd_sn=cmd_sn),
        ScsiCommand(write=True, final=False, initiator_task_tag=tag, expected_data_transfer_length=100, cmd_sn=cmd_sn),
        ScsiDataOut(initiator_task_tag=max(0, tag - 1), target_transfer_tag=draw(st.sampled_from([1, 2, NO_TAG]))),
        NopOut(initiator_task_tag=tag, cmd_sn=cmd_sn),
        TextRequest(initiator_task_tag=tag, cmd_sn=cmd_sn),
        TaskManagementFunctionRequest(function=draw(st.integers(0, 9)), initiator_task_tag=tag, cmd_sn=cmd_sn),
        LogoutRequest(initiator_task_tag=tag, cmd_sn=cmd_sn, connection_id=1),
    ]
    return talk.encode(draw(st.sampled_from(known)), data)


class Wire:
    """Reads the bytes that a connection sends. They must be whole PDUs without a gap in StatSN, whatever the connection
    received.
    """

    def __init__(self, connection: TargetConnection) -> None:
        self.connection = connection
        self.reader = framing.FrameReader((1 << 24) - 1)
        self.stat_sn: int | None = None

    def check(self) -> None:
        raw = memoryview(b"".join(self.connection.take_output()))
        at = 0
        while at < len(raw):
            frame = self.reader.cut(raw, at)
            assert frame is not None
            assert frame[3]
            self.check_pdu(decode_header(raw[at : at + 48]))
            at = frame[0]

    def check_pdu(self, pdu: Any) -> None:
        carries = not isinstance(pdu, ReadyToTransfer | ScsiDataIn | NopIn)
        carries |= isinstance(pdu, ScsiDataIn) and pdu.has_status
        carries |= isinstance(pdu, NopIn) and pdu.initiator_task_tag != NO_TAG
        if carries:
            assert self.stat_sn in (None, pdu.stat_sn)
            self.stat_sn = (pdu.stat_sn + 1) & MASK
        if isinstance(pdu, LoginResponse) and pdu.transit and pdu.next_stage == 3:
            assert self.connection.session is not None
            self.reader.header_digest = self.connection.session.parameters.header_digest == "CRC32C"
            self.reader.data_digest = self.connection.session.parameters.data_digest == "CRC32C"


def serve(connection: TargetConnection, chunks: list[bytes], *, answer: bool) -> None:
    """Do the work of the server, with checks: pass on bytes, answer commands, take the output."""
    wire = Wire(connection)
    sessions = 0
    waiting: list[CommandReady] = []
    rest = b""
    for chunk in chunks:
        assert len(rest) < MAX_PDU_BYTES
        rest += chunk
        used = connection.receive(memoryview(rest), 1.0)
        assert 0 <= used <= len(rest)
        rest = rest[used:]
        connection.handle_timer(0.0 if chunk else 1e6)
        events = connection.take_events()
        for event in events:  # answers may lead to further events
            assert not isinstance(event, ConnectionEnding) or event is events[-1]
            sessions += isinstance(event, SessionOpened) - isinstance(event, SessionClosed)
            if isinstance(event, CommandReady):
                waiting.append(event)
                size = event.expected_data_transfer_length
                if answer and size < 1 << 20:
                    connection.send_reply(event, 0, [bytes(size)] if event.reads else [], size, b"")
            elif isinstance(event, TaskManagement):
                connection.send_task_management_response(event, 0)
                events += connection.take_events()
        wire.check()
    assert sessions == (connection.session is not None and not connection.closed and not connection.session.is_discovery)
    connection.connection_lost("end", 2.0)
    connection.take_events()
    for event in waiting:
        connection.send_reply(event, 0, [], 0, b"")
    assert connection.take_output() == []
    assert connection.closed
    assert len(connection._directory.sessions._connections) == 0
    assert connection._directory.sessions.sessions == []


@given(streams(), st.lists(st.integers(0, 300), max_size=12), st.booleans())
@searching(300)
def test_damaged_conversations_never_raise(raw: bytes, sizes: list[int], answer: bool) -> None:
    chunks, at = [], 0
    for size in sizes:
        chunks.append(raw[at : at + size])
        at += size
    serve(TargetConnection(Directory(), 0.0), [*chunks, raw[at:]], answer=answer)


@given(st.lists(st.binary(max_size=200), max_size=6))
@searching(150)
def test_random_bytes_never_raise(chunks: list[bytes]) -> None:
    serve(TargetConnection(Directory(), 0.0), chunks, answer=True)


@given(st.lists(st.tuples(pdus(), st.binary(max_size=30)), max_size=8))
@searching(200)
def test_any_pdus_after_a_login_never_raise(rows: list[tuple[Pdu, bytes]]) -> None:
    talk = Conversation()
    raw = talk.encode(talk.login_pdu(1, 3), encode_pairs([*talk.names().items(), *NORMAL_KEYS.items()]))
    for pdu, data in rows:
        if hasattr(pdu, "cmd_sn") and hasattr(pdu, "immediate"):
            pdu.cmd_sn = talk.cmd_sn if pdu.immediate else talk.next_cmd_sn()
        raw += talk.encode(pdu, data)
    serve(TargetConnection(Directory(), 0.0), [raw], answer=True)
