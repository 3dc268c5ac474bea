"""The naive model of the control socket finds faults that are planted into its framing."""

from collections.abc import Mapping

import pytest
import trio

from odx_target.target.control import server
from tests.fuzz.control.framing import run
from tests.fuzz.surface import Finding, Script

LUNS = '{"operation": "luns"}\n'
USUAL: Script = [
    ["send", 0, LUNS, 1],
    ["send", 0, LUNS, 5],
    ["fill", 0, "x", server.MAX_LINE_BYTES, "\n"],
    ["fill", 1, "x", server.MAX_LINE_BYTES + 1, ""],
    ["nest", 2, "[", 60000, True],
    ["send", 3, LUNS[:5], 1],
    ["end", 3, "half"],
    ["time", 61],
]


def test_usual_attacks_break_no_rule() -> None:
    assert any(outcome.startswith("result") for outcome in run(USUAL))


def test_clients_over_the_limit_are_refused() -> None:
    outcomes = run([["send", slot, LUNS, 1] for slot in range(server.MAX_CONTROL_CONNECTIONS + 2)])
    assert any("connections already" in outcome for outcome in outcomes)


def test_a_longer_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_LINE_BYTES", server.MAX_LINE_BYTES + 10)
    with pytest.raises(Finding, match="does not end a connection"):
        run([["fill", 0, "x", 65537, "\n"]])


def test_lines_that_get_no_answer_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    receive_line = server._receive_line

    async def forget(stream: trio.SocketStream, buffer: bytearray) -> bytes | None:
        line = await receive_line(stream, buffer)
        buffer.clear()
        return line

    monkeypatch.setattr(server, "_receive_line", forget)
    run([["send", 0, LUNS, 1]])
    with pytest.raises(Finding, match="a request has no answer"):
        run([["repeat", 0, LUNS.strip(), 3]])


def test_answers_of_two_lines_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def encoded(answer: Mapping[str, object]) -> bytes:
        return b'{"error":\n"x"}'

    monkeypatch.setattr(server, "encoded", encoded)
    with pytest.raises(Finding, match="more answers than requests"):
        run([["send", 0, LUNS, 1]])


def test_silent_clients_that_stay_connected_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_TIMEOUT_S", 1e6)
    with pytest.raises(Finding, match="does not end a connection"):
        run([["send", 0, "x", 1], ["time", 99]])
