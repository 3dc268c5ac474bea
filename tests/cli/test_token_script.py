"""`odx-target token run`: several steps in one session, from a file, a pipe or a person, and the errors of steps."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from odx_target.cli import main as cli
from tests.interop import forked
from tests.interop.serving import Served, serve

FAILURE = 1
USAGE = 2
TIMEOUT_S = 60
BACKGROUND = """
# a copy in the background is asked about and stopped by the session that began it
populate --range 0,64 --list-identifier 5 --token-file {token}
write --range 0,8192 --zero --immed --list-identifier 0x11
status --list-identifier 17       # RECEIVE COPY STATUS
abort --list-identifier 17
receive --poll --list-identifier 17
write --lun 1 --range 0,8 --list-identifier 6
list
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[Served]:
    luns = ("first=8M", "second=8M,block=4096")
    served = serve(module_path / "pool", luns, log_path=module_path / "log", options=("--copy-rate", "128K"))
    yield served
    served.kill()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs a script in this process and returns exit code, output and errors."""

    def run_script(url: str, text: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / "script").write_text(text)
        monkeypatch.setattr(sys, "argv", ["odx-target", "token", "run", url, str(tmp_path / "script"), *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run_script


def test_a_background_copy_is_asked_about_and_stopped(served: Served, run: Run, tmp_path: Path) -> None:
    code, out, said = run(served.url(0), BACKGROUND.format(token=tmp_path / "a.token"))
    assert (code, said) == (0, "")
    titles = [line.removesuffix(" to LUN 0") for line in out.splitlines() if line.endswith(" to LUN 0")]
    assert titles == [
        "POPULATE TOKEN",
        "RECEIVE ROD TOKEN INFORMATION",
        "WRITE USING TOKEN",
        "RECEIVE COPY STATUS (LID4)",
        "COPY OPERATION ABORT",
        "RECEIVE ROD TOKEN INFORMATION",
        "REPORT ALL ROD TOKENS",
    ]
    assert "WRITE USING TOKEN to LUN 1" in out  # the token that was made last
    assert "in progress in the background" in out
    assert "terminated" in out
    assert out.splitlines()[-1] == "1 token"
    assert (tmp_path / "a.token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("nonsense", USAGE, "No such command 'nonsense'"),
        ("write --range 0,1 --zero --token-file a", USAGE, "--zero"),
        ("write --range 0,1", FAILURE, "no token was made yet"),
        ("write --range x --zero", USAGE, "a range is LBA,COUNT"),
        ("status --list-identifier 99", FAILURE, "24h/00h"),
        ("status --lun 99999", USAGE, "--lun"),
        ("status --lun 9", FAILURE, "25h/00h"),
        ("status 'open", USAGE, "no closing quotation"),
        ("sleep", USAGE, "SECONDS"),
        ("sleep -1", USAGE, "-1"),
        ("sleep nan", USAGE, "SECONDS"),
        ("populate --range 0,8 --token-file /no/such/folder", FAILURE, "/no/such/folder: No such file"),
        ("abort iscsi://h/iqn.2026-11.io.a/0", USAGE, "unexpected extra argument"),
        ("status " + "x" * 70000, FAILURE, "at most 65536 bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_step_ends_the_script_in_one_line_that_names_its_line(
    served: Served, run: Run, line: str, code: int, words: str
) -> None:
    ended, _, said = run(served.url(0), f"\n# none\n{line}\nlist")
    assert ended == code
    assert words in said
    assert said.startswith("odx-target: line 3: ")
    assert said.count("\n") == 1


def test_what_is_no_text(served: Served, tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"\n\n\xff\n")
    assert typed_from(tmp_path / "script", served.url(0)) == (FAILURE, "odx-target: line 3: that is not UTF-8 text\n")


def test_a_script_that_is_not_there_is_typed_wrongly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = "iscsi://127.0.0.1:1/iqn.2026-11.io.a/0"
    monkeypatch.setattr(sys, "argv", ["odx-target", "token", "run", url, str(tmp_path / "none")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == USAGE
    assert f"SCRIPT: {tmp_path}/none: No such file or directory" in capsys.readouterr().err


def typed_from(path: Path, url: str) -> tuple[int, str]:
    with path.open() as script:
        ended = forked.run("token", "run", url, stdin=script, timeout_s=TIMEOUT_S)
    return ended.returncode, ended.stderr


def test_what_follows_a_failure_is_done_if_wanted(served: Served, run: Run) -> None:
    text = "status --list-identifier 99\nnonsense\nhelp\nlist"
    code, out, said = run(served.url(0), text, "--keep-going")
    assert code == FAILURE
    assert said.splitlines()[-1] == "odx-target: 2 steps failed"
    assert [line.split(":")[1] for line in said.splitlines()[:-1]] == [" line 1", " line 2"]
    assert "REPORT ALL ROD TOKENS" in out
    assert "populate" in out


@pytest.mark.parametrize(("stdin", "code"), [(b"list", 0), (b"# nothing\n\n", 0), (b"", 0), (b"list\nnonsense\n", USAGE)])
def test_from_a_pipe(served: Served, stdin: bytes, code: int) -> None:
    command = [sys.executable, "-m", "odx_target", "token", "run", served.url(0), "-"]
    ended = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=TIMEOUT_S)
    assert ended.returncode == code
    assert (b"REPORT ALL ROD TOKENS" in ended.stdout) == (b"list" in stdin)
    assert ended.stderr.count(b"\n") == (code != 0)


def until(descriptor: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(descriptor, 4096)
    return seen


@pytest.mark.parametrize("end", ["end of input", "interrupt"])
def test_a_person_has_a_prompt_and_may_err(served: Served, end: str) -> None:
    ours, theirs = pty.openpty()
    process = forked.start(["token", "run", served.url(0)], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        until(ours, b"token> ")
        os.write(ours, b"nonsense\n")
        seen = until(ours, b"token> ")
        assert b"line 1: No such command 'nonsense'" in seen
        os.write(ours, b"status --list-identifier 99\n")
        assert b"line 2: RECEIVE COPY STATUS" in until(ours, b"token> ")
        if end == "interrupt":
            process.send_signal(signal.SIGINT)
        else:
            os.write(ours, b"\x04")
        assert process.wait(TIMEOUT_S) == (130 if end == "interrupt" else 0)
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        os.close(ours)


def test_a_script_that_is_not_there_and_a_folder(
    served: Served, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("absent", "."):
        monkeypatch.setattr(sys, "argv", ["odx-target", "token", "run", served.url(0), name])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (FAILURE, USAGE)
