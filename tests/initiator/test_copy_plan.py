"""Plans of copies: allowed places, overlapping ranges, and unusual disks."""

import struct
from collections.abc import Sequence

import pytest

from odx_target.environment import Buffer
from odx_target.initiator.copying.copy_job import CopyJob, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.copying.offload_outcome import StopReason
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import BadRequest
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import CommandResult
from tests.initiator.copying import MIB, Copy, pattern
from tests.initiator.driving import no_sleep, one_by_one, probe, run
from tests.initiator.naive_target import Array, NaiveDisk, check_condition, token_limits


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(("source_lba", "destination_lba"), [(0, 2100), (2100, 0), (100, 100), (0, 5000), (3000, 100)])
def test_overlapping_ranges_of_one_disk(source_lba: int, destination_lba: int, method: Method) -> None:
    data = pattern(4 * MIB)
    disk = NaiveDisk(Array(), data, page=token_limits(optimal_blocks=4096), identity=b"\x01\x03\x00\x08naa-one!")
    disk.truncate = lambda what, count: max(1, count * 2 // 3)
    before = bytes(data)
    source, destination = probe(disk), probe(disk)
    plan = plan_copy(source, destination, source_lba=source_lba, destination_lba=destination_lba, count_blocks=3000)
    run(CopyJob(source, destination, plan, one_by_one, lambda count, offloaded: None, ListIdentifiers()).run(method))
    assert data[destination_lba * 512 :][: 3000 * 512] == before[source_lba * 512 :][: 3000 * 512]


def test_ranges_too_close_are_read_and_written_unless_tokens_are_demanded() -> None:
    data = pattern(MIB)
    disk = NaiveDisk(Array(), data, identity=b"\x01\x03\x00\x08naa-one!")
    for method, by_host in ((Method.AUTO, True), (Method.ODX, False)):
        before = bytes(data)
        plan = plan_copy(probe(disk), probe(disk), destination_lba=100, count_blocks=1000)
        job = CopyJob(probe(disk), probe(disk), plan, one_by_one, lambda count, offloaded: None, ListIdentifiers())
        report = run(job.run(method))
        assert data[100 * 512 : 1100 * 512] == before[: 1000 * 512]
        assert (report.stop is not None and report.stop.reason is StopReason.RANGES_TOO_CLOSE) == by_host


@pytest.mark.parametrize(
    ("where", "complaint"),
    [
        ({"source_lba": 8192}, "none at 8192"),
        ({"source_lba": 8000, "count_blocks": 193}, "192 blocks from 8000 on, not 193"),
        ({"count_blocks": 0}, "not 0"),
        ({"destination_lba": 1}, "do not fit"),
        ({"destination_lba": 9000}, "has 0 bytes from block 9000"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(where: dict[str, int], complaint: str) -> None:
    copy = Copy()
    with pytest.raises(BadRequest, match=complaint):
        copy.run(**where)


def test_a_copy_that_ends_inside_a_block_of_the_destination_is_refused() -> None:
    copy = Copy()
    copy.destination.block_bytes = 4096
    with pytest.raises(BadRequest, match="blocks of 4096 bytes"):
        copy.run(count_blocks=7)


def test_reads_and_writes_keep_to_the_limits_of_both_disks() -> None:
    copy = Copy(limits=None)
    copy.source.limits = struct.pack(">4xLL52x", 300, 0)
    report = copy.run()
    copy.check()
    assert report.host_bytes == copy.size_bytes
    assert max(int.from_bytes(cdb[10:14], "big") for cdb in copy.source.sent) == 300
    copy = Copy(limits=None)
    copy.destination.limits = struct.pack(">4xLL52x", 0, 2048)
    copy.run()
    assert {int.from_bytes(cdb[10:14], "big") for cdb in copy.source.sent if cdb[0] == 0x88} == {2048}


class ShortReader(NaiveDisk):
    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        result = await super().execute(cdb, data_out, data_in_bytes)
        return CommandResult(0, bytes(result.data_in)[:-1]) if cdb[0] == 0x88 else result


def test_a_read_that_gives_too_little_is_not_written() -> None:
    disk = probe(ShortReader(Array(), pattern(MIB)))
    with pytest.raises(Exception, match="gave 511 bytes"):
        run(disk.read_blocks(0, 1))


def test_a_disk_without_read_capacity_16_is_asked_the_old_way() -> None:
    old = NaiveDisk(Array(), pattern(MIB))

    def faults(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[0] == 0x25:
            return CommandResult(0, struct.pack(">LL", 2047, 512))
        return check_condition(5, 0x20, 0) if cdb[0] in {0x9E, 0x35} else None

    old.faults = faults
    disk = probe(old)
    assert (disk.capacity_blocks, disk.block_bytes) == (2048, 512)
    run(disk.synchronize_cache())


def test_what_is_no_disk_is_refused() -> None:
    tape = NaiveDisk(Array(), pattern(MIB))
    tape.faults = lambda cdb, data: CommandResult(0, bytes([0x01]) + bytes(35)) if cdb[0] == 0x12 else None
    with pytest.raises(Exception, match="no disk there"):
        run(Disk.probe(tape, no_sleep, "tape"))
