"""Every recipe in docs/recipes/ runs as it stands, except for the port and the installation."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest

from odx_target.cli import main as cli
from tests.interop.programs import need
from tests.interop.serving import Served, serve
from tests.recipes.pages import FOLDER, INDEX, PAGES, ROOT, Command, blocks, steps, workflow_runs

pytestmark = pytest.mark.xdist_group("recipes")

PORT = "127.0.0.1:3260"
TIMEOUT_S = 120
SHELL = ("bash", "-e", "-u", "-o", "pipefail", "-c")
CLIENTS = {"wireshark": "tshark"}
"""The programs of others that a page needs."""
(START,) = (block.text for block in blocks(INDEX))


@pytest.fixture(scope="module")
def array(module_path: Path) -> Iterator[Served]:
    """The array that the index of the recipes starts, in a folder that has the files that recipes name."""
    words = START.split()
    assert words[:3] == ["odx-target", "serve", "pool"]
    (module_path / "tools").symlink_to(ROOT / "tools")
    options = [str(module_path / word) if word.startswith("trace.") else word for word in words[3:]]
    served = serve(module_path / "pool", log_path=module_path / "log", options=options)
    yield served
    served.kill()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell in which odx-target, python and pytest are the ones of this test, with the plugin."""
    programs = tmp_path_factory.mktemp("programs")
    interpreter = f'exec {sys.executable} "$@"\n'
    for name in ("python", "python3"):
        (programs / name).write_text(f"#!/bin/sh\n{interpreter}")
    (programs / "odx-target").write_text(f'#!/bin/sh\nexec {sys.executable} -m odx_target "$@"\n')
    plugin = "-p odx_target.pytest_plugin -p no:cacheprovider -W error"
    (programs / "pytest").write_text(f'#!/bin/sh\nexec {sys.executable} -m pytest {plugin} "$@"\n')
    (programs / "pip").write_text("#!/bin/sh\n")  # the installation has tests of its own
    for program in programs.iterdir():
        program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
    }


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a script in a shell, in which every command must succeed. Return its output."""
    done = subprocess.run(
        [*SHELL, script], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_here(command: Command) -> None:
    """Run odx-target in this process, which takes a tenth of the time of a new one."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
        patch.setattr(sys, "argv", ["odx-target", *command.words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code, (command, output.getvalue())
    if command.output is not None:
        Path(command.output).write_text(output.getvalue())


@pytest.mark.parametrize("name", [name for name in PAGES if name != "github-workflow"])
def test_a_recipe_runs(
    name: str, array: Served, environment: dict[str, str], module_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in CLIENTS:
        need(CLIENTS[name])
    script = []
    for block in blocks(PAGES[name]):
        if block.language == "python":
            (module_path / block.text.split()[1]).write_text(block.text)
        elif block.language == "bash":
            script.append(block.text)
    text = "".join(script).replace(PORT, array.portal).replace("tcp.port==3260", f"tcp.port=={array.portal.rpartition(':')[2]}")
    monkeypatch.chdir(module_path)
    for step in steps(text):
        run(step, module_path, environment) if isinstance(step, str) else run_here(step)


def test_a_script_is_divided() -> None:
    first = "A=b\nodx-target one $A \\\n    two > three\n"
    second = "python3 - <<'END'\nodx-target no\nEND\nodx-target x || y\n"
    assert list(steps(f"{first}{second}odx-target z\n")) == [
        Command(["one", "b", "two"], "three"),
        f"A=b\n{second}".rstrip(),
        Command(["z"], None),
    ]


def test_the_run_lines_of_the_workflow_run(tmp_path: Path, environment: dict[str, str]) -> None:
    (workflow,) = (block.text for block in blocks(PAGES["github-workflow"]) if block.language == "yaml")
    runs = workflow_runs(workflow)
    assert len(runs) == len(re.findall(r"\brun:", workflow)) == 5
    variables = tmp_path / "variables"
    variables.touch()
    try:
        for text in runs:
            found = dict(line.split("=", 1) for line in variables.read_text().splitlines())
            output = run(text, tmp_path, {**environment, **found, "GITHUB_ENV": str(variables)})
            assert "offload stats" not in text or "64.0 MiB" in output
    finally:
        with suppress(FileNotFoundError, ProcessLookupError):  # the last line of the workflow has stopped the array
            os.kill(json.loads((tmp_path / "ready.json").read_text())["pid"], signal.SIGKILL)


def test_the_index_names_every_recipe() -> None:
    assert sorted(re.findall(r"^\| \[(.*)\.md\]", INDEX, re.MULTILINE)) == sorted(PAGES)
    assert {path.suffix for path in FOLDER.iterdir()} == {".md"}


def test_the_documents_of_the_project_name_the_recipes() -> None:
    assert "docs/recipes/README.md" in (ROOT / "README.md").read_text()
