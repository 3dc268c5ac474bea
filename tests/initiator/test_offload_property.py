"""If a target only does what the standard allows, the destination is always equal to the source at the end."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.initiator.copying.copy_job import CopyJob, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.copying.offload_settings import OffloadSettings
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import CommandResult, Status
from tests.initiator.driving import one_by_one, probe, run
from tests.initiator.naive_target import Array, NaiveDisk, check_condition, token_limits

BLOCK = 4096
ANSWERS = [
    check_condition(6, 0x29, 0),
    check_condition(5, 0x23, 7),
    check_condition(5, 0x26, 0),
    check_condition(5, 0x00, 0x16),
    check_condition(5, 0x55, 0x0D),
    check_condition(3, 0x11, 0),
    check_condition(0xA, 0x0D, 4),
    CommandResult(Status.BUSY),
    CommandResult(Status.TASK_ABORTED),
    CommandResult(2, sense=b""),
]


class Mood:
    """The random behaviour of a target, drawn from a seed, so that Hypothesis shrinks a failing case to few parameters."""

    def __init__(self, seed: int, faults_in_100: int, truncates_in_100: int) -> None:
        self.random, self.faults_in_100, self.truncates_in_100 = random.Random(seed), faults_in_100, truncates_in_100

    def fault(self, cdb: bytes, data: bytes) -> CommandResult | None:
        """Return a failure for a token command, or None; reads and writes of the host succeed."""
        if cdb[0] not in {0x83, 0x84} or self.random.randrange(100) >= self.faults_in_100:
            return None
        return self.random.choice(ANSWERS)

    def truncate(self, what: str, count: int) -> int:
        return self.random.randint(0, count) if self.random.randrange(100) < self.truncates_in_100 else count

    def tells(self) -> bool:
        return self.random.random() < 0.5


limits = st.builds(
    token_limits,
    ranges=st.sampled_from([0, 1, 2, 64, 100]),
    max_blocks=st.sampled_from([0, 8, 9, 40]),
    optimal_blocks=st.sampled_from([0, 8, 16, 23]),
)
moods = st.builds(Mood, st.integers(0, 2**32), st.sampled_from([0, 0, 5, 30]), st.sampled_from([0, 20, 70]))


def disk(data: Any, array: Array, content: bytearray, block_bytes: int, identity: bytes = b"") -> NaiveDisk:
    mood = data.draw(moods)
    transfer = data.draw(st.sampled_from([0, 8, 24]))
    page = data.draw(st.one_of(limits, limits, limits, st.none()))
    return NaiveDisk(
        array,
        content,
        block_bytes,
        page,
        bytes(4) + transfer.to_bytes(4, "big") + bytes(52),
        identity,
        mood.fault,
        mood.truncate,
        mood.tells,
    )


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from([512, 4096]), st.sampled_from([512, 4096]), st.integers(1, 40), st.booleans())
def test_the_destination_is_always_equal(
    data: Any, source_block: int, destination_block: int, size_blocks: int, delete: bool
) -> None:
    array, size_bytes = Array(), size_blocks * BLOCK
    content = bytearray(random.Random(size_blocks).randbytes(size_bytes))
    source = disk(data, array, content, source_block)
    destination = disk(data, array, bytearray(size_bytes), destination_block)
    done = 0

    def progress(count: int, offloaded: bool) -> None:
        nonlocal done
        done += count

    plan = plan_copy(probe(source), probe(destination))
    offload = OffloadSettings(delete_tokens=delete)
    job = CopyJob(probe(source), probe(destination), plan, one_by_one, progress, ListIdentifiers(), offload)
    report = run(job.run(Method.AUTO))
    assert destination.data == source.data == content
    assert report.offloaded_bytes + report.host_bytes == size_bytes == done
    assert (report.stop is None) == (report.host_bytes == 0)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(0, 24), st.integers(0, 24), st.integers(1, 24))
def test_overlapping_ranges_end_as_if_read_beforehand(data: Any, source_lba: int, destination_lba: int, count: int) -> None:
    content = bytearray(random.Random(count).randbytes(48 * BLOCK))
    both = disk(data, Array(), content, BLOCK, identity=b"\x01\x03\x00\x08naa-one!")
    before = bytes(content)
    end = (destination_lba + count) * BLOCK
    expected = before[: destination_lba * BLOCK] + before[source_lba * BLOCK :][: count * BLOCK] + before[end:]
    plan = plan_copy(probe(both), probe(both), source_lba=source_lba, destination_lba=destination_lba, count_blocks=count)
    job = CopyJob(probe(both), probe(both), plan, one_by_one, lambda done, offloaded: None, ListIdentifiers())
    run(job.run(data.draw(st.sampled_from([Method.AUTO, Method.HOST]))))
    assert content == expected
