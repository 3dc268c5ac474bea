"""Every refused or incomplete copy has an explanation in one line: rule, field, limit, clause and remedy."""

import re
from pathlib import Path

import pytest

import odx_target.copymgr
from odx_target.copymgr.advice import CLAUSES, REMEDIES_OF_CODES, REMEDIES_OF_LIMITS, remedy_for, sentence
from odx_target.copymgr.commands.parameter_lists import COPY_CDBS, THIRD_PARTY_COPY_OUT, ListFlag, ServiceAction
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.operations.copy_rate import MIN_COPY_RATE_BYTES_PER_S
from odx_target.copymgr.refusal_log import reason_of
from odx_target.copymgr.tokens.judgement import TOKEN_ERRORS
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.scsi.reply import Status
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.store.errors import PoolBusy, PoolFull
from tests.copymgr.array import CopyArray, code_of
from tests.copymgr.extended_copy import BlocksSegment, copy, lun_list

SOURCES = sorted(Path(odx_target.copymgr.__file__).parent.rglob("*.py"))
NAME_OF_LIMIT = re.compile(r"""limit=\(?"([^"]+)\"|limit = \(?"([^"]+)\"""")


RESERVE_6 = bytes.fromhex("160000000000")


def busy(_: Task) -> Outcome:
    raise PoolBusy


def explanations(array: CopyArray) -> list[str]:
    return [sentence(entry) for entry in array.manager.copies.refusals.latest]


def test_too_many_ranges() -> None:
    array = CopyArray(CopyLimits(max_range_descriptors=2))
    assert code_of(array.populate(0, 1, [(0, 1), (8, 1), (16, 1)])) == "5/26/08"
    assert explanations(array) == [
        "POPULATE TOKEN of iqn.host to LUN lun0 was refused: too many range descriptors (BLOCK DEVICE RANGE DESCRIPTOR LENGTH "
        "is 3, MAXIMUM RANGE DESCRIPTORS is 2) [5/26/08, SBC-4 5.24, SPC-4 7.8.17]. Send fewer ranges in one command; VPD page "
        "8Fh reports the limit."
    ]


def test_an_expired_token() -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 8)])
    array.environment.advance(1000)
    assert code_of(array.write_using(1, 2, token, [(0, 8)])) == "5/23/07"
    (line,) = explanations(array)
    assert line.startswith("WRITE USING TOKEN of iqn.host to LUN lun1 was refused: ")
    assert line.endswith(
        "[5/23/07, SBC-4 5.55, SPC-4 5.16.6]. Use the token before its inactivity timeout, or request a longer one."
    )


def test_a_copy_that_falls_short_names_both_sizes() -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 8)])
    array.write_using(1, 2, token, [(0, 16)])
    (line,) = explanations(array)
    assert line.startswith("WRITE USING TOKEN of iqn.host to LUN lun1 copied only 4096 of 8192 bytes: ")
    assert line.endswith("Begin and end the copy inside the data that the token represents.")


def test_a_copy_in_the_background_that_fails_later_is_listed() -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 8)])
    assert code_of(array.write_using(1, 2, token, [(0, 16)], flags=ListFlag.IMMED)) == "good"
    array.environment.advance(1)
    (line,) = explanations(array)
    assert line.startswith("WRITE USING TOKEN of iqn.host to LUN lun1 copied only 4096 of 8192 bytes in the background: ")
    assert array.manager.copies.totals.as_data()["iqn.host"]["refused_bytes"] == 4096


def test_a_copy_that_is_aborted_in_the_background_is_listed() -> None:
    array = CopyArray()
    array.manager.copies.copy_rate.set(MIN_COPY_RATE_BYTES_PER_S)
    token = array.token(0, 1, [(0, 2048)])
    array.write_using(1, 2, token, [(0, 2048)], flags=ListFlag.IMMED)
    assert code_of(array.abort(1, 2)) == "good"
    array.environment.advance(1)
    (entry,) = array.manager.copies.refusals.latest
    assert (entry["in_background"], entry["code"]) == (True, "A/2F/02")


def test_a_copy_in_the_background_that_copies_nothing_has_failed() -> None:
    entry = {"command": "WRITE_USING_TOKEN", "initiator": "iqn.a", "lun": "b", "requested_bytes": 512, "done_bytes": 0}
    line = sentence({**entry, "in_background": True, "condition": "hardware error", "code": "4/44/00"})
    assert line == "WRITE USING TOKEN of iqn.a to LUN b failed in the background: hardware error [4/44/00, SBC-4 5.55]."


def test_each_limit_in_the_code_has_a_remedy() -> None:
    named = {name for path in SOURCES for match in NAME_OF_LIMIT.finditer(path.read_text()) for name in match.groups() if name}
    assert {"MAXIMUM RANGE DESCRIPTORS", "TOTAL CONCURRENT COPIES", "MAXIMUM SEGMENT LENGTH"} <= named
    assert named - set(REMEDIES_OF_LIMITS) == set()


def test_each_cause_of_an_invalid_token_has_a_remedy() -> None:
    assert {f"5/23/{ascq:02X}" for ascq in TOKEN_ERRORS} <= set(REMEDIES_OF_CODES)


def test_each_command_has_a_clause() -> None:
    assert {action.name for action, _, _, _ in COPY_CDBS} == set(CLAUSES)


def test_an_entry_without_a_remedy_still_has_its_reason() -> None:
    entry = {
        "command": "POPULATE_TOKEN",
        "initiator": "iqn.a",
        "lun": "b",
        "requested_bytes": 0,
        "done_bytes": 0,
        "condition": "hardware error",
        "code": "4/44/00",
    }
    assert remedy_for(entry) is None
    assert sentence(entry) == "POPULATE TOKEN of iqn.a to LUN b was refused: hardware error [4/44/00, SBC-4 5.24]."


def test_commands_that_the_device_server_refuses_are_listed() -> None:
    array = CopyArray()
    other = array.new_nexus("iqn.other")
    token = array.token(0, 1, [(0, 8)])
    array.server.commands.restrict(frozenset({(THIRD_PARTY_COPY_OUT, int(ServiceAction.POPULATE_TOKEN))}), {})
    assert code_of(array.populate(0, 2, [(0, 8)])) == "5/24/00"
    assert code_of(array.command(0, RESERVE_6, nexus=other)) == "good"
    assert array.write_using(0, 3, token, [(0, 8)]).status is Status.RESERVATION_CONFLICT
    assert explanations(array) == [
        "POPULATE TOKEN of iqn.host to LUN lun0 was refused: this array does not have the command [5/24/00, SBC-4 5.24, SPC-4 "
        "6.35]. Copy by reads and writes, or serve with a personality that has the command.",
        "WRITE USING TOKEN of iqn.host to LUN lun0 was refused: another host has reserved the LUN [status 18, SBC-4 5.55, "
        "SPC-4 5.13.1]. Release the reservation, or register this host too.",
    ]
    assert array.manager.copies.totals.as_data()["iqn.host"]["refused_commands"] == 2


def test_commands_of_a_lun_that_does_not_exist_are_listed_by_its_number() -> None:
    array = CopyArray()
    assert code_of(array.populate(99, 1, [(0, 8)])) == "5/25/00"
    (line,) = explanations(array)
    assert line.startswith("POPULATE TOKEN of iqn.host to LUN 99 was refused: logical unit not supported [5/25/00")


def test_commands_that_hosts_repeat_are_not_listed() -> None:
    array = CopyArray()
    array.nexus.establish_unit_attention(0, 0x2A, 0x01)
    assert code_of(array.populate(0, 1, [(0, 8)])) == "6/2A/01"
    array.server.before_command = busy
    assert array.populate(0, 2, [(0, 8)]).status is Status.BUSY
    array.server.before_command = None
    assert code_of(array.populate(0, 3, [(0, 8)])) == "good"
    assert explanations(array) == []


def test_other_commands_are_not_listed() -> None:
    array = CopyArray()
    for cdb in (bytes.fromhex("ff"), bytes.fromhex("831f"), bytes.fromhex("28 00 ffffffff 00 0001 00")):
        assert code_of(array.command(0, cdb)) != "good"
    assert explanations(array) == []


def test_other_errors_are_listed_by_their_sense_data() -> None:
    assert reason_of(PoolFull()) == {"condition": "space allocation failed write protect", "code": "7/27/07"}
    assert reason_of(RuntimeError()) == {"condition": "internal target failure", "code": "4/44/00"}


def test_the_requested_bytes_of_refused_commands_are_counted() -> None:
    array = CopyArray(CopyLimits(max_range_descriptors=2))
    array.populate(0, 1, [(0, 1), (8, 1), (16, 1)])
    array.write_using(1, 2, bytes(512), [(0, 8), (16, 8)])
    array.write_using(0, 3, bytes(512), [])
    assert [entry["requested_bytes"] for entry in array.manager.copies.refusals.latest] == [3 * 512, 16 * 512, 0]
    assert array.manager.copies.totals.as_data()["iqn.host"]["refused_bytes"] == 19 * 512


def test_the_requested_bytes_of_a_refused_extended_copy_are_counted() -> None:
    array = CopyArray()
    assert code_of(array.command(1, RESERVE_6, nexus=array.new_nexus("iqn.other"))) == "good"
    segments = lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8), BlocksSegment(0, 8, 1, 8, 4)])
    assert copy(array, 1, segments).status is Status.RESERVATION_CONFLICT
    (entry,) = array.manager.copies.refusals.latest
    assert (entry["command"], entry["requested_bytes"]) == ("EXTENDED_COPY_LID1", 12 * 512)


def test_refusals_have_numbers_times_and_lines() -> None:
    array = CopyArray()
    noted: list[dict[str, object]] = []
    array.manager.copies.refusals.on_note = noted.append
    for number in range(70):
        array.environment.advance(1)
        array.write_using(0, number, bytes(512), [(0, 1)])
    latest = array.manager.copies.refusals.latest
    assert [entry["number"] for entry in latest] == list(range(7, 71))
    times = [float(str(entry["time_s"])) for entry in latest]
    assert times == sorted(set(times))
    assert len(noted) == 70


def test_bytes_are_counted_for_each_initiator() -> None:
    array = CopyArray()
    other = array.new_nexus("iqn.other", "2")
    token = array.token(0, 1, [(0, 16)])
    array.write(0, 0, bytes([7]) * 16 * 512)
    full = array.token(0, 2, [(0, 16)])
    array.write_using(1, 3, full, [(0, 16)])
    array.write_using(1, 4, full, [(17, 3)])
    array.write_using(1, 5, ZERO_TOKEN, [(32, 8)], nexus=other)
    array.write_using(1, 6, token, [(0, 64)], nexus=other)
    array.write_using(1, 7, b"\xa5" * 512, [(0, 64)], nexus=other)
    totals = array.manager.copies.totals.as_data()
    assert totals["iqn.host"] == {
        "shared_bytes": 8192,
        "zeroed_bytes": 0,
        "moved_bytes": 3 * 512,
        "refused_bytes": 0,
        "refused_commands": 0,
    }
    assert totals["iqn.other"]["zeroed_bytes"] == 8 * 512
    assert totals["iqn.other"]["shared_bytes"] == 16 * 512
    assert totals["iqn.other"]["refused_bytes"] == (48 + 64) * 512
    assert totals["iqn.other"]["refused_commands"] == 2


def test_the_sums_of_few_initiators_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odx_target.copymgr.initiator_totals.MAX_INITIATOR_TOTALS", 2)
    array = CopyArray()
    for name in ("iqn.a", "iqn.b", "iqn.a", "iqn.c", "iqn.d"):
        array.write_using(1, 5, ZERO_TOKEN, [(0, 8)], nexus=array.new_nexus(name, name))
    totals = array.manager.copies.totals.as_data()
    assert {name: row["zeroed_bytes"] for name, row in totals.items()} == {"iqn.c": 4096, "iqn.d": 4096, "others": 3 * 4096}
