"""The client of the HTTP control port, with servers that answer rightly, wrongly and not at all."""

import socket
import threading

import pytest
import trio

from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoResponse, NoServer
from odx_target.target.control.http.client import HttpPlace, http_place, request_over_http
from odx_target.target.control.http.server import serve_http
from tests.target.http.test_server import TOKEN, echo


async def ask(operation: str, token: str = TOKEN, **arguments: object) -> dict[str, object]:
    def request() -> dict[str, object] | Exception:
        try:
            return request_over_http(http_place(f"http://{portal}", token), operation, arguments)
        except ManagementError as error:
            return error

    async with serve_http(Portal(port=0), echo, TOKEN) as portal:
        answer = await trio.to_thread.run_sync(request)
    if isinstance(answer, Exception):
        raise answer
    return answer


async def test_an_operation_returns_its_result() -> None:
    assert await ask("resize", name="a") == {"operation": "resize", "arguments": {"name": "a"}}


@pytest.mark.parametrize(
    ("operation", "token", "arguments", "message", "is_usage"),
    [
        ("revoke", TOKEN, {}, "no", False),
        ("revoke", TOKEN, {"a": 1}, "no", True),
        ("nothing", TOKEN, {}, "there is no operation 'nothing'", True),
        ("health", TOKEN, {}, "failed inside the array", False),
        ("luns", "another-token-of-this-test", {}, "wrong token", False),
    ],
)
async def test_a_refusal_keeps_its_kind(
    operation: str, token: str, arguments: dict[str, object], message: str, is_usage: bool
) -> None:
    with pytest.raises(ManagementError, match=message) as refused:
        await ask(operation, token, **arguments)
    assert refused.value.is_usage is is_usage


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "https://127.0.0.1:80",
        "127.0.0.1:80",
        "http://127.0.0.1",
        "http://127.0.0.1:port",
        "http://[::1:80",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:80/v1",
        "http://user@127.0.0.1:80",
        "file:///etc/passwd",
    ],
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="want the URL of a control port"):
        http_place(url, TOKEN)


def test_the_name_of_a_place_has_no_token() -> None:
    place = http_place("http://[::1]:80/", TOKEN)
    assert str(place) == "http://[::1]:80"
    assert TOKEN not in repr(place)


def test_a_server_that_does_not_run_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NoServer, match=f"http://127.0.0.1:{port}: no server answers there"):
        request_over_http(HttpPlace("127.0.0.1", port, TOKEN), "luns", {})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "may still perform the operation"),
        (b"SSH-2.0-x\r\n", "not whole or not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not that of an array"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", "not that of an array"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "may still perform the operation"),
    ],
)
def test_a_strange_server_is_named(answer: bytes, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(65536)
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(NoResponse, match=message):
            request_over_http(HttpPlace("127.0.0.1", listening.getsockname()[1], TOKEN), "luns", {})
        thread.join()
