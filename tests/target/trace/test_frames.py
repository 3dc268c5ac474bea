"""The bytes of a connection are cut into PDUs, with any digests that its login has negotiated."""

import pytest

from odx_target.iscsi.pdu.headers import LoginResponse, NopOut, ScsiDataOut
from odx_target.target.trace.frames import Frames
from tests.target.trace.wire import encode, last_login_response

DIGESTS = [(False, False), (True, False), (False, True), (True, True)]


def named(in_use: bool) -> str:
    return "CRC32C" if in_use else "None"


@pytest.mark.parametrize(("header_digest", "data_digest"), DIGESTS)
def test_digests_begin_behind_the_login(header_digest: bool, data_digest: bool) -> None:
    frames = Frames()
    login = last_login_response(HeaderDigest=named(header_digest), DataDigest=named(data_digest))
    behind = encode(ScsiDataOut(), b"12345", header_digest=header_digest, data_digest=data_digest)
    pieces = list(frames.cut(memoryview(login + behind + behind)))
    assert [piece.fault for piece in pieces] == ["", "", ""]
    assert [bytes(piece.raw) for piece in pieces] == [login, behind, behind]
    assert bytes(pieces[2].data) == b"12345"
    assert frames.in_full_feature_phase


def test_a_key_that_two_responses_share() -> None:
    frames = Frames()
    first = encode(LoginResponse(continued=True, current_stage=1), b"HeaderDigest=CRC")
    last = encode(LoginResponse(transit=True, current_stage=1, next_stage=3), b"32C\0DataDigest=None\0")
    list(frames.cut(memoryview(first)))
    assert not frames.in_full_feature_phase
    list(frames.cut(memoryview(last)))
    (piece,) = frames.cut(memoryview(encode(NopOut(), header_digest=True)))
    assert piece.fault == ""


def test_a_refused_login_settles_nothing() -> None:
    frames = Frames()
    refused = encode(LoginResponse(transit=True, current_stage=1, next_stage=3, status=0x0201), b"HeaderDigest=CRC32C\0")
    list(frames.cut(memoryview(refused)))
    assert not frames.in_full_feature_phase


def test_a_wrong_header_digest_makes_the_rest_one_piece() -> None:
    frames = Frames()
    list(frames.cut(memoryview(last_login_response(HeaderDigest="CRC32C"))))
    damaged = bytearray(encode(NopOut(), header_digest=True) * 2)
    damaged[20] ^= 1
    (piece,) = frames.cut(memoryview(bytes(damaged)))
    assert piece.pdu is None
    assert piece.fault == "header digest does not match"
    assert len(piece.raw) == len(damaged)


def test_a_wrong_data_digest_is_said_of_its_pdu() -> None:
    frames = Frames()
    list(frames.cut(memoryview(last_login_response(DataDigest="CRC32C"))))
    damaged = bytearray(encode(ScsiDataOut(), b"1234", data_digest=True))
    damaged[48] ^= 1
    (piece,) = frames.cut(memoryview(bytes(damaged)))
    assert isinstance(piece.pdu, ScsiDataOut)
    assert piece.fault == "data digest does not match"


def test_bytes_that_are_no_pdu_are_kept() -> None:
    unknown, cut_short = bytes([0x3E]) + bytes(47), encode(NopOut())[:20]
    pieces = list(Frames().cut(memoryview(unknown + cut_short)))
    assert [piece.pdu for piece in pieces] == [None, None]
    assert [piece.fault for piece in pieces] == ["iSCSI has no operation code 0x3e", "a part of a PDU"]
