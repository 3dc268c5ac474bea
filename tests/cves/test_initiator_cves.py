"""Published faults of initiators (see `table`): hostile targets against our initiator."""

from typing import Any

import pytest

from odx_target.initiator.errors import BadAnswer, LoginFailed, ProtocolViolation
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.connection_events import Finished
from odx_target.initiator.session.discovered import targets_of
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.redirection import LoginRedirected
from odx_target.iscsi.pdu.headers import LoginRequest, LoginResponse, ReadyToTransfer, ScsiDataIn, ScsiResponse, TextResponse
from odx_target.iscsi.pdu.text import encode_pairs
from tests.initiator.naive_portal import OPTIONS, Pair, logged_in, unconnected

BLOCK_STATUS = bytes((0x9E, 0x12)).ljust(16, b"\0")
WITH_CHAP = SessionOptions(OPTIONS.isid, user="user", secret="secret-of-user")


def outcome_of(pair: Pair) -> Any:
    (event,) = pair.events()
    assert isinstance(event, Finished)
    return event.outcome


@pytest.mark.parametrize("extra_bytes", [1, 16, 4096])
@pytest.mark.parametrize("residual", [{}, {"overflow": True, "residual_count": 16}])
def test_more_data_than_requested(extra_bytes: int, residual: dict[str, int]) -> None:
    pair = logged_in()
    tag = pair.connection.command(0, BLOCK_STATUS, data_in_bytes=32)
    pair.requests()
    answer = ScsiDataIn(initiator_task_tag=tag, has_status=True, **residual)  # type: ignore[arg-type]
    with pytest.raises(ProtocolViolation, match="of 32 bytes expected"):
        pair.answer(answer, bytes(32 + extra_bytes))


@pytest.mark.parametrize("segment", [b"\x70", b"\0\x12", b"\0\x12\x70", b"\xff\xff" + bytes(18), b"\0\xfd" + bytes(252)])
def test_sense_data_that_is_shorter_than_stated(segment: bytes) -> None:
    pair = logged_in()
    tag = pair.connection.command(0, bytes(6))
    pair.requests()
    answer = ScsiResponse(initiator_task_tag=tag, status=2)
    if len(segment) < 2:  # not even a length
        pair.answer(answer, segment)
        assert outcome_of(pair) == CommandResult(2)
        return
    with pytest.raises(ProtocolViolation, match="bytes of sense in a segment"):
        pair.answer(answer, segment)


@pytest.mark.parametrize(
    ("offset", "size"), [(0xFFFFFFFF, 1), (0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFE00, 0x400), (512, 0xFFFFFFFF), (1, 512), (512, 1)]
)
def test_r2t_whose_end_overflows(offset: int, size: int) -> None:
    pair = logged_in({"InitialR2T": "Yes", "ImmediateData": "No"})
    tag = pair.connection.command(0, bytes(16), bytes(512))
    pair.requests()
    request = ReadyToTransfer(
        initiator_task_tag=tag, target_transfer_tag=1, buffer_offset=offset, desired_data_transfer_length=size
    )
    with pytest.raises(ProtocolViolation, match="of a transfer of 512 bytes"):
        pair.answer(request, numbered=False)
    assert pair.requests() == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0",
        b"\0" * 4096,
        b"TargetAddress",
        b"TargetAddress=",
        b"TargetAddress=[",
        b"TargetAddress=[::1",
        b"TargetAddress=host:",
        b"TargetAddress=host:99999,1",
        b"TargetAddress=" + b"x" * 8000,
        b"TargetAddress=\xff\xff",
        b"=",
        b"x" * 8192,
    ],
)
def test_redirections_with_any_text(text: bytes) -> None:
    pair = unconnected()
    pair.connection.log_in()
    pair.request(LoginRequest)
    pair.answer(LoginResponse(status=0x0101), text)
    failure = outcome_of(pair)
    assert isinstance(failure, LoginFailed)
    assert not isinstance(failure, LoginRedirected)
    assert "\n" not in str(failure)
    assert len(str(failure)) < 400


@pytest.mark.parametrize(
    "challenge",
    ["", "0x", "0xa", "0xabc", "0x" + "ab" * 1025, "0x" + "a" * 4001, "0xzz", "0b", "0bA", "0b" + "A" * 8000, "1", "\u00e9"],
)
def test_chap_values_of_a_target(challenge: str) -> None:
    """A value of an odd length may be right: it begins with a zero. Any other wrong value ends the login."""
    pair = unconnected(WITH_CHAP)
    pair.connection.log_in()
    request, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(request, {"AuthMethod": "CHAP", "TargetPortalGroupTag": "1"}, transit=False))
    request, _ = pair.request(LoginRequest)
    keys = {"CHAP_A": "5", "CHAP_I": "1", "CHAP_C": challenge}
    pair.feed(pair.portal.login_response(request, keys, transit=False))
    if challenge in ("0xa", "0xabc"):
        assert pair.requests()
        return
    failure = outcome_of(pair)
    assert isinstance(failure, LoginFailed)
    assert len(str(failure)) < 400
    assert pair.requests() == []


@pytest.mark.parametrize(
    "name",
    [
        "iqn.2026-11.a:b\nnode.startup = automatic",
        "../../../etc/cron.d/x",
        "iqn.2026-11.a:\x1b]0;title\x07",
        "iqn.2026-11.a:b\x7f",
        "iqn.2026-11.a:b c",
        "",
        "x" * 300,
        "iqn.2026-11.a:" + "x" * 300,
    ],
)
def test_discovered_names_that_are_no_names(name: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        targets_of([("TargetName", "iqn.2026-11.a:good"), ("TargetAddress", "10.0.0.1:3260,1"), ("TargetName", name)])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_discovery_of_many_targets() -> None:
    pair = logged_in()
    tag = pair.connection.text([("SendTargets", "All")])
    pair.requests()
    pairs = [("TargetName", f"iqn.2026-11.a:{number}") for number in range(1000)]
    text = encode_pairs(pairs)
    pieces = [text[at : at + 8000] for at in range(0, len(text), 8000)]
    for number, piece in enumerate(pieces):
        is_last = number == len(pieces) - 1
        answer = TextResponse(
            final=is_last, continued=not is_last, initiator_task_tag=tag, target_transfer_tag=0xFFFFFFFF if is_last else 5
        )
        pair.answer(answer, piece)
        pair.requests()
    assert [target.name for target in targets_of(outcome_of(pair))] == [name for _, name in pairs]
