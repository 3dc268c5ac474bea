"""`odx-target explain` and `odx-target offload stats` as a user types them, with a running array."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from odx_target.cli.offload import explain, offload
from odx_target.testing import CommandFailed, RunningArray, running_array

app = typer.Typer(pretty_exceptions_enable=False)
explain.register(app)
offload.register(app)


@pytest.fixture
def array(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningArray]:
    """An array to which the commands talk without a control socket."""
    with running_array(luns={"a": "1M", "b": "1M"}) as running:

        def ask(pool: Path, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, object]:
            return running.manage(operation, **arguments)

        monkeypatch.setattr(explain, "ask_array", ask)
        monkeypatch.setattr(offload, "ask_array", ask)
        yield running


def typed(*words: str) -> Result:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result


def refuse(array: RunningArray) -> None:
    """Make the array refuse a token that does not exist."""
    with pytest.raises(CommandFailed):
        array.host().write_using_token("b", b"\xa5" * 512, 0, 8)


def lines(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if " LUN b was refused: " in line and "[info" not in line]


def test_each_refusal_is_one_line(array: RunningArray) -> None:
    assert lines(typed("explain", "pool")) == []
    refuse(array)
    (line,) = lines(typed("explain", "pool"))
    assert "WRITE USING TOKEN of iqn.2026-11.io.odx-target:test-host to LUN b was refused: " in line
    assert "SBC-4 5.55" in line
    (row,) = [json.loads(each) for each in typed("explain", "pool", "--json").output.splitlines() if each.startswith("{")]
    assert row["explanation"] in line
    assert row["number"] == 1


def test_follow_shows_each_refusal_once_until_ctrl_c(array: RunningArray, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter(range(3))

    def next_round(delay_s: float) -> None:
        assert delay_s == explain.FOLLOW_S
        if next(rounds) == 2:
            raise KeyboardInterrupt
        refuse(array)

    monkeypatch.setattr("time.sleep", next_round)
    refuse(array)
    assert len(lines(typed("explain", "pool", "--follow"))) == 3


def test_statistics_of_each_initiator(array: RunningArray) -> None:
    refuse(array)
    host = array.host("iqn.1999-01.example:other")
    array.fill("a")
    host.write_using_token("b", host.populate_token("a", 0, 64), 0, 64)
    output = typed("offload", "stats", "pool", "--json").output
    found = {row["initiator"]: row for row in json.loads(output[output.index("{") :])["initiators"]}
    assert found["iqn.1999-01.example:other"]["shared_bytes"] == 64 * 512
    assert found["iqn.2026-11.io.odx-target:test-host"]["refused_commands"] == 1
    table = typed("offload", "stats", "pool").output
    assert any(line.split()[:3] == ["iqn.1999-01.example:other", "32.0", "KiB"] for line in table.splitlines())
