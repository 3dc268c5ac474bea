"""`check-config`, and the sample of a configuration file."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from odx_target.cli.app import application
from odx_target.cli.configuration.sample_config import KEYS, sample_config
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, ServeConfig
from odx_target.target.config.settings_file import load_config, load_serve_config
from tests.target.access.sessions import STRANGER, A

FILE = f"""
iqn = "iqn.2026-11.example:one"
[[access]]
initiator = "{A}"
luns = [{{ lun = 7, volume = "b", read-only = true }}, {{ lun = 0, volume = "a" }}]
[[access]]
initiator = "iqn.*:admin"
[[target]]
iqn = "iqn.2026-11.example:two"
portal = "127.0.0.1:3261"
access = [{{ initiator = "{A}", luns = [] }}]
"""


def run(*arguments: str) -> str:
    result = CliRunner().invoke(application(["check-config"]), ["check-config", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def uncommented() -> str:
    return re.sub(r'^#(?=[\["a-z])', "", sample_config(), flags=re.MULTILINE)


def test_the_sample_is_a_file_without_settings(tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text(sample_config())
    assert load_config(path) == Config()
    assert run("--sample") == sample_config()


def test_the_sample_has_every_key_and_its_default(tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text(uncommented())
    config = load_config(path)
    (tmp_path / "wrong.toml").write_text("nonsense = 1")
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path / "wrong.toml")
    assert set(tomllib.loads(uncommented())) == set(str(refused.value).partition("known are ")[2].split(", "))
    defaults = tmp_path / "defaults.toml"
    defaults.write_text("\n".join(f"{each.key} = {each.value}" for each in KEYS if each.is_default))
    known = load_config(defaults)
    assert (known.copy_budget_s, known.map_memory_bytes) == (4, 256 << 20)
    assert known.__class__(**{**_fields(known), "copy_budget_s": None, "map_memory_bytes": None}) == Config()
    assert load_serve_config(defaults) == ServeConfig()
    assert [lun.name for lun in config.luns] == ["first"]
    assert len(config.access) == len(config.targets) == len(config.chap_users) == len(config.schedules) == 1


def _fields(config: Config) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def test_a_table_shows_who_can_use_what(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text(FILE)
    lines = [re.split(r" {2,}", line.strip()) for line in run(str(path)).splitlines()[2:]]
    assert lines == [
        ["iqn.2026-11.example:one", "127.0.0.1:3260", A, "0=a 7=b,read-only"],
        ["iqn.2026-11.example:one", "127.0.0.1:3260", "iqn.*:admin", "all LUNs of the pool"],
        ["iqn.2026-11.example:two", "127.0.0.1:3261", A, "none"],
    ]
    assert len(run(str(path), "--initiator", A.upper()).splitlines()) == 4
    assert run(str(path), "--initiator", STRANGER) == "this initiator can use no target\n"
    path.write_text("")
    assert "every initiator" in run(str(path), "--initiator", A)


@pytest.mark.parametrize("table", ["", "target."])
def test_warnings_are_shown(tmp_path: Path, table: str) -> None:
    path = tmp_path / "array.toml"
    target = '[[target]]\niqn = "iqn.2026-11.example:two"\n' if table else ""
    users = [f'[[{table}chap]]\nuser = "{user}"\nsecret = "secret-of-u-000"\n' for user in "uv"]
    path.write_text(target + "".join(users))
    path.chmod(0o644)
    shown = run(str(path))
    assert shown.count("every user of this machine can read") == 1
    assert "CHAP users 'u', 'v' have the same secret" in shown


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("nonsense = 1", [], "unknown key"),
        ('[target-chap]\nuser = "u"\nsecret = "secret-of-u-000"', [], "at least one chap user"),
        ('[[target]]\niqn = "iqn.2026-11.io.odx-target:array"', [], "used twice"),
        ("", ["--initiator", "host"], "no iSCSI name"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, options: list[str], words: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        run(str(path), *options)
    with pytest.raises(ConfigError, match="--sample"):
        run()
