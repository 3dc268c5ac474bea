"""The client of the control socket: sends a request to a running array and waits for the response."""

import errno
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.socket_file import CONTROL_NAME, socket_name
from odx_target.target.schedules.fields import MAX_TIMEOUT_S

ANSWER_TIMEOUT_S = 120.0
"""Time to wait for a response.

The time is long, because an operation that shrinks a LUN waits for commands and for the disk.
"""

LONGER_S = {
    ("schedule-run", ""): 7200.0,
    ("snapshot-show", ""): 3600.0,
    ("status", "space"): 3600.0,
    ("group-create", ""): 3600.0,
    **{(f"group-{name}", ""): 600.0 for name in ("switchover", "isolate", "verify", "promote", "delete")},
}
"""Additional time to wait for the responses to some operations. The key is the name of the operation, and the name of the
argument with which it needs this time, or "" if it always needs this time.

Each of the two commands of a schedule may run for an hour. `status` with `space`, `snapshot-show` and `group-create` may count
the blocks of all maps of a pool, which may take minutes in a large pool. The other operations on groups wait for another array
that is silent, up to the time after which it is out of sync.
"""

MAX_ANSWER_BYTES = 64 << 20
"""Maximum length of a response. All responses of an array are much shorter than this.

A longer response does not come from an array.
"""

_RECEIVE_BYTES = 1 << 16


MAY_PERFORM = "the array may still perform the operation"


class NoServer(Exception):
    """No array has received the whole request. The message is one line."""


class NoResponse(Exception):
    """The whole request was sent, but no valid response arrived in time. The message is one line.

    The array may still perform the operation, so the caller must not perform it once more by other means.
    """


def request(where: Path, operation: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Perform an operation on a running array, and return its result. `where` is a pool's directory or a control socket.

    This function blocks the calling thread until the response arrives. Raises ManagementError if the operation is refused,
    NoServer if the request could not be sent, and NoResponse if no valid response to it arrives in time. If `timeout_s` is in
    `arguments`, the operation runs two commands, each for at most this time. In this case, the function waits longer by twice
    this time.
    """
    line = json.dumps({"operation": operation, "arguments": dict(arguments)}).encode() + b"\n"
    answer = decoded(str(where), _exchange(where, line, wait_s(operation, arguments)))
    if "result" in answer:
        result: dict[str, Any] = answer["result"]
        return result
    raise ManagementError(str(answer.get("error")), is_usage=bool(answer.get("usage")))


def wait_s(operation: str, arguments: Mapping[str, object]) -> float:
    """Return the time to wait for the response to an operation."""
    longer_s = sum(LONGER_S.get((operation, name), 0.0) for name in ("", *(name for name in arguments if arguments[name])))
    return ANSWER_TIMEOUT_S + longer_s + 2 * _seconds(arguments.get("timeout_s"))


def decoded(where: str, line: bytes) -> dict[str, Any]:
    """Return the JSON object of a response from `where`. Raises NoResponse if it is none."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise NoResponse(f"{where}: the answer is not that of an array; {MAY_PERFORM}")
    return answer


def _seconds(value: object) -> float:
    """Return the value of a valid `timeout_s`. For any other value return 0, because the array refuses it at once."""
    return float(value) if isinstance(value, int | float) and 0 < value <= MAX_TIMEOUT_S else 0.0


def _exchange(where: Path, line: bytes, timeout_s: float) -> bytes:
    if not where.exists():
        raise NoServer(f"{where}: there is no pool and no control socket")
    path = where / CONTROL_NAME if where.is_dir() else where
    is_sent = False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected, socket_name(path) as name:
            connected.settimeout(timeout_s)
            connected.connect(name)
            connected.sendall(line)
            is_sent = True
            return _receive_line(connected)
    except OSError as error:
        fault = fault_words(error, timeout_s)
        if is_sent:
            raise NoResponse(f"{where}: {fault}; {MAY_PERFORM}") from error
        raise NoServer(f"{where}: {fault}") from error


def fault_words(error: OSError, timeout_s: float) -> str:
    """Return the reason why a request failed in words."""
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "no server answers there; `odx-target serve` starts one"
    if isinstance(error, TimeoutError):
        return f"the server has not answered for {timeout_s:g} s"
    return error.strerror or str(error)


def _receive_line(connected: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n") and len(received) <= MAX_ANSWER_BYTES:
        part = connected.recv(_RECEIVE_BYTES)
        if not part:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        received += part
    return bytes(received)
