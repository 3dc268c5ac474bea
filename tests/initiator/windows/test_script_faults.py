"""The reaction of Windows to a fault of a target: one test for each of the cases F1 to F20 of the script."""

import pytest

from odx_target.initiator.errors import ConnectionLost
from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows.disk import DiskUnusable
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.session.path import ResetEnd
from odx_target.initiator.windows.settings import WindowsSettings
from tests.initiator.naive_target import INVALID_FIELD_IN_CDB, check_condition, token_information
from tests.initiator.windows.bench import PT, RRTI, WUT, Bench, words
from tests.initiator.windows.faults import HALF, SMALL, at, check_fallback, identifiers, records
from tests.initiator.windows.scripted import (
    BUSY,
    GIB,
    MIB,
    POWER_ON,
    RESERVATION_CONFLICT,
    CutOff,
    NoAnswer,
    tagged,
)


def test_f1_token_unknown() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, check_condition(5, 0x23, 4))
    check_fallback(bench, bench.copy(SMALL), Rule.TOKEN_REFUSED)
    assert bench.kinds() == [PT, RRTI, WUT]
    assert bench.source.cdbs(0x28)[0] == words("28 00 00 10 00 00 00 02 00 00")
    assert bench.destination.cdbs(0x2A)[0] == words("2A 00 00 90 00 00 00 02 00 00")
    assert len(bench.destination.cdbs(0x2A)) == SMALL // 262_144


def test_f1_with_4096_byte_blocks() -> None:
    bench = Bench(block_bytes=4096).start()
    at(bench.destination, WUT, check_condition(5, 0x23, 4))
    check_fallback(bench, bench.copy(SMALL), Rule.TOKEN_REFUSED)
    assert bench.source.cdbs(0x28)[0] == words("28 00 00 02 00 00 00 00 40 00")
    assert bench.destination.cdbs(0x2A)[0] == words("2A 00 00 12 00 00 00 00 40 00")


def halve_the_first_write(bench: Bench) -> None:
    bench.destination.truncate = lambda what, count: HALF if what == "WUT" and count == 2 * HALF else count


def check_the_second_half(bench: Bench) -> None:
    first, second = bench.destination.lists(0x11)
    assert int.from_bytes(second[8:16], "big") == HALF
    assert second[536:548] == words("00000000 00940000 00040000")
    assert first[16:528] == second[16:528]


def test_f2_truncated_with_information() -> None:
    bench = Bench().start()
    halve_the_first_write(bench)
    report = bench.copy(256 * MIB)
    assert (report.offloaded_bytes, report.stop) == (256 * MIB, None)
    assert bench.kinds() == [PT, RRTI, WUT, WUT]
    assert identifiers(bench) == [0, 0, 1, 2]
    check_the_second_half(bench)


def test_f2_counts_information_without_the_valid_bit() -> None:
    bench = Bench().start()
    halve_the_first_write(bench)
    sense = words("70 00 0A 00 04 00 00 0A 00 00 00 00 0D 04 00 00 00 00")

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if (cdb[0], cdb[1]) != WUT:
            return None
        result = bench.destination.obey(cdb, data)
        return CommandResult(2, sense=sense) if result.sense else result

    bench.destination.answer = answer
    assert bench.copy(256 * MIB).stop is None
    assert bench.kinds() == [PT, RRTI, WUT, WUT]


@pytest.mark.parametrize(
    "sense",
    [
        words("70 00 0A 00 00 00 00 0A 00 00 00 00 0D 04 00 00 00 00"),
        words("72 0A 0D 04 00 00 00 0C 00 0A 80 00 00 00 00 00 00 04 00 00"),
    ],
)
def test_f3_truncated_without_information(sense: bytes) -> None:
    bench = Bench().start()
    halve_the_first_write(bench)

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if (cdb[0], cdb[1]) != WUT:
            return None
        result = bench.destination.obey(cdb, data)
        return CommandResult(2, sense=sense) if result.sense else result

    bench.destination.answer = answer
    report = bench.copy(256 * MIB)
    assert (report.offloaded_bytes, report.stop) == (256 * MIB, None)
    assert bench.commands(RRTI)[1] == ("T", words("84 07 00 00 00 01 00 00 00 00 00 00 06 18 00 00"))
    assert bench.kinds() == [PT, RRTI, WUT, RRTI, WUT]
    check_the_second_half(bench)


def test_f4_no_resources_for_a_token() -> None:
    bench = Bench().start()
    at(bench.source, PT, check_condition(0xB, 0x55, 3))
    check_fallback(bench, bench.copy(SMALL), Rule.POPULATE_FAILED)
    assert bench.kinds() == [PT]


def test_f5_one_unit_attention() -> None:
    bench = Bench().start()
    at(bench.source, PT, POWER_ON)
    report = bench.copy(256 * MIB)
    assert report.stop is None
    (first, second), kinds = [cdb for _, cdb in bench.commands(PT)], bench.kinds()
    assert first == second
    assert kinds == [PT, PT, RRTI, WUT]
    assert tagged(bench.source.sent, first) == [True, False]


def test_f6_two_unit_attentions() -> None:
    bench = Bench().start()
    at(bench.source, PT, POWER_ON, POWER_ON)
    check_fallback(bench, bench.copy(SMALL), Rule.POPULATE_FAILED)
    assert bench.kinds() == [PT, PT]


def test_f7_no_answer_for_75_seconds() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, NoAnswer)
    report = bench.copy(256 * MIB)
    assert report.stop is None
    assert bench.management() == ["LOGICAL UNIT RESET"]
    assert bench.kinds() == [PT, RRTI, WUT, WUT, WUT]  # one of them gets the unit attention of the reset
    assert identifiers(bench) == [0, 0, 1, 1, 1]
    assert tagged(bench.destination.sent, bench.commands(WUT)[0][1]) == [True, True, False]


def test_f7_never_an_answer() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, *[NoAnswer] * 9)
    check_fallback(bench, bench.copy(SMALL), Rule.COMMAND_UNANSWERED, Rule.COMMAND_UNANSWERED, Rule.WRITE_FAILED)
    assert identifiers(bench) == [0, 0, 1, 1, 1, 1, 1]
    assert bench.kinds() == [PT, RRTI, WUT, WUT, WUT, RRTI, RRTI]
    assert bench.management() == ["LOGICAL UNIT RESET"] * 2


def test_f7_a_reset_that_is_not_done_leads_to_a_new_session() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, NoAnswer)
    bench.paths[1][0].resets = ResetEnd.REFUSED
    assert bench.copy(256 * MIB).stop is None
    assert bench.management() == ["LOGICAL UNIT RESET", "TARGET WARM RESET", "login"]


@pytest.mark.parametrize("anew", [False, True])
def test_f8_a_token_that_expires_between_two_writes(anew: bool) -> None:
    bench = Bench("B", settings=WindowsSettings(new_token_after_a_token_died=anew)).start()
    expired = check_condition(5, 0x23, 7)
    at(bench.destination, WUT, None, expired, expired)
    report = bench.copy(SMALL)
    if anew:
        assert (report.offloaded_bytes, report.tokens, report.stop) == (SMALL, 2, None)
        assert int.from_bytes(bench.source.lists(0x10)[1][16:24], "big") == 0x100000 + 0x20000
    else:
        assert (report.offloaded_bytes, report.ordinary_bytes) == (64 * MIB, SMALL - 64 * MIB)
        assert bench.source.cdbs(0x28)[0] == words("28 00 00 12 00 00 00 02 00 00")
    assert bench.kinds()[:5] == [PT, RRTI, WUT, WUT, WUT]
    assert bench.host.hold_off.remaining_s(bench.disks[0].key, bench.disks[1].key, bench.clock.now()) == 0


def test_f9_the_identifier_is_unknown() -> None:
    bench = Bench().start()
    at(bench.source, RRTI, INVALID_FIELD_IN_CDB)
    check_fallback(bench, bench.copy(SMALL), Rule.INFORMATION_FAILED)
    assert bench.kinds() == [PT, RRTI]
    assert NtStatus.INVALID_INITIATOR_TARGET_PATH.value in bench.host.journal.findings[0].detail


@pytest.mark.parametrize("status", [0x04, 0x10, 0x11, 0x12, 0x13])
def test_f10_not_complete(status: int) -> None:
    bench = Bench().start()
    records(bench.source, lambda result: CommandResult(0, token_information(0x10, status, SMALL // 512, b"t" * 512)))
    check_fallback(bench, bench.copy(SMALL), Rule.NOT_COMPLETE)
    assert bench.kinds() == [PT, RRTI]


def test_f11_reservation_conflict() -> None:
    bench = Bench().start()
    bench.destination.answer = lambda cdb, data: RESERVATION_CONFLICT if cdb[0] in (0x83, 0x2A) else None
    with pytest.raises(DiskUnusable) as raised:
        bench.copy(SMALL)
    assert bench.kinds() == [PT, RRTI, WUT, RRTI]
    assert bench.rules() == [Rule.WRITE_FAILED, Rule.ORDINARY_FAILED]
    assert raised.value.finding.rule is Rule.ORDINARY_FAILED


def test_f12_a_count_over_the_request() -> None:
    bench = Bench().start()
    records(bench.source, lambda result: CommandResult(0, token_information(0x10, 1, SMALL // 512 + 1, b"t" * 512)))
    check_fallback(bench, bench.copy(SMALL), Rule.COUNT_OVER_REQUEST)


@pytest.mark.parametrize("length", [0, 512, 516])
def test_f13_descriptor_length(length: int) -> None:
    bench = Bench().start()
    reply = token_information(0x10, 1, SMALL // 512, b"t" * 512)
    records(bench.source, lambda result: CommandResult(0, reply[:32] + length.to_bytes(4, "big") + reply[36:]))
    check_fallback(bench, bench.copy(SMALL), Rule.TOKEN_DESCRIPTOR_LENGTH)


def test_f14_busy_for_ten_seconds() -> None:
    bench = Bench().start()
    bench.destination.answer = lambda cdb, data: BUSY if (cdb[0], cdb[1]) == WUT else None
    began_s = bench.clock.now()
    check_fallback(bench, bench.copy(SMALL), Rule.WRITE_FAILED)
    assert bench.kinds() == [PT, RRTI, *[WUT] * 21, RRTI, RRTI]  # one of them gets the unit attention of the reset
    assert bench.clock.now() - began_s == 5.0
    assert bench.management() == ["LOGICAL UNIT RESET"]


def test_f14_busy_for_a_second_is_not_noticed() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, *[BUSY] * 4)
    assert bench.copy(256 * MIB).stop is None
    assert bench.rules() == []


def test_f15_operation_in_progress() -> None:
    bench = Bench().start()
    at(bench.source, PT, check_condition(5, 0x00, 0x16))
    check_fallback(bench, bench.copy(SMALL), Rule.POPULATE_FAILED)
    assert bench.kinds() == [PT]
    assert "OPERATION_IN_PROGRESS" in bench.host.journal.findings[0].detail


def test_f16_the_pool_is_full() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, check_condition(7, 0x27, 7))
    with pytest.raises(DiskUnusable) as raised:
        bench.copy(SMALL)
    assert raised.value.finding.rule is Rule.DISK_OFFLINE
    assert bench.kinds() == [PT, RRTI, WUT, RRTI]
    assert not bench.destination.cdbs(0x2A)


@pytest.mark.parametrize("sense", [check_condition(5, 0x21, 0), check_condition(5, 0x0D, 4)])
def test_f17_f18_a_write_that_cannot_be(sense: CommandResult) -> None:
    bench = Bench().start()
    at(bench.destination, WUT, sense)
    check_fallback(bench, bench.copy(SMALL), Rule.WRITE_FAILED)
    assert bench.kinds() == [PT, RRTI, WUT, RRTI]


def test_a_record_of_a_write_that_failed() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, check_condition(5, 0x21, 0))
    reply = words(
        "00000032 11020000 00000000 001212F1 0000000000000000 0000000000000000700005000000000A000000002100000000000000 0000"
    )
    bench.destination.records[1] = CommandResult(0, reply)
    check_fallback(bench, bench.copy(SMALL), Rule.WRITE_FAILED)
    assert "LOGICAL BLOCK" in bench.host.journal.findings[0].detail.upper()


@pytest.mark.parametrize("sense", [check_condition(0xA, 0x0D, 2), check_condition(4, 0x44, 0), check_condition(0xB, 0x55, 3)])
def test_a_write_that_failed_after_something_was_written_goes_on(sense: CommandResult) -> None:
    bench = Bench().start()
    halve_the_first_write(bench)

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if (cdb[0], cdb[1]) != WUT:
            return None
        result = bench.destination.obey(cdb, data)
        return sense if result.sense else result

    bench.destination.answer = answer
    report = bench.copy(256 * MIB)
    assert (report.offloaded_bytes, report.stop) == (256 * MIB, None)
    check_the_second_half_of_several(bench)


def check_the_second_half_of_several(bench: Bench) -> None:
    last = bench.destination.lists(0x11)[-1]
    assert last[536:548] == words("00000000 00940000 00040000")
    assert bench.kinds()[-2:] == [RRTI, WUT]


def test_f19_the_connection_goes_in_a_write() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, CutOff)
    report = bench.copy(256 * MIB)
    assert report.stop is None
    assert bench.management() == ["login"]
    assert identifiers(bench) == [0, 0, 1, 1, 1]  # connection lost, unit attention, done


def test_f19_a_target_that_does_not_come_back() -> None:
    bench = Bench().start()
    at(bench.destination, WUT, CutOff)
    bench.paths[1][0].restorable = False
    began_s = bench.clock.now()
    with pytest.raises(ConnectionLost):
        bench.copy(SMALL)
    assert bench.clock.now() - began_s == 60.0
    assert bench.management() == ["login"] * 13


def test_f20_each_write_takes_five_seconds() -> None:
    bench = Bench("B").start()
    bench.destination.seconds = lambda cdb: 5.0 if (cdb[0], cdb[1]) == WUT else 0.0
    report = bench.copy(GIB)
    assert (report.offloaded_bytes, report.tokens, report.stop) == (GIB, 1, None)
    assert bench.kinds() == [PT, RRTI] + [WUT] * 16
    assert bench.rules() == [Rule.TOO_LONG] * 15  # the sixteenth write is the last


def test_a_longer_duration_lets_a_request_go_on() -> None:
    bench = Bench("B", settings=WindowsSettings(max_duration_s=30.0)).start()
    bench.destination.seconds = lambda cdb: 5.0
    bench.copy(GIB)
    assert bench.rules() == []
