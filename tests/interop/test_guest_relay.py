"""Tests of the network path that can be cut."""

import socket
import threading

import pytest

from tests.interop.guest.relay import Relay

TIMEOUT_S = 10


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def connect(relay: Relay) -> socket.socket:
    host, _, port = relay.portal.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=TIMEOUT_S)


def echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while piece := connection.recv(100):
            connection.sendall(piece)


def test_a_server_that_is_not_there_ends_one_connection_and_the_next_is_passed_on() -> None:
    port = free_port()
    with Relay(f"127.0.0.1:{port}") as relay:
        with connect(relay) as refused:
            assert refused.recv(1) == b""
        with socket.create_server(("127.0.0.1", port)) as server:
            threading.Thread(target=echo, args=(server,), daemon=True).start()
            with connect(relay) as passed_on:
                passed_on.sendall(b"there and back")
                assert passed_on.recv(100) == b"there and back"


def test_a_cut_ends_what_is_open_and_lets_nothing_new_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        relay = Relay(f"127.0.0.1:{server.getsockname()[1]}")
        with connect(relay) as connection:
            connection.sendall(b"there and back")
            assert connection.recv(100) == b"there and back"
            relay.cut()
            assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(relay)


def test_a_path_that_was_cut_passes_new_connections_on_after_it_is_restored() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Relay(f"127.0.0.1:{server.getsockname()[1]}") as relay:
        relay.cut()
        relay.restore()
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        with connect(relay) as connection:
            connection.sendall(b"there and back")
            assert connection.recv(100) == b"there and back"


def test_a_stalled_path_passes_on_later_what_has_waited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Relay(f"127.0.0.1:{server.getsockname()[1]}") as relay:
        relay.stall()
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        with connect(relay) as connection:
            connection.sendall(b"there and back")
            connection.settimeout(0.05)
            with pytest.raises(TimeoutError):
                connection.recv(100)
            connection.settimeout(TIMEOUT_S)
            relay.restore()
            assert connection.recv(100) == b"there and back"
