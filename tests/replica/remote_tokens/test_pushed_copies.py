"""Tests of EXTENDED COPY whose destination is a logical unit of another array."""

from collections.abc import Mapping
from typing import cast

import pytest

from odx_target.copymgr.operations import pushed_copy
from odx_target.copymgr.operations.pushed_copy import PAUSE_S, PUSH_TIMEOUT_S
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.remote import RemoteWrite, Written
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.store.api import OutOfResources, PoolFailed, StoreError
from tests.copymgr.array import code_of
from tests.copymgr.extended_copy import HERE, BlocksSegment, BytesSegment, copy_cdb, cscd, lid1_list
from tests.replica.remote_tokens.arrays import BLOCK_LENGTHS, TokenArrays
from tests.replica.remote_tokens.test_copies import fill_source
from tests.sim.simulated_array import SimulatedArray
from tests.sim.virtual_environment import VirtualTask

DESTINATION = 0
SIZE = 3 << 20
NOT_REACHABLE = "A/0D/02"
FAILED = "A/0D/01"


def arrays_of(seed: int) -> TokenArrays:
    """Two arrays. The host of the maker, which gets the command, has the LUNs of the redeemer too."""
    arrays = TokenArrays(seed)
    arrays.redeemer.writers = {arrays.maker.nexus.initiator_name}
    return arrays


def begin(arrays: TokenArrays, lun: int, *segments: BlocksSegment | BytesSegment, to: int = 0) -> Reply | VirtualTask:
    """Send a copy from a LUN of the maker to a LUN of the redeemer."""
    names = [cscd(arrays.redeemer.units[to].identity, block_bytes=BLOCK_LENGTHS[to])]
    parameters = lid1_list(names, [segment.build() for segment in segments])
    return arrays.maker.begin(lun, copy_cdb(len(parameters)), parameters)


def copied(arrays: TokenArrays, lun: int, *segments: BlocksSegment | BytesSegment, to: int = 0) -> Reply:
    return arrays.maker.reply(begin(arrays, lun, *segments, to=to))


def assert_nothing_leaks(arrays: TokenArrays) -> None:
    arrays.assert_nothing_leaks()
    assert not arrays.maker.manager.copies.tokens.live
    assert list(arrays.redeemer.manager.copies.records) == []
    assert not arrays.redeemer.manager.copies.operations


@pytest.mark.parametrize(("source_lba", "destination_lba"), [(0, 0), (8, 16), (3, 8), (1, 2)])
def test_blocks_are_written_by_the_other_array(source_lba: int, destination_lba: int) -> None:
    arrays = arrays_of(1)
    data = fill_source(arrays)
    reply = copied(arrays, 0, BlocksSegment(HERE, source_lba, DESTINATION, destination_lba, 4096))
    assert code_of(reply) == "good"
    assert arrays.redeemer.read(0, destination_lba, 4096) == data[source_lba * 512 :][: 4096 * 512]
    assert arrays.redeemer.read(0, destination_lba + 4096, 8) == bytes(4096)
    assert_nothing_leaks(arrays)


def test_known_data_does_not_cross_and_segments_are_copied_in_order() -> None:
    arrays = arrays_of(2)
    data = fill_source(arrays)
    segments = [BlocksSegment(HERE, 0, DESTINATION, 0, 2048), BlocksSegment(HERE, 2048, DESTINATION, 2048, 2048)]
    assert code_of(copied(arrays, 0, *segments)) == "good"
    first = arrays.redeemer.redeemer.link_bytes("other")
    assert code_of(copied(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 8192, 4096))) == "good"
    assert arrays.redeemer.read(0, 8192, 4096) == arrays.redeemer.read(0, 0, 4096) == data[: 4096 * 512]
    assert arrays.redeemer.redeemer.link_bytes("other") - first < SIZE // 50
    assert_nothing_leaks(arrays)


def test_whole_blocks_of_a_lun_with_other_blocks() -> None:
    arrays = arrays_of(3)
    data = fill_source(arrays)
    assert code_of(copied(arrays, 0, BlocksSegment(HERE, 8, DESTINATION, 3, 64), to=1)) == "good"
    assert arrays.redeemer.read(1, 3, 8) == data[4096:][: 64 * 512]
    assert code_of(copied(arrays, 0, BytesSegment(HERE, 1, 0, DESTINATION, 20, 0, 8192), to=1)) == "good"
    assert arrays.redeemer.read(1, 20, 2) == data[512:][:8192]
    for segment in (
        BlocksSegment(HERE, 8, DESTINATION, 3, 63),
        BytesSegment(HERE, 1, 0, DESTINATION, 30, 5, 4096),
        BytesSegment(HERE, 1, 0, DESTINATION, 30, 0, 4000),
    ):
        assert code_of(copied(arrays, 0, segment, to=1)) in (NOT_REACHABLE, "A/26/0A")
    assert arrays.redeemer.read(1, 28, 8) == bytes(8 * 4096)
    assert_nothing_leaks(arrays)


@pytest.mark.parametrize(
    ("case", "code", "rule"),
    [
        ("host", NOT_REACHABLE, "no array has a logical unit with this name for the initiator"),
        ("right", NOT_REACHABLE, "no array has a logical unit with this name for the initiator"),
        ("serve", NOT_REACHABLE, "no array has a logical unit with this name for the initiator"),
        ("block length", NOT_REACHABLE, "the array behind the path one refuses the copy: "),
        ("range", FAILED, "the other array cannot write the blocks"),
        ("reserved", FAILED, "the other array cannot write the blocks"),
        ("read only", FAILED, "the other array cannot write the blocks"),
        ("redeem", FAILED, "the other array cannot write the blocks"),
    ],
)
def test_copies_that_are_refused(case: str, code: str, rule: str) -> None:
    arrays = arrays_of(5)
    fill_source(arrays)
    redeemer, segment = arrays.redeemer, BlocksSegment(HERE, 0, DESTINATION, 0, 8)
    names = [cscd(redeemer.units[0].identity, block_bytes=4096 if case == "block length" else 512)]
    if case == "host":
        redeemer.writers = {"iqn.other"}
    elif case == "right":
        arrays.set_rights(redeemer.array, frozenset(Right) - {Right.WRITE_LUNS})
    elif case == "serve":
        arrays.set_rights(arrays.maker.array, frozenset(Right) - {Right.SERVE_TOKENS})
    elif case == "redeem":
        arrays.set_rights(redeemer.array, frozenset(Right) - {Right.REDEEM_TOKENS})
    elif case == "range":
        segment = BlocksSegment(HERE, 0, DESTINATION, 2048 * 8 - 7, 8)
    elif case == "reserved":
        assert code_of(redeemer.command(0, bytes([0x16, 0, 0, 0, 0, 0]))) == "good"
    elif case == "read only":
        redeemer.read_only_luns = {0}
    former = redeemer.read(0, 0, 8)
    parameters = lid1_list(names, [segment.build()])
    reply = arrays.maker.command(0, copy_cdb(len(parameters)), parameters)
    assert code_of(reply) == code
    assert str(arrays.maker.manager.copies.refusals.latest[-1]["rule"]).startswith(rule)
    if case == "reserved":
        assert reply.sense[18] == Status.RESERVATION_CONFLICT, "the status of the other array is forwarded"
    assert redeemer.read(0, 0, 8) == former
    assert_nothing_leaks(arrays)


def test_a_slow_link_needs_several_commands_of_the_other_array() -> None:
    arrays = arrays_of(6)
    data = fill_source(arrays)
    arrays.network.line("one", "other").bytes_per_s = 150_000
    begun_s = arrays.world.now_s
    assert code_of(copied(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 6144))) == "good"
    assert arrays.world.now_s - begun_s > arrays.redeemer.limits.command_budget_s
    assert arrays.redeemer.read(0, 0, 6144) == data
    assert_nothing_leaks(arrays)


def test_a_path_that_is_cut_or_down() -> None:
    arrays = arrays_of(7)
    data = fill_source(arrays)
    arrays.network.line("one", "other").bytes_per_s = 150_000
    begun = begin(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 6144))
    assert isinstance(begun, VirtualTask)
    arrays.world.advance(5.0)
    arrays.network.line("one", "other").is_down = True
    arrays.network.break_all_of(arrays.redeemer.array.environment)
    reply = arrays.maker.reply(begun)
    assert code_of(reply) == NOT_REACHABLE
    left = int.from_bytes(reply.sense[3:7], "big")
    assert reply.sense[0] & 0x80
    assert 0 < left < 6144
    assert arrays.redeemer.read(0, 0, 6144 - left) == data[: (6144 - left) * 512]
    assert code_of(copied(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 8))) == NOT_REACHABLE
    arrays.network.line("one", "other").is_down = False
    arrays.network.line("one", "other").bytes_per_s = None
    arrays.arrays.connect()
    assert code_of(copied(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 6144))) == "good"
    assert arrays.redeemer.read(0, 0, 6144) == data
    assert_nothing_leaks(arrays)


def test_an_aborted_command_ends_the_command_of_the_other_array() -> None:
    arrays = arrays_of(8)
    fill_source(arrays)
    redeemer = arrays.redeemer
    redeemer.manager.copies.before_step = lambda _: redeemer.array.environment.sleep(1.0)
    begun = begin(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 6144))
    arrays.world.advance(0.5)
    (task,) = redeemer.units[0].tasks.tasks()
    arrays.maker.server.abort_task_set(arrays.maker.nexus, 0)
    arrays.world.advance(0.3)
    assert task.aborted
    assert code_of(arrays.maker.reply(begun)) == "aborted"
    arrays.world.advance(5.0)
    assert redeemer.read(0, 0, 6144) == bytes(6144 * 512)
    assert_nothing_leaks(arrays)


class OpenGate:
    """A group that both arrays serve."""

    def admit(self) -> None:
        pass


def test_a_lun_that_joins_a_group_during_the_copy_is_not_reported_as_written() -> None:
    """The reply would have to wait for the other member of the group."""
    arrays = arrays_of(11)
    fill_source(arrays)
    redeemer = arrays.redeemer
    redeemer.manager.copies.before_step = lambda _: redeemer.array.environment.sleep(1.0)
    begun = begin(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 8))
    arrays.world.advance(0.5)
    (task,) = redeemer.units[0].tasks.tasks()
    assert isinstance(task, Task)
    task.gates = (cast(GroupGate, OpenGate()),)
    assert code_of(arrays.maker.reply(begun)) == NOT_REACHABLE
    rule = str(arrays.maker.manager.copies.refusals.latest[-1]["rule"])
    assert rule.startswith("the array behind the path one refuses the copy: the logical unit belongs to a group")
    assert_nothing_leaks(arrays)


def test_an_array_that_answers_at_once_is_not_asked_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = arrays_of(9)
    fill_source(arrays)
    requests: list[RemoteWrite] = []

    async def write(request: RemoteWrite) -> Written:
        requests.append(request)
        return Written(0, Status.CHECK_CONDITION, True, b"")

    monkeypatch.setattr(arrays.maker.redeemer, "write", write)
    assert code_of(copied(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 8))) == NOT_REACHABLE
    assert len(requests) <= PUSH_TIMEOUT_S / PAUSE_S + 5
    assert_nothing_leaks(arrays)


def test_a_write_for_which_no_time_is_left_is_not_requested() -> None:
    """Nobody would close its channel, and the other array would write on for a command that has ended."""
    arrays, requests = arrays_of(11), []
    maker, redeemer = arrays.maker, arrays.redeemer
    serve, environment = redeemer.array.serve, maker.array.environment

    async def note(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        requests.append(document["request"])
        await serve(array, path, exchange, document)

    redeemer.array.serve = note
    identity, initiator_name = redeemer.units[0].identity, maker.nexus.initiator_name
    for left_s, is_over, sent in ((0.0, False, []), (1.0, True, []), (1.0, False, ["write-unit"])):
        until_s = environment.monotonic() + left_s
        write = RemoteWrite(bytes(512), identity, initiator_name, 512, 0, 8, 0, until_s, lambda is_over=is_over: is_over)
        with pytest.raises(Refusal):
            arrays.world.run(environment, maker.redeemer.write(write))
        arrays.world.advance(1.0)
        assert requests == sent
    assert_nothing_leaks(arrays)


@pytest.mark.parametrize(
    ("error", "status"), [(PoolFailed("lost"), Status.CHECK_CONDITION), (OutOfResources("no"), Status.BUSY)]
)
def test_a_source_for_which_no_token_can_be_made(error: StoreError, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = arrays_of(10)
    fill_source(arrays)

    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(pushed_copy, "issue_unit_token", fail)
    reply = copied(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 8))
    assert code_of(reply) == FAILED
    assert reply.sense[18] == status
    assert_nothing_leaks(arrays)


def test_copies_in_opposite_directions_do_not_wait_for_each_other() -> None:
    """Each reads the blocks that the other writes. A third host writes the source meanwhile, and does not wait either."""
    arrays = arrays_of(11)
    maker, redeemer = arrays.maker, arrays.redeemer
    maker.writers = {redeemer.nexus.initiator_name}
    data, other = fill_source(arrays)[: 64 * 512], bytes([7]) * (64 * 512)
    redeemer.write(0, 0, other)
    began_s = arrays.world.now_s
    begun = []
    for array, peer in ((maker, redeemer), (redeemer, maker)):
        parameters = lid1_list([cscd(peer.units[0].identity)], [BlocksSegment(HERE, 0, DESTINATION, 0, 64).build()])
        begun.append((array, array.begin(0, copy_cdb(len(parameters)), parameters)))
    assert [code_of(array.reply(each)) for array, each in begun] == ["good", "good"]
    assert arrays.world.now_s - began_s < 2.0
    contents = [array.read(0, 0, 64) for array in (redeemer, maker)]
    assert contents in ([data, other], [data, data], [other, other])
    arrays.assert_nothing_leaks()
    assert not maker.manager.copies.tokens.live
    assert not redeemer.manager.copies.tokens.live


def test_a_write_to_the_source_does_not_wait_for_the_other_array() -> None:
    arrays = arrays_of(12)
    data = fill_source(arrays)
    arrays.network.line("one", "other").bytes_per_s = 200_000.0
    begun = begin(arrays, 0, BlocksSegment(HERE, 0, DESTINATION, 0, 4096))
    arrays.world.advance(0.5)
    assert isinstance(begun, VirtualTask)
    assert not begun.done
    written = arrays.maker.begin(0, b"\x8a\0" + bytes(8) + (8).to_bytes(4, "big"), bytes(4096))
    if isinstance(written, VirtualTask):
        arrays.world.settle()
        assert written.done
    assert not begun.done
    assert code_of(arrays.maker.reply(begun)) == "good"
    assert arrays.redeemer.read(0, 0, 4096) == data[: 4096 * 512], "the data at the time of the copy"
    assert arrays.maker.read(0, 0, 8) == bytes(4096)
    assert_nothing_leaks(arrays)


def test_an_earlier_segment_still_keeps_its_blocks() -> None:
    """A write to the source of a later segment waits until its data is frozen."""
    arrays = arrays_of(13)
    data = fill_source(arrays)
    arrays.network.line("one", "other").bytes_per_s = 200_000.0
    segments = [BlocksSegment(HERE, 0, DESTINATION, 0, 2048), BlocksSegment(HERE, 2048, DESTINATION, 2048, 2048)]
    begun = begin(arrays, 0, *segments)
    arrays.world.advance(0.1)
    written = arrays.maker.begin(0, b"\x8a\0" + (2048).to_bytes(8, "big") + (8).to_bytes(4, "big"), bytes(4096))
    assert isinstance(written, VirtualTask)
    arrays.world.settle()
    assert not written.done
    assert code_of(arrays.maker.reply(begun)) == "good"
    assert code_of(arrays.maker.reply(written)) == "good"
    assert arrays.redeemer.read(0, 0, 4096) == data[: 4096 * 512]
    assert_nothing_leaks(arrays)
