"""The web application of the HTTP control port.

`POST /v1/OPERATION` with the arguments as a JSON object performs an operation of the control socket, and returns its result, a
JSON object. `GET /openapi.json` describes all operations. Each request carries `Authorization: Bearer TOKEN`.
"""

import hmac
import json
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.encoding import encoded
from odx_target.target.control.http.openapi import document
from odx_target.target.control.http.paths import PREFIX
from odx_target.target.control.operation import Operation
from odx_target.target.control.server import MAX_LINE_BYTES, Perform
from odx_target.target.event_log import log

MAX_BODY_BYTES = MAX_LINE_BYTES
"""Maximum length of the arguments of an operation, as on the control socket."""

SCHEME = "Bearer "


class _Refused(Exception):
    """The request cannot be answered. `status` is the HTTP status code."""

    def __init__(self, status: int, message: str, *, is_usage: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.is_usage = is_usage


def application(operations: Iterable[Operation], perform: Perform, token: str) -> Starlette:
    """Return the web application. `perform` performs an operation by its name, and may raise ManagementError."""
    control = _Control({operation.name: operation for operation in operations}, perform, token)
    return Starlette(
        routes=[
            Route("/openapi.json", control.describe, methods=["GET"]),
            Route(f"{PREFIX}{{name}}", control.perform, methods=["POST"]),
        ]
    )


class _Control:
    def __init__(self, operations: Mapping[str, Operation], perform: Perform, token: str) -> None:
        self._operations = operations
        self._perform = perform
        self._expected = f"{SCHEME}{token}".encode()

    async def describe(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        try:
            self._check_token(request)
        except _Refused as refused:
            return _failure(refused)
        return JSONResponse(document(self._operations.values()))

    async def perform(self, request: Request) -> Response:
        """Perform an operation, and return its result."""
        try:
            self._check_token(request)
            name = request.path_params["name"]
            if name not in self._operations:
                raise _Refused(404, f"there is no operation {name!r}")
            answer = await self._perform(name, await _arguments(request))
            return Response(await encoded(answer), media_type="application/json")
        except ManagementError as error:
            return _failure(_Refused(400 if error.is_usage else 409, str(error), is_usage=error.is_usage))
        except _Refused as refused:
            return _failure(refused)
        except ClientDisconnect:
            return Response(status_code=400)  # Nobody receives it: the client left before its request was complete.
        except Exception as error:
            log.error("an operation failed inside the array", error=repr(error), exc_info=error)
            message = "the operation failed inside the array; its log says more"
            return _failure(_Refused(500, message, is_usage=False))

    def _check_token(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._expected):
            raise _Refused(401, "send the token of this array as Authorization: Bearer TOKEN")


async def _arguments(request: Request) -> Mapping[str, object]:
    """Return the arguments in the body of a request. An empty body has no arguments. Raises _Refused."""
    body = bytearray()
    async with aclosing(request.stream()) as parts:
        async for part in parts:
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise _Refused(413, f"the arguments have at most {MAX_BODY_BYTES} bytes")
    try:
        found: Any = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Refused(400, "want the arguments as a JSON object")
    return found


def _failure(refused: _Refused) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
    return JSONResponse({"error": str(refused), "usage": refused.is_usage}, refused.status, headers)
