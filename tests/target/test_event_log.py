"""The log of an array without the command line: Python's `logging`, or structlog if the program has configured it."""

import logging
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

import odx_target.target
from odx_target.target.event_log import LEVELS, LOGGER, log


@pytest.mark.parametrize("level", LEVELS)
def test_a_line_goes_to_logging_and_not_to_standard_output(
    level: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    log.write(level, "fault injected", rule="one", lun=3)
    assert caplog.record_tuples == [(LOGGER.name, LEVELS[level], "fault injected rule='one' lun=3")]
    assert capsys.readouterr().out == ""


def test_each_method_writes_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    log.info("a")
    log.warning("b")
    log.error("c")
    assert [(line.levelname, line.message) for line in caplog.records] == [("INFO", "a"), ("WARNING", "b"), ("ERROR", "c")]


def test_a_level_that_is_off_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, LOGGER.name)
    log.warning("fault injected")
    assert not caplog.records


def test_text_of_a_peer_cannot_control_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("refused", initiator="iqn.\x1b[2J\n100% of it")
    assert caplog.messages == ["refused initiator='iqn.\\x1b[2J\\n100% of it'"]


def test_a_traceback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("wrong")
    except ValueError as error:
        log.error("failed", error=repr(error), exc_info=error)
    (line,) = caplog.records
    assert line.message == "failed error=\"ValueError('wrong')\""
    assert line.exc_info is not None
    assert "test_event_log.py" in caplog.text


def test_a_program_that_configures_structlog_gets_the_lines(caplog: pytest.LogCaptureFixture) -> None:
    structlog.configure()
    with capture_logs() as lines:
        log.warning("fault injected", rule="one")
    assert lines == [{"event": "fault injected", "rule": "one", "log_level": "warning"}]
    assert not caplog.records


def test_no_other_part_of_an_array_writes_to_structlog_itself() -> None:
    folder = Path(odx_target.target.__file__).parent
    assert [path.name for path in folder.rglob("*.py") if "import structlog" in path.read_text()] == []
