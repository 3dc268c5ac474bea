"""The array counts the commands, the bytes and the latencies of each LUN and connection."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator import cdb
from odx_target.native.choice import NATIVE
from odx_target.scsi.traffic import BOUNDS_S, KIND_OF_OPERATION_CODE, CommandKind, bucket_of
from odx_target.scsi.unit.missing_logical_unit import MissingLogicalUnit
from odx_target.target.array import Array
from odx_target.target.server.batch_tally import BatchTally
from tests.target.running import is_good, running, session_with, settled

READ, WRITE, OTHER = CommandKind
CODES = (0x88, 0x8A, 0x00)
BLOCK = 512

commands = st.tuples(st.integers(0, 2), st.sampled_from(CODES), st.integers(0, 1 << 18))
latencies_s = st.floats(1e-7, 1.0) | st.floats(50, 100) | st.sampled_from(BOUNDS_S)
batches = st.lists(st.tuples(st.lists(commands, max_size=12), latencies_s), max_size=8)


ENDS: list[Callable[[BatchTally], None]] = [BatchTally.end] if NATIVE is None else [BatchTally.end, NATIVE.end_batch]


@given(batches, st.lists(commands, max_size=4), st.sampled_from(ENDS))
def test_a_tally_counts_as_if_it_counted_each_command_alone(
    batches: list[tuple[list[tuple[int, int, int]], float]],
    later: list[tuple[int, int, int]],
    end: Callable[[BatchTally], None],
) -> None:
    tally = BatchTally(lambda: now_s)
    units = [MissingLogicalUnit() for _ in range(3)]
    expected: dict[tuple[int, int], list[tuple[int, float]]] = {}
    now_s = 0.0
    for executed, latency_s in batches:
        tally.began_s = now_s
        for number, code, size_bytes in executed:  # as the executor does
            if tally.unit is not units[number]:
                tally.turn_to(units[number])
            kind = KIND_OF_OPERATION_CODE[code]
            tally.counts[kind] += 1
            tally.sizes[kind] += size_bytes
            expected.setdefault((number, kind), []).append((size_bytes, now_s + latency_s - now_s))
        now_s += latency_s
        end(tally)
        end(tally)  # a batch is counted once
    for number, code, size_bytes in later:
        tally.count_later(units[number], code, size_bytes, now_s - 0.5)
        expected.setdefault((number, KIND_OF_OPERATION_CODE[code]), []).append((size_bytes, now_s - (now_s - 0.5)))
    for number, unit in enumerate(units):
        for kind in CommandKind:
            mine, theirs = expected.get((number, kind), []), unit.traffic.kinds[kind]
            assert theirs.commands == len(mine)
            assert theirs.size_bytes == sum(size_bytes for size_bytes, _ in mine)
            for index in {bucket_of(latency_s) for _, latency_s in mine}:
                assert theirs.buckets[index] == sum(bucket_of(latency_s) == index for _, latency_s in mine)
    for kind in CommandKind:
        assert tally.commands[kind] == sum(unit.traffic.kinds[kind].commands for unit in units)
        assert tally.size_bytes[kind] == sum(unit.traffic.kinds[kind].size_bytes for unit in units)


def test_the_commands_of_a_unit_are_counted_although_no_command_of_the_next_unit_was_executed() -> None:
    tally = BatchTally(lambda: 1.0)
    unit, next_unit = MissingLogicalUnit(), MissingLogicalUnit()
    tally.turn_to(unit)
    tally.counts[READ] = 1
    tally.turn_to(next_unit)
    tally.end()
    assert tally.commands[READ] == unit.traffic.kinds[READ].commands == 1


def counted(array: Array, lun: int) -> list[tuple[int, int]]:
    return [(kind.commands, kind.size_bytes) for kind in array.logical_units[lun].traffic.kinds]


async def test_commands_are_counted_for_their_lun_and_session() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await settled(session, 1)
        before = [counted(array, lun) for lun in (0, 1)]
        for _ in range(3):
            assert is_good(await session.execute(0, cdb.write_16(0, 8), data_out=bytes(8 * BLOCK)))
        assert is_good(await session.execute(0, cdb.read_16(0, 4), data_in_bytes=4 * BLOCK))
        assert is_good(await session.execute(1, bytes(6)))
        assert counted(array, 0)[READ] == (1, 4 * BLOCK)
        assert counted(array, 0)[WRITE] == (3, 3 * 8 * BLOCK)
        assert counted(array, 1)[OTHER][0] == before[1][OTHER][0] + 1
        assert counted(array, 1)[READ] == counted(array, 1)[WRITE] == (0, 0)
        (connected,) = array.sessions()
        assert connected.tally.commands[WRITE] == 3
        assert connected.tally.size_bytes[READ] == 4 * BLOCK


async def test_a_command_that_waits_is_counted_when_it_ends() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        durable = cdb.write_16(0, 8, force_unit_access=True)
        assert is_good(await session.execute(0, durable, data_out=bytes(8 * BLOCK)))
        assert is_good(await session.execute(0, cdb.read_16(0, 8), data_in_bytes=8 * BLOCK))
        assert counted(array, 0)[WRITE] == (1, 8 * BLOCK)
        assert sum(array.logical_units[0].traffic.kinds[WRITE].buckets) == 1


async def test_a_refused_command_is_counted_without_bytes() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        refused = await session.execute(0, cdb.read_16(1 << 40, 1), data_in_bytes=BLOCK)
        assert refused.sense
        assert counted(array, 0)[READ] == (1, 0)
