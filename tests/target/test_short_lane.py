"""The short lane executes usual reads and writes, leaves all other commands to the general way, and gives the same replies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import NoReturn, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from odx_target.iscsi.pdu.header import HAS_STATUS, encode_lun
from odx_target.iscsi.pdu.headers import ScsiCommand, TextRequest
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode, RejectReason, TaskManagementFunction
from odx_target.iscsi.session.events import CommandReady, PduRejected
from odx_target.native.choice import NATIVE
from odx_target.scsi.tasks.task import Task
from odx_target.store.api import DamagedBlock, PoolFull
from odx_target.target.server import receive_loop, send_queue, short_lane
from tests.settings import searching
from tests.target.lane_sides import CAPACITY_BYTES, CONFIG, Side, pdus, side, sides
from tests.target.raw_peer import logged_in
from tests.target.running import running


@pytest.fixture(scope="module", params=["Python", "native"], autouse=True)
def _loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run all tests of this module with the loop in Python, and with the native loop if it was built."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "Python":
            patch.setattr(short_lane, "NATIVE", None)
            patch.setattr(receive_loop, "NATIVE", None)
        elif NATIVE is None:
            pytest.skip("the native module was not built")
        yield


BLOCK_BYTES = {0: 512, 1: 4096}
READ_6, WRITE_6, READ_10, WRITE_10, READ_12, WRITE_12, READ_16, WRITE_16 = 8, 10, 0x28, 0x2A, 0xA8, 0xAA, 0x88, 0x8A


def transfer(operation_code: int, lba: int, count: int) -> bytes:
    """Return the CDB of a READ or WRITE of any length."""
    if operation_code < 0x20:
        return bytes([operation_code]) + lba.to_bytes(3) + bytes([count, 0])
    if operation_code < 0x80:
        return bytes([operation_code, 0]) + lba.to_bytes(4) + b"\0" + count.to_bytes(2)
    return bytes([operation_code, 0]) + lba.to_bytes(4 if operation_code >= 0xA0 else 8) + count.to_bytes(4)


Change = Callable[[ScsiCommand], None]


def _cdb_byte(index: int, value: int) -> Change:
    def change(command: ScsiCommand) -> None:
        cdb = bytearray(command.cdb)
        cdb[index] |= value
        command.cdb = bytes(cdb)

    return change


def _field(**fields: object) -> Change:
    def change(command: ScsiCommand) -> None:
        for name, value in fields.items():
            setattr(command, name, value)

    return change


def _expects(more_bytes: int) -> Change:
    def change(command: ScsiCommand) -> None:
        command.expected_data_transfer_length = max(0, command.expected_data_transfer_length + more_bytes)

    return change


CHANGES: dict[str, Change] = {
    # unusual property of a command: the change that gives it to a READ(16) or WRITE(16)
    "DPO": _cdb_byte(1, 0x10),
    "protection information": _cdb_byte(1, 0x20),
    "reserved bit of byte 1": _cdb_byte(1, 0x01),
    "group number": _cdb_byte(14, 0x01),
    "reserved bit of the group number": _cdb_byte(14, 0x40),
    "NACA": _cdb_byte(15, 0x04),
    "LBA beyond the capacity": _cdb_byte(5, 0x01),
    "LBA beyond 2^63": _cdb_byte(2, 0x80),
    "immediate": _field(immediate=True),
    "ordered": _field(attribute=2),
    "head of queue": _field(attribute=3),
    "ACA": _field(attribute=4),
    "no such attribute": _field(attribute=7),
    "no such logical unit": _field(lun=encode_lun(9)),
    "LUN of two levels": _field(lun=1),
    "no tag": _field(initiator_task_tag=NO_TAG),
    "expected length of 0": _expects(-CAPACITY_BYTES),
    "longer expected length": _expects(512),
    "shorter expected length": _expects(-512),
    "both directions": _field(read=True, write=True),
    "no direction": _field(read=False, write=False),
}
"""Each of these commands differs from a usual command, so it goes the general way."""

ORDINARY: dict[str, Change] = {
    "simple": _field(attribute=1),
    "untagged": _field(attribute=0),
    "LUN by flat space addressing": lambda command: setattr(command, "lun", command.lun | 0x4000 << 48),
}
"""The lane executes all these commands."""


@dataclass(frozen=True)
class Planned:
    """A READ or WRITE with at most one unusual property."""

    operation_code: int
    lun: int
    lba: int
    count: int
    change: str = "simple"

    def encode(self, on: Side) -> bytes:
        peer = on.peer
        size_bytes = self.count * BLOCK_BYTES[self.lun]
        cdb = transfer(self.operation_code, self.lba, self.count)
        writes = self.operation_code & 2 != 0
        make = peer.write if writes else peer.read
        command = make(cdb, size_bytes, lun=self.lun)
        data = Random(f"{command.cmd_sn} {self.lba}").randbytes(size_bytes) if writes else b""
        sent_sn = command.cmd_sn
        (CHANGES | ORDINARY)[self.change](command)
        if command.immediate:
            peer.cmd_sn = sent_sn
        return peer.encode(command, data)


def other(on: Side, name: str) -> bytes:
    """Encode a command that is neither a READ nor a WRITE."""
    peer = on.peer
    if name == "LOGICAL UNIT RESET":
        return peer.encode(peer.manage(TaskManagementFunction.LOGICAL_UNIT_RESET))
    if name == "missing command":
        peer.next_cmd_sn()
        return b""
    cdb = {"TEST UNIT READY": bytes(6), "stop": b"\x1b\0\0\0\0\0", "start": b"\x1b\0\0\0\1\0"}[name]
    return peer.encode(peer.command(cdb))


OTHERS = ("TEST UNIT READY", "LOGICAL UNIT RESET", "missing command")
WAITING = ("stop", "start")
"""Commands that wait. Each of them is sent in a batch of its own, because two waiting commands may end in any order."""

planned = st.builds(
    Planned,
    st.sampled_from([READ_10, WRITE_10, READ_16, WRITE_16, READ_16, WRITE_16, READ_6, WRITE_6, READ_12, WRITE_12]),
    st.sampled_from([0, 0, 1]),
    st.integers(0, 64) | st.integers(480, 520),
    st.integers(0, 24),
    st.sampled_from(list(ORDINARY)),
)
unusual = st.builds(
    Planned,
    st.sampled_from([READ_16, WRITE_16]),
    st.sampled_from([0, 1]),
    st.integers(0, 40),
    st.integers(0, 24),
    st.sampled_from(list(CHANGES)),
)
batches_of_commands = st.lists(
    st.lists(planned | planned | planned | unusual | st.sampled_from(OTHERS), min_size=1, max_size=6)
    | st.sampled_from(WAITING).map(lambda name: [name]),
    max_size=12,
)


DIGESTS = tuple({"HeaderDigest": header, "DataDigest": data} for header in ("None", "CRC32C") for data in ("None", "CRC32C"))


@searching(60)
@given(batches_of_commands, st.sampled_from(DIGESTS), st.randoms(use_true_random=False), st.booleans())
def test_both_ways_give_the_same_replies(
    batches: list[list[Planned | str]], digests: dict[str, str], random: Random, has_socket: bool
) -> None:
    """If `has_socket` is True, the hub serves the connection with the short lane."""

    async def compare() -> None:
        async with sides(digests, has_socket=has_socket) as (short, general):
            feed = short.exchange if has_socket else short.feed
            for batch in batches:
                short_bytes, general_bytes = (
                    b"".join(each.encode(on) if isinstance(each, Planned) else other(on, each) for each in batch)
                    for on in (short, general)
                )
                assert short_bytes == general_bytes
                cut = random.randrange(len(short_bytes) + 1)
                waits = batch[0] in WAITING
                answers = await feed(short_bytes[:cut], short_bytes[cut:], waits=waits)
                wanted = await general.feed(general_bytes[:cut], general_bytes[cut:], waits=waits)
                assert comparable(answers, len(batch)) == comparable(wanted, len(batch))
                assert short.is_closed == general.is_closed
                if short.is_closed:
                    break
                assert short.lane._state.window.exp_cmd_sn == general.lane._state.window.exp_cmd_sn
            assert short.content == general.content
            assert short.counted == general.counted

    trio.run(compare)


def comparable(answers: list[tuple[bytes, bytes]], count_commands: int) -> list[tuple[bytes, bytes]]:
    """Return the answers to a batch of commands in a form that both ways have in common.

    The answers to one command are equal. In a larger batch, the general way first counts all commands and refuses those with
    wrong data, and then executes the others. So the order of the answers may differ, and with it StatSN, ExpCmdSN and MaxCmdSN.
    """
    if count_commands == 1:
        return answers
    numbers = [int.from_bytes(header[24:28]) for header, _ in answers if has_status(header)]
    assert numbers == [numbers[0] + index for index in range(len(numbers))]
    return sorted((header[:24] + header[36:], data) for header, data in answers)


def has_status(header: bytes) -> bool:
    """True if a PDU uses up a StatSN."""
    return header[0] != Opcode.READY_TO_TRANSFER and (header[0] != Opcode.SCSI_DATA_IN or header[1] & HAS_STATUS != 0)


def run_lane(on: Side, commands: bytes) -> int:
    """Run the lane, and return the number of bytes of the executed commands."""
    return on.lane.run(memoryview(commands))


TRANSFERS = (READ_10, WRITE_10, READ_16, WRITE_16)


@pytest.mark.parametrize("change", ORDINARY)
@pytest.mark.parametrize("lun", BLOCK_BYTES)
@pytest.mark.parametrize("operation_code", TRANSFERS)
async def test_the_lane_executes_usual_commands(operation_code: int, lun: int, change: str) -> None:
    async with side() as on:
        command = Planned(operation_code, lun, 3, 5, change).encode(on)
        assert run_lane(on, command) == len(command)
        assert len(pdus(b"".join(on.lane._state.writer.output), on.peer)) == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("operation_code", [READ_16, WRITE_16])
async def test_the_lane_leaves_a_command_with_an_unusual_property(operation_code: int, change: str) -> None:
    async with side() as on:
        await is_left(on, Planned(operation_code, 1, 3, 5, change).encode(on))


@pytest.mark.parametrize("operation_code", [READ_6, WRITE_6, READ_12, WRITE_12])
async def test_the_lane_leaves_transfers_of_other_lengths(operation_code: int) -> None:
    async with side() as on:
        await is_left(on, Planned(operation_code, 0, 3, 5).encode(on))


async def is_left(on: Side, commands: bytes) -> None:
    window, writer = on.lane._state.window, on.lane._state.writer
    before = window.exp_cmd_sn, window.max_cmd_sn, writer.stat_sn, on.content
    assert run_lane(on, commands) == 0
    assert (window.exp_cmd_sn, window.max_cmd_sn, writer.stat_sn, on.content) == before
    assert not writer.output


def _pending_attention(on: Side) -> None:
    on.lane._nexus.establish_unit_attention(0, 0x2A, 0x09)


def _observer(on: Side) -> None:
    on.lane._device_server.before_command = lambda _task: None


def _changer_of_replies(on: Side) -> None:
    on.lane._device_server.after_command = lambda _task, reply: reply


def _stopped(on: Side) -> None:
    on.array.logical_units[0].stopped = True


def _reserved(on: Side) -> None:
    on.array.logical_units[0].is_reserved = True


def _other_task(on: Side) -> None:
    unit = on.array.logical_units[0]
    unit.tasks.join(Task(on.lane._nexus, unit, bytes(16)), (), is_ordered=True)


def _held_command(on: Side) -> None:
    later = on.peer.command(bytes(6))
    later.cmd_sn += 1
    on.put(on.peer.encode(later))
    on.peer.cmd_sn -= 1


def _closed_window(on: Side) -> None:
    window = on.lane._state.window
    window.max_cmd_sn = window.exp_cmd_sn - 1


def _event(on: Side) -> None:
    on.lane._state.events.append(PduRejected(RejectReason.PROTOCOL_ERROR, "not handled yet"))


def _unread_answers(on: Side) -> None:
    on.lane._state.writer.takes_more = False


CIRCUMSTANCES = (
    _pending_attention,
    _observer,
    _changer_of_replies,
    _stopped,
    _reserved,
    _other_task,
    _held_command,
    _closed_window,
    _event,
    _unread_answers,
)


@pytest.mark.parametrize("arrange", CIRCUMSTANCES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("operation_code", [READ_16, WRITE_16])
async def test_the_lane_executes_nothing_in_unusual_circumstances(operation_code: int, arrange: Callable[[Side], None]) -> None:
    async with side() as on:
        arrange(on)
        await is_left(on, Planned(operation_code, 0, 3, 5).encode(on))


async def test_room_for_unit_attentions_is_no_unit_attention() -> None:
    async with side() as on:
        on.lane._nexus.reserve_unit_attentions()
        command = Planned(READ_16, 0, 3, 5).encode(on)
        assert run_lane(on, command) == len(command)


@pytest.mark.parametrize("attribute", ["write_protected", "write_cache_enabled"])
async def test_a_write_that_is_refused_or_must_be_durable_is_left(attribute: str) -> None:
    async with side() as on:
        unit = on.array.logical_units[0]
        setattr(unit, attribute, not getattr(unit, attribute))
        command = Planned(READ_16, 0, 3, 5).encode(on)
        assert run_lane(on, command) == len(command)
        on.output.take()
        on.server._protocol.take_output()
        await is_left(on, Planned(WRITE_16, 0, 3, 5).encode(on))


async def test_a_write_to_a_lun_that_the_nexus_can_only_read_is_left() -> None:
    async with side() as on:
        for luns, code in (({1}, WRITE_16), ({0}, READ_16)):
            on.lane._nexus.read_only_luns = luns
            command = Planned(code, 0, 3, 5).encode(on)
            assert run_lane(on, command) == len(command)
        on.output.take()
        on.server._protocol.take_output()
        await is_left(on, Planned(WRITE_16, 0, 3, 5).encode(on))


@pytest.mark.parametrize("digests", DIGESTS[1:], ids=str)
@pytest.mark.parametrize("lun", BLOCK_BYTES)
@pytest.mark.parametrize("operation_code", TRANSFERS)
async def test_the_lane_checks_and_sends_digests(operation_code: int, lun: int, digests: dict[str, str]) -> None:
    async with side(keys=digests) as on:
        commands = b"".join(Planned(operation_code, lun, lba, 5).encode(on) for lba in (3, 9))
        assert run_lane(on, commands) == len(commands)
        assert len(pdus(b"".join(on.lane._state.writer.output), on.peer)) == 2


@pytest.mark.parametrize("digests", DIGESTS[1:], ids=str)
@pytest.mark.parametrize("operation_code", [READ_16, WRITE_16])
async def test_both_ways_refuse_a_pdu_with_a_wrong_digest(operation_code: int, digests: dict[str, str]) -> None:
    for at in (0, 9, 20, 47, -5, -4, -1):
        async with sides(digests) as (short, general):
            outcomes = []
            for on in (short, general):
                damaged = bytearray(Planned(operation_code, 0, 3, 5).encode(on))
                damaged[at] ^= 0x10
                outcomes.append((await on.feed(bytes(damaged)), on.is_closed, on.content))
            assert outcomes[0] == outcomes[1]


async def test_no_write_is_executed_without_immediate_data() -> None:
    async with running(CONFIG) as array, logged_in(array, keys={"ImmediateData": "No"}) as peer:
        on = Side(array, peer, with_lane=True)
        await is_left(on, Planned(WRITE_16, 0, 3, 5).encode(on))


async def test_only_what_fits_into_one_pdu_is_executed() -> None:
    keys = {"MaxRecvDataSegmentLength": "4096", "FirstBurstLength": "4096"}
    async with running(CONFIG) as array, logged_in(array, keys=keys) as peer:
        on = Side(array, peer, with_lane=True)
        for operation_code in (READ_16, WRITE_16):
            fitting = Planned(operation_code, 0, 3, 8).encode(on)
            assert run_lane(on, fitting) == len(fitting)
            on.server._protocol.take_output()
            await is_left(on, Planned(operation_code, 0, 3, 9).encode(on))
            on.peer.cmd_sn -= 1


async def test_a_limit_that_the_initiator_changes_during_the_session_is_respected() -> None:
    async with side() as on:
        request = TextRequest(initiator_task_tag=on.peer.tag(), cmd_sn=on.peer.next_cmd_sn())
        await on.feed(on.peer.encode(request, b"MaxRecvDataSegmentLength=4096\0"))
        fitting = Planned(READ_16, 0, 3, 8).encode(on)
        assert run_lane(on, fitting) == len(fitting)
        on.server._protocol.take_output()
        await is_left(on, Planned(READ_16, 0, 3, 9).encode(on))


@pytest.mark.parametrize("operation_code", [READ_16, WRITE_16])
async def test_an_incomplete_pdu_is_left(operation_code: int) -> None:
    async with side() as on:
        command = Planned(operation_code, 0, 3, 5).encode(on)
        for length in (0, 1, 47, len(command) - 1):
            await is_left(on, command[:length])


async def test_commands_of_several_logical_units_are_executed_at_once() -> None:
    async with side() as on:
        commands = b"".join(Planned(WRITE_16, number % 2, 3, 5).encode(on) for number in range(6))
        assert run_lane(on, commands) == len(commands)
        assert on.counted == ([0, 6, 2], [0, 3 * 5 * (512 + 4096), 0])


async def test_a_tag_that_is_in_use_is_left() -> None:
    async with side() as on:
        command = on.peer.read(transfer(READ_16, 0, 1), 512)
        on.lane._state.active[command.initiator_task_tag] = cast(CommandReady, object())
        await is_left(on, on.peer.encode(command))
        on.lane._state.active.clear()


FAILURES = {
    "damaged": DamagedBlock(0),
    "full": PoolFull("no room"),
    "no memory": MemoryError(),
    "fault of the array": RuntimeError("wrong"),
}


@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("operation_code", [READ_16, WRITE_16])
async def test_a_failing_command_is_executed_once_and_gets_the_usual_reply(operation_code: int, error: Exception) -> None:
    answers, counts, attempts = [], [], 0

    def fail(*_arguments: object) -> NoReturn:
        nonlocal attempts
        attempts += 1
        raise error

    async with sides() as both:
        for on in both:
            blocks = on.array.logical_units[0].blocks
            blocks.read_now = blocks.write_now = fail  # type: ignore[assignment, method-assign]
            before = Planned(READ_16, 1, 3, 5).encode(on)
            failing = Planned(operation_code, 0, 3, 5).encode(on)
            after = Planned(READ_16, 1, 3, 5).encode(on)
            answers.append(comparable(await on.feed(before + failing + after), 3))
            counts.append(on.counted)
            assert not on.lane._state.active
    assert answers[0] == answers[1]
    assert len(answers[0]) == 3
    assert counts[0] == counts[1]
    assert attempts == 2


async def test_the_lane_pauses_while_too_much_read_data_is_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_queue, "MAX_UNSENT_BYTES", CAPACITY_BYTES)
    async with side() as on:
        on.output.accepts = False
        count = 5 * short_lane.EARLY_SEND_BYTES // CAPACITY_BYTES
        commands = b"".join(Planned(READ_16, 1, 0, CAPACITY_BYTES // 4096).encode(on) for _ in range(count))
        assert run_lane(on, commands) == 2 * len(commands) // count
        assert on.lane.is_paused


async def test_a_paused_connection_executes_the_remaining_commands_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_queue, "MAX_UNSENT_BYTES", CAPACITY_BYTES)
    async with side() as on:
        on.output.accepts = False
        answers = await on.feed(b"".join(Planned(READ_16, 1, 0, CAPACITY_BYTES // 4096).encode(on) for _ in range(9)))
        assert len(answers) == 9
