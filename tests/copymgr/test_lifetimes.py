"""The lifetime of tokens: timeouts, earlier ends, and tokens that survive a restart."""

from collections.abc import Callable

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyLimits
from odx_target.turns import Steps
from tests.copymgr.array import CopyArray, Range, code_of, pattern
from tests.copymgr.golden import golden

ONE: list[Range] = [(0, 16)]
RTV = ListFlag.RTV
DEFAULT, CHANGE_VULNERABLE, PERSISTENT, ANY = 0x0080_0000, 0x0080_0001, 0x0080_0002, 0x0080_FFFF


def use(array: CopyArray, token: bytes, lba: int = 100) -> str:
    return code_of(array.write_using(1, 99, token, [(lba, 8)]))


def typed(array: CopyArray, rod_type: int, ranges: list[Range] = ONE, **fields: int) -> bytes:
    return array.token(0, 1, ranges, flags=RTV, rod_type=rod_type, **fields)


@pytest.mark.parametrize(("asked", "lives"), [(0, 20), (1, 5), (4, 5), (5, 5), (6, 6), (100, 100)])
def test_the_timeout_has_a_default_and_a_minimum(asked: int, lives: int) -> None:
    limits = CopyLimits(min_inactivity_timeout_s=5, default_inactivity_timeout_s=20, max_inactivity_timeout_s=100)
    array = CopyArray(limits)
    token = array.token(0, 1, ONE, inactivity_timeout_s=asked)
    array.environment.advance(lives - 0.001)
    assert len(array.all_tokens(0)) == 1
    array.environment.advance(0.001)
    assert use(array, token) == "5/23/07"
    assert array.pool.frozen_maps == {}


def test_the_timeout_begins_anew_with_each_use_but_not_with_a_refused_one() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE, inactivity_timeout_s=10)
    for _ in range(5):
        array.environment.advance(9.0)
        assert use(array, token) == "good"
    array.environment.advance(9.0)
    assert use(array, token, 1 << 20) == "5/21/00"
    array.environment.advance(1.0)
    assert use(array, token) == "5/23/07"


def test_the_timeout_begins_when_the_token_is_issued() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(60.0)
    array.populate(0, 1, ONE, inactivity_timeout_s=10, flags=ListFlag.IMMED)
    array.environment.advance(69.0)
    array.manager.copies.before_step = None
    token = b"".join(array.information(0, 1).data_in)[38:]
    assert use(array, token) == "good"


def test_however_often_it_is_used_a_token_has_a_last_day() -> None:
    array = CopyArray(CopyLimits(max_inactivity_timeout_s=3600, max_token_lifetime_s=4000))
    token = array.token(0, 1, ONE, inactivity_timeout_s=3600)
    array.environment.advance(3000)
    assert use(array, token) == "good"
    array.environment.advance(999.9)
    assert use(array, token) == "good"
    array.environment.advance(0.1)
    assert use(array, token) == "5/23/07"


def test_a_token_does_not_expire_under_the_copy_that_uses_it() -> None:
    array = CopyArray(CopyLimits(copy_step_bytes=4096))
    array.write(0, 0, pattern(0, 0, 16, 512))
    token = array.token(0, 1, ONE, inactivity_timeout_s=1)
    array.manager.copies.before_step = lambda operation: array.environment.sleep(50.0)
    array.write_using(1, 2, token, [(3, 16)], flags=ListFlag.IMMED)
    for _ in range(20):
        array.environment.advance(10.0)
        array.manager.copies.expire(array.environment.monotonic(), Steps(1 << 30))
    assert array.read(1, 3, 16) == pattern(0, 0, 16, 512)
    array.manager.copies.before_step = None
    assert use(array, token) == "5/23/07", "it ended long before, and then nobody used it"


def test_expired_tokens_are_given_back_without_anybody_asking() -> None:
    array = CopyArray()
    for number in range(10):
        array.token(0, number, ONE, inactivity_timeout_s=10 + number)
    assert len(array.pool.frozen_maps) == 10
    for left in range(9, -1, -1):
        next_s = array.manager.next_expiry()
        assert next_s is not None
        array.environment.advance(next_s - array.environment.monotonic())
        array.manager.copies.expire(array.environment.monotonic(), Steps(1 << 30))
        assert len(array.pool.frozen_maps) == left
    array.environment.advance(1000.0)
    array.manager.copies.expire(array.environment.monotonic(), Steps(1 << 30))
    assert array.manager.next_expiry() is None
    array.environment.advance(10_000.0)
    array.manager.copies.expire(array.environment.monotonic(), Steps(1 << 30))
    assert array.manager.copies.tokens.tombstones == {}


def test_many_uses_do_not_pile_up_in_the_schedule() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE)
    for _ in range(100):
        use(array, token)
    assert len(array.manager.copies.tokens._schedule) == 1


def test_live_tokens_are_bounded_and_expired_ones_make_room() -> None:
    array = CopyArray(CopyLimits(max_tokens=3))
    for number in range(3):
        array.token(0, number, ONE, inactivity_timeout_s=10)
    reply = array.populate(0, 9, ONE)
    assert reply.sense == golden("refusals", "insufficient_resources")
    assert array.manager.copies.refusals.latest[-1]["limit"] == "MAX_TOKENS"
    assert code_of(array.information(0, 9)) == "5/24/00"
    assert code_of(array.populate(0, 9, [(0, 0)])) == "good", "which needs none"
    array.environment.advance(10.0)
    assert code_of(array.populate(0, 9, ONE)) == "good"


def test_change_vulnerable_tokens_are_bounded_for_each_logical_unit() -> None:
    array = CopyArray(CopyLimits(max_change_vulnerable_tokens=2))
    for _ in range(2):
        typed(array, CHANGE_VULNERABLE)
    assert code_of(array.populate(0, 5, ONE, flags=RTV, rod_type=CHANGE_VULNERABLE)) == "B/55/03"
    assert array.manager.copies.refusals.latest[-1]["limit"] == "MAX_CHANGE_VULNERABLE_TOKENS"
    assert code_of(array.populate(0, 5, ONE)) == "good"
    assert code_of(array.populate(1, 5, ONE, flags=RTV, rod_type=CHANGE_VULNERABLE)) == "good"


@pytest.mark.parametrize(
    ("asked", "made"), [(DEFAULT, DEFAULT), (CHANGE_VULNERABLE,) * 2, (PERSISTENT,) * 2, (ANY, PERSISTENT)]
)
def test_the_type_asked_for_is_the_type_made(asked: int, made: int) -> None:
    array = CopyArray()
    token = typed(array, asked)
    assert int.from_bytes(token[:4], "big") == made
    assert use(array, token) == "good"


CHANGES: dict[str, Callable[[CopyArray], object]] = {
    "a write to it": lambda array: array.write(0, 20, bytes(512)),
    "a write to the same block of the store": lambda array: array.write(0, 18, bytes(512)),
    "a write across it": lambda array: array.write(0, 0, bytes(512 * 64)),
    "unmap": lambda array: array.command(
        0, bytes.fromhex("42000000000000001800"), bytes.fromhex("0016 0010 00000000 0000000000000010 00000008 00000000")
    ),
    "write same": lambda array: array.command(0, bytes.fromhex("93 08 0000000000000010 00000008 00 00"), bytes(512)),
    "compare and write": lambda array: array.command(
        0, bytes.fromhex("89 00 0000000000000014 000000 01 00 00"), array.read(0, 20, 1) + bytes(512)
    ),
    "a copy onto it": lambda array: array.write_using(0, 8, array.token(1, 7, ONE), [(19, 16)]),
    "zeros onto it": lambda array: array.write_using(0, 8, golden("zero_token"), [(16, 16)]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("rod_type", [DEFAULT, CHANGE_VULNERABLE, PERSISTENT])
def test_a_change_of_the_source_cancels_only_what_is_vulnerable(change: str, rod_type: int) -> None:
    array = CopyArray()
    array.write(0, 0, pattern(0, 0, 64, 512))
    token = typed(array, rod_type, [(19, 2), (40, 8)])
    CHANGES[change](array)
    assert use(array, token) == ("5/23/08" if rod_type == CHANGE_VULNERABLE else "good")
    if rod_type != CHANGE_VULNERABLE:
        assert array.read(1, 100, 8) == pattern(0, 19, 2, 512) + pattern(0, 40, 6, 512)


def test_a_change_beside_the_source_cancels_nothing() -> None:
    array = CopyArray()
    token = typed(array, CHANGE_VULNERABLE, [(16, 8), (32, 8)])
    for lba in (8, 24, 40):
        array.write(0, lba, bytes(4096))
    array.write(1, 16, bytes(4096))
    assert use(array, token) == "good"


def test_a_comparison_that_finds_a_difference_cancels_nothing() -> None:
    array = CopyArray()
    token = typed(array, CHANGE_VULNERABLE, [(16, 8)])
    compared = array.command(0, bytes.fromhex("89 00 0000000000000010 000000 01 00 00"), b"x" * 1024)
    assert code_of(compared) == "E/1D/00"
    assert use(array, token) == "good"


def test_a_copy_onto_its_own_vulnerable_source_ends_well_and_ends_the_token() -> None:
    array = CopyArray(CopyLimits(copy_step_bytes=4096))
    array.write(0, 0, pattern(0, 0, 64, 512))
    token = typed(array, CHANGE_VULNERABLE, [(0, 32)])
    assert code_of(array.write_using(0, 2, token, [(1, 32)])) == "good"
    assert array.read(0, 0, 33) == pattern(0, 0, 1, 512) + pattern(0, 0, 32, 512)
    assert use(array, token) == "5/23/08"
    assert array.pool.frozen_maps == {}


def test_a_source_that_changes_before_the_token_is_issued() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    array.populate(0, 1, ONE, flags=RTV | ListFlag.IMMED, rod_type=CHANGE_VULNERABLE)
    array.environment.settle()
    array.write(0, 0, bytes(512))
    array.environment.advance(1.0)
    array.manager.copies.before_step = None
    token = b"".join(array.information(0, 1).data_in)[38:]
    assert use(array, token) == "5/23/08"
    assert array.all_tokens(0) == []


@pytest.mark.parametrize("count_before", [0, 1, 2])
@pytest.mark.parametrize("count_after", [0, 1])
def test_tokens_watch_a_volume_beside_others_and_not_for_longer_than_they_live(count_before: int, count_after: int) -> None:
    array = CopyArray()
    seen: list[int] = []
    volume = array.volume(0)
    others = [lambda block, count, number=number: seen.append(number) for number in range(count_before + count_after)]
    volume.on_change += others[:count_before]
    token = typed(array, CHANGE_VULNERABLE)
    volume.on_change += others[count_before:]
    array.write(0, 800, bytes(4096))
    assert seen == list(range(len(others)))
    array.manager.revoke(int.from_bytes(token[8:16], "big"))
    assert volume.on_change == others


def test_a_change_ends_a_token_and_every_listener_hears_of_it() -> None:
    array = CopyArray()
    seen: list[tuple[int, int]] = []
    volume = array.volume(0)
    token = typed(array, CHANGE_VULNERABLE)
    volume.on_change.append(lambda block, count: seen.append((block, count)))
    array.write(0, 0, bytes(4096))
    assert seen == [(0, 1)]
    assert use(array, token) == "5/23/08"
    assert len(volume.on_change) == 1


def test_a_logical_unit_that_goes_away_takes_its_vulnerable_tokens_along() -> None:
    array = CopyArray()
    vulnerable, lasting = typed(array, CHANGE_VULNERABLE), typed(array, DEFAULT)
    array.manager.detach_logical_unit(array.logical_units[0])
    assert (use(array, vulnerable), use(array, lasting)) == ("5/23/08", "good")


def test_only_persistent_tokens_survive_a_restart() -> None:
    array = CopyArray()
    array.write(0, 0, pattern(0, 0, 64, 512))
    tokens = [typed(array, rod_type, [(3, 9), (30, 7)]) for rod_type in (DEFAULT, CHANGE_VULNERABLE, PERSISTENT)]
    array.write(0, 0, pattern(5, 0, 64, 512))
    array.restart()
    assert [use(array, token) for token in tokens] == ["5/23/04", "5/23/04", "good"]
    assert code_of(array.write_using(1, 1, tokens[2], [(5, 16)])) == "good"
    assert array.read(1, 5, 16) == pattern(0, 3, 9, 512) + pattern(0, 30, 7, 512)
    assert array.all_tokens(0) == [tokens[2][:96]]
    array.restart()
    assert code_of(array.write_using(3, 1, tokens[2], [(0, 2)], flags=ListFlag.DEL_TKN)) == "good"
    array.restart()
    assert use(array, tokens[2]) == "5/23/04"
    assert array.pool.frozen_maps == {}


def test_the_time_of_a_restart_counts() -> None:
    array = CopyArray()
    early = typed(array, PERSISTENT, inactivity_timeout_s=100)
    late = typed(array, PERSISTENT, inactivity_timeout_s=200)
    array.environment.advance(99.0)
    array.restart()
    assert (use(array, early), len(array.all_tokens(0))) == ("good", 2)
    array.environment.advance(100.0)
    array.restart()
    assert use(array, early) == "5/23/07", "found expired, it is still known"
    array.environment.advance(2.0)
    assert use(array, late) == "5/23/07"
    assert array.pool.frozen_maps == {}
    assert array.pool.remembered_keys("copymgr/token/") == []


def test_a_clock_set_back_does_not_lengthen_a_life(monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()
    token = typed(array, PERSISTENT, inactivity_timeout_s=100)
    monkeypatch.setattr(array.environment, "time", lambda: 0.0)
    array.restart()
    array.environment.advance(99.0)
    assert len(array.all_tokens(0)) == 1
    array.environment.advance(1.0)
    assert use(array, token) == "5/23/07"


def test_what_makes_no_sense_in_the_pool_is_forgotten() -> None:
    array = CopyArray()
    token = typed(array, PERSISTENT)
    key = array.pool.remembered_keys("copymgr/token/")[0]
    good = array.pool.remembered(key)
    assert good is not None
    for number, value in enumerate([b"", good[:-1], b"\x63" + good[1:], good[:8] + b"\xff" * 8 + good[16:], good + bytes(16)]):
        array.pool.remember(f"copymgr/token/{number:016x}", value)
    array.pool.remember("copymgr/token/0000000000000009", good[:32] + bytes(4) + good[36:])
    array.restart()
    assert array.manager.copies.durable_tokens.damaged == 6
    assert array.pool.remembered_keys("copymgr/token/") == [key]
    assert use(array, token) == "good"


def test_a_damaged_secret_makes_a_new_one() -> None:
    array = CopyArray()
    token = typed(array, PERSISTENT)
    array.pool.remember("copymgr/secret", b"short")
    array.restart()
    assert use(array, token) == "5/23/05"
    assert use(array, array.token(0, 1, ONE)) == "good"


def test_a_token_in_use_is_remembered_anew_now_and_then() -> None:
    array = CopyArray()
    token = typed(array, PERSISTENT, inactivity_timeout_s=100)
    (key,) = array.pool.remembered_keys("copymgr/token/")
    values = set()
    for _ in range(20):
        array.environment.advance(10.0)
        use(array, token)
        values.add(array.pool.remembered(key))
    assert len(values) in range(5, 9)
    array.environment.advance(60.0)
    array.restart()
    assert use(array, token) == "good"


def test_many_tokens_that_expire_together_are_given_back_in_turns() -> None:
    array = CopyArray()
    for number in range(60):
        array.token(0, number, ONE, inactivity_timeout_s=10)
    array.environment.advance(11.0)
    turns, steps = array.environment.turns, Steps(100)
    assert array.manager.copies.expire(array.environment.monotonic(), steps)
    assert 40 < len(array.pool.frozen_maps) < 60
    assert array.all_tokens(0) == [], "they are over, given back or not"
    turns.of_a_turn = turns.left = 100
    before = turns.taken
    array.environment.run(array.manager.expire_in_turns(array.pool.commit))
    assert not array.pool.frozen_maps
    assert turns.taken - before >= 5


@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_all_tokens_are_reported_whatever_a_turn_allows(steps: int) -> None:
    array = CopyArray()
    for number in range(30):
        array.token(number % 2, number, ONE, inactivity_timeout_s=60)
    everything = [array.all_tokens(lun) for lun in (0, 1)]
    assert [len(each) for each in everything] == [15, 15]
    array.environment.turns.of_a_turn = array.environment.turns.left = steps
    assert [array.all_tokens(lun) for lun in (0, 1)] == everything
