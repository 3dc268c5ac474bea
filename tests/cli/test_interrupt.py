"""An interrupted command of the command line cleans up and prints no traceback."""

import os
import signal
import sys
from collections.abc import Callable

import pytest
import trio

from odx_target.cli import main as cli
from odx_target.cli.failure import CommandFailure, Interrupted
from odx_target.cli.hosts import host_command
from odx_target.cli.serving import serve
from odx_target.cli.serving.reload import Settings, load_settings
from odx_target.initiator.errors import ConnectionLost
from odx_target.initiator.windows.copying.copy_engine import CopyReport
from odx_target.target.config.settings import Config, ServeConfig
from odx_target.target.file_descriptors import Descriptors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_told_to_stop_cleans_up(number: signal.Signals) -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
                cleaned.append(number)

    with pytest.raises(Interrupted) as interrupted:
        host_command.run(work)
    assert cleaned == [number]
    assert interrupted.value.number == number


def test_a_command_returns_its_result_and_takes_its_arguments() -> None:
    async def add(one: int, other: int) -> int:
        await trio.lowlevel.checkpoint()
        return one + other

    assert host_command.run(add, 1, 2) == 3


def test_an_error_of_a_target_is_one_plain_error() -> None:
    async def work() -> None:
        raise ConnectionLost("gone")

    with pytest.raises(CommandFailure, match="gone"):
        host_command.run(work)


@pytest.mark.parametrize(
    ("offloaded_bytes", "ordinary_bytes", "state"),
    [
        (0, 0, "nothing is copied"),
        (4096, 8192, "12288 of 1048576 bytes are copied, 4096 of them by token, and nothing is compared"),
    ],
)
def test_windows_copy_says_how_far_it_came(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    offloaded_bytes: int,
    ordinary_bytes: int,
    state: str,
) -> None:
    def interrupted(_work: object, _wish: object, report: CopyReport) -> None:
        report.offloaded_bytes, report.ordinary_bytes = offloaded_bytes, ordinary_bytes
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(host_command, "run", interrupted)
    urls = [f"iscsi://127.0.0.1:1/iqn.2026-11.io.a/{lun}" for lun in (0, 1)]
    monkeypatch.setattr(sys, "argv", ["odx-target", "windows-copy", *urls, "--file-size", "1M"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", f"odx-target: interrupted: {state}\n")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Interrupted(signal.SIGTERM), 143)])
def test_the_exit_code_names_the_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def interrupted(*_: object) -> None:
        raise error

    run: Callable[..., object] = interrupted
    monkeypatch.setattr(host_command, "run", run)
    monkeypatch.setattr(sys, "argv", ["odx-target", "demo", "--size", "1M"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert capsys.readouterr() == ("", "")


def test_what_is_done_by_then_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(host_command, "run", interrupted)
    urls = [f"iscsi://127.0.0.1:1/iqn.2026-11.io.a/{lun}" for lun in (0, 1)]
    monkeypatch.setattr(sys, "argv", ["odx-target", "copy", *urls])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "odx-target: interrupted: nothing is copied\n")


def test_an_interrupt_while_loading_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "odx_target.cli.program":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "odx_target.cli.program", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_a_server_that_starts_or_stops_ignores_sighup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a running array handles it. It would end the process while the pool is opened or closed."""
    handlers = []
    monkeypatch.setattr(trio, "run", lambda *_: handlers.append(signal.getsignal(signal.SIGHUP)))
    monkeypatch.setattr(serve, "keep_freed_memory", lambda: None)
    before = signal.getsignal(signal.SIGHUP)
    again = serve.Again(None, Settings(Config(), ServeConfig()), load_settings)
    try:
        serve._run(Config(), Descriptors(8, 8), None, again, ServeConfig())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert handlers == [signal.SIG_IGN]
