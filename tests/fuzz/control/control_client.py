"""A client of the control socket, and a naive model of what it may expect.

Each complete line gets one answer. A line that is too long gets an error, after which the connection ends. A client that sends
no complete line for 60 seconds, or does not take its answers for 10 seconds, loses its connection.
"""

import json
import socket

from odx_target.target.control.server import IDLE_TIMEOUT_S, MAX_LINE_BYTES
from tests.fuzz.surface import Finding

TOO_LONG = f"a request has at most {MAX_LINE_BYTES} bytes"
TOO_MANY = "connections already"


class ControlClient:
    """One end of a pair of sockets. If `is_refused`, there were too many connections when this one was opened."""

    def __init__(self, end: socket.socket, is_refused: bool, now_s: float) -> None:
        self._socket = end
        self.is_refused = is_refused
        self.reads = True
        self.has_ended = False
        """True if the client has closed its end, at least for sending."""
        self._last_line_s = now_s
        self._unfinished = b""
        self._received = b""
        self._expected = 1 if is_refused else 0
        self._answers = 0
        self._is_over = is_refused
        """True if the array must end the connection."""
        self._is_closed = False
        self._was_deaf = False

    def send(self, data: bytes, now_s: float) -> int:
        """Send as much as the array takes at once. Return the number of bytes."""
        try:
            count = 0 if self.has_ended else self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._is_closed = True
            return len(data)
        self._count_lines(data[:count], now_s)
        return count

    def _count_lines(self, data: bytes, now_s: float) -> None:
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            if not self._is_over:
                self._expected += 1
                self._last_line_s = now_s
                self._is_over = len(line) > MAX_LINE_BYTES
        if not self._is_over and len(self._unfinished) > MAX_LINE_BYTES:
            self._expected += 1
            self._is_over = True

    def end(self, how: str) -> None:
        """Close the direction to the array ("half"), or both directions."""
        if how == "half" and not self.has_ended:
            self._socket.shutdown(socket.SHUT_WR)
        elif how != "half":
            self._socket.close()
            self._is_closed = self._was_deaf = True
        self.has_ended = True

    def set_reading(self, reads: bool) -> None:
        self.reads = reads
        self._was_deaf |= not reads

    def receive(self) -> list[bytes]:
        """Return the answers that have arrived. Raises Finding if there are more than requests."""
        while self.reads and not self._is_closed:
            try:
                more = self._socket.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError:
                more = b""
            self._is_closed = not more
            self._received += more
        *answers, self._received = self._received.split(b"\n")
        self._answers += len(answers)
        if self._answers > self._expected:
            raise Finding("more answers than requests", repr(answers[-1][:200]))
        for answer in answers:
            self._check_limits(answer)
        return answers

    def _check_limits(self, answer: bytes) -> None:
        message = str(json.loads(answer).get("error", ""))
        if (TOO_MANY in message) is not self.is_refused:
            raise Finding("a connection is refused at the wrong number", message)
        if message == TOO_LONG and not self._is_over:
            raise Finding("a request is refused as too long that is short enough", message)

    def check(self, now_s: float) -> None:
        """Check that all requests were answered and that the connection is open or closed as it must be. Raises Finding."""
        if self._was_deaf:
            return
        if self._answers < self._expected:
            raise Finding("a request has no answer", f"{self._answers} of {self._expected}")
        if self._received:
            raise Finding("an answer is not one whole line", repr(self._received[:200]))
        must_end = self._is_over or self.has_ended or now_s - self._last_line_s > IDLE_TIMEOUT_S
        if must_end and not self._is_closed:
            raise Finding("the array does not end a connection of the control socket", f"silent since {self._last_line_s}")
        if self._is_closed and not must_end and now_s - self._last_line_s < IDLE_TIMEOUT_S:
            raise Finding("the array ends a connection of the control socket without a reason", f"{self._unfinished[:100]!r}")
