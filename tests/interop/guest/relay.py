"""A network path to a server that can be cut: it forwards connections from one port of the host to another."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

PIECE_BYTES = 262_144


class Relay:
    """Listens on 127.0.0.1 and forwards all data to `portal`, until `cut` is called. `restore` ends `cut` and `stall`."""

    def __init__(self, portal: str) -> None:
        host, _, port = portal.rpartition(":")
        self._to = (host, int(port))
        self._sockets: list[socket.socket] = []
        self._flows = threading.Event()
        self._flows.set()
        self._listener = self._listen(0)
        self.portal = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cut()

    def cut(self) -> None:
        """End all connections and accept no more."""
        self._flows.set()  # Otherwise the threads would stay.
        _end(self._listener)
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            _end(one)

    def stall(self) -> None:
        """Forward nothing, as a network that loses all packets. Both ends only notice that nothing arrives."""
        self._flows.clear()

    def restore(self) -> None:
        """Forward again, also what has arrived since `stall`."""
        self._flows.set()
        if self._listener.fileno() < 0:
            self._listener = self._listen(int(self.portal.rpartition(":")[2]))

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # The listener raises it when the path is cut.
            while True:
                near, _ = listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        """Connect to the server. If there is no server, only this connection ends."""
        try:
            far = socket.create_connection(self._to)
        except OSError:
            near.close()
            return
        self._sockets += (near, far)
        for ends in ((near, far), (far, near)):
            threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, destination: socket.socket) -> None:
        try:
            while piece := source.recv(PIECE_BYTES):
                self._flows.wait()
                destination.sendall(piece)
            self._flows.wait()
            destination.shutdown(socket.SHUT_RDWR)
        except OSError:  # A reset ends both connections.
            _end(source)
            _end(destination)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
