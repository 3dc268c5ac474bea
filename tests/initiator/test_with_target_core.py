"""The initiator against the array's own protocol core: first byte to byte without a loop, then as sessions on memory streams.

The core uses naive disks, so that only iSCSI is tested.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.environment import Buffer
from odx_target.initiator.copying.copy_job import CopyJob, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.disk import Disk
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.connection import InitiatorConnection
from odx_target.initiator.session.connection_events import Finished
from odx_target.initiator.session.login import Login
from odx_target.initiator.session.opening import discover, open_session
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import Portal as Address
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.iscsi.session.connection import TargetConnection
from odx_target.iscsi.session.directory_interface import Portal
from odx_target.iscsi.session.events import CommandReady, TaskManagement
from odx_target.iscsi.session.session_registry import SessionRegistry
from tests.initiator.driving import run
from tests.initiator.naive_portal import OPTIONS, TARGET
from tests.initiator.naive_target import Array, NaiveDisk

ADDRESS = Address("192.0.2.1")
BLOCKS = 1024
SIZE_BYTES = BLOCKS * 512


@dataclass
class Directory:
    sessions: SessionRegistry = field(default_factory=SessionRegistry)
    portal: str = "192.0.2.1:3260"

    def target_names(self, initiator_name: str) -> Sequence[str]:
        return [TARGET]

    def portals(self, target_name: str) -> Sequence[Portal]:
        return [Portal("192.0.2.1:3260")]

    def is_offline(self, target_name: str, portal_group_tag: int) -> bool:
        return False

    def redirection(self, initiator_name: str, target_name: str) -> None:
        return None

    def authenticator(self, initiator_name: str, target_name: str) -> Any:
        return None


@dataclass
class Target:
    """The core and its disks. It answers every command at once."""

    disks: Sequence[NaiveDisk]
    directory: Directory = field(default_factory=Directory)
    core: TargetConnection = field(init=False)

    def __post_init__(self) -> None:
        self.core = TargetConnection(self.directory, 0.0)

    def feed(self, data: bytes) -> int:
        taken = self.core.receive(memoryview(data), 0.0)
        for event in self.core.take_events():
            if isinstance(event, CommandReady):
                self.answer(event)
            elif isinstance(event, TaskManagement):
                self.core.send_task_management_response(event, 0)
        return taken

    def answer(self, command: CommandReady) -> None:
        disk = self.disks[command.lun]
        expected = 1 << 24 if command.reads else 0
        result = run(disk.execute(command.cdb, command.data_out, expected))
        data_in = [result.data_in] if len(result.data_in) else []
        moved = len(result.data_in) or sum(len(part) for part in command.data_out)
        self.core.send_reply(command, result.status, data_in, moved, result.sense)


def disks() -> list[NaiveDisk]:
    array = Array()
    content = bytearray(random.Random(5).randbytes(SIZE_BYTES))
    return [NaiveDisk(array, content), NaiveDisk(array, bytearray(SIZE_BYTES))]


@dataclass
class Wire:
    """One direction of a connection. `data` was sent and not taken yet. Its first `arrived` bytes have arrived."""

    pieces: random.Random
    data: bytes = b""
    arrived: int = 0

    def carry(self, sent: Sequence[Buffer], receive: Callable[[bytes], int]) -> None:
        """Give the receiver all bytes that have arrived, after a random number of further bytes has arrived, at least one."""
        self.data += b"".join(sent)
        self.arrived = self.pieces.randint(min(self.arrived + 1, len(self.data)), len(self.data))
        taken = receive(self.data[: self.arrived])
        self.data = self.data[taken:]
        self.arrived -= taken


def exchange(connection: InitiatorConnection, target: Target, pieces: random.Random) -> dict[int, Any]:
    """Carry bytes both ways, in random pieces, until neither end has more to send. Returns the outcomes."""
    outcomes: dict[int, Any] = {}
    to_target, to_initiator = Wire(pieces), Wire(pieces)
    while True:
        to_target.carry(connection.take_output(), target.feed)
        to_initiator.carry(target.core.take_output(), lambda data: connection.receive(memoryview(data)))
        events = [event for event in connection.events if isinstance(event, Finished)]
        outcomes |= {event.initiator_task_tag: event.outcome for event in events}
        connection.events.clear()
        if not (to_target.data or to_initiator.data or connection.has_output):
            return outcomes


sizes = st.sampled_from([512, 8192, 65536, 262144])
wishes = st.builds(
    SessionOptions,
    isid=st.just(OPTIONS.isid),
    header_digest=st.booleans(),
    data_digest=st.booleans(),
    immediate_data=st.booleans(),
    initial_r2t=st.booleans(),
    max_recv_data_segment_bytes=sizes,
    max_burst_bytes=sizes,
    first_burst_bytes=sizes,
)


@settings(max_examples=200, deadline=None)
@given(
    wishes,
    st.integers(0, 2**32),
    st.lists(st.tuples(st.booleans(), st.integers(0, BLOCKS - 1), st.integers(1, 300)), max_size=6),
)
def test_reads_and_writes_arrive_whatever_was_agreed(
    options: SessionOptions, seed: int, requests: list[tuple[bool, int, int]]
) -> None:
    chance = random.Random(seed)
    target = Target(disks())
    disk = target.disks[1]
    connection = InitiatorConnection(Login(options, TARGET))
    tag = connection.log_in()
    assert exchange(connection, target, chance) == {tag: None}
    model, expected = bytearray(SIZE_BYTES), {}
    for writes, lba, wanted in requests:
        count = min(wanted, BLOCKS - lba)
        where = slice(lba * 512, (lba + count) * 512)
        if writes:
            assert exchange(connection, target, chance) == expected
            expected = {}
            model[where] = data = chance.randbytes(count * 512)
            tag = connection.command(1, bytes([0x8A, 0]) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2), data)
            expected[tag] = CommandResult(0)
        else:
            cdb = bytes([0x88, 0]) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2)
            tag = connection.command(1, cdb, data_in_bytes=count * 512 + 512)
            expected[tag] = CommandResult(0, bytes(model[where]), b"", 512)
        if writes or chance.random() < 0.5:  # SIMPLE tasks have no order, so only reads may be under way together
            assert exchange(connection, target, chance) == expected
            expected = {}
    assert exchange(connection, target, chance) == expected
    assert disk.data == model


async def serve(target: Target, stream: trio.abc.Stream) -> None:
    async with stream:
        rest = b""
        while not target.core.closed and (received := await stream.receive_some()):
            data = rest + received
            rest = data[target.feed(data) :]
            for buffer in target.core.take_output():
                await stream.send_all(buffer)


async def test_a_whole_copy_between_two_sessions() -> None:
    both = disks()
    directory = Directory()
    async with trio.open_nursery() as nursery:

        async def connect(address: Address) -> trio.abc.Stream:
            near, far = trio.testing.memory_stream_pair()
            nursery.start_soon(serve, Target(both, directory), far)
            return near

        assert [target.name for target in await discover(ADDRESS, OPTIONS, connect)] == [TARGET]
        other = replace(OPTIONS, isid=b"\x80\x00\x00\x00\x00\x09", header_digest=True, data_digest=True)
        async with (
            open_session(ADDRESS, TARGET, OPTIONS, connect) as first,
            open_session(ADDRESS, TARGET, other, connect) as second,
        ):
            assert second.parameters.header_digest == "CRC32C"
            assert await second.ping(b"abc") == b"abc"
            assert await second.task_management(TaskManagementFunction.LOGICAL_UNIT_RESET, 0) == 0
            source = await Disk.probe(first.logical_unit(0), trio.sleep, "source")
            destination = await Disk.probe(second.logical_unit(1), trio.sleep, "destination")
            plan = plan_copy(source, destination)
            for method in (Method.ODX, Method.HOST):
                both[1].data[:] = bytes(SIZE_BYTES)
                job = CopyJob(source, destination, plan, run_together, lambda count, offloaded: None, ListIdentifiers())
                report = await job.run(method)
                assert both[1].data == both[0].data
                assert (report.offloaded_bytes > 0) == (method is Method.ODX)
        nursery.cancel_scope.cancel()
    assert directory.sessions.sessions == []  # both logged out
