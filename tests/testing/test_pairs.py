"""Tests of two arrays of one program that are paired: copies by token between them, as any host and as Windows does them."""

import json
import sys
from collections.abc import Iterator

import pytest

from odx_target.cli import main as cli
from odx_target.target.control.arguments import ManagementError
from odx_target.testing import RunningArray, running_array

VPD_8F = bytes.fromhex("12 01 8f 04 00 00")
ROD_TOKEN_FEATURES = bytes.fromhex("01 06")


@pytest.fixture(scope="module")
def arrays() -> Iterator[tuple[RunningArray, RunningArray]]:
    """Two arrays that are paired."""
    with running_array({"a": "16M", "c": "16M"}, link=True) as one, running_array({"b": "16M", "d": "16M"}, link=True) as other:
        one.pair(other)
        one.fill("a", None, seed=1)
        yield one, other


def remote_tokens(array: RunningArray, lun: str) -> int:
    """Return the field REMOTE TOKENS of VPD page 8Fh."""
    page = array.host().execute(lun, VPD_8F, data_in_bytes=1024).data_in
    at = 4
    while page[at : at + 2] != ROD_TOKEN_FEATURES:
        at += 4 + int.from_bytes(page[at + 2 : at + 4], "big")
    return page[at + 4] & 0x0F


def test_a_token_of_one_array_is_used_at_the_other(arrays: tuple[RunningArray, RunningArray]) -> None:
    one, other = arrays
    token = one.host().populate_token("a")
    other.host().write_using_token("b", token)
    assert other.digest("b") == one.digest("a")
    before = path_of(other)
    assert before["redeemed_bytes"] == 16 << 20
    assert 16 << 20 < before["redeemed_link_bytes"] < 1.05 * (16 << 20)
    other.host().write_using_token("d", one.host().populate_token("a"))
    assert other.digest("d") == one.digest("a")
    again_bytes = path_of(other)["redeemed_link_bytes"] - before["redeemed_link_bytes"]
    assert again_bytes < (16 << 20) // 100, "what the array has already does not cross the link"
    back = other.host().populate_token("b")
    one.host().write_using_token("c", back)
    assert one.digest("c") == one.digest("a")


def path_of(array: RunningArray) -> dict[str, int]:
    (path,) = array.manage("paths")["paths"]  # type: ignore[misc]
    assert isinstance(path, dict)
    return path


def test_windows_declines_no_step(
    arrays: tuple[RunningArray, RunningArray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = arrays
    other.fill("b", b"\0")
    monkeypatch.setattr(
        sys, "argv", ["odx-target", "windows-copy", one.url("a"), other.url("b"), "--file-size", "8M", "--json"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    answer = json.loads(capsys.readouterr().out)
    assert ended.value.code in (0, None), answer
    assert (answer["declined"], answer["findings"], answer["offloaded_bytes"]) == (None, [], 8 << 20)
    assert other.read("b", 0, 8 << 20) == one.read("a", 0, 8 << 20)


def test_hosts_learn_that_tokens_of_other_arrays_are_accepted() -> None:
    with running_array({"a": "1M"}, link=True) as one, running_array({"b": "1M"}, link=True) as other:
        host = other.host()
        assert remote_tokens(other, "b") == 0
        token = one.host().populate_token("a")
        assert host.write_using_token("b", token, check=False).sense[12:14] == b"\x23\x02"
        one.pair(other, rights=["serve-tokens", "redeem-tokens"])
        attention = host.execute("b", bytes(6))
        assert attention.sense[2] & 0xF == 6
        assert attention.sense[12:14] == b"\x3f\x03"
        assert host.execute("b", bytes(6)).status == 0
        assert remote_tokens(other, "b") == remote_tokens(one, "a") == 4
        host.write_using_token("b", token)
        (name,) = [each["name"] for each in other.manage("paths")["paths"]]  # type: ignore[attr-defined]
        other.manage("remove-path", name=name)
        assert host.execute("b", bytes(6)).sense[12:14] == b"\x3f\x03"
        assert remote_tokens(other, "b") == 0
        assert host.write_using_token("b", token, check=False).sense[12:14] == b"\x23\x02"


def test_a_restart_of_an_array_keeps_the_path() -> None:
    with running_array({"a": "1M"}, link=True) as one, running_array({"b": "1M"}, link=True) as other:
        one.pair(other)
        port = other.link_port
        other.restart()
        assert other.link_port == port
        one.fill("a", b"x")
        host = other.host()
        for _ in range(200):  # the array that has restarted waits for the other one to dial
            result = host.write_using_token("b", one.host().populate_token("a"), check=False)
            if result.status == 0:
                break
        assert result.status == 0
        assert other.digest("b") == one.digest("a")


@pytest.mark.parametrize("clock", ["shifted", "virtual"])
def test_the_time_that_a_tester_advances_is_not_that_of_the_link(clock: str) -> None:
    with running_array({"a": "1M"}, link=True) as one, running_array({"b": "1M"}, link=True, clock=clock) as other:
        other.clock.advance(7200)
        one.pair(other)
        one.fill("a", None, seed=1)
        token = one.host().populate_token("a")
        other.host().write_using_token("b", token)
        assert other.digest("b") == one.digest("a")
        one.stop()
        assert other.host().write_using_token("b", token, check=False).sense[12:14] == b"\x0d\x02"


def test_arrays_that_cannot_be_paired() -> None:
    with running_array({"a": "1M"}) as one, running_array({"b": "1M"}, link=True) as other:
        assert one.link_port is None
        with pytest.raises(ValueError, match="link=True"):
            one.pair(other)


def test_a_lun_fails_over_and_back() -> None:
    with running_array({"vm": "4M"}, link=True) as one, running_array({"own": "1M"}, link=True) as other:
        one.pair(other)
        one.protect("vm", to=other)
        one.fill("vm", None, seed=1)
        name = one.replicate("vm")
        assert other.copies() == [f"peer/array-{str(one.link_port).rpartition(':')[2]}/vm"]
        one.write("vm", 0, b"lost by the failover")
        assert other.promote("vm") == "vm"
        assert other.read("vm", 0, 20) != one.read("vm", 0, 20)
        other.host().write("vm", 8, b"w" * 512)
        (diverged,) = one.reverse("vm")
        assert diverged.startswith("diverged-")
        assert other.replicate("vm") != name
        assert one.promote("vm") == "vm"
        assert (one.lun_number("vm"), one.digest("vm")) == (0, other.digest("vm"))
        assert other.reverse("vm") == []
        with pytest.raises(ManagementError, match="no copies of a LUN absent"):
            one.promote("absent")


def test_a_snapshot_that_does_not_arrive_is_a_timeout_with_the_reason() -> None:
    with running_array({"a": "1M"}, link=True) as one, running_array({"b": "1M"}, link=True) as other:
        one.pair(other, rights=["serve-tokens"])
        one.protect("a", to=other)
        with pytest.raises(TimeoutError, match="does not give the peer the right to replicate"):
            one.replicate("a", timeout_s=0.0)


def test_a_group_appears_together() -> None:
    with running_array({"a": "1M", "b": "1M"}, link=True) as one, running_array({"c": "1M"}, link=True) as other:
        one.pair(other)
        one.protect("a", "b", to=other, group="db", trigger="latest", keep_there={"manual": 2})
        one.replicate("db")
        assert len(other.copies()) == 2
