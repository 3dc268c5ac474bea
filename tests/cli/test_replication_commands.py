"""`odx-target protect`, `replicate` and `remote` with two server processes, and what is wrong."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from odx_target.cli.schemas.making import schema_of_result
from odx_target.cli.schemas.table import result_of
from tests.cli.conftest import Run
from tests.cli.schemas.validation import faults_of

KEY = "K" * 26


def result(run: Run, command: str, *words: str | Path) -> dict[str, Any]:
    """Run a command with --json, and check its result against the schema."""
    code, output, error = run(*command.split(), *words, "--json")
    assert code == 0, error
    name = result_of(command)
    assert name is not None
    found: dict[str, Any] = json.loads(output)
    assert faults_of(found, schema_of_result(name)) == []
    return found


def test_a_volume_from_its_protection_to_a_clone_of_its_copy(pools: tuple[Path, Path], run: Run) -> None:
    one, other = pools
    address = json.loads(run("path", "list", other, "--json")[1])["link_port"]
    assert run("path", "add", one, "b", address, "--key-file", "-", stdin=KEY)[0] == 0
    assert run("path", "add", other, "a", "--key-file", "-", stdin=KEY)[0] == 0
    deadline_s = time.monotonic() + 60
    while "connected" not in run("path", "list", one)[1]:
        assert time.monotonic() < deadline_s
    protection = result(run, "protect", one, "vm1", "--path", "b", "--keep-there", "manual=3")
    assert (protection["name"], protection["keep_there"]) == ("vm1", {"manual": 3})
    taken = result(run, "replicate", one, "vm1", "--now", "--wait", "60")
    code, output, _ = run("replicate", one, "vm1", "--wait", "60")
    assert (code, output) == (0, "the snapshots of vm1 were sent\n")
    (copy,) = result(run, "remote list", other)["copies"]
    assert (copy["name"], copy["newest"]) == ("peer/a/vm1", taken["snapshots"][0]["name"])
    for pool, name in zip(pools, ("vm1", "peer/a/vm1"), strict=True):
        code, output, _ = run("remote", "list", pool)
        assert code == 0
        assert f"\n{name} " in output
    assert result(run, "remote clone", other, "peer/a/vm1", "test")["volumes"][0]["lun"] == 1
    assert "test2" in run("remote", "clone", other, f"peer/a/vm1@{copy['newest']}", "test2", "--read-only")[1]
    assert result(run, "promote", other, "peer/a/vm1", "--name", "moved", "--lun", "9")["lun"] == 9
    assert run("volume", "create", one, "another=1M", "--lun")[0] == 0
    assert result(run, "reverse", one, "vm1")["snapshots"] == []
    code, output, _ = run("replicate", other, "moved", "--now", "--wait", "60")
    assert code == 0
    assert run("promote", one, "vm1")[1].startswith("LUN 0: vm1")
    assert "is a copy now" in run("reverse", other, "moved")[1]
    assert run("protect", one, "vm1", "--remove") == (0, "vm1 is not protected any more\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("protect", "a", "vm1"), "want the path"),
        (("protect", "a", "vm1", "vm2", "--remove"), "name of one protection"),
        (("protect", "a", "vm1", "--path", "b", "--keep-there", "daily"), "want CLASS=N"),
        (("protect", "a", "vm1", "--path", "none"), "no path none"),
        (("replicate", "a", "vm9", "--now"), "vm9 is not protected"),
        (("remote", "clone", "a", "peer/x/y", "z"), "no copy peer/x/y"),
    ],
)
def test_what_is_wrong_is_one_line(pools: tuple[Path, Path], run: Run, words: tuple[str, ...], message: str) -> None:
    command = [str(pools[0]) if word == "a" else word for word in words]
    code, _, error = run(*command)
    assert code
    assert message in error
    assert error.count("\n") == 1
