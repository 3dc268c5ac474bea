"""The commands of `manage` that stand for the subcommands about volumes and snapshots."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from odx_target.cli import main as cli
from odx_target.cli.app import application
from odx_target.cli.managing.aliases import COMMANDS, GROUPS, without_manage
from odx_target.store.open import open_directory_pool
from tests.sim.virtual_environment import VirtualEnvironment


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("manage P snapshot create a@b --json", "snapshot create P a@b --json"),
        ("manage P snapshot list", "snapshot list P"),
        ("manage P snapshot", "snapshot"),
        ("manage P snapshot --help", "snapshot --help"),
        ("manage P volume create --help", "volume create P --help"),
        ("manage P clone a b", "clone P a b"),
        ("manage P clone", "clone P"),
        ("manage P luns", "manage P luns"),
        ("manage --http URL --token-file F luns", "manage --http URL --token-file F luns"),
        ("manage snapshot", "manage snapshot"),
        ("manage", "manage"),
        ("snapshot list P", "snapshot list P"),
        ("", ""),
    ],
)
def test_the_command_that_is_meant(given: str, meant: str) -> None:
    assert without_manage(given.split()) == meant.split()


def test_each_command_has_the_pool_first() -> None:
    def first(command: Any) -> str:
        return next(str(each.name) for each in command.params if isinstance(each, typer.core.TyperArgument))

    commands: Any = get_command(application([*GROUPS, *COMMANDS]))
    for name in COMMANDS:
        assert first(commands.commands[name]) == "pool"
    for name in GROUPS:
        for command in commands.commands[name].commands.values():
            assert first(command) == "pool"


def test_a_snapshot_is_managed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pool = str(tmp_path / "pool")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["odx-target", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().out

    (tmp_path / "pool").mkdir()
    assert run("manage", pool, "volume", "create", "a=1M")[0] != 0, "there is no pool yet"
    environment = VirtualEnvironment()
    opened = environment.run(open_directory_pool(Path(pool), environment))
    opened.create_volume("a", 256, {})
    environment.run(opened.close())
    assert run("manage", pool, "snapshot", "create", "a@monday")[0] == 0
    code, out = run("manage", pool, "snapshot", "list", "--json")
    assert (code, [each["name"] for each in json.loads(out)["snapshots"]]) == (0, ["monday"])
    assert run("manage", pool, "clone", "a@monday", "b")[0] == 0
    assert run("volume", "list", pool)[1].count("\n") > 2
