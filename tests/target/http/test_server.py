"""The HTTP control port: its token, its status codes, and clients that send anything."""

import http.client
import json
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from structlog.testing import capture_logs

from odx_target.configured_pool import open_pool
from odx_target.target.array import Array
from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.http.application import MAX_BODY_BYTES, application
from odx_target.target.control.http.server import serve_http
from odx_target.target.control.operations import perform
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from tests.target.running import LUNS

TOKEN = "the-token-of-this-test"


async def echo(operation: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
    """Perform operations without an array: return the arguments, or fail on request."""
    if operation == "revoke":
        raise ManagementError("no", is_usage=bool(arguments))
    if operation == "health":
        raise RuntimeError("a bug")
    return {"operation": operation, "arguments": dict(arguments)}


class Client:
    """Requests to one address, each on a connection of its own."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    async def request(
        self, method: str, path: str, body: bytes | None = None, token: str | None = TOKEN
    ) -> tuple[int, dict[str, object]]:
        """Return the status and the JSON object of the answer."""
        return await trio.to_thread.run_sync(self._request, method, path, body, token)

    async def post(self, operation: str, **arguments: object) -> tuple[int, dict[str, object]]:
        return await self.request("POST", f"/v1/{operation}", json.dumps(arguments).encode())

    def _request(self, method: str, path: str, body: bytes | None, token: str | None) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection(self._portal.host, self._portal.port, timeout=60)
        try:
            connection.request(method, path, body, {} if token is None else {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async with serve_http(Portal(port=0), echo, TOKEN) as portal:
        yield Client(portal)


async def test_an_operation_gets_its_arguments_and_returns_its_result() -> None:
    async with client() as served:
        answer = {"operation": "resize", "arguments": {"name": "a", "size": "2G"}}
        assert await served.post("resize", name="a", size="2G") == (200, answer)
        assert await served.request("POST", "/v1/luns") == (200, {"operation": "luns", "arguments": {}})


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN.upper(), TOKEN + "x", TOKEN[:-1], "tök"])
async def test_requests_without_the_token_are_refused(token: str | None) -> None:
    async with client() as served:
        for method, path in (("POST", "/v1/luns"), ("POST", "/v1/nothing"), ("GET", "/openapi.json")):
            status, answer = await served.request(method, path, token=token)
            assert (status, answer["usage"]) == (401, True)


async def test_refusals_have_their_status_codes() -> None:
    async with client() as served:
        assert await served.post("revoke", identifier="1") == (400, {"error": "no", "usage": True})
        assert await served.post("revoke") == (409, {"error": "no", "usage": False})
        assert await served.post("nothing") == (404, {"error": "there is no operation 'nothing'", "usage": True})


async def test_a_bug_is_logged_and_shows_no_traceback() -> None:
    async with client() as served:
        with capture_logs() as logs:
            status, answer = await served.post("health")
        assert status == 500
        assert answer == {"error": "the operation failed inside the array; its log says more", "usage": False}
        assert [line["error"] for line in logs] == ["RuntimeError('a bug')"]


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b"null", b"\xff", b"[" * 60_000])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    async with client() as served:
        assert await served.request("POST", "/v1/luns", body) == (
            400,
            {"error": "want the arguments as a JSON object", "usage": True},
        )


async def test_the_longest_body_is_accepted_and_a_longer_one_is_refused() -> None:
    async with client() as served:
        frame = len(json.dumps({"name": ""}))
        assert (await served.post("resize", name="x" * (MAX_BODY_BYTES - frame)))[0] == 200
        status, answer = await served.post("resize", name="x" * (MAX_BODY_BYTES - frame + 1))
        assert (status, answer["error"]) == (413, f"the arguments have at most {MAX_BODY_BYTES} bytes")


async def test_a_client_that_leaves_within_its_request_is_no_failure_of_the_array() -> None:
    performed: list[str] = []

    async def perform(operation: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        performed.append(operation)
        return arguments

    messages = iter([{"type": "http.request", "body": b'{"name": ', "more_body": True}, {"type": "http.disconnect"}])
    sent: list[MutableMapping[str, object]] = []

    async def receive() -> MutableMapping[str, object]:
        return next(messages)

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/snapshot-create", "headers": headers, "query_string": b""}
    with capture_logs() as logs:
        await application([*STORAGE_OPERATIONS.values()], perform, TOKEN)(scope, receive, send)
    assert (performed, logs) == ([], [])
    assert sent[0]["status"] == 400


async def test_an_operation_goes_on_if_its_client_leaves() -> None:
    begun, may_end, ended = trio.Event(), trio.Event(), trio.Event()

    async def perform(operation: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        if operation == "snapshot-create":
            begun.set()
            await may_end.wait()
            ended.set()
        return arguments

    async with serve_http(Portal(port=0), perform, TOKEN) as portal:
        with capture_logs() as logs:
            stream = await trio.open_tcp_stream(portal.host, portal.port)
            request = f"POST /v1/snapshot-create HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            await stream.send_all(request.encode())
            await begun.wait()
            await stream.aclose()
            may_end.set()
            await ended.wait()
            assert await Client(portal).post("luns") == (200, {})
        assert logs == []


async def test_every_operation_of_an_array_is_there() -> None:
    clock = ArrayClock(ClockMode.VIRTUAL)
    async with (
        Array(Config(luns=LUNS, portals=(Portal(port=0),)), open_pool=open_pool, clock=clock) as array,
        serve_http(Portal(port=0), partial(perform, array), TOKEN) as portal,
    ):
        served = Client(portal)
        status, document = await served.request("GET", "/openapi.json")
        assert status == 200
        paths = document["paths"]
        assert isinstance(paths, dict)
        for path in paths:
            status, answer = await served.request("POST", path, b"{}")
            assert status in (200, 400, 409), (path, answer)
        status, answer = await served.post("advance-clock", seconds=121)
        assert (status, answer["advanced_s"]) == (200, 121)
        status, answer = await served.post("advance-clock", seconds=-1)
        assert status == 400
        status, answer = await served.post("commands")
        assert (status, answer["usage"]) == (409, False)


async def test_the_port_is_closed_at_the_end() -> None:
    async with client() as served:
        pass
    with pytest.raises(ConnectionRefusedError):
        await served.post("luns")
