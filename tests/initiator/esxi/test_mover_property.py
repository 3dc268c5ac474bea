"""Whatever fails in whatever order: the copy is right, each byte is counted once, and intervals are kept."""

import random
from dataclasses import dataclass

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.initiator.errors import CommandTimedOut, InitiatorError
from odx_target.initiator.esxi.host import Exchange
from odx_target.initiator.esxi.settings import KIB, DiskType, Receiver, Release
from odx_target.initiator.result import CommandResult
from tests.initiator.esxi.bench import Bench, small
from tests.initiator.esxi.naive_disk import INVALID_OPERATION_CODE, WRITE_SAME, NaiveEsxiDisk, copy_aborted, parameters
from tests.initiator.esxi.test_data_mover import XCOPY

SIZE_BYTES = 512 * KIB


@dataclass
class Chaos:
    """Answers to EXTENDED COPY and WRITE SAME: good ones, failures after a part of the work, and failures without any."""

    disk: NaiveEsxiDisk
    chance: random.Random
    rate: float

    def __call__(self, cdb: bytes, data: bytes) -> CommandResult | InitiatorError | None:
        if cdb[0] not in (XCOPY, WRITE_SAME) or self.chance.random() >= self.rate:
            return None
        if cdb[0] == WRITE_SAME:
            return INVALID_OPERATION_CODE
        segment = (len(data) - 80) // 28 - 1
        count = int.from_bytes(data[-18:-16], "big")
        done = self.chance.randrange(count)
        how = self.chance.randrange(4)
        if how == 0:
            return copy_aborted(0x08, 4, segment=segment, missing=None)
        self.disk.extended_copy(cdb, data, blocks=done)
        if how == 1:
            return CommandTimedOut("no answer")
        if how == 2 and done:
            return copy_aborted(0x0D, 1, segment=segment, missing=count - done)
        return copy_aborted(0x0D, 1, segment=segment, missing=None) if not done else CommandResult(0x40)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    rate=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    release=st.sampled_from(Release),
    receiver=st.sampled_from(Receiver),
    depth=st.sampled_from([1, 2, 32]),
    written_pieces=st.integers(0, 8),
    snlid=st.booleans(),
    several=st.booleans(),
    command_s=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_a_copy_is_right_in_spite_of_failures(
    seed: int,
    rate: float,
    release: Release,
    receiver: Receiver,
    depth: int,
    written_pieces: int,
    snlid: bool,
    several: bool,
    command_s: float,
) -> None:
    settings = small(
        release=release,
        receiver=receiver,
        queue_depth=depth,
        destination_type=DiskType.EAGER_ZEROED,
        use_array_values=several,
        multiple_segments=several,
    )

    async def copy() -> None:
        bench = Bench(size_bytes=SIZE_BYTES, settings=settings, written_bytes=written_pieces * 64 * KIB)
        for disk in (bench.source, bench.destination):
            disk.parameters = parameters(snlid=snlid, segments=3, segment_bytes=20 * KIB)
            disk.faults = Chaos(disk, random.Random(seed), rate)
            disk.command_s = command_s
        report = await bench.copy()
        assert report.total_bytes == SIZE_BYTES
        assert sum(size * count for (size, _), count in report.pieces.items()) == SIZE_BYTES
        check_interval(bench)

    trio.run(copy, clock=trio.testing.MockClock(autojump_threshold=0))


def check_interval(bench: Bench) -> None:
    """Check that no EXTENDED COPY is sent within the interval after the end of a piece in which one failed."""
    row = bench.settings.row
    ends: dict[int, list[Exchange]] = {}
    for exchange in bench.exchanges(XCOPY):
        # The exchanges of a piece end before those of the next piece begin, so their LBAs tell the pieces apart.
        lba = int.from_bytes(bytes(exchange.data_out[0])[100:108], "big") - 16
        ends.setdefault(lba * 512 // bench.settings.piece_bytes, []).append(exchange)
    last_failure_s: float | None = None
    for _, piece in sorted(ends.items()):
        if last_failure_s is not None:
            if row.retry_pieces is not None:
                raise AssertionError("the copy has fewer pieces than the interval")
            assert row.retry_s is not None
            assert max(exchange.at_s for exchange in piece) - last_failure_s >= row.retry_s
        failed = [exchange for exchange in piece if exchange.result is None or exchange.result.status]
        last_failure_s = max(exchange.at_s for exchange in piece) if failed else None
