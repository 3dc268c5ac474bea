"""The native loop of the short lane and the loop in Python do the same with any bytes, and never use bytes outside the view."""

from collections.abc import Iterator, Sequence
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.environment import Buffer
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.iscsi.session.command_window import CommandWindow
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.lane_state import LaneState
from odx_target.iscsi.session.writer import PduWriter
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import PoolFull
from odx_target.target.server.short_lane import ShortLane
from tests.native.built import compiled
from tests.settings import searching

CAPACITY_BLOCKS = 40
BLOCK_BYTES = 512
MAX_TRANSFER_BYTES = 8 * BLOCK_BYTES
ENOUGH_BYTES = 3 * MAX_TRANSFER_BYTES
WAITING_LBA, FULL_LBA, UNUSUAL_LUN = 7, 9, 5
Call = tuple[object, ...]
USUAL_READ = bytes.fromhex(
    "01c00000 00000000 0000000000000000 00000001 00000200 00000005 00000000 88000000000000000003 00000001 0000"
)
"""READ(16) of one block from LBA 3 on, with the task tag 1 and CmdSN 5."""


class Blocks:
    """Logical blocks that note each access. Some cannot be read now, and others fail."""

    block_bytes = BLOCK_BYTES
    volume = SimpleNamespace(native_reads=None)
    native_writes = None

    def __init__(self, calls: list[Call]) -> None:
        self._calls = calls

    def read_now(self, lba: int, count: int) -> list[Buffer] | None:
        self._note(lba, count)
        return None if lba == WAITING_LBA else [bytes([lba]) * BLOCK_BYTES] * count

    def write_now(self, lba: int, data: Sequence[Buffer]) -> bool:
        (part,) = data
        self._note(lba, len(part) // BLOCK_BYTES)
        self._calls.append((bytes(part),))
        return lba != WAITING_LBA

    def _note(self, lba: int, count: int) -> None:
        assert 0 <= lba <= lba + count <= CAPACITY_BLOCKS
        self._calls.append((lba, count))
        if lba == FULL_LBA:
            raise PoolFull("no room")


class LanePool:
    """A pool that notes when it is asked to flush."""

    def __init__(self, calls: list[Call]) -> None:
        self._calls = calls

    def flush_at_commit(self) -> None:
        self._calls.append(("flush",))


class Lane(ShortLane):
    """A short lane without a session behind it, which notes everything that it does."""

    def __init__(self, cmd_sn: int, window_size: int, active: Sequence[int], *, flushes_at_once: bool = True) -> None:
        self.calls: list[Call] = []
        window = CommandWindow(cmd_sn, window_size)
        writer = PduWriter(window)
        writer.stat_sn = 0xFFFFFFFE
        tasks = dict.fromkeys(active, cast(CommandReady, object()))
        self._state = LaneState(window, writer, tasks, [], cast(Parameters, None))
        self._tally = SimpleNamespace(counts=[0, 0, 0], sizes=[0, 0, 0])  # type: ignore[assignment]
        pool = LanePool(self.calls)
        self._unit = SimpleNamespace(
            capacity_blocks=CAPACITY_BLOCKS,
            block_bytes=BLOCK_BYTES,
            blocks=Blocks(self.calls),
            pool=pool,
            flushes_at_once=flushes_at_once,
        )

    def _usual_unit(self, lun_field: int) -> LogicalUnit | None:
        self.calls.append(("unit", lun_field))
        return None if lun_field >> 48 == UNUSUAL_LUN else cast(LogicalUnit, self._unit)

    def _max_read_bytes(self, unit: LogicalUnit) -> int:
        assert cast(object, unit) is self._unit
        return MAX_TRANSFER_BYTES

    def _max_write_bytes(self, unit: LogicalUnit) -> int:
        assert cast(object, unit) is self._unit
        return MAX_TRANSFER_BYTES - BLOCK_BYTES

    def _end_failed(self, pdu: memoryview, unit: LogicalUnit, error: Exception) -> None:
        assert cast(object, unit) is self._unit
        self.calls.append(("failed", bytes(pdu), str(error)))

    @property
    def outcome(self) -> object:
        window, writer = self._state.window, self._state.writer
        numbers = window.exp_cmd_sn, window.max_cmd_sn, writer.stat_sn
        return numbers, list(map(bytes, writer.output)), self._tally.counts, self._tally.sizes, self.calls


def assert_same(received: bytes, at: int, cmd_sn: int, window_size: int = 8, active: Sequence[int] = ()) -> int:
    """Run both loops on the same bytes, and return the position at which they end."""
    flushes_at_once = bool(window_size % 2)
    native, python = (Lane(cmd_sn, window_size, active, flushes_at_once=flushes_at_once) for _ in range(2))
    ends = compiled.execute_usual(native, memoryview(received), at, ENOUGH_BYTES)
    assert ends == ShortLane.execute_usual(python, memoryview(received), at, ENOUGH_BYTES)
    assert native.outcome == python.outcome
    return int(ends[0])


def command(random: Random, cmd_sn: int) -> bytes:
    """Return a READ or WRITE that is usual or differs from a usual command in few bits, with the data of a write."""
    code, lba, count = random.choice((0x28, 0x2A, 0x88, 0x8A)), random.randrange(CAPACITY_BLOCKS), random.randrange(10)
    writes = code & 2 != 0
    cdb = bytes([code, 0]) + (
        lba.to_bytes(8) + count.to_bytes(4) if code >= 0x80 else lba.to_bytes(4) + b"\0" + count.to_bytes(2) + bytes(7)
    )
    size_bytes = count * BLOCK_BYTES
    header = bytearray(bytes([1, 0xA0 if writes else 0xC0, 0, 0]) + (size_bytes if writes else 0).to_bytes(4))
    header += bytes(8) + random.randrange(8).to_bytes(4) + size_bytes.to_bytes(4) + cmd_sn.to_bytes(4) + bytes(4)
    header += cdb.ljust(16, b"\0")
    if random.random() < 0.2:
        header[33] |= 0x08  # FUA
    if random.random() < 0.3:
        header[random.randrange(48)] ^= 1 << random.randrange(8)
    if random.random() < 0.05:
        at = random.randrange(45)
        header[at : at + 4] = random.choice((b"\xff\xff\xff\xff", bytes(4), random.randbytes(4)))
    return bytes(header) + (random.randbytes(size_bytes) if writes else b"")


def batches(random: Random) -> Iterator[tuple[bytes, int]]:
    """Yield batches of commands with their first CmdSN. Most batches end within a PDU."""
    while True:
        first = random.choice((0, 5, 0xFFFFFFFE, 0x7FFFFFFF))
        received = b"".join(command(random, first + index & 0xFFFFFFFF) for index in range(random.randrange(1, 7)))
        yield received[: random.randrange(len(received) + 1)] if random.random() < 0.5 else received, first


@searching(40)
@given(st.integers(0, 1 << 64))
def test_both_loops_do_the_same_with_commands(seed: int) -> None:
    random = Random(seed)
    found = batches(random)
    for _ in range(100):
        received, cmd_sn = next(found)
        active = random.sample(range(8), random.choice((0, 0, 1, 3)))
        assert_same(received, 0, cmd_sn, random.randrange(1, 9), active)


@searching(200)
@given(st.binary(max_size=200), st.integers(0, 210), st.sampled_from([0x28, 0x2A, 0x88, 0x8A]))
def test_both_loops_do_the_same_with_any_bytes(received: bytes, at: int, code: int) -> None:
    changed = bytearray(received)
    at = min(at, len(received))
    if len(received) - at > 32:
        changed[at + 32] = code
    assert_same(bytes(changed), at, int.from_bytes(changed[at + 24 : at + 28]))


def test_usual_commands_are_executed() -> None:
    read = USUAL_READ
    assert assert_same(read, 0, 5) == len(read)
    assert assert_same(read, 0, 6) == 0
    assert assert_same(b"x" + read, 1, 5) == 1 + len(read)
    assert assert_same(read, 0, 5, active=[1]) == 0
    assert assert_same(read[:16] + NO_TAG.to_bytes(4) + read[20:], 0, 5) == 0


@pytest.mark.parametrize("flushes_at_once", [False, True])
@pytest.mark.parametrize("code", [0x2A, 0x8A])
def test_writes_with_fua_are_executed_if_the_pool_flushes_at_once(code: int, flushes_at_once: bool) -> None:
    cdb = bytes([code, 8, 0, 0, 0, 3, 0, 0, 1] if code == 0x2A else [code, 8, *bytes(7), 3, 0, 0, 0, 1]).ljust(16, b"\0")
    header = bytes.fromhex("01a00000 00000200 0000000000000000 00000001 00000200 00000005 00000000") + cdb
    for execute in (compiled.execute_usual, ShortLane.execute_usual):
        lane = Lane(5, 8, (), flushes_at_once=flushes_at_once)
        end, _ = execute(lane, memoryview(header + bytes(512)), 0, ENOUGH_BYTES)
        assert end == (560 if flushes_at_once else 0)
        assert lane.calls[1:] == ([(3, 1), (bytes(512),), ("flush",)] if flushes_at_once else [])


@pytest.mark.parametrize("at", [-1, 49, 1 << 70])
def test_a_position_outside_the_view(at: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        compiled.execute_usual(Lane(0, 8, ()), memoryview(bytes(48)), at, ENOUGH_BYTES)


def test_an_exception_that_ends_the_process_is_not_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    lane = Lane(5, 8, ())
    monkeypatch.setattr(Blocks, "read_now", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compiled.execute_usual(lane, memoryview(USUAL_READ), 0, ENOUGH_BYTES)
    assert not lane._state.writer.output
