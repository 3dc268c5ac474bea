"""Tests of EXTENDED COPY whose source is a logical unit of another array."""

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.tokens.remote import UnitBlocks
from odx_target.replica.paths.settings import Right
from odx_target.replica.remote_tokens.limits import MAX_MADE_TOKENS
from odx_target.scsi.reply import Reply
from tests.copymgr.array import code_of
from tests.copymgr.extended_copy import HERE, BlocksSegment, BytesSegment, copy_cdb, cscd, lid1_list
from tests.replica.remote_tokens.arrays import BLOCK_LENGTHS, TokenArrays
from tests.replica.remote_tokens.test_copies import fill_source
from tests.sim.virtual_environment import VirtualTask
from tests.target.holding.test_held_replies import FakeGate

SOURCE = 0
SIZE = 3 << 20


def arrays_of(seed: int) -> TokenArrays:
    """Two arrays whose maker has its LUNs for the host of the redeemer."""
    arrays = TokenArrays(seed)
    arrays.maker.tokens._is_mapped = lambda name, _: name == arrays.redeemer.nexus.initiator_name
    return arrays


def copied(arrays: TokenArrays, lun: int, *segments: BlocksSegment | BytesSegment, source_lun: int = 0, **fields: int) -> Reply:
    """Copy from a LUN of the maker to a LUN of the redeemer."""
    return arrays.redeemer.reply(begin_copy(arrays, lun, *segments, source_lun=source_lun, **fields))


def begin_copy(
    arrays: TokenArrays, lun: int, *segments: BlocksSegment | BytesSegment, source_lun: int = 0, **fields: int
) -> Reply | VirtualTask:
    names = [cscd(arrays.maker.units[source_lun].identity, **{"block_bytes": BLOCK_LENGTHS[source_lun], **fields})]
    parameters = lid1_list(names, [segment.build() for segment in segments])
    return arrays.redeemer.begin(lun, copy_cdb(len(parameters)), parameters)


@pytest.mark.parametrize(("source_lba", "destination_lba"), [(0, 0), (8, 16), (3, 8), (1, 2)])
def test_blocks_of_another_array_are_copied(source_lba: int, destination_lba: int) -> None:
    arrays = arrays_of(1)
    data = fill_source(arrays)
    reply = copied(arrays, 0, BlocksSegment(SOURCE, source_lba, HERE, destination_lba, 4096))
    assert code_of(reply) == "good"
    assert arrays.redeemer.read(0, destination_lba, 4096) == data[source_lba * 512 :][: 4096 * 512]
    assert arrays.redeemer.read(0, destination_lba + 4096, 8) == bytes(4096)
    assert arrays.redeemer.redeemer.logical_bytes["other"] == 4096 * 512
    arrays.assert_nothing_leaks()


def test_segments_see_the_source_at_their_own_time_and_known_data_does_not_cross() -> None:
    arrays = arrays_of(2)
    data = fill_source(arrays)
    segments = [BlocksSegment(SOURCE, 0, HERE, 0, 2048), BlocksSegment(SOURCE, 2048, HERE, 2048, 2048)]
    assert code_of(copied(arrays, 0, *segments)) == "good"
    first = arrays.redeemer.redeemer.link_bytes("other")
    changed = bytes(4096) + b"new" * 1365 + b"!"
    arrays.maker.write(0, 0, changed)
    assert code_of(copied(arrays, 1, BlocksSegment(SOURCE, 0, HERE, 0, 4096))) == "good"
    assert arrays.redeemer.read(0, 0, 4096) == data[: 4096 * 512]
    assert arrays.redeemer.read(1, 0, 512) == changed + data[8192 : 4096 * 512]
    assert arrays.redeemer.redeemer.link_bytes("other") - first < SIZE // 50
    arrays.assert_nothing_leaks()


@pytest.mark.parametrize(("due_osn", "code"), [(1 << 60, "good"), (None, "A/0D/02")])
def test_a_copy_from_a_group_waits_until_no_failover_takes_the_data_back(due_osn: int | None, code: str) -> None:
    arrays = arrays_of(3)
    data, gate = fill_source(arrays), FakeGate("db")
    arrays.maker.units[0].join(gate)
    begun = begin_copy(arrays, 0, BlocksSegment(SOURCE, 0, HERE, 0, 8))
    assert not isinstance(begun, Reply)
    arrays.world.run_until(lambda: bool(gate.on_progress), 1.0)
    assert not begun.done
    gate.progress(due_osn)
    assert code_of(arrays.redeemer.reply(begun)) == code
    assert not gate.on_progress
    gate.due_osn = 1 << 60
    assert arrays.redeemer.read(0, 0, 8) == (data[: 8 * 512] if code == "good" else bytes(8 * 512))
    arrays.assert_nothing_leaks()


def test_bytes_of_a_lun_with_other_blocks() -> None:
    arrays = arrays_of(3)
    data = fill_source(arrays, 1)
    reply = copied(arrays, 0, BytesSegment(SOURCE, 2, 100, HERE, 40, 7, 50_000), source_lun=1)
    assert code_of(reply) == "good"
    assert arrays.redeemer.read(0, 40, 100)[7:50_007] == data[2 * 4096 + 100 :][:50_000]


def test_without_a_block_length_that_of_the_receiver_counts() -> None:
    arrays = arrays_of(4)
    data = fill_source(arrays)
    assert code_of(copied(arrays, 0, BlocksSegment(SOURCE, 0, HERE, 0, 8), block_bytes=0)) == "good"
    assert arrays.redeemer.read(0, 0, 8) == data[:4096]
    assert code_of(copied(arrays, 1, BlocksSegment(SOURCE, 0, HERE, 0, 8), block_bytes=0)) == "A/0D/02"


NOT_REACHABLE = "A/0D/02"


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ("unit", "no array has a logical unit with this name for the initiator"),
        ("host", "no array has a logical unit with this name for the initiator"),
        ("right", "no array has a logical unit with this name for the initiator"),
        ("redeem", "the nexus has no logical unit with this name"),
        ("range", "the array behind the path other refuses the copy: the range is not inside the logical unit"),
        ("reserved", "the array behind the path other refuses the copy: a reservation keeps the initiator out"),
        ("elsewhere", "neither the source nor the destination is a logical unit of this array"),
    ],
)
def test_copies_that_are_refused(case: str, rule: str) -> None:
    arrays = arrays_of(5)
    fill_source(arrays)
    maker, redeemer = arrays.maker, arrays.redeemer
    segment, identity = BlocksSegment(SOURCE, 0, HERE, 0, 8), maker.units[0].identity
    if case == "unit":
        identity = bytes([0x60]) + bytes(15)
    elif case == "host":
        maker.tokens._is_mapped = lambda name, _: name != redeemer.nexus.initiator_name
    elif case == "right":
        arrays.set_rights(maker.array, frozenset(Right) - {Right.SERVE_LUNS})
    elif case == "redeem":
        arrays.set_rights(redeemer.array, frozenset(Right) - {Right.REDEEM_TOKENS})
    elif case == "range":
        segment = BlocksSegment(SOURCE, 2048 * 8 - 7, HERE, 0, 8)
    elif case == "reserved":
        assert code_of(maker.command(0, bytes([0x16, 0, 0, 0, 0, 0]))) == "good"
    else:
        segment = BlocksSegment(SOURCE, 0, SOURCE, 8, 8)
    parameters = lid1_list([cscd(identity, block_bytes=512)], [segment.build()])
    former = redeemer.read(0, 0, 8)
    assert code_of(redeemer.command(0, copy_cdb(len(parameters)), parameters)) == NOT_REACHABLE
    assert redeemer.manager.copies.refusals.latest[-1]["rule"] == rule
    assert redeemer.read(0, 0, 8) == former
    arrays.assert_nothing_leaks()


def test_a_peer_has_a_limited_number_of_tokens_of_logical_units() -> None:
    arrays = arrays_of(7)
    data = fill_source(arrays)
    environment, remote = arrays.redeemer.array.environment, arrays.redeemer.redeemer
    blocks = UnitBlocks(arrays.maker.units[0].identity, "iqn.host", 512, 0, 4096, environment.monotonic() + 1000.0)
    for _ in range(MAX_MADE_TOKENS):
        token = arrays.world.run(environment, remote.make(blocks))
    assert code_of(copied(arrays, 0, BlocksSegment(SOURCE, 0, HERE, 0, 8))) == NOT_REACHABLE
    assert "too many tokens" in arrays.redeemer.manager.copies.refusals.latest[-1]["rule"]
    assert code_of(arrays.redeemer.using(0, token, [(0, 8)], flags=ListFlag.DEL_TKN)) == "good"
    assert code_of(copied(arrays, 0, BlocksSegment(SOURCE, 0, HERE, 8, 8))) == "good"
    assert arrays.redeemer.read(0, 0, 16) == data[:4096] * 2
    arrays.assert_nothing_leaks()


def test_a_path_that_is_down_and_a_copy_that_is_cut() -> None:
    arrays = arrays_of(6)
    data = fill_source(arrays)
    arrays.network.line("one", "other").bytes_per_s = 15_000
    reply = copied(arrays, 0, BlocksSegment(SOURCE, 0, HERE, 0, 6144))
    assert code_of(reply) == NOT_REACHABLE
    arrays.network.line("one", "other").bytes_per_s = None
    arrays.world.advance(100.0)
    (left,) = {int.from_bytes(reply.sense[3:7], "big")} if reply.sense[0] & 0x80 else {6144}
    assert 0 < left <= 6144
    assert arrays.redeemer.read(0, 0, 6144 - left) == data[: (6144 - left) * 512]
    assert code_of(copied(arrays, 0, BlocksSegment(SOURCE, 0, HERE, 0, 6144))) == "good"
    assert arrays.redeemer.read(0, 0, 6144) == data
    arrays.maker.array.kill()
    arrays.world.advance(10.0)
    assert code_of(copied(arrays, 0, BlocksSegment(SOURCE, 0, HERE, 0, 8))) == NOT_REACHABLE
