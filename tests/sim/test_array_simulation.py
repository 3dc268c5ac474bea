"""Tests a whole array with several hosts that read, write, compare, unmap, flush, copy by token, reset and reconnect at once.

The data of each read is compared with the data that is possible at that time. All parts are real except the disk: sockets, the
initiator, the protocol, the device server, the copy manager, and the store in memory. Random blocks act as if they were not in
the page cache, so that every command may have to wait. A seed repeats the plan of a run, but not the order of its tasks.
"""

import math
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.errors import CommandTimedOut, ConnectionLost, LoginFailed
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.store.volumes.volume import LogFrozenMap, LogVolume
from odx_target.target.array import Array
from tests.sim.concurrent_bytes import Change, ConcurrentBytes
from tests.target.running import OPTIONS, running, session_with

CELL_BYTES = 512
COUNT_CELLS = 128
BLOCK_CELLS = {0: 1, 1: 8}
HOSTS = 4
WORKERS = 3
SESSIONS = 3
OPERATIONS = 25
TIMEOUT_S = 2.0
RRTI_BYTES = 1024
COLD_ONE_IN = 4
TURNS_A_READ_TAKES = [0, 1, 2, 3, 30, 100]
SEEDS = range(math.ceil(16 * float(os.environ.get("ODX_TEST_STEPS", "1"))))

UNIT_ATTENTION = 6
MISCOMPARED = (0x89, 0xE)
"""Operation code of COMPARE AND WRITE, and sense key MISCOMPARE."""
ZEROS = bytes(8)
LUN_FUNCTIONS = [
    TaskManagementFunction.ABORT_TASK_SET,
    TaskManagementFunction.CLEAR_TASK_SET,
    TaskManagementFunction.LOGICAL_UNIT_RESET,
]
OPTIONS_OF_HOSTS = [
    OPTIONS,
    replace(OPTIONS, immediate_data=False, initial_r2t=True),
    replace(OPTIONS, header_digest=True, data_digest=True),
    replace(OPTIONS, max_recv_data_segment_bytes=1024, max_burst_bytes=2048, first_burst_bytes=1024),
]


@pytest.fixture
def impatient_clock() -> MockClock:
    """A clock that jumps ahead if nothing happens for a moment, so that a wait for a missing response takes no time."""
    return MockClock(autojump_threshold=0.01)


def make_cold(monkeypatch: pytest.MonkeyPatch, random: Random) -> None:
    """Make random reads of the store act as if the data had to come from a disk."""
    for kind in (LogVolume, LogFrozenMap):
        read_now, read = kind.read_now, kind.read

        def flaky(self: Any, block: int, count: int, read_now: Callable[..., Any] = read_now) -> Any:
            return None if random.randrange(COLD_ONE_IN) == 0 else read_now(self, block, count)

        def slow(self: Any, block: int, count: int, read: Callable[..., Any] = read) -> Coroutine[Any, Any, Any]:
            return late(read(self, block, count), random.choice(TURNS_A_READ_TAKES))

        monkeypatch.setattr(kind, "read_now", flaky)
        monkeypatch.setattr(kind, "read", slow)


async def late(data: Coroutine[Any, Any, Any], count_turns: int) -> Any:
    found = await data
    for _ in range(count_turns):
        await trio.lowlevel.checkpoint()
    return found


class Simulation:
    def __init__(self, array: Array, seed: int) -> None:
        self.array = array
        self.random = Random(seed)
        self.models = {lun: ConcurrentBytes(COUNT_CELLS, ZEROS) for lun in BLOCK_CELLS}
        self.last_value = 0
        self.list_identifier = 0
        self.answered = 0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(HOSTS):
                nursery.start_soon(Host(self, number).run)

    def new_value(self) -> bytes:
        self.last_value += 1
        return self.last_value.to_bytes(8, "big")


class Host:
    """One initiator, which opens several sessions in turn with a few workers in each."""

    def __init__(self, simulation: Simulation, number: int) -> None:
        self.simulation = simulation
        self.random = simulation.random
        self.number = number
        self.options: SessionOptions = replace(OPTIONS_OF_HOSTS[number], isid=random_isid(bytes([7, number])))
        self.session: InitiatorSession
        self.lost: list[tuple[ConcurrentBytes, Change]] = []
        self.under_way: dict[int, set[Change]] = {lun: set() for lun in BLOCK_CELLS}

    async def run(self) -> None:
        for turn in range(SESSIONS):
            with suppress(ConnectionLost, LoginFailed):
                async with session_with(self.simulation.array, self.options) as self.session:
                    self._old_session_is_gone()
                    async with trio.open_nursery() as nursery:
                        for _ in range(WORKERS):
                            nursery.start_soon(self._work)
                        if turn < SESSIONS - 1 and self.random.randrange(2):
                            nursery.start_soon(self._cut)
        await self._look_at_all()

    def _old_session_is_gone(self) -> None:
        for model, change in self.lost:
            model.unanswered(change)
        self.lost.clear()

    async def _cut(self) -> None:
        for _ in range(self.random.randrange(200)):
            await trio.lowlevel.checkpoint()
        await trio.aclose_forcefully(self.session._stream)

    async def _work(self) -> None:
        actions = [self._write] * 6 + [self._read] * 6 + [self._compare_and_write] * 2
        actions += [self._unmap, self._flush, self._copy, self._copy, self._manage]
        with suppress(ConnectionLost):
            for _ in range(OPERATIONS):
                with suppress(CommandTimedOut):
                    await self.random.choice(actions)()

    def _range(self, lun: int, most_blocks: int = 12) -> tuple[int, int]:
        """Choose a random range; returns LBA and number of blocks."""
        count_blocks = COUNT_CELLS // BLOCK_CELLS[lun]
        count = self.random.randint(1, min(most_blocks, count_blocks))
        return self.random.randrange(count_blocks - count + 1), count

    async def _execute(self, lun: int, command: bytes, data: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        attribute = self.random.choice([1, 1, 1, 1, 2, 3])
        result = await self.session.execute(lun, command, data, data_in_bytes, attribute, TIMEOUT_S)
        self.simulation.answered += 1
        return result

    async def _change(
        self, lun: int, lba: int, values: list[frozenset[bytes]], command: bytes, data: bytes, *, may_be_partial: bool = False
    ) -> None:
        model = self.simulation.models[lun]
        change = model.begin(lba * BLOCK_CELLS[lun], values)
        self.under_way[lun].add(change)
        try:
            result = await self._execute(lun, command, data)
        except CommandTimedOut:
            model.unanswered(change)
            raise
        except ConnectionLost:
            self.lost.append((model, change))
            raise
        finally:
            self.under_way[lun].discard(change)
        if result.status == 0:
            model.succeeded(change)
        elif may_be_partial:
            model.unanswered(change)
        else:
            assert result.status == 2
            key = result.sense[2] & 0xF
            assert key == UNIT_ATTENTION or (command[0], key) == MISCOMPARED
            model.refused(change)

    async def _write(self) -> None:
        lun = self.random.choice(list(BLOCK_CELLS))
        lba, count = self._range(lun)
        value = self.simulation.new_value()
        count_cells = count * BLOCK_CELLS[lun]
        command = cdb.write_16(lba, count, force_unit_access=self.random.randrange(4) == 0)
        await self._change(lun, lba, [frozenset({value})] * count_cells, command, value * (count_cells * CELL_BYTES // 8))

    async def _compare_and_write(self) -> None:
        """Read blocks, then compare and write them. Another host may have changed the blocks between the two commands."""
        lun = self.random.choice(list(BLOCK_CELLS))
        lba, count = self._range(lun, most_blocks=2)
        size_bytes = count * BLOCK_CELLS[lun] * CELL_BYTES
        found = await self._execute(lun, cdb.read_16(lba, count), data_in_bytes=size_bytes)
        if found.status == 0:
            value = self.simulation.new_value()
            data = bytes(found.data_in) + value * (size_bytes // 8)
            await self._change(
                lun, lba, [frozenset({value})] * (size_bytes // CELL_BYTES), cdb.compare_and_write(lba, count), data
            )

    async def _unmap(self) -> None:
        lun = self.random.choice(list(BLOCK_CELLS))
        lba, count = self._range(lun)
        parameters = bytes.fromhex("0016001000000000") + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4)
        command = bytes.fromhex("42000000000000001800")
        await self._change(lun, lba, [frozenset({ZEROS})] * count * BLOCK_CELLS[lun], command, parameters)

    async def _flush(self) -> None:
        await self._execute(self.random.choice(list(BLOCK_CELLS)), cdb.synchronize_cache_10())

    async def _read(self) -> None:
        lun = self.random.choice(list(BLOCK_CELLS))
        await self._look(lun, *self._range(lun))

    async def _look(self, lun: int, lba: int, count: int) -> bool:
        model, first, count_cells = self.simulation.models[lun], lba * BLOCK_CELLS[lun], count * BLOCK_CELLS[lun]
        size_bytes = count_cells * CELL_BYTES
        read = model.begin_read()
        try:
            result = await self._execute(lun, cdb.read_16(lba, count), data_in_bytes=size_bytes)
        finally:
            possible = model.seen(read, first, count_cells)
        if result.status:
            assert (result.status, result.sense[2] & 0xF) == (2, UNIT_ATTENTION)
            return False
        assert len(result.data_in) == size_bytes
        for index, values in enumerate(possible):
            cell = bytes(result.data_in[index * CELL_BYTES : (index + 1) * CELL_BYTES])
            assert cell == cell[:8] * (CELL_BYTES // 8), f"LUN {lun} cell {first + index} is torn"
            assert cell[:8] in values, f"LUN {lun} cell {first + index} holds {cell[:8].hex()}"
        return True

    async def _copy(self) -> None:
        source, destination = self.random.choice([0, 0, 1]), self.random.choice([0, 0, 1])
        lba, count = self._range(source)
        self.simulation.list_identifier += 1
        identifier = self.simulation.list_identifier
        parameters = populate_token_list([BlockRange(lba, count)])
        model = self.simulation.models[source]
        read = model.begin_read()
        try:
            populated = await self._execute(source, cdb.populate_token(identifier, len(parameters)), parameters)
        finally:
            values = model.seen(read, lba * BLOCK_CELLS[source], count * BLOCK_CELLS[source])
        if populated.status:
            return
        command = cdb.receive_rod_token_information(identifier, RRTI_BYTES)
        information = await self._execute(source, command, data_in_bytes=RRTI_BYTES)
        if information.status == 0:
            (token,) = read_rod_token_information(information.data_in).tokens
            await self._spend(token, values, destination, identifier)

    async def _spend(self, token: bytes, values: list[frozenset[bytes]], lun: int, identifier: int) -> None:
        count = len(values) // BLOCK_CELLS[lun]
        if not count:
            return
        lba = self.random.randrange(COUNT_CELLS // BLOCK_CELLS[lun] - count + 1)
        parameters = write_using_token_list(token, [BlockRange(lba, count)])
        command = cdb.write_using_token(identifier, len(parameters))
        await self._change(lun, lba, values[: count * BLOCK_CELLS[lun]], command, parameters, may_be_partial=True)

    async def _manage(self) -> None:
        lun = self.random.choice(list(BLOCK_CELLS))
        function = self.random.choice([*LUN_FUNCTIONS, TaskManagementFunction.TARGET_WARM_RESET])
        luns = BLOCK_CELLS if function == TaskManagementFunction.TARGET_WARM_RESET else [lun]
        sent_before = [(self.simulation.models[each], change) for each in luns for change in self.under_way[each]]
        assert await self.session.task_management(function, lun) == 0
        for model, change in sent_before:
            change.ends_by = min(change.ends_by, model.tick())

    async def _look_at_all(self) -> None:
        """Read all blocks once more, after the old session has certainly ended."""
        async with session_with(self.simulation.array, self.options) as self.session:
            self._old_session_is_gone()
            for lun, per_block in BLOCK_CELLS.items():
                while True:
                    with suppress(CommandTimedOut):
                        if await self._look(lun, 0, COUNT_CELLS // per_block):
                            break


@pytest.mark.parametrize("seed", SEEDS)
async def test_hosts_see_what_they_may_see(impatient_clock: MockClock, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    make_cold(monkeypatch, Random(seed))
    with capture_logs() as logs:
        async with running() as array:
            simulation = Simulation(array, seed)
            await simulation.run()
            assert not any(unit.tasks.tasks() for unit in array.logical_units.values())
        assert array.device_server.nexuses == []
    assert [entry for entry in logs if entry["log_level"] in ("error", "warning")] == []
    assert simulation.answered > HOSTS * OPERATIONS
