"""docs/installation.md: the commands, the files and the options that it names exist."""

import re
import subprocess
import tomllib
from pathlib import Path

from typer.main import get_command

from odx_target.cli.app import COMMANDS, application

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "installation.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGE = ROOT / "tools" / "container" / "make_image"


def test_a_wheel_has_the_man_page_where_the_page_says() -> None:
    shared = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"docs/odx-target.1": "share/man/man1/odx-target.1"}
    assert all((ROOT / source).is_file() for source in shared)
    assert "`odx-target.1` in `share/man/man1`" in PAGE


def test_the_number_of_libraries_and_their_extra_are_those_of_the_project() -> None:
    assert len(PROJECT["project"]["dependencies"]) == 10
    assert "only the ten libraries" in PAGE.replace("\n", " ")
    assert "http" in PROJECT["project"]["optional-dependencies"]


def test_the_script_of_the_container_is_a_script_and_takes_what_the_page_gives() -> None:
    assert IMAGE.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", IMAGE], check=True)
    assert f"SUITE=bookworm {IMAGE.relative_to(ROOT)} wheels root image.tar" in PAGE
    assert "${1:?WHEELS}" in IMAGE.read_text()
    assert subprocess.run([IMAGE, "wheels", ROOT], capture_output=True, check=False).returncode == 1, "an old folder is kept"


def test_options_of_serve_are_options() -> None:
    serve = get_command(application(["serve"])).commands["serve"]  # type: ignore[attr-defined]
    options = {option for parameter in serve.params for option in parameter.opts}
    named = set(re.findall(r"(--(?:portal|lun|log-format|metrics|chap-user))\b", PAGE))
    assert len(named) == 5
    assert named <= options
    assert "serve" in COMMANDS
