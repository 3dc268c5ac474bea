"""`odx-target personality`, and the option of `serve`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from odx_target.cli.configuration.personality import app
from odx_target.cli.serving.options import settings_of
from odx_target.target.config.error import ConfigError
from odx_target.target.personality.reading import known_personalities
from odx_target.target.personality.words import WORDS


def typed(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words))


def test_all_personalities_are_listed() -> None:
    lines = typed("list").output.splitlines()
    assert [line.split()[0] for line in lines[2:]] == known_personalities()
    found = json.loads(typed("list", "--json").output)["personalities"]
    assert [each["name"] for each in found] == known_personalities()


def test_each_setting_is_explained() -> None:
    output = typed("show", "single-range").output
    word = next(word for word in WORDS if word.name == "token-copy.maximum-ranges")
    assert output.splitlines()[0] == "Single range"
    (line,) = [line for line in output.splitlines() if line.startswith("token-copy.maximum-ranges")]
    assert line.split(maxsplit=2)[1:] == ["1", word.explanation]


def test_json_has_the_same() -> None:
    found = json.loads(typed("show", "lio", "--json").output)
    assert (found["name"], found["sources"][0].split(",")[0]) == ("lio", "Linux")
    vendor = {"key": "inquiry.vendor", "value": "LIO-ORG", "meaning": "T10 VENDOR IDENTIFICATION (SPC-4 6.4.2)"}
    assert vendor in found["settings"]


def test_a_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text("token-copy.maximum-ranges = 0")
    result = typed("show", str(tmp_path / "ours.toml"))
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).endswith("token-copy.maximum-ranges: want a number from 1 to 4095, not '0'")


def test_the_option_of_serve_replaces_the_key_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "array.toml").write_text('personality = "lio"')
    chap = dict.fromkeys(("chap_user", "chap_secret_file", "target_chap_user", "target_chap_secret_file"))
    options = _Absent(chap)
    assert settings_of(tmp_path / "array.toml", options)[0].personality.name == "lio"
    assert settings_of(tmp_path / "array.toml", _Absent({**chap, "personality": "4kn"}))[0].personality.name == "4kn"
    with pytest.raises(ConfigError, match="there is no personality"):
        settings_of(None, _Absent({**chap, "personality": "none"}))


class _Absent(dict[str, object]):
    """Options of which most were not given."""

    def __missing__(self, key: str) -> None:
        return None
