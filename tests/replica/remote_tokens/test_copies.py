"""Tests of WRITE USING TOKEN with tokens of another array: equal data, true counts, and nothing that stays open."""

from collections.abc import Sequence

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.replica.paths.settings import Right
from tests.copymgr.array import code_of
from tests.replica.remote_tokens.arrays import BLOCK_LENGTHS, Range, TokenArrays
from tests.replica.remote_tokens.play import content


def fill_source(arrays: TokenArrays, lun: int = 0, size_bytes: int = 3 << 20) -> bytes:
    """Write the beginning of a LUN of the maker, and return its content."""
    data = content(arrays.world.random, size_bytes)
    arrays.maker.write(lun, 0, data)
    return data


def expected(data: bytes, ranges: Sequence[Range], block_bytes: int) -> bytes:
    return b"".join(data[lba * block_bytes : (lba + count) * block_bytes] for lba, count in ranges)


@pytest.mark.parametrize(
    ("source_lun", "sources", "destination_lun", "destinations"),
    [
        (0, [(0, 4096)], 0, [(0, 4096)]),
        (0, [(3, 1000)], 0, [(8, 1000)]),
        (0, [(8, 1000)], 0, [(3, 1000)]),
        (0, [(0, 24), (1001, 77), (1101, 2050)], 1, [(900, 3), (100, 200), (7, 66)]),
        (1, [(5, 300), (400, 1)], 0, [(1, 2000), (3001, 408)]),
    ],
)
def test_the_data_is_equal_however_it_is_aligned(
    source_lun: int, sources: list[Range], destination_lun: int, destinations: list[Range]
) -> None:
    arrays = TokenArrays(1)
    data = expected(fill_source(arrays, source_lun), sources, BLOCK_LENGTHS[source_lun])
    token = arrays.maker.token(source_lun, sources)
    arrays.maker.write(source_lun, 0, bytes(1 << 20))
    former = arrays.world.random.randbytes(2 << 20)
    arrays.redeemer.write(destination_lun, 0, former)
    reply = arrays.redeemer.using(destination_lun, token, destinations)
    assert code_of(reply) == "good"
    at = 0
    for lba, count in destinations:
        found = arrays.redeemer.read(destination_lun, lba, count)
        assert found == data[at : at + len(found)].ljust(len(found), b"\0")
        at += len(found)
    assert at >= len(data)
    assert arrays.redeemer.result(destination_lun) == (1, sum(count for _, count in destinations))
    arrays.assert_nothing_leaks()


def test_only_the_needed_blocks_cross_the_link_and_known_data_does_not() -> None:
    arrays = TokenArrays(2)
    data = fill_source(arrays)
    token = arrays.maker.token(0, [(0, 6144)])
    reply = arrays.redeemer.using(0, token, [(0, 2048)])
    assert code_of(reply) == "good"
    arrays.world.advance(5.0)
    first = arrays.redeemer.redeemer.link_bytes("other")
    assert 0 < first < len(data)
    assert arrays.redeemer.redeemer.logical_bytes["other"] == 1 << 20
    assert code_of(arrays.redeemer.using(0, token, [(2048, 4096)], offset_into_rod=2048)) == "good"
    assert arrays.redeemer.redeemer.link_bytes("other") == first, "the rest was read ahead"
    assert arrays.redeemer.read(0, 0, 6144) == data
    arrays.world.advance(40.0)
    other = arrays.maker.token(0, [(0, 6144)])
    assert code_of(arrays.redeemer.using(1, other, [(1000, 768)])) == "good"
    assert arrays.redeemer.read(1, 1000, 768) == data
    assert arrays.redeemer.redeemer.link_bytes("other") - first < len(data) // 50
    arrays.assert_nothing_leaks()


def test_a_token_that_is_shorter_than_the_request() -> None:
    arrays = TokenArrays(3)
    data = fill_source(arrays)
    token = arrays.maker.token(0, [(0, 1001)])
    reply = arrays.redeemer.using(0, token, [(0, 2000)])
    assert code_of(reply) == "A/0D/04"
    assert int.from_bytes(reply.sense[3:7], "big") == 1001
    assert arrays.redeemer.result(0) == (3, 1001)
    assert arrays.redeemer.read(0, 0, 1001) == data[: 1001 * 512]
    assert code_of(arrays.redeemer.using(0, token, [(0, 20)], offset_into_rod=1001)) == "5/26/00"
    arrays.assert_nothing_leaks()


def test_a_copy_in_the_background() -> None:
    arrays = TokenArrays(4)
    data = fill_source(arrays)
    token = arrays.maker.token(0, [(0, 6144)])
    reply = arrays.redeemer.using(0, token, [(0, 6144)], flags=ListFlag.IMMED)
    assert code_of(reply) == "good"
    arrays.world.advance(10.0)
    assert arrays.redeemer.result(0) == (1, 6144)
    assert arrays.redeemer.read(0, 0, 6144) == data
    arrays.maker.manager.revoke(int.from_bytes(token[8:16], "big"))
    assert code_of(arrays.redeemer.using(0, token, [(0, 6144)], flags=ListFlag.IMMED)) == "5/23/06"
    arrays.assert_nothing_leaks()


def test_del_tkn_deletes_the_token_at_its_maker() -> None:
    arrays = TokenArrays(5)
    fill_source(arrays)
    token = arrays.maker.token(0, [(0, 64)])
    assert code_of(arrays.redeemer.using(0, token, [(0, 64)], flags=ListFlag.DEL_TKN)) == "good"
    assert code_of(arrays.redeemer.using(0, token, [(0, 64)])) == "5/23/09"
    assert code_of(arrays.maker.using(0, token, [(100, 64)])) == "5/23/09"
    arrays.assert_nothing_leaks()


def test_del_tkn_after_a_partial_copy_keeps_the_token() -> None:
    arrays = TokenArrays(6)
    fill_source(arrays)
    token = arrays.maker.token(0, [(0, 6144)])
    arrays.network.line("one", "other").bytes_per_s = 150_000
    reply = arrays.redeemer.using(0, token, [(0, 6144)], flags=ListFlag.DEL_TKN)
    assert code_of(reply) == "A/0D/04"
    arrays.network.line("one", "other").bytes_per_s = None
    assert code_of(arrays.redeemer.using(0, token, [(0, 6144)], flags=ListFlag.DEL_TKN)) == "good"
    assert code_of(arrays.redeemer.using(0, token, [(0, 64)])) == "5/23/09"
    arrays.assert_nothing_leaks()


def test_commands_that_run_out_of_time_send_no_data_twice() -> None:
    """The data that is under way at the end of a command arrives for the next one."""
    arrays = TokenArrays(6)
    data = fill_source(arrays)
    token = arrays.maker.token(0, [(0, 6144)])
    arrays.network.line("one", "other").bytes_per_s = 150_000
    done = commands = 0
    while done < 6144:
        reply = arrays.redeemer.using(0, token, [(done, 6144 - done)], offset_into_rod=done)
        done += arrays.redeemer.result(0)[1]
        commands += 1
        assert code_of(reply) == ("good" if done == 6144 else "A/0D/04")
    assert commands >= 2
    assert arrays.redeemer.read(0, 0, 6144) == data
    assert arrays.redeemer.redeemer.link_bytes("other") <= 1.05 * len(data)
    arrays.assert_nothing_leaks()


def test_a_lease_keeps_a_token_and_the_time_of_the_maker_judges_it() -> None:
    arrays = TokenArrays(7)
    data = fill_source(arrays)
    token = arrays.maker.token(0, [(0, 64)], inactivity_timeout_s=10)
    arrays.redeemer.array.environment.time_offset_s = 1e6
    assert code_of(arrays.redeemer.using(0, token, [(0, 64)])) == "good"
    assert len(arrays.maker.tokens.leases) == 1
    arrays.world.advance(25.0)
    assert code_of(arrays.redeemer.using(0, token, [(200, 64)])) == "good", "an open lease is a use"
    arrays.world.advance(33.0)
    assert len(arrays.maker.tokens.leases) == 0
    assert arrays.redeemer.redeemer.open_tokens == 0
    assert code_of(arrays.redeemer.using(0, token, [(400, 64)])) == "good"
    arrays.world.advance(42.0)
    assert code_of(arrays.redeemer.using(0, token, [(400, 64)])) == "5/23/07"
    assert arrays.redeemer.read(0, 200, 64) == data[: 64 * 512]
    arrays.assert_nothing_leaks()


def test_the_maker_ends_a_lease_when_the_peer_has_gone() -> None:
    arrays = TokenArrays(8)
    fill_source(arrays)
    token = arrays.maker.token(0, [(0, 64)], inactivity_timeout_s=10)
    assert code_of(arrays.redeemer.using(0, token, [(0, 64)])) == "good"
    arrays.redeemer.array.kill()
    arrays.world.advance(59.0)
    assert len(arrays.maker.tokens.leases) == 1
    assert code_of(arrays.maker.using(0, token, [(100, 64)])) == "good"
    arrays.world.advance(2.0)
    assert len(arrays.maker.tokens.leases) == 0
    arrays.world.advance(11.0)
    assert code_of(arrays.maker.using(0, token, [(100, 64)])) == "5/23/07"
    arrays.assert_no_errors()


@pytest.mark.parametrize("rod_type", [RodType.POINT_IN_TIME_DEFAULT, RodType.POINT_IN_TIME_PERSISTENT])
def test_after_a_restart_of_the_maker_only_persistent_tokens_can_be_used(rod_type: RodType) -> None:
    arrays = TokenArrays(9)
    data = fill_source(arrays)
    token = arrays.maker.token(0, [(0, 6144)], flags=ListFlag.RTV, rod_type=rod_type)
    assert code_of(arrays.redeemer.using(0, token, [(0, 64)])) == "good"
    arrays.restart(arrays.maker)
    arrays.arrays.connect()
    reply = arrays.redeemer.using(0, token, [(0, 6144)])
    if rod_type is RodType.POINT_IN_TIME_PERSISTENT:
        assert code_of(reply) == "good"
        assert arrays.redeemer.read(0, 0, 6144) == data
    else:
        assert code_of(reply) == "5/23/04"
    arrays.assert_nothing_leaks()


def test_a_restart_of_the_redeemer_leaves_nothing() -> None:
    arrays = TokenArrays(10)
    data = fill_source(arrays)
    token = arrays.maker.token(0, [(0, 6144)])
    arrays.redeemer.begin_using(0, token, [(0, 6144)])
    arrays.world.advance(0.1)
    assert arrays.redeemer.staging_volumes
    arrays.restart(arrays.redeemer)
    assert arrays.redeemer.staging_volumes == []
    arrays.arrays.connect()
    assert code_of(arrays.redeemer.using(0, token, [(0, 6144)])) == "good"
    assert arrays.redeemer.read(0, 0, 6144) == data
    arrays.assert_nothing_leaks()


@pytest.mark.parametrize("right", [Right.SERVE_TOKENS, Right.REDEEM_TOKENS])
def test_both_arrays_must_give_the_right(right: Right) -> None:
    arrays = TokenArrays(11)
    fill_source(arrays)
    token = arrays.maker.token(0, [(0, 64)])
    forged = token[:300] + bytes(212)
    array = arrays.maker.array if right is Right.SERVE_TOKENS else arrays.redeemer.array
    arrays.set_rights(array, frozenset(Right) - {right})
    replies = [arrays.redeemer.using(0, each, [(0, 64)]) for each in (token, forged)]
    assert {code_of(reply) for reply in replies} == {"5/23/02"}
    assert replies[0].sense == replies[1].sense, "a peer without the right learns nothing"
    assert len(arrays.maker.tokens.leases) == 0
    assert arrays.redeemer.redeemer.are_accepted is (right is Right.SERVE_TOKENS)
    arrays.assert_nothing_leaks()
