"""The client of the HTTP control port: sends a request to a running array and waits for the response."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from odx_target.target.config.error import ConfigError
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import MAX_ANSWER_BYTES, MAY_PERFORM, NoResponse, NoServer, decoded, fault_words, wait_s
from odx_target.target.control.http.paths import PREFIX

OK, UNAUTHORIZED = 200, 401


@dataclass(frozen=True, slots=True)
class HttpPlace:
    """The HTTP control port of an array, and its token."""

    host: str
    port: int
    token: str = field(repr=False)

    def __str__(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def http_place(url: str, token: str) -> HttpPlace:
    """Return the control port with a URL such as `http://127.0.0.1:8080`. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.username:
        raise ConfigError(f"{url!r}: want the URL of a control port, such as http://127.0.0.1:8080")
    return HttpPlace(host, port, token)


def request_over_http(where: HttpPlace, operation: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Perform an operation on a running array, and return its result. This function blocks the calling thread.

    Raises ManagementError if the operation is refused, NoServer if the request could not be sent, and NoResponse if no valid
    response to it arrives in time.
    """
    status, body = _exchange(where, operation, json.dumps(dict(arguments)).encode(), wait_s(operation, arguments))
    answer = decoded(str(where), body)
    if status == OK:
        return answer
    if "error" not in answer:
        raise NoResponse(f"{where}: the answer is not that of an array; {MAY_PERFORM}")
    is_usage = bool(answer.get("usage")) and status != UNAUTHORIZED
    raise ManagementError(f"{where}: wrong token" if status == UNAUTHORIZED else str(answer["error"]), is_usage=is_usage)


def _exchange(where: HttpPlace, operation: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(where.host, where.port, timeout=timeout_s)
    is_sent = False
    try:
        headers = {"Authorization": f"Bearer {where.token}", "Content-Type": "application/json"}
        connection.request("POST", f"{PREFIX}{operation}", body, headers)
        is_sent = True
        answer = connection.getresponse()
        received = answer.read(MAX_ANSWER_BYTES)
        if answer.length:
            raise http.client.IncompleteRead(received, answer.length)
        return answer.status, received
    except (OSError, http.client.HTTPException) as error:
        fault = fault_words(error, timeout_s) if isinstance(error, OSError) else "the answer is not whole or not HTTP"
        if is_sent:
            raise NoResponse(f"{where}: {fault}; {MAY_PERFORM}") from error
        raise NoServer(f"{where}: {fault}") from error
    finally:
        connection.close()
