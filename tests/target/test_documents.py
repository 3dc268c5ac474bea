"""The commands, options, settings, limits and files that the documents name exist."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from odx_target.cli.app import COMMANDS, application
from odx_target.copymgr import limits
from odx_target.copymgr.tokens.judgement import TOKEN_ERRORS
from odx_target.target.config.chap import (
    MAX_SECRET_BYTES,
    MAX_SECRET_FILE_BYTES,
    MAX_USER_BYTES,
    MAX_USERS,
    MIN_SECRET_BYTES,
    accounts_of,
)
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import DEFAULT_IQN, Config
from odx_target.target.config.settings_file import load_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
TOKEN_COPY = (ROOT / "docs" / "token-copy.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readme_names_the_commands_that_start_everything() -> None:
    assert "    make serve " in README
    assert "    make test " in README
    assert "make demo" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_make_targets_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text()
    for name in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / name).exists(), name
    for name in re.findall(r"`((?:src|tests|fixtures|bench|docs)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"(?:`|^    |\$ )make ([a-z-]+)", text, re.MULTILINE):
        assert name in TARGETS, name


def test_commands_of_the_readme_are_commands_with_these_options() -> None:
    lines = re.findall(r"odx-target ((?:[^\n`]|\\\n)+)", README.replace("\\\n", " "))
    typed = [words for words in map(str.split, lines) if words[0] in COMMANDS]
    assert {words[0] for words in typed} >= {"serve", "copy", "token", "decode"}
    program = get_command(application())
    for words in typed:
        command = program
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= {*options, "--help"}, words


def test_every_setting_is_documented_and_the_example_is_one(tmp_path: Path) -> None:
    settings = CONFIGURATION.partition("\nA size is")[0]  # the first table; other tables have values
    documented = {name.strip("[]") for name in re.findall(r"^\| `(\[{0,2}[a-z-]+\]{0,2})`", settings, re.MULTILINE)}
    example = "\n".join(re.findall(r"^    (.*)$", CONFIGURATION, re.MULTILINE))
    assert set(tomllib.loads(example)) <= documented
    (tmp_path / "array.toml").write_text(example)
    assert [lun.name for lun in load_config(tmp_path / "array.toml").luns] == ["first", "second"]
    (tmp_path / "wrong.toml").write_text("nonsense = 1")
    with pytest.raises(ConfigError, match="known are") as refused:
        load_config(tmp_path / "wrong.toml")
    assert documented == set(str(refused.value).partition("known are ")[2].split(", "))


def test_the_example_of_chap_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
    (tmp_path / "secrets").mkdir()
    for file in re.findall(r'secret-file = "(.*)"', example):
        (tmp_path / file).write_text(f"the secret of {file}\n")
    (tmp_path / "array.toml").write_text(example)
    config = load_config(tmp_path / "array.toml")
    accounts = accounts_of(config.chap_users, config.target_chap)
    assert accounts is not None
    assert set(accounts.by_user) == {"first-host", "any-host"}
    assert f"{MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes" in CONFIGURATION
    for limit in (MAX_SECRET_FILE_BYTES, MAX_USER_BYTES, MAX_USERS):
        assert f"at most {limit} " in CONFIGURATION


def test_defaults_are_those_of_the_code() -> None:
    assert f"| `{DEFAULT_IQN}` |" in CONFIGURATION
    assert f'`"{Config().portals[0]}"`' in CONFIGURATION
    assert f"| {limits.COMMAND_BUDGET_S:g} |" in CONFIGURATION


def test_the_ways_of_an_invalid_token_and_the_limits_are_those_of_the_code() -> None:
    for ascq in TOKEN_ERRORS:
        assert f"| 23h/{ascq:02X}h " in TOKEN_COPY
    for row in (
        f"| {limits.MAX_RANGE_DESCRIPTORS} |",
        f"{limits.MAX_ROD_BYTES >> 40} TiB; {limits.OPTIMAL_TRANSFER_BYTES >> 20} MiB",
        f"{limits.MIN_INACTIVITY_TIMEOUT_S} to {limits.MAX_INACTIVITY_TIMEOUT_S} seconds",
        f"{limits.DEFAULT_INACTIVITY_TIMEOUT_S} by default",
        f"{limits.MAX_TOKENS:,}; change vulnerable tokens: {limits.MAX_CHANGE_VULNERABLE_TOKENS} ",
        f"| {limits.MAX_CONCURRENT_COPIES} |",
        f"{limits.MAX_RECORDS_PER_NEXUS} for an I_T nexus; {limits.MAX_RECORD_BYTES >> 20} MiB for all results together",
    ):
        assert row in TOKEN_COPY
