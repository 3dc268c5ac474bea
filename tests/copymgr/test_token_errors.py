"""The eleven ways in which a token can be invalid, and the sense data of each."""

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.tokens.judgement import TOKEN_ERRORS
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.scsi.target_port import iscsi_port
from tests.copymgr.array import CopyArray, Range, code_of, pattern
from tests.copymgr.golden import golden

ONE: list[Range] = [(0, 16)]


def use(array: CopyArray, token: bytes) -> str:
    """Return the result of a WRITE USING TOKEN, and check that a refused command has not written."""
    array.write(1, 0, pattern(9, 0, 16, 512))
    outcome = code_of(array.write_using(1, 99, token, ONE))
    if outcome != "good":
        assert array.read(1, 0, 16) == pattern(9, 0, 16, 512)
    return outcome


def identifier(token: bytes) -> int:
    return int.from_bytes(token[8:16], "big")


def test_each_code_has_its_condition() -> None:
    assert sorted(TOKEN_ERRORS) == list(range(0x0B))
    assert all(condition.asc == 0x23 and condition.ascq == ascq for ascq, (condition, _) in TOKEN_ERRORS.items())


def test_00_cause_not_reportable() -> None:
    array = CopyArray(options=CopyOptions(token_causes_reported=False))
    token = array.token(0, 1, ONE)
    array.manager.revoke(identifier(token))
    assert use(array, token) == "5/23/00"
    assert use(array, b"\xa5" * 512) == "5/23/00"
    rule = array.manager.copies.refusals.latest[-2]["rule"]
    assert rule == TOKEN_ERRORS[0x06][1], "the owner still learns it"


@pytest.mark.parametrize("rod_type", [0x0001_0000, 0x0080_FFFF, 0x0080_0003, 0, 0xFFFF_FFFF, 0xFF00_0000])
def test_01_unsupported_token_type(rod_type: int) -> None:
    stranger = rod_type.to_bytes(4, "big") + golden("token_head")[4:] + bytes(256)
    assert use(CopyArray(), stranger) == "5/23/01"


def test_01_the_zero_token_where_it_is_not_accepted() -> None:
    array = CopyArray(options=CopyOptions(zero_token_accepted=False))
    assert use(array, ZERO_TOKEN) == "5/23/01"
    page = array.logical_units[0].added_vpd_pages[0x8F](array.logical_units[0], array.nexus.target_port)
    assert bytes.fromhex("ffff0001") not in page


@pytest.mark.parametrize("identity", ["0310", "0210", "0308"])
def test_02_remote_token_usage_not_supported(identity: str) -> None:
    head = bytearray(golden("token_head"))
    kind, length = bytes.fromhex(identity)
    head[21], head[23] = kind, length
    assert use(CopyArray(), bytes(head) + bytes(256)) == "5/23/02"


def test_02_a_token_of_another_array_of_the_same_name() -> None:
    other = CopyArray(seed=7)
    assert use(CopyArray(), other.token(0, 1, ONE)) == "5/23/02"


def test_03_remote_rod_token_creation_not_supported() -> None:
    """A logical unit whose blocks another copy manager holds can be written by token, but no token can be made of it."""
    array, other = CopyArray(), CopyArray(seed=7)
    token = array.token(0, 1, ONE)
    foreign = other.logical_units[0]
    array.manager.attach_logical_unit(foreign)
    array.logical_units[4] = foreign
    assert code_of(array.populate(4, 2, ONE)) == "5/23/03"
    array.write(0, 0, pattern(1, 0, 16, 512))
    token = array.token(0, 1, ONE)
    foreign.environment = array.environment
    array.block_lengths = (*array.block_lengths, 512)
    assert code_of(array.write_using(4, 3, token, [(5, 16)])) == "good"
    other.pool.commit()
    assert array.read(4, 5, 16) == pattern(1, 0, 16, 512)


def test_04_a_token_that_names_nobody() -> None:
    head = bytearray(golden("token_head"))
    head[16] = 0xE0
    assert use(CopyArray(), bytes(head) + bytes(256)) == "5/23/04"
    assert use(CopyArray(), ZERO_TOKEN[4:8].rjust(8, b"\0").replace(b"\0\0\0\0", b"\0\x80\0\0", 1) + bytes(504)) == "5/23/04"


def test_04_a_token_of_an_earlier_life() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE)
    array.restart()
    assert use(array, token) == "5/23/04"
    assert array.write_using(1, 5, token, ONE).sense == golden("refusals", "token_unknown")


def test_04_a_token_that_ended_too_long_ago() -> None:
    array = CopyArray(CopyLimits(min_tombstone_s=100))
    token = array.token(0, 1, ONE, inactivity_timeout_s=10)
    array.environment.advance(10)
    assert use(array, token) == "5/23/07"
    array.environment.advance(99.5)
    assert use(array, token) == "5/23/07"
    array.environment.advance(1)
    assert use(array, token) == "5/23/04"


def test_04_causes_are_forgotten_oldest_first_when_there_are_too_many() -> None:
    array = CopyArray(CopyLimits(max_tombstones=2))
    tokens = [array.token(0, number, ONE) for number in range(3)]
    for token in tokens:
        array.manager.revoke(identifier(token))
    assert [use(array, token) for token in tokens] == ["5/23/04", "5/23/06", "5/23/06"]


@pytest.mark.parametrize("position", [*range(6), *range(8, 512, 7), 271, 272, 479, 480, 511])
@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_05_every_altered_token_is_corrupt(position: int, bit: int) -> None:
    array = CopyArray()
    token = bytearray(array.token(0, 1, ONE))
    token[position] ^= bit
    assert use(array, bytes(token)) == "5/23/05"


def test_05_a_token_that_only_names_our_logical_unit() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE)
    assert use(array, token[:256] + bytes(256)) == "5/23/05"


def test_06_token_revoked() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE)
    assert array.manager.revoke(identifier(token))
    assert not array.manager.revoke(identifier(token))
    assert use(array, token) == "5/23/06"


def test_07_token_expired() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE, inactivity_timeout_s=1)
    array.environment.advance(3)
    assert array.write_using(1, 2, token, ONE).sense == golden("refusals", "token_expired")
    assert use(array, token) == "5/23/07"


def test_08_token_cancelled() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE, flags=ListFlag.RTV, rod_type=RodType.POINT_IN_TIME_CHANGE_VULNERABLE)
    assert use(array, token) == "good"
    array.write(0, 15, bytes(512))
    assert use(array, token) == "5/23/08"


def test_09_token_deleted() -> None:
    array = CopyArray()
    token = array.token(0, 1, ONE)
    assert code_of(array.write_using(1, 2, token, ONE, flags=ListFlag.DEL_TKN)) == "good"
    assert use(array, token) == "5/23/09"


@pytest.mark.parametrize("length", [0, 0x1F7, 0x1F9, 0x3F8, 0xFFFF])
def test_0a_invalid_token_length(length: int) -> None:
    array = CopyArray()
    for token in (array.token(0, 1, ONE), ZERO_TOKEN):
        assert use(array, token[:6] + length.to_bytes(2, "big") + token[8:]) == "5/23/0A"


def test_tokens_differ_and_nothing_of_them_is_told() -> None:
    array = CopyArray()
    tokens = {array.token(0, number, ONE) for number in range(50)}
    assert len({token[272:304] for token in tokens}) == 50
    assert len({identifier(token) for token in tokens}) == 50
    for token in tokens:
        for secret in (token[272:304], token[480:]):
            assert secret not in array.pool.contents.remembered.values()
            assert secret.hex() not in repr(array.manager.status())
            assert repr(secret) not in repr(list(array.manager.copies.tokens.live.values()))


def test_identifiers_are_not_used_again_after_a_restart() -> None:
    array = CopyArray()
    first = identifier(array.token(0, 1, ONE))
    array.restart()
    second = identifier(array.token(0, 1, ONE))
    assert second - first == 1 << 32
    array.manager.copies.issuer._next_identifier |= (1 << 32) - 1
    third, fourth = (identifier(array.token(0, number, ONE)) for number in (1, 2))
    assert third & 0xFFFF_FFFF == 0xFFFF_FFFF
    assert fourth == (3 << 32) + 1


def test_the_target_device_is_named_even_if_its_name_is_long() -> None:
    array = CopyArray()
    array.nexus.target_port = iscsi_port("iqn.2026-11.example:" + "x" * 200)
    token = array.token(0, 1, ONE)
    assert token[128:132].hex() == "51a30010"
    assert token[132] >> 4 == 6
    assert use(array, token) == "good"
