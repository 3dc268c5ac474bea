"""`odx-target conformance` as a user types it, against an array in memory."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner, Result

from odx_target.cli.hosts import conformance
from odx_target.conformance.catalogue import CHECKS
from tests.conformance.mutations import INQUIRY, Mutation, data, put, unchanged
from tests.conformance.simulated import SimulatedEquipment

URL = "iscsi://127.0.0.1:1/iqn.2026-11.io.a/0"
app = typer.Typer(pretty_exceptions_enable=False)
app.command("conformance")(conformance.conformance)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> dict[str, Mutation]:
    """A target in memory; its mutation can be replaced."""
    chosen = {"mutation": unchanged}

    def equipment(first: Any, second: Any, *rest: Any) -> SimulatedEquipment:
        return SimulatedEquipment(chosen["mutation"], luns=(0,) if second is None else (0, 1))

    monkeypatch.setattr(conformance, "WireEquipment", equipment)
    return chosen


def typed(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words))


def test_all_checks_are_listed() -> None:
    result = typed("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [check.identifier for check in CHECKS]


def test_only_what_was_asked_for_runs(target: dict[str, Mutation]) -> None:
    result = typed(URL, "--only", "block.read", "--only", "primary.unit")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert {line.split()[0] for line in lines[:-1] if ".read.6 " in line} == {"not"}
    assert "not run  primary.unit.designators" in result.output
    assert lines[-1] == "7 pass, 0 fail, 0 skip, 5 not run"


def test_a_second_lun_and_destruction(target: dict[str, Mutation]) -> None:
    result = typed(URL, URL, "--destructive", "--only", "token.write", "--only", "primary.unit")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "33 pass, 0 fail, 0 skip, 0 not run"


def test_a_failure_shows_its_bytes_in_all_reports(target: dict[str, Mutation], tmp_path: Path) -> None:
    target["mutation"] = data(INQUIRY, put(2, 2), lambda cdb: not cdb[1])
    junit, json_file = tmp_path / "results.xml", tmp_path / "results.json"
    result = typed(URL, "--only", "primary.inquiry", "--junit", str(junit), "--json", str(json_file))
    assert result.exit_code == 1
    assert "fail     primary.inquiry.version" in result.output
    assert "CDB       12 00 00 00 ff 00" in result.output
    assert "7 pass, 1 fail, 0 skip, 0 not run" in result.output
    suite = ElementTree.fromstring(junit.read_text())
    assert suite.attrib["failures"] == "1"
    rows = json.loads(json_file.read_text())["results"]
    assert [row["identifier"] for row in rows if row["verdict"] == "fail"] == ["primary.inquiry.version"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([URL, "--only", "nothing.like.this"], "no check has a name"),
        ([], "give the URL of a LUN"),
        (["http://a"], "an iSCSI URL begins with"),
    ],
)
def test_mistakes(words: list[str], error: str) -> None:
    result = typed(*words)
    assert result.exit_code == 2
    assert error in " ".join(result.output.replace("│", " ").split())
