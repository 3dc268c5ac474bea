"""Runs every command of the README's tour, unchanged and in order, in a directory like a fresh clone."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import forked
from tests.interop.programs import need
from tests.interop.serving import READY

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-readme")]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PORT = ":3260"
OURS = ".venv/bin/odx-target"
OPERATORS = frozenset("|&;<>$*?~`\\()#!")
"""Characters that a shell may act on, also within quotes."""
COMMAND_TIMEOUT_S = 180
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
"""Environment without the variables of make, because a person does not type these commands under make."""


def commands() -> list[str]:
    """List the text after each prompt, with its continued lines."""
    return [match[1] for match in re.finditer(r"^    \$ ((?:.*\\\n)*.*)$", README, re.MULTILINE)]


def test_the_tour_has_every_subcommand() -> None:
    text = "\n".join(commands())
    storage = ("snapshot create", "clone", "schedule add", "lun remove", "pool scrub")
    for subcommand in (
        "copy",
        "token populate",
        "token run",
        "windows-copy",
        "esxi-copy",
        "manage",
        "serve",
        "decode",
        *storage,
    ):
        assert f"odx-target {subcommand} " in text
    assert "make serve" in text
    assert "make demo" in text


class Shell:
    """Runs commands. A command that serves runs in the background, and first stops the previous server, unless it ends with
    `&`: then it runs until the end of all commands.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0  # The first array selects a free port, because other tests may use the port of the README.
        self._serving: subprocess.Popen[str] | None = None
        self._others: list[subprocess.Popen[bytes]] = []

    def type(self, command: str) -> None:
        command = command.replace(PORT, f":{self._port}")
        if command.endswith(" &"):
            with (self._folder / f"{len(self._others)}.log").open("w") as log:
                words = f"exec {command.removesuffix(' &')}"
                self._others.append(
                    subprocess.Popen(words, shell=True, cwd=self._folder, env=ENVIRONMENT, stdout=log, stderr=log)
                )
            return
        if re.search(r"make serve|odx-target serve", command):
            self._serve(command)
            return
        ended = self._run(command)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. A shell would only start the program if the command has nothing but words."""
        first, *words = shlex.split(command.replace("\\\n", ""))
        if first == OURS and OPERATORS.isdisjoint(command.replace("\\\n", "")):
            return forked.run(*words, environment=ENVIRONMENT, folder=self._folder, timeout_s=COMMAND_TIMEOUT_S)
        return subprocess.run(
            command, shell=True, cwd=self._folder, env=ENVIRONMENT,
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip

    def _serve(self, command: str) -> None:
        self.stop()
        if command.startswith("make "):
            shown = ["make", "--dry-run", command.removeprefix("make ")]
            made = subprocess.run(shown, cwd=self._folder, env=ENVIRONMENT, capture_output=True, text=True, check=True)
            command = made.stdout
        command = f"exec {command.strip()} --portal 127.0.0.1:{self._port}"
        with (self._folder / "serve.log").open("w") as log:
            self._serving = subprocess.Popen(
                command,
                shell=True,
                cwd=self._folder,
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        assert self._serving.stdout is not None
        for line in self._serving.stdout:
            if line.startswith(READY):
                self._port = int(line.rpartition(":")[2])
                return
        pytest.fail(f"{command}\n{(self._folder / 'serve.log').read_text()}")

    def stop_others(self) -> None:
        """Stop the servers whose commands end with `&`."""
        for server in self._others:
            server.send_signal(signal.SIGINT)
        for server in self._others:
            try:
                assert server.wait(COMMAND_TIMEOUT_S) == 0
            finally:
                server.kill()
                server.wait()
        self._others.clear()

    def stop(self) -> None:
        """Stop the server as Ctrl-C does, and check its exit status."""
        if self._serving is None:
            return
        self._serving.send_signal(signal.SIGINT)
        try:
            assert self._serving.wait(COMMAND_TIMEOUT_S) == 0
        finally:
            self._serving.kill()
            self._serving.wait()
            assert self._serving.stdout is not None
            self._serving.stdout.close()
            self._serving = None


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    for name in ("Makefile", "pyproject.toml", "hatch_build.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "odx-target").symlink_to(Path(sys.executable).parent / "odx-target")
    (tmp_path / ".venv" / "made").touch()
    shell = Shell(tmp_path)
    yield shell
    shell.stop_others()
    shell.stop()
    shutil.rmtree(tmp_path)


def test_every_command_can_be_typed_as_it_stands(shell: Shell) -> None:
    for client in ("iscsi-ls", "qemu-img", "qemu-io"):
        need(client)
    for command in commands():
        shell.type(command)
    shell.stop()
    shell.stop_others()
    shell.type("test -f trace.txt && test -s a.token && test -d my-pool")
