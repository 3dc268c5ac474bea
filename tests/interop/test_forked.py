"""Programs that are forked from a process with all modules do what programs of a new interpreter do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odx_target.native import choice
from tests.interop import forked
from tests.interop.serving import serve

TIMEOUT_S = 60
READ_10 = "28 00 00 00 00 07 00 00 01 00"


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (("decode", "cdb", "-", "--json"), READ_10),
        (("decode", "cdb", "zz"), ""),
        (("pool", "show", "missing"), ""),
        (("nonsense",), ""),
        (("--version",), ""),
        ((), ""),
    ],
)
def test_streams_exit_status_and_folder_are_those_of_a_new_interpreter(
    tmp_path: Path, words: tuple[str, ...], stdin: str
) -> None:
    environment = {**os.environ, "COLUMNS": "77"}
    ours = forked.run(*words, stdin=stdin, environment=environment, folder=tmp_path)
    usual = subprocess.run(
        [sys.executable, "-m", "odx_target.cli.main", *words],
        input=stdin, cwd=tmp_path, env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (ours.returncode, ours.stdout, ours.stderr) == (usual.returncode, usual.stdout, usual.stderr)
    assert ours.stdout + ours.stderr


def test_a_server_is_a_process_with_signals_and_descriptors_of_its_own(tmp_path: Path) -> None:
    served = serve(tmp_path / "pool", ("a=1M",), log_path=tmp_path / "log", descriptors=64)
    try:
        limits = Path(f"/proc/{served.process.pid}/limits").read_text()
        assert "64" in next(line for line in limits.splitlines() if "open files" in line).split()
        assert served.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            served.process.wait(0)
        os.kill(served.process.pid, signal.SIGKILL)
        assert served.process.wait(TIMEOUT_S) == served.process.poll() == -signal.SIGKILL
        served.kill()  # has no effect
    finally:
        served.kill()


def test_a_program_that_takes_too_long_is_killed() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run("serve", "--lun", "a=1M", "--portal", "127.0.0.1:0", timeout_s=0.01)


@pytest.mark.parametrize("native", ["0", None])
def test_programs_use_the_native_module_as_their_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: str | None
) -> None:
    is_built = any(Path(choice.__file__).parent.glob("compiled.*.so"))
    monkeypatch.delenv("ODX_NATIVE", raising=False)
    if native is not None:
        monkeypatch.setenv("ODX_NATIVE", native)
    served = serve(tmp_path / "pool", ("a=1M",), log_path=tmp_path / "log")
    try:
        maps = Path(f"/proc/{served.process.pid}/maps").read_text()
    finally:
        served.kill()
    assert ("native/compiled" in maps) == (native is None and is_built)


def test_the_server_ends_with_the_tests() -> None:
    server = forked._start_server("0")
    server.end()
    assert server.process.returncode == 0
