"""Reports about operations: RECEIVE ROD TOKEN INFORMATION, RECEIVE COPY STATUS (LID4), REPORT ALL ROD TOKENS."""

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import RECORD_OVERHEAD_BYTES, CopyLimits, CopyOptions
from odx_target.turns import Steps
from tests.copymgr.array import CopyArray, Range, code_of, data_of
from tests.copymgr.golden import golden

ONE: list[Range] = [(0, 16)]
IMMED = ListFlag.IMMED
TOLD, NOT_TOLD = "good", "5/24/00"


def status_of(array: CopyArray, lun: int, list_identifier: int) -> int:
    return data_of(array.information(lun, list_identifier))[5]


def test_list_identifier_zero_is_as_good_as_any() -> None:
    array = CopyArray()
    for list_identifier in (0, 0xFFFF_FFFF):
        assert len(array.token(0, list_identifier, ONE)) == 512


@pytest.mark.parametrize("allocation", [1, 4, 31, 32, 36, 549])
def test_a_truncated_answer_keeps_the_token(allocation: int) -> None:
    array = CopyArray()
    array.populate(0, 9, ONE)
    short = data_of(array.information(0, 9, allocation))
    assert short == golden("rod_token_information")[:4][:allocation] + short[4:]
    assert len(short) == allocation
    (record,) = array.manager.copies.records
    assert record.holds_token
    whole = data_of(array.information(0, 9, 550))
    assert whole[: len(short)] == short
    assert not record.holds_token
    assert data_of(array.information(0, 9, 1024)) == whole, "a repeated question is answered again"


def test_an_allocation_of_zero_releases_the_token_and_keeps_the_rest() -> None:
    array = CopyArray()
    token = array.token(0, 9, ONE)
    reply = array.information(0, 9, 0)
    assert (code_of(reply), list(reply.data_in)) == ("good", [])
    assert len(data_of(array.information(0, 9))) == 36
    assert len(data_of(array.copy_status(0, 9))) == 32
    assert code_of(array.write_using(1, 10, token, ONE)) == "good", "the token lives"
    assert code_of(array.copy_status(0, 9, 0)) == "good"
    assert array.manager.copies.records.total_bytes == 2 * RECORD_OVERHEAD_BYTES
    assert code_of(array.information(0, 77, 0)) == NOT_TOLD


def test_an_unknown_list_identifier_points_at_its_field() -> None:
    array = CopyArray()
    for command in (array.information, array.copy_status, array.abort):
        assert command(0, 5).sense == golden("refusals", "unknown_list_identifier")


def test_what_is_told_while_it_runs() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    array.populate(0, 1, ONE, flags=IMMED)
    foreground = array.start_populate(0, 2, ONE)
    array.environment.settle()
    for list_identifier, status in ((1, 0x12), (2, 0x11)):
        answer = data_of(array.information(0, list_identifier))
        assert (len(answer), answer[5]) == (36, status)
        assert answer[8:12] == (100).to_bytes(4, "big")
        assert answer[32:] == bytes(4)
        assert data_of(array.copy_status(0, list_identifier))[4:] == answer[4:32]
        assert code_of(array.information(0, list_identifier, 0)) == "good", "nothing to release yet"
    array.environment.advance(2.0)
    assert foreground.is_done
    for list_identifier in (1, 2):
        assert (status_of(array, 0, list_identifier), len(data_of(array.information(0, list_identifier)))) == (1, 550)


def test_a_finished_record_is_replaced_as_by_a_retry_of_windows() -> None:
    array = CopyArray()
    first = array.token(0, 5, ONE)
    second = array.token(0, 5, ONE)
    assert first != second
    assert code_of(array.write_using(0, 5, first, [(64, 16)])) == "good"
    assert data_of(array.information(0, 5))[4] == 0x11
    assert len(array.manager.copies.records) == 1
    assert code_of(array.write_using(1, 6, second, ONE)) == "good"


def test_a_list_identifier_belongs_to_nexus_and_logical_unit() -> None:
    array = CopyArray()
    stranger = array.new_nexus("iqn.other")
    array.populate(0, 5, ONE)
    array.populate(0, 5, [(0, 32)], nexus=stranger)
    array.populate(1, 5, [(0, 64)])
    told = [(0, array.nexus, 16), (0, stranger, 32), (1, array.nexus, 64)]
    for lun, nexus, blocks in told:
        assert int.from_bytes(data_of(array.information(lun, 5, nexus=nexus))[16:24], "big") == blocks
    assert code_of(array.information(1, 5, nexus=stranger)) == NOT_TOLD


@pytest.mark.parametrize(("lenient", "expected"), [(True, TOLD), (False, NOT_TOLD)])
def test_another_path_of_the_same_initiator(lenient: bool, expected: str) -> None:
    array = CopyArray(options=CopyOptions(lenient_lookup=lenient))
    array.populate(0, 5, ONE)
    path, stranger = array.new_nexus("iqn.host", "2"), array.new_nexus("iqn.other")
    assert code_of(array.information(0, 5, nexus=path)) == expected
    assert code_of(array.information(0, 5, nexus=stranger)) == NOT_TOLD
    assert code_of(array.copy_status(0, 5, nexus=path)) == NOT_TOLD, "only the question that multipath drivers misroute"
    assert code_of(array.information(1, 5, nexus=path)) == NOT_TOLD


def test_the_exact_nexus_comes_first_and_then_the_latest_other() -> None:
    array = CopyArray()
    paths = [array.nexus, *(array.new_nexus("iqn.host", str(number)) for number in (2, 3))]
    for path, blocks in zip(paths, (16, 32, 64), strict=True):
        array.populate(0, 5, [(0, blocks)], nexus=path)
        array.environment.advance(1.0)
    counts = [int.from_bytes(data_of(array.information(0, 5, nexus=path))[16:24], "big") for path in paths]
    assert counts == [16, 32, 64]
    late = array.new_nexus("iqn.host", "4")
    assert int.from_bytes(data_of(array.information(0, 5, nexus=late))[16:24], "big") == 64


@pytest.mark.parametrize("given_up", [False, True])
@pytest.mark.parametrize("asker", [0, 2])
def test_a_record_whose_time_is_over_hides_none_of_another_path(asker: int, given_up: bool) -> None:
    array = CopyArray(CopyLimits(record_lifetime_s=40.0))
    paths = [array.nexus, *(array.new_nexus("iqn.host", str(number)) for number in (2, 3))]
    array.populate(0, 5, [(0, 16)], nexus=paths[0])
    array.environment.advance(30.0)
    array.populate(0, 5, [(0, 32)], nexus=paths[1])
    array.environment.advance(10.0)
    if given_up:
        array.manager.copies.expire(array.environment.monotonic(), Steps(1000))
    assert int.from_bytes(data_of(array.information(0, 5, nexus=paths[asker]))[16:24], "big") == 32
    array.environment.advance(30.0)
    assert code_of(array.information(0, 5, nexus=paths[asker])) == NOT_TOLD


def kept(array: CopyArray, luns: int = 1) -> set[int]:
    return {each for each in range(40) for lun in range(luns) if code_of(array.copy_status(lun, each)) == TOLD}


def test_records_are_bounded_and_those_missed_least_go_first() -> None:
    array = CopyArray(CopyLimits(max_records_per_nexus=5))
    token = array.token(0, 0, ONE)  # completely reported
    array.populate(0, 1, ONE)  # not reported
    array.write_using(0, 2, token, [(64, 8)])
    array.write_using(0, 3, token, [(64, 8)])
    array.populate(0, 4, ONE)  # not reported
    assert kept(array) == {0, 1, 2, 3, 4}
    expected = [{0, 1, 3, 4, 10}, {0, 1, 4, 10, 11}, {1, 4, 10, 11, 12}, {4, 10, 11, 12, 13}, {10, 11, 12, 13, 14}]
    for number, remaining in enumerate(expected):
        array.populate(0, 10 + number, ONE)
        assert kept(array) == remaining
    assert array.manager.copies.records.evictions == 5
    assert code_of(array.write_using(1, 20, token, ONE)) == "good", "a token outlives its record"


def test_other_nexuses_keep_theirs() -> None:
    array = CopyArray(CopyLimits(max_records_per_nexus=2))
    other = array.new_nexus("iqn.other")
    array.populate(0, 1, ONE, nexus=other)
    for number in range(10):
        array.populate(0, number, ONE)
    assert len(array.manager.copies.records) == 3
    assert code_of(array.information(0, 1, nexus=other)) == TOLD


def test_bytes_of_records_are_bounded_over_all_nexuses() -> None:
    with_token = RECORD_OVERHEAD_BYTES + 512
    array = CopyArray(CopyLimits(max_record_bytes=3 * with_token + 1))
    nexuses = [array.new_nexus(f"iqn.{number}") for number in range(4)]
    for number, nexus in enumerate(nexuses[:3]):
        array.populate(0, number, ONE, nexus=nexus)
    assert len(array.manager.copies.records) == 3
    array.populate(0, 3, ONE, nexus=nexuses[3])
    assert [code_of(array.information(0, number, nexus=nexus)) for number, nexus in enumerate(nexuses)] == [
        NOT_TOLD,
        TOLD,
        TOLD,
        TOLD,
    ]
    assert array.manager.copies.records.total_bytes == 3 * with_token


def test_records_of_operations_under_way_are_never_given_up() -> None:
    array = CopyArray(CopyLimits(max_records_per_nexus=2))
    array.populate(0, 0, ONE)
    array.manager.copies.before_step = lambda operation: array.environment.sleep(10.0)
    for number in (1, 2):
        assert code_of(array.populate(0, number, ONE, flags=IMMED)) == "good"
    assert kept(array) == {1, 2}
    assert array.populate(0, 3, ONE, flags=IMMED).sense == golden("refusals", "insufficient_resources")
    assert array.manager.copies.refusals.latest[-1]["limit"] == "MAX_RECORDS_PER_NEXUS"
    assert len(array.manager.copies.tokens.live) == 3
    array.environment.advance(11.0)
    assert code_of(array.populate(0, 3, ONE, flags=IMMED)) == "good"


def test_concurrent_copies_are_bounded() -> None:
    array = CopyArray(CopyLimits(max_concurrent_copies=2))
    array.manager.copies.before_step = lambda operation: array.environment.sleep(10.0)
    nexuses = [array.new_nexus(f"iqn.{number}") for number in range(3)]
    codes = [code_of(array.populate(0, 0, ONE, nexus=nexus, flags=IMMED)) for nexus in nexuses]
    assert codes == ["good", "good", "B/55/03"]
    assert array.manager.copies.refusals.latest[-1]["limit"] == "TOTAL CONCURRENT COPIES"
    array.environment.advance(11.0)
    assert array.manager.copies.operations == {}
    assert code_of(array.populate(0, 0, ONE, nexus=nexuses[2], flags=IMMED)) == "good"
    array.environment.settle()


def test_records_are_given_up_in_time() -> None:
    array = CopyArray(CopyLimits(record_lifetime_s=100))
    array.populate(0, 1, ONE)
    array.environment.advance(50.0)
    array.populate(0, 2, ONE)
    array.environment.advance(49.9)
    assert kept(array) == {1, 2}
    array.environment.advance(0.1)
    assert kept(array) == {2}
    assert array.manager.next_expiry() is not None
    array.environment.advance(50.0)
    array.manager.copies.expire(array.environment.monotonic(), Steps(1 << 30))
    assert len(array.manager.copies.records) == 0
    assert array.manager.copies.records.total_bytes == 0


def test_all_rod_tokens_of_this_logical_unit() -> None:
    array = CopyArray()
    assert data_of(array.command(0, bytes.fromhex("8408 0000000000000000 00000c08 0000"))) == bytes(3) + b"\x04" + bytes(4)
    tokens = [array.token(0, number, ONE) for number in range(3)]
    other = array.token(1, 9, ONE)
    assert array.all_tokens(0) == [token[:96] for token in tokens]
    assert array.all_tokens(1) == [other[:96]]
    short = data_of(array.command(0, bytes.fromhex("8408 0000000000000000 00000064 0000")))
    assert len(short) == 100
    assert int.from_bytes(short[:4], "big") == 4 + 3 * 96, "as if nothing were cut off"
    assert code_of(array.write_using(1, 4, tokens[0], ONE, flags=ListFlag.DEL_TKN)) == "good"
    assert array.all_tokens(0) == [token[:96] for token in tokens[1:]]


def test_looking_prolongs_no_life() -> None:
    array = CopyArray()
    array.token(0, 1, ONE, inactivity_timeout_s=10)
    for _ in range(19):
        array.environment.advance(0.5)
        assert len(array.all_tokens(0)) == 1
        array.information(0, 1)
    array.environment.advance(0.5)
    assert array.all_tokens(0) == []


def test_a_token_that_is_not_issued_yet_is_not_listed() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(5.0)
    array.populate(0, 1, ONE, flags=IMMED)
    array.environment.settle()
    assert array.all_tokens(0) == []
    array.environment.advance(5.0)
    assert len(array.all_tokens(0)) == 1


def test_reserved_bits_are_refused_and_the_table_says_what_is_there() -> None:
    array = CopyArray()
    for cdb, field in (("8410", 1), ("8307", 1), ("831000010000", 3), ("83100000000000000000000000000080", 15)):
        reply = array.command(0, bytes.fromhex(cdb).ljust(16, b"\0"))
        assert code_of(reply) == "5/24/00"
        assert reply.sense[17] == field
    codes = data_of(array.command(0, bytes.fromhex("a30c0383001000000400 0000")))
    assert codes[1] & 7 == 3
    assert codes[4:20].hex() == "831000000000ffffffffffffffff3f00"


def test_the_status_of_the_manager_is_plain_data() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(5.0)
    array.populate(0, 1, ONE, flags=IMMED)
    array.environment.settle()
    (operation,) = array.manager.status()["operations"]  # type: ignore[misc]
    assert operation["status"] == "in_background"  # type: ignore[index]
    array.environment.advance(5.0)
    status = array.manager.status()
    (token,) = status["tokens"]  # type: ignore[misc]
    assert token["size_bytes"] == 8192  # type: ignore[index]
    assert status["operations"] == []
    assert status["counters"]["tokens_made"] == 1  # type: ignore[index]
