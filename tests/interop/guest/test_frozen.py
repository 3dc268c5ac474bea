"""Tests of scripts that do not end: the report names the side that has stopped working, and only a frozen guest is replaced."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import Start
from tests.interop.guest import machine as machine_module
from tests.interop.guest.conftest import LUNS, WAYS_WANTED, BootMachine
from tests.interop.guest.machine import GuestError, GuestFrozen, Machine
from tests.interop.guest.test_machine import assert_gone, seen
from tests.interop.serving import IQN

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[3]


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time limit for answers, for guests that do not answer."""
    monkeypatch.setattr(machine_module, "ANSWER_TIMEOUT_S", 3)


def stop_processes(machine: Machine) -> None:
    """Stop all processes of a guest, so that its kernel does not answer."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(machine.share).encode() in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGSTOP)
        except (FileNotFoundError, ProcessLookupError):
            continue


def error_of(machine: Machine, script: str, portal: str = "") -> GuestError:
    with pytest.raises(GuestError) as raised:
        machine.start(script, {"portal": portal, "target": IQN}).wait(2)
    return raised.value


def test_a_guest_that_answers_reports_its_state(boot_machine: BootMachine) -> None:
    with boot_machine("slow") as machine:
        error = error_of(machine, "echo as far as this; sleep 1234")
        assert not isinstance(error, GuestFrozen)
        for text in ("as far as this", "the guest answers", "sleep 1234", "0% packet loss", "its processes on the host:"):
            assert text in str(error)
        assert machine.is_running


def test_an_array_that_does_not_answer_is_no_failure_of_the_guest(boot_machine: BootMachine, start: Start) -> None:
    served = start(LUNS)
    with boot_machine("waiting") as machine:
        machine.start("login; disk 0", {"portal": served.portal, "target": IQN}).wait()
        served.process.send_signal(signal.SIGSTOP)
        error = error_of(machine, "dd if=/dev/zero of=/dev/sda bs=4096 count=1 oflag=direct", served.portal)
        served.process.send_signal(signal.SIGCONT)
    assert not isinstance(error, GuestFrozen)
    for text in ("the guest answers", "(dd) waits in", "sda: running, requests under way: 0 1", "LOGGED_IN", served.portal):
        assert text in str(error)


def test_a_guest_that_does_not_answer_is_ended(boot_machine: BootMachine, way: str, short_timeout: None) -> None:
    with boot_machine("frozen") as machine:
        interfaces = seen(machine.share, way)
        stop_processes(machine)
        error = error_of(machine, "true", "127.0.0.1:1")
        assert isinstance(error, GuestFrozen)
        for text in ("the guest did not answer in 3 s", "state T"):
            assert text in str(error)
        assert not machine.is_running
    assert_gone(machine.share, interfaces)


def test_a_kernel_that_answers_is_not_frozen(
    boot_machine: BootMachine, way: str, short_timeout: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with boot_machine("deaf") as machine:
        say = machine._say
        monkeypatch.setattr(machine, "_say", lambda line: None if line.startswith("alive") else say(line))
        error = error_of(machine, "sleep 100")
        # Only User-mode-linux has a second way to ask.
        assert isinstance(error, GuestFrozen) == (way != "uml")
        assert ("the guest's kernel answers, but its first program did not" in str(error)) == (way == "uml")


SCENARIO = """
from pathlib import Path
from tests.interop.guest import machine
from tests.interop.guest.test_frozen import stop_processes

RUNS = Path(__file__).with_name("runs")


def test_freezes_once(guest):
    machine.ANSWER_TIMEOUT_S = 10
    with RUNS.open("a") as runs:
        runs.write(f"{guest.share} {guest.served.portal}\\n")
    guest.run("login; disk 0; logout")
    if len(RUNS.read_text().splitlines()) == 1:
        stop_processes(guest.machine)
        machine.ANSWER_TIMEOUT_S = 3
        guest.run("disk 0", timeout_s=2)


def test_next(guest):
    guest.run("login; disk 0; logout")
"""


def test_a_scenario_is_repeated_in_a_new_guest(usable_way: str, tmp_path: Path) -> None:
    (tmp_path / "test_scenario.py").write_text(SCENARIO)
    plugins = ("tests.interop.conftest", "tests.interop.guest.conftest", "tests.interop.guest.repeating")
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={tmp_path}", f"--basetemp={tmp_path / 'inner'}"),
            *(word for plugin in plugins for word in ("-p", plugin)),
            str(tmp_path / "test_scenario.py"),
        ],
        cwd=ROOT,
        env={**os.environ, WAYS_WANTED: usable_way},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "repeated, because the guest did not answer: 1 (at most 3)" in ended.stdout
    assert f"test_freezes_once[{usable_way}-ours] was repeated: waited 2 s" in ended.stdout
    first, second = ((tmp_path / "runs").read_text()).splitlines()
    assert set(first.split()).isdisjoint(second.split())
