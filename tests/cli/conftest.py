"""Fixtures for commands that run in this process, and for arrays that they manage in processes of their own."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from odx_target.cli import main as cli
from odx_target.cli.schemas.making import schema_of_result
from odx_target.cli.schemas.table import result_of
from tests.cli.schemas.validation import faults_of
from tests.interop.serving import Served, serve

Run = Callable[..., tuple[int, str, str]]


def result(run: Run, command: str, *words: str | Path) -> dict[str, Any]:
    """Run a command with --json, and check its result against the schema."""
    code, output, error = run(*command.split(), *words, "--json")
    assert code == 0, error
    name = result_of(command)
    assert name is not None
    found: dict[str, Any] = json.loads(output)
    assert faults_of(found, schema_of_result(name)) == []
    return found


@pytest.fixture(scope="module")
def pools(module_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two pools that are served with link ports. Each has a LUN vm1."""
    servers: list[Served] = []
    try:
        for name in "ab":
            link = ("--link-port", "127.0.0.1:0")
            servers.append(serve(module_path / name, ["vm1=8M"], log_path=module_path / f"{name}.log", options=link))
        yield module_path / "a", module_path / "b"
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `odx-target` on an input, `stdin`, and returns exit code, output and errors.

    Standard input is closed if `stdin` is None.
    """

    def typed(*words: str | Path, stdin: str | None = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["odx-target", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return typed
