import sys
from pathlib import Path

import pytest

from odx_target import __version__
from odx_target.target import cli
from odx_target.target.commands import decode
from odx_target.target.config import DEFAULT_IQN, Portal

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
        (["serve", "--lun", "a=1M", "--chap-user", "me", "--chap-secret-file", __file__], USAGE, "no secret"),
        (["serve", "--copy-rate", "1K"], USAGE, "128K"),
        (["serve", "--copy-rate", ""], USAGE, "size"),
        (["serve", "--lun", "a=1M", "--portal", "127.0.0.1:0", "--remote-lun", "b"], USAGE, "no LUN 'b'"),
        (["serve", "--nonsense"], USAGE, "--nonsense"),
        (["serve"], USAGE, "--lun"),
        (["serve", "no-such-pool"], USAGE, "no pool in no-such-pool"),
        (["serve", "--iqn", ""], USAGE, "target name"),
        (["serve", "--pool-limit", ""], USAGE, "size"),
        (["serve", "--log-level", ""], USAGE, "log level"),
        (["serve", "--config", ""], USAGE, "directory"),
        (["serve", __file__, "--lun", "a=1M"], FAILURE, "not a directory"),
        (["serve", "--lun", "a=1M", "--pool-limit", "1"], FAILURE, "limit"),
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


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("command", ["serve", "manage", "copy", "token", "decode", "demo"])
def test_every_command_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    assert command in capsys.readouterr().out
