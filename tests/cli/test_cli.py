import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from odx_target import __version__
from odx_target.cli import decode
from odx_target.cli import main as cli
from odx_target.cli.app import COMMANDS, application, wanted_commands
from odx_target.cli.text.messages import MAX_MESSAGE_CHARACTERS, shown
from odx_target.native.choice import NATIVE
from odx_target.target.config.settings import DEFAULT_IQN, Portal

USAGE = 2
FAILURE = 1
SAME = ["iscsi://127.0.0.1:1/iqn.2026-11.io.a/0"] * 2


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["odx-target", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nonsense"], USAGE, "nonsense"),
        (["serve", "--lun", "a"], USAGE, "NAME=SIZE"),
        (["serve", "--lun", "a=1X"], USAGE, "size '1X'"),
        (["serve", "--lun", "a=1M,block=8"], USAGE, "block"),
        (["serve", "--lun", "a=1M", "--lun", "a=2M"], USAGE, "twice"),
        (["serve", "--portal", "nowhere:x"], USAGE, "portal"),
        (["serve", "--iqn", "Array"], USAGE, "target name"),
        (["serve", "--config", "no-such-file.toml"], USAGE, "No such file"),
        (["serve", "--log-level", "loud"], USAGE, "log level"),
        (["serve", "--pool-limit", "lots"], USAGE, "size"),
        (["serve", "--lun", "a=1M", "--chap-user", "me"], USAGE, "--chap-user and --chap-secret-file go together"),
        (["serve", "--lun", "a=1M", "--target-chap-secret-file", __file__], USAGE, "--target-chap-user and"),
        (["serve", "--lun", "a=1M", "--chap-user", "me", "--chap-secret-file", "none"], USAGE, "none: No such file"),
        (["serve", "--lun", "a=1M", "--chap-user", "me", "--chap-secret-file", "/dev/null"], USAGE, "has 0 bytes"),
        (["serve", "--lun", "a=1M", "--chap-user", "me", "--chap-secret-file", __file__], USAGE, "not a secret"),
        (["serve", "--copy-rate", "1K"], USAGE, "128K"),
        (["serve", "--copy-rate", ""], USAGE, "size"),
        (["serve", "--memory-limit", "1M"], USAGE, "320M"),
        (["serve", "--map-memory", "1M"], USAGE, "16M"),
        (["serve", "--lun", "a=1M", "--portal", "127.0.0.1:0", "--remote-lun", "b"], USAGE, "no LUN 'b'"),
        (["serve", "--nonsense"], USAGE, "--nonsense"),
        (["serve"], USAGE, "--lun"),
        (["serve", "no-such-pool"], USAGE, "no pool in no-such-pool"),
        (["serve", "--iqn", ""], USAGE, "target name"),
        (["serve", "--pool-limit", ""], USAGE, "size"),
        (["serve", "--log-level", ""], USAGE, "log level"),
        (["serve", "--config", ""], USAGE, "directory"),
        (["serve", __file__, "--lun", "a=1M", "--portal", "127.0.0.1:0"], FAILURE, "not a directory"),
        (["serve", "--lun", "a=1M", "--pool-limit", "1"], USAGE, "limit"),
        (["serve", "--lun", "a=1M", "--portal", "192.0.2.1:0"], FAILURE, "192.0.2.1:0"),
        ([], USAGE, "give a command"),
        (["token"], USAGE, "give a command"),
        (["manage"], USAGE, "give a command"),
        (["manage", "no-such-pool"], USAGE, "command"),
        (["manage", "no-such-pool", "luns"], FAILURE, "no-such-pool"),
        (["decode"], USAGE, "give a command"),
        (["copy"], USAGE, "SRC"),
        (["copy", "http://a", "iscsi://127.0.0.1:1/iqn.2026-11.io.a/0"], USAGE, "iscsi://"),
        (["copy", *SAME], FAILURE, "127.0.0.1:1"),
        (["copy", *SAME, "--method", "magic"], USAGE, "'magic' is not one of"),
        (["copy", *SAME, "--blocks", "0"], USAGE, "--blocks"),
        (["copy", *SAME, "--initiator-name", ""], USAGE, "--initiator-name"),
        (["copy", *SAME, "--initiator-name", "a b"], USAGE, "iSCSI name"),
        (["demo", "--size", "1K"], USAGE, "--size"),
        (["decode", "sense", "zz"], USAGE, "hexadecimal"),
        (["token", "info", "--token-file", "no-such.token"], USAGE, "no-such.token"),
    ],
)
def test_an_error_is_one_clear_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert run(monkeypatch, *arguments) == code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "[info" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("odx-target: ")
    assert words in lines[0]


def test_a_target_proves_itself_only_if_initiators_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret-of-array\n")
    monkeypatch.chdir(tmp_path)
    assert (
        run(monkeypatch, "serve", "pool", "--lun", "a=1M", "--target-chap-user", "a", "--target-chap-secret-file", "secret")
        == USAGE
    )
    captured = capsys.readouterr()
    assert "at least one chap user" in captured.err.splitlines()[-1]
    assert "secret-of" not in captured.err
    assert not (tmp_path / "pool").exists()


def test_the_help_of_serve_tells_the_defaults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "serve", "--help") == 0
    told = capsys.readouterr().out
    assert DEFAULT_IQN in told
    assert str(Portal()) in told


def test_a_pool_directory_that_is_something_else_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert run(monkeypatch, "serve", str(tmp_path), "--lun", "a=1M", "--portal", "127.0.0.1:0") == FAILURE
    assert str(tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_nothing_is_left_of_a_pool_that_would_have_no_lun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        assert run(monkeypatch, "serve", str(tmp_path / name)) == USAGE
    assert not (tmp_path / "absent").exists()
    assert not list((tmp_path / "empty").iterdir())


def test_an_output_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decode, "print_rows", full)
    assert run(monkeypatch, "decode", "cdb", "00") == FAILURE
    assert capsys.readouterr().err == "odx-target: No space left on device\n"


def test_a_fault_of_ours_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(decode, "print_rows", broken)
    assert run(monkeypatch, "decode", "cdb", "00") == FAILURE
    said = capsys.readouterr().err
    assert said.startswith("odx-target: internal error: ZeroDivisionError('by nothing') at test_cli.py:")
    assert said.count("\n") == 1
    monkeypatch.setenv("ODX_TARGET_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["odx-target", "decode", "cdb", "00"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize(
    ("stdin", "words"), [(None, "closed"), (b"\xff\xfe", "hexadecimal digit"), (b"", "no bytes"), (b"00", "")], ids=str
)
def test_what_standard_input_may_be(stdin: bytes | None, words: str) -> None:
    command = f"exec {sys.executable} -m odx_target decode cdb -" + (" <&-" if stdin is None else "")
    ended = subprocess.run(command, shell=True, input=stdin, capture_output=True, check=False)
    assert ended.returncode == (USAGE if words else 0)
    assert words in ended.stderr.decode()
    assert ended.stderr.count(b"\n") == bool(words)


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    native = "without" if NATIVE is None else "with"
    assert capsys.readouterr().out == f"{__version__} ({native} native module)\n"


@pytest.mark.parametrize("command", ["serve", "manage", "copy", "token", "decode", "demo"])
def test_every_command_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["-h"], ["serve", "-h"], ["manage", "-h"], ["token", "write", "-h"], ["decode", "cdb", "-h"]]
)
def test_help_has_a_short_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: odx-target")


def commands_of(help_text: str) -> list[str]:
    """Return the names in the list of commands of a help text. The list is empty if the text has no such list."""
    return re.findall(r"^  (\S+)", help_text.partition("\nCommands:\n")[2], re.MULTILINE)


def test_every_subcommand_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`odx-target COMMAND --help` shows the help of each command and subcommand, and needs no other arguments."""

    def help_of(words: list[str]) -> str:
        assert run(monkeypatch, *words, "--help") == 0
        return capsys.readouterr().out

    remaining, shown_for = [[name] for name in COMMANDS], []
    while remaining:
        words = remaining.pop()
        text = help_of(words)
        usage = text.split("\n\n")[0].split()
        named = [word for word in usage if word in words]
        assert named == words
        remaining += [[*words, name] for name in commands_of(text)]
        shown_for.append(words)
    assert len(shown_for) > 40


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["manage", "luns", "--help"], "Usage: odx-target manage {POOL} luns"),
        (["manage", "luns", "-h"], "Usage: odx-target manage {POOL} luns"),
        (["manage", "resize", "first", "2G", "--help"], "Usage: odx-target manage {POOL} resize"),
        (["manage", "pool", "luns", "--help"], "Usage: odx-target manage {POOL} luns"),
        (["manage", "luns", "tokens", "--help"], "Usage: odx-target manage {POOL} tokens"),
        (["manage", "pool", "--help"], "Usage: odx-target manage [OPTIONS] {POOL} COMMAND"),
    ],
)
def test_help_of_manage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], start: str
) -> None:
    """The help of a command needs no POOL. A pool may have the name of a command."""
    assert run(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize(
    ("arguments", "environment", "wanted"),
    [
        (["serve", "pool"], {}, ["serve"]),
        (["--version", "copy"], {}, ["copy"]),
        (["windows-copy"], {}, ["windows-copy"]),
        ([], {}, []),
        (["--help"], {}, []),
        (["--version"], {}, []),
        (["srve"], {}, []),
        ([], {"COMP_WORDS": "odx-target manage pool lu"}, ["manage"]),
        ([], {"COMP_WORDS": "odx-target ma"}, []),
        ([], {"_TYPER_COMPLETE_ARGS": "odx-target decode "}, ["decode"]),
        (["status", "pool"], {"COMP_WORDS": "other-command"}, ["status"]),
    ],
)
def test_only_what_is_typed_is_loaded(arguments: list[str], environment: dict[str, str], wanted: list[str]) -> None:
    assert wanted_commands(arguments, environment) == wanted


def test_the_list_of_subcommands_is_that_of_their_modules() -> None:
    listed, loaded = (
        {name: each.get_short_help_str(100) for name, each in get_command(application(names)).commands.items()}  # type: ignore[attr-defined]
        for names in ((), COMMANDS)
    )
    assert listed == loaded


def python(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


def test_serve_loads_nothing_of_the_other_commands() -> None:
    program = (
        "import sys; sys.argv = ['odx-target', 'serve', '--lun', 'a']\n"
        "from odx_target.cli.program import run\n"
        "assert run() == 2; print(*sys.modules)"
    )
    modules = set(python("-c", program).stdout.split())
    assert "odx_target.target.array" in modules
    for name in ("initiator.windows.rules", "initiator.session", "cli.hosts.token.token", "target.control.client"):
        assert f"odx_target.{name}" not in modules
    assert "rich.progress" not in modules


@pytest.mark.parametrize("words", [("clone", "none", "a", "b"), ("volume", "list", "none"), ("status", "none")])
def test_commands_for_a_running_array_load_no_store(words: tuple[str, ...], tmp_path: Path) -> None:
    """Such a command ends at once. The store, numpy and trio would take most of a second to load."""
    program = (
        f"import sys; sys.argv = ['odx-target', *{[str(tmp_path / word) if word == 'none' else word for word in words]!r}]\n"
        "from odx_target.cli.managing import array_requests\n"
        "def answer(*_): raise array_requests.CommandFailure('asked')\n"
        "array_requests.request = answer\n"
        "from odx_target.cli.program import run\n"
        "assert run() == 1; print(*sys.modules)"
    )
    ended = python("-c", program)
    assert "asked" in ended.stderr
    assert not {"numpy", "trio", "construct", "structlog", "rich.live", "odx_target.store.open"} & set(ended.stdout.split())


def test_it_is_a_module_too() -> None:
    ended = python("-m", "odx_target", "decode", "cdb", "00")
    assert (ended.returncode, "TEST UNIT READY" in ended.stdout) == (0, True)
    ended = python("-m", "odx_target", "serve", "--lun", "a")
    assert (ended.returncode, ended.stderr.count("\n")) == (USAGE, 1)


def test_a_shell_is_given_what_completes_commands_and_options() -> None:
    shown = python(
        "-m",
        "odx_target.cli.main",
        "--show-completion",
        "bash",
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert shown.returncode == 0
    assert "_COMPLETE" in shown.stdout


def completed(line: str) -> list[str]:
    """Return the completions that bash offers after a line."""
    program = "import sys; sys.argv = ['odx-target']\nfrom odx_target.cli.main import main\nmain()"
    words = line.split(" ")
    environment = {**os.environ, "_ODX_TARGET_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return python("-c", program, env=environment).stdout.split()


def test_what_is_completed() -> None:
    assert sorted(completed("odx-target ")) == sorted(COMMANDS)
    assert completed("odx-target w") == ["windows-copy", "witness"]
    assert "--pool-limit" in completed("odx-target serve --p")
    assert completed("odx-target token st") == ["status"]


@pytest.mark.parametrize("arguments", [["--help"], ["decode", "cdb", "00"], ["--version"]])
def test_a_full_disk_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "odx_target", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr) == (FAILURE, "odx-target: No space left on device\n")


def test_an_array_whose_output_goes_to_a_full_disk_serves() -> None:
    arguments = ["serve", "--lun", "a=1M", "--portal", "127.0.0.1:0"]
    with Path("/dev/full").open("w") as full:
        served = subprocess.Popen(
            [sys.executable, "-m", "odx_target", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    with served:
        assert served.stderr is not None
        line = served.stderr.readline()
        served.terminate()
        rest = served.stderr.read()
    assert "cannot print how to connect" in line
    assert "No space left on device" in line
    assert served.returncode == 0
    assert len(rest.splitlines()) == 1, "it stops"


@pytest.mark.parametrize(("locale", "encoding"), [("C", "ascii"), ("no_SUCH", "latin-1")])
def test_a_target_may_have_any_name_in_any_locale(locale: str, encoding: str) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": locale, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    ended = python("-m", "odx_target", "decode", "vpd", "00 83 00 07 03 28 00 03 e4 b8 ad", env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\u4e2d" in ended.stdout or "\\u4e2d" in ended.stdout


def test_a_message_is_one_line_that_can_be_read() -> None:
    assert shown("Value error, a\n  b\x1b[2J") == "a b\\x1b[2J"
    assert shown("x" * MAX_MESSAGE_CHARACTERS) == "x" * MAX_MESSAGE_CHARACTERS
    long = shown("begin " + "x" * 100_000 + " end")
    assert len(long) < MAX_MESSAGE_CHARACTERS + 10
    assert long.startswith("begin x")
    assert long.endswith("x end")


def test_lists_of_commands_show_whole_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("COLUMNS", "TERMINAL_WIDTH"):
        monkeypatch.setenv(name, "80")
    for words in ([], ["volume"], ["lun"], ["schedule"], ["snapshot"], ["pool"], ["manage", "POOL"], ["token"], ["decode"]):
        assert run(monkeypatch, *words, "--help") == 0
        commands = capsys.readouterr().out.split("Commands:")[1].splitlines()
        assert [line for line in commands if line.endswith("...")] == []
