"""The time of an array in the hand of a test: tokens, schedules, copy rates, connections."""

import socket

import pytest

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, write_using_token_list
from odx_target.testing import CommandFailed, RunningArray, running_array


@pytest.mark.parametrize("clock", ["shifted", "virtual"])
def test_a_token_expires_at_its_time_and_not_before(clock: str) -> None:
    with running_array(clock=clock) as array:
        host = array.host()
        token = host.populate_token("a", blocks=8, inactivity_timeout_s=1000)
        array.clock.advance(990)
        host.write_using_token("b", token, blocks=8)  # begins the inactivity timeout again
        array.clock.advance(990)
        host.write_using_token("b", token, blocks=8)
        array.clock.advance(1001)
        with pytest.raises(CommandFailed, match="token expired"):
            host.write_using_token("b", token, blocks=8)


def test_the_resources_of_expired_tokens_are_released() -> None:
    with running_array() as array:
        array.host().populate_token("a")
        tokens = array.manage("tokens")["tokens"]
        assert isinstance(tokens, list)
        assert len(tokens) == 1
        array.clock.advance(122)
        assert array.manage("tokens")["tokens"] == []


def test_a_schedule_takes_its_snapshots_at_all_its_times() -> None:
    with running_array(clock="virtual") as array:
        array.manage("schedule-add", name="hourly", fields={"every": "hourly", "keep": 100}, volumes=["a"])
        array.clock.advance(6 * 3600)
        snapshots = array.manage("snapshots", volume="a")["snapshots"]
        assert isinstance(snapshots, list)
        assert len(snapshots) == 6


def test_a_copy_with_a_rate_stands_still_until_the_clock_advances() -> None:
    with running_array(clock="virtual", settings={"copy-rate": "16M"}) as array:
        array.fill("a")
        host = array.host()
        token = host.populate_token("a")
        data = write_using_token_list(token, [BlockRange(0, 64 << 11)], immediate=True)
        assert host.execute("b", bytes(6)).status == 2  # the unit attention of a new session
        assert host.execute("b", cdb.write_using_token(7, len(data)), data).status == 0
        array.clock.advance(2)
        assert 0 < array.offload.copied_bytes < 64 << 20
        assert array.digest("a") != array.digest("b")
        array.clock.advance(4)
        assert array.offload.copied_bytes == 64 << 20
        assert array.digest("a") == array.digest("b")


def _is_open(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return peer.recv(1) != b""
    except BlockingIOError:
        return True


def _connected(array: RunningArray) -> socket.socket:
    host, _, port = array.portal.rpartition(":")
    return socket.create_connection((host, int(port)))


def test_connections_are_cut_only_on_request() -> None:
    with running_array() as array, _connected(array) as peer:
        array.host().read("a", 0, 1)  # so the array has accepted the first connection
        array.clock.advance(3600)
        assert _is_open(peer)
        array.clock.advance(3600, connections=True)
        peer.setblocking(True)
        assert peer.recv(1) == b""


def test_a_session_outlives_an_advance() -> None:
    with running_array() as array:
        host = array.host()
        host.read("a", 0, 1)
        array.clock.advance(86_400)
        host.read("a", 0, 1)


def test_impossible_advances_are_refused() -> None:
    with running_array() as array, pytest.raises(ValueError, match="the clock can be advanced by 0 to"):
        array.clock.advance(-1)


def test_the_clock_tells_its_mode_and_its_time() -> None:
    with running_array(clock="virtual") as array:
        before_s = array.clock.time_s
        array.clock.advance(5)
        assert (array.clock.mode, array.clock.time_s) == ("virtual", before_s + 5)
