"""A network path to a server that can be cut: it forwards connections from one port of the host to another."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

PIECE_BYTES = 262_144


class Relay:
    """Listens on 127.0.0.1 and forwards all data to `portal`, until `cut` is called."""

    def __init__(self, portal: str) -> None:
        host, _, port = portal.rpartition(":")
        self._to = (host, int(port))
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.portal = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cut()

    def cut(self) -> None:
        """End all connections and accept no more."""
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # The listener raises it when the path is cut.
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        """Connect to the server. If there is no server, only this connection ends."""
        try:
            far = socket.create_connection(self._to)
        except OSError:
            near.close()
            return
        self._sockets.append(far)
        for ends in ((near, far), (far, near)):
            threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, destination: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                destination.sendall(piece)
            destination.shutdown(socket.SHUT_RDWR)
