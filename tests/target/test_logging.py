import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from odx_target.target.logging import configure_logging


@pytest.fixture(autouse=True)
def _configuration_of_this_test() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    structlog.get_logger().info("seen", number=1)
    structlog.get_logger().debug("not seen")
    written = capsys.readouterr()
    assert "seen" in written.err
    assert "number=1" in written.err
    assert "not seen" not in written.err
    assert written.out == ""


def test_nothing_happens_when_nobody_reads_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging("info")
    closed = io.StringIO()
    closed.close()
    for stderr in (Gone(), closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        structlog.get_logger().error("lost")
