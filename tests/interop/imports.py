"""Steps of tests of imports: type a command, and wait for a state of the import."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from odx_target.cli.app import application
from odx_target.target.control.client import request


def imported(pool: Path) -> dict[str, Any]:
    """Return the row of the only import of an array."""
    (row,) = request(pool, "imports", {})["imports"]
    return dict(row)


def until(pool: Path, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> None:
    """Wait until the row of the only import of an array meets a condition."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so(row := imported(pool)):
        assert time.monotonic() < deadline_s, row
        time.sleep(0.05)


def typed(*words: str | Path) -> str:
    """Type `odx-target import` with more words, and return its output."""
    result = CliRunner().invoke(application(["import"]), ["import", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output
