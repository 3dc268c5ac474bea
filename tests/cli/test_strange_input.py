"""Every option and argument of every subcommand with wrong or odd input gives one clear line and exit code 1 or 2."""

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from odx_target.cli import app
from odx_target.cli import main as cli
from odx_target.cli.app import application
from odx_target.cli.hosts import local_arrays

URL = "iscsi://127.0.0.1:1/iqn.2026-11.io.a/0"
CHARACTERS_OF_A_MESSAGE = 800
HEXADECIMAL, DIGITS = "00", "99999999999999999999"
STRANGE = (
    "",
    " ",
    "-1",
    "0",
    DIGITS,
    "1e999",
    "nan",
    "x" * 100_000,
    "\x1b[2J\x07",
    "two\nlines",
    "\udcff",
    "ä",
    "%s%n{0}",
    ".",
    "/dev/null",
    "/no/such/folder/file",
    "n" * 300 + "/" + "m" * 300,
    "=",
    ",",
    "a=1,block=512,block=4096",
    "iscsi://",
    "iscsi://user%secret-of-a-user@[::1/iqn.2026-11.io.a/0",
    "[::1]:99999",
)
WORKING: dict[str, list[str]] = {
    # arguments with which each subcommand gets as far as it can without a target
    "check-config": ["no-such-file.toml"],
    "import-config": ["no-such-file.json"],
    "serve": ["no-such-pool", "--lun", "a=1M", "--portal", "192.0.2.1:0"],
    "copy": [URL, URL],
    "windows-copy": [URL, URL],
    "esxi-copy": [URL, URL],
    "ready": [URL],
    "replay": ["no-such-file"],
    "explain": ["no-such-pool"],
    "offload stats": ["no-such-pool"],
    "conformance": [URL],
    "demo": [],
    "decode": [HEXADECIMAL],
    "schema": ["copy"],
    "token": [URL],
    "token run": [URL, "/dev/null"],
    "manage": ["no-such-pool"],
    "manage add-lun": ["a=1M"],
    "manage resize": ["a", "1M"],
    "manage revoke": ["1"],
    "manage cancel": ["1"],
    "manage copy-rate": ["none"],
    "manage step-aside": ["off"],
    "volume list": ["no-such-pool"],
    "volume create": ["no-such-pool", "a=1M"],
    "volume rename": ["no-such-pool", "a", "b"],
    "volume resize": ["no-such-pool", "a", "1M"],
    "volume set": ["no-such-pool", "a", "compression=lz4"],
    "volume delete": ["no-such-pool", "a"],
    "snapshot create": ["no-such-pool", "a@b"],
    "snapshot list": ["no-such-pool"],
    "snapshot show": ["no-such-pool", "a@b"],
    "snapshot rename": ["no-such-pool", "a@b", "c"],
    "snapshot delete": ["no-such-pool", "a@b"],
    "snapshot restore": ["no-such-pool", "a@b"],
    "snapshot diff": ["no-such-pool", "a@b"],
    "snapshot hold": ["no-such-pool", "a@b", "c"],
    "snapshot unhold": ["no-such-pool", "a@b", "c"],
    "clone": ["no-such-pool", "a@b", "c"],
    "pool": ["no-such-pool"],
    "status": ["no-such-pool"],
    "volume read-only": ["no-such-pool", "a", "on"],
    "lun list": ["no-such-pool"],
    "lun add": ["no-such-pool", "a"],
    "lun remove": ["no-such-pool", "a"],
    "lun renumber": ["no-such-pool", "a", "1"],
    "port-group list": ["no-such-pool"],
    "port-group set": ["no-such-pool", "1", "standby"],
    "port-group prefer": ["no-such-pool", "1"],
    "path key": [],
    "path add": ["no-such-pool", "a", "--key-file", "no-such-file"],
    "path list": ["no-such-pool"],
    "path rekey": ["no-such-pool", "a", "--key-file", "no-such-file"],
    "path throttle": ["no-such-pool", "a", "20M"],
    "path compress": ["no-such-pool", "a", "wan"],
    "path rights": ["no-such-pool", "a", "--none"],
    "path remove": ["no-such-pool", "a"],
    "import start": ["no-such-pool", "iscsi://127.0.0.1/iqn.a:b/0", "a"],
    "import list": ["no-such-pool"],
    "import rate": ["no-such-pool", "a", "1M"],
    "import verify": ["no-such-pool", "a"],
    "import accept": ["no-such-pool", "a"],
    "import cancel": ["no-such-pool", "a"],
    "group create": ["no-such-pool", "g", "--volume", "a", "--path", "b", "--witness", "c"],
    "group list": ["no-such-pool"],
    "group status": ["no-such-pool", "g"],
    "group switchover": ["no-such-pool", "g"],
    "group isolate": ["no-such-pool", "g"],
    "group witness": ["no-such-pool", "g", "w"],
    "group resync": ["no-such-pool", "g"],
    "group verify": ["no-such-pool", "g"],
    "group promote": ["no-such-pool", "g"],
    "group delete": ["no-such-pool", "g"],
    "group add": ["no-such-pool", "g", "a"],
    "group remove": ["no-such-pool", "g", "a"],
    "group resize": ["no-such-pool", "g", "a", "2M"],
    "group snapshot": ["no-such-pool", "g", "s"],
    "group restore": ["no-such-pool", "g", "a@s"],
    "witness": ["/dev/null/witness", "--link", "192.0.2.1:0"],
    "protect": ["no-such-pool", "a", "--path", "b"],
    "replicate": ["no-such-pool", "a"],
    "remote list": ["no-such-pool"],
    "promote": ["no-such-pool", "a"],
    "reverse": ["no-such-pool", "a"],
    "remote clone": ["no-such-pool", "a", "b"],
    "remote graph": ["no-such-pool", "a"],
    "schedule": ["no-such-pool", "a"],
    "schedule list": ["no-such-pool"],
    "schedule assign": ["no-such-pool", "a", "b"],
    "personality list": [],
    "personality show": ["lio"],
    "fault": ["no-such-pool", "a"],
    "fault add": ["no-such-pool", "status=busy"],
    "fault list": ["no-such-pool"],
    "fault clear": ["no-such-pool"],
    "fault words": ["sense"],
}

ANY_NUMBER = {"protect", "schedule assign", "fault add", "schema"}
"""Subcommands that take any number of arguments of any kind."""

DECODERS = {"decode cdb", "decode token", "decode vpd"}
"""Subcommands that take any hexadecimal digits."""


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over the subcommands without subcommands of their own, with their full names."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in command.commands.items():
        yield from leaves(inner, f"{name} {word}".strip())


LEAVES = dict(leaves(get_command(application())))


def words_of(name: str) -> list[str]:
    """Return the command line of a subcommand with arguments that it accepts."""
    first, *rest = name.split()
    if first == "manage":
        return [first, *WORKING["manage"], *rest, *WORKING.get(name, [])]
    return [*name.split(), *(WORKING[name] if name in WORKING else WORKING[first])]


@functools.cache
def made(names: tuple[str, ...]) -> Any:
    """Make the command of some subcommands once, because this takes most of the time of a run."""
    return get_command(application(names))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command line in an empty folder and returns exit code and errors, without log lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(app, "application", lambda names: made(tuple(names)))
    monkeypatch.setattr(local_arrays, "WAIT_FOR_POOL_S", 0.0)

    def typed(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["odx-target", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        lines = capsys.readouterr().err.splitlines(keepends=True)
        return int(ended.value.code or 0), "".join(line for line in lines if "[warning" not in line and "[info" not in line)

    return typed


def check(code: int, said: str, words: list[str]) -> None:
    assert code in (1, 2), (words, said)
    assert said.startswith("odx-target: "), (words, said)
    assert said.count("\n") == 1, (words, said)
    assert len(said) < CHARACTERS_OF_A_MESSAGE, words
    assert said.rstrip("\n").isprintable(), (words, said)
    assert "Traceback" not in said
    assert "secret-of-a-user" not in said


OPTIONS = {
    # each option once, even if several subcommands have it
    (option.opts[0], option.help): (name, option.opts[0], option.is_flag)
    for name, command in LEAVES.items()
    for option in command.params
    if option.opts and option.opts[0].startswith("--") and option.name != "help"
}


@pytest.mark.parametrize(("name", "option", "is_flag"), OPTIONS.values(), ids=lambda value: str(value))
def test_an_option_with_anything_behind_it(run: Callable[..., tuple[int, str]], name: str, option: str, is_flag: bool) -> None:
    if is_flag:
        words = [*words_of(name), f"{option}=x"]
        code, said = run(*words)
        check(code, said, words)
        assert code == 2
        return
    words = [*words_of(name), option]
    code, said = run(*words)
    check(code, said, words)
    assert code == 2, "nothing behind it"
    for strange in STRANGE:
        words = [*words_of(name), option, strange]
        if name == "demo":
            words.append("--nonsense")
        check(*run(*words), words)


@pytest.mark.parametrize("name", [name for name in LEAVES if len(words_of(name)) > 1])
def test_arguments_of_every_kind(run: Callable[..., tuple[int, str]], name: str) -> None:
    words = words_of(name)
    end = next((index for index, word in enumerate(words) if word.startswith("--")), len(words))
    for index in range(1, end):
        for strange in STRANGE:
            changed = [*words[:index], strange, *words[index + 1 :]]
            code, said = run(*changed)
            if name in DECODERS and words[index] == HEXADECIMAL and strange == DIGITS:
                assert (code, said) == (0, ""), changed
            else:
                check(code, said, changed)


@pytest.mark.parametrize("name", LEAVES)
def test_what_is_not_there_and_what_is_too_much(run: Callable[..., tuple[int, str]], name: str) -> None:
    too_much = [] if name in ANY_NUMBER else [[*words_of(name), "too", "much"]]
    for words in ([*words_of(name), "--nonsense"], *too_much, [*words_of(name), "-x"]):
        code, said = run(*words)
        check(code, said, words)
        assert code == 2


def test_nothing_is_left_behind(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    for words in (["serve", "pool", "--lun", "a=1X"], ["serve", "pool", "--lun", "a=1M", "--portal", "192.0.2.1:0"]):
        assert run(*words)[0] in (1, 2)
    assert list(tmp_path.iterdir()) == []
