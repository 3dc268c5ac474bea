"""Connections within this machine do not use BBR."""

import errno
import socket
from typing import cast

import pytest

from odx_target.target.server.congestion_control import avoid_pacing


class FakeSocket:
    """A socket with a peer and a congestion control. The call that is named `failing` raises OSError."""

    def __init__(self, congestion_control: bytes, peer: str, failing: str = "") -> None:
        self.congestion_control = congestion_control
        self._peer = peer
        self._failing = failing

    def _call(self, name: str) -> None:
        if name == self._failing:
            raise OSError(errno.EPERM, name)

    def getsockopt(self, level: int, option: int, size_bytes: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_CONGESTION)
        self._call("getsockopt")
        return self.congestion_control.ljust(size_bytes, b"\0")

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_CONGESTION)
        self._call("setsockopt")
        self.congestion_control = value

    def getpeername(self) -> tuple[str, int]:
        self._call("getpeername")
        return self._peer, 40000


@pytest.mark.parametrize(
    ("before", "peer", "after"),
    [
        (b"bbr", "127.0.0.1", b"reno"),
        (b"bbr", "127.8.9.10", b"reno"),
        (b"bbr", "::1", b"reno"),
        (b"bbr", "::ffff:127.0.0.1", b"reno"),
        (b"bbr", "192.0.2.1", b"bbr"),
        (b"bbr", "::ffff:192.0.2.1", b"bbr"),
        (b"bbr", "fe80::1%eth0", b"bbr"),
        (b"cubic", "127.0.0.1", b"cubic"),
        (b"bbr2", "127.0.0.1", b"bbr2"),
    ],
)
def test_only_bbr_within_the_machine_is_replaced(before: bytes, peer: str, after: bytes) -> None:
    fake = FakeSocket(before, peer)
    avoid_pacing(cast(socket.socket, fake))
    assert fake.congestion_control == after


@pytest.mark.parametrize("failing", ["getsockopt", "setsockopt", "getpeername"])
def test_a_kernel_that_refuses_changes_nothing(failing: str) -> None:
    fake = FakeSocket(b"bbr", "127.0.0.1", failing)
    avoid_pacing(cast(socket.socket, fake))
    assert fake.congestion_control == b"bbr"


def test_a_real_connection_is_not_paced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        connected, _ = server.accept()
        with connected:
            avoid_pacing(connected)
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") != b"bbr"
