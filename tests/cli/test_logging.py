import io
import json
import sys
import threading

import pytest
import structlog

from odx_target.cli.serving.logging import MAX_QUEUED_BYTES, configure_logging
from odx_target.target.config.settings import LogFormat


def fail() -> None:
    raise ValueError("what happened")


def logged(level: str, monkeypatch: pytest.MonkeyPatch, log_format: LogFormat = LogFormat.TEXT) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(level, log_format)
    log = structlog.get_logger()
    log.debug("small")
    log.info("plain", peer="a")
    try:
        fail()
    except ValueError as error:
        log.error("broken", exc_info=error)
    return stream.getvalue()


def test_an_error_is_one_line_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = logged("info", monkeypatch).splitlines()
    assert len(lines) == 2
    assert "peer=a" in lines[0]
    assert "place=test_logging.py" in lines[1]


def test_lines_of_json_begin_with_the_same_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.loads(line) for line in logged("debug", monkeypatch, LogFormat.JSON).splitlines()]
    assert [list(line)[:3] for line in lines] == [["timestamp", "level", "event"]] * 3
    assert [(line["level"], line["event"]) for line in lines] == [("debug", "small"), ("info", "plain"), ("error", "broken")]
    assert lines[1]["peer"] == "a"
    assert lines[1]["timestamp"].endswith("Z")
    assert "in fail" in lines[2]["stack"]
    (line,) = logged("error", monkeypatch, LogFormat.JSON).splitlines()
    assert json.loads(line)["place"].startswith("test_logging.py")


def test_at_debug_it_comes_with_its_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "in fail" in logged("debug", monkeypatch)


def test_a_level_hides_what_is_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(logged("error", monkeypatch).splitlines()) == 1


def test_nobody_reading_the_log_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("info")
    stream.close()
    structlog.get_logger().info("unread")
    assert stream.closed


def test_a_log_that_was_closed_before_the_start_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    standard_error = configure_logging("info")
    with standard_error.in_thread():
        structlog.get_logger().info("nobody reads this")
        assert standard_error._writer is not None
        assert standard_error._writer.flush(10.0)
        assert standard_error._writer._thread.is_alive()


def test_what_a_peer_sends_does_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("info")
    structlog.get_logger().info("logged in", initiator="\x1b]0;owned\x07\x1b[2Jiqn.\u00e9", count=7)
    assert "\\x1b]0;owned\\x07\\x1b[2Jiqn.\u00e9" in stream.getvalue()
    assert stream.getvalue().rstrip("\n").isprintable()


class StuckStream(io.StringIO):
    """A stream that blocks every write until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_write = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.is_asked.set()
        assert self.may_write.wait(60)
        return super().write(text)


def test_a_reader_that_is_stuck_holds_up_nobody_and_is_told_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StuckStream()
    monkeypatch.setattr(sys, "stderr", stream)
    with configure_logging("info").in_thread():
        log = structlog.get_logger()
        log.info("first")
        assert stream.is_asked.wait(60)
        for number in range(50_000):
            log.info("many", number=number)
        stream.may_write.set()
    lines = stream.getvalue().splitlines()
    (missing,) = [line for line in lines if "left out" in line]
    assert len(lines) - 2 + int(missing.split()[0]) == 50_000
    assert len(stream.getvalue()) < MAX_QUEUED_BYTES + 1000


def test_lines_come_in_their_order_by_a_thread_too(capfd: pytest.CaptureFixture[str]) -> None:
    with configure_logging("info").in_thread():
        for number in range(100):
            structlog.get_logger().info("line", number=number)
    assert [line.rpartition("=")[2] for line in capfd.readouterr().err.splitlines()] == [str(each) for each in range(100)]
