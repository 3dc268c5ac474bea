"""Tests which ways of booting are tried, and the reasons that are reported. No guest is booted."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.interop.guest import conftest as guests
from tests.interop.guest import ways
from tests.interop.guest.conftest import ways_of, ways_with_debian_kernel
from tests.interop.guest.image import Image
from tests.interop.guest.machine import Machine
from tests.interop.guest.ways import INTERFACE_IN_USE, NO_INTERFACE, WAYS, CannotBoot, unusable


@pytest.mark.parametrize(
    ("usable", "automatic", "every"),
    [({"uml", "tcg"}, ["uml"], ["uml", "tcg"]), ({"tcg"}, ["tcg"], ["tcg"]), (set(), ["tcg"], ["tcg"])],
)
def test_the_first_way_that_works_and_all_that_do(
    monkeypatch: pytest.MonkeyPatch, usable: set[str], automatic: list[str], every: list[str]
) -> None:
    monkeypatch.setattr(guests, "unusable", lambda name: "" if name in usable else "does not work")
    assert ways_of("auto") == automatic
    assert ways_of("all") == every
    assert ways_of("kvm,uml") == ["kvm", "uml"], "as asked for"


@pytest.mark.parametrize("wanted", ["qemu", "uml,qemu", "", "UML"])
def test_a_way_that_there_is_not_is_a_usage_error(wanted: str) -> None:
    with pytest.raises(pytest.UsageError, match="some of uml, kvm, tcg"):
        ways_of(wanted)


def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> Path:
    """Make a fake launcher that ends at once and counts its starts."""
    script = tmp_path / "launcher"
    script.write_text(f"#!/bin/sh\necho started >>{tmp_path}/count\necho 'Operation not permitted' >&2\nexit {status}\n")
    script.chmod(0o755)
    monkeypatch.setattr(ways, "LAUNCH_UML", script)
    monkeypatch.setattr(ways, "_uml_lacks", lambda: "")
    return tmp_path / "count"


def test_root_without_the_right_to_make_interfaces_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher(tmp_path, monkeypatch, NO_INTERFACE)
    assert ways._interface_trouble() == "has no network interface: Operation not permitted"
    launcher(tmp_path, monkeypatch, INTERFACE_IN_USE)
    assert ways._interface_trouble() == ""


def test_a_launcher_that_finds_no_interface_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = launcher(tmp_path, monkeypatch, NO_INTERFACE)
    initramfs = tmp_path / "initramfs"
    initramfs.touch()
    monkeypatch.setattr(ways, "build", lambda kind, extras: Image(tmp_path / "kernel", initramfs))
    monkeypatch.setitem(WAYS, "uml", ways.Way("uml", "uml", lambda: "", ways._uml))
    with pytest.raises(CannotBoot, match="uml has no network interface: Operation not permitted"):
        ways.boot("uml", "one")
    assert count.read_text() == "started\n"


def test_a_guest_that_cannot_be_started_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways.tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    (tmp_path / ways.SHARE_PREFIX).mkdir()
    way = ways.Way("none", "uml", lambda: "", lambda *_: [str(tmp_path / "no-such-program")])
    with pytest.raises(FileNotFoundError):
        ways._try(way, Image(tmp_path, tmp_path), "one")
    assert not (tmp_path / ways.SHARE_PREFIX).exists()


@dataclass
class FakeIp:
    """Runs the launcher with a fake `ip`, which notes its arguments and runs a shell script instead."""

    folder: Path

    def launch(self, body: str) -> tuple[int, str, list[str]]:
        """Run the launcher; returns its exit status, its output, and the arguments of each call of `ip`."""
        ip = self.folder / "ip"
        ip.write_text(f'#!/bin/sh\necho "$*" >>{self.folder}/asked\n{body}\n')
        ip.chmod(0o755)
        ended = subprocess.run(
            [ways.LAUNCH_UML, "odxtest", "10.213.202.1/24", self.lock, "true"],
            env={"PATH": f"{self.folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        asked = self.folder / "asked"
        return ended.returncode, ended.stderr, asked.read_text().splitlines() if asked.exists() else []

    @property
    def lock(self) -> Path:
        return self.folder / "lock"


@pytest.fixture
def fake_ip(tmp_path: Path) -> FakeIp:
    return FakeIp(tmp_path)


MAKE = "tuntap add dev odxtest mode tap"
DELETE = "link delete odxtest"


def test_the_launcher_says_why_there_is_no_interface(fake_ip: FakeIp) -> None:
    status, said, asked = fake_ip.launch("echo 'Operation not permitted' >&2; exit 2")
    assert (status, said) == (NO_INTERFACE, "Operation not permitted\n")
    assert asked == [DELETE, MAKE, DELETE]


def test_a_launcher_that_is_ended_while_it_makes_the_interface_takes_it_away(fake_ip: FakeIp) -> None:
    status, _, asked = fake_ip.launch('case "$1" in tuntap) kill -TERM $PPID ;; esac')
    assert status == 128 + signal.SIGTERM
    assert asked == [DELETE, MAKE, DELETE]


def test_the_interface_of_another_launcher_is_left_alone(fake_ip: FakeIp) -> None:
    with fake_ip.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert fake_ip.launch("") == (INTERFACE_IN_USE, "", [])


def test_a_lock_that_cannot_be_made_is_told(fake_ip: FakeIp) -> None:
    fake_ip.lock.mkdir()
    status, said, asked = fake_ip.launch("")
    assert status == NO_INTERFACE
    assert "lock" in said
    assert asked == []


def test_a_launcher_that_cannot_be_started_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "LAUNCH_UML", tmp_path / "no-such-program")
    assert "no-such-program" in ways._interface_trouble()


def test_a_folder_that_cannot_be_made_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(prefix: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ways, "build", lambda kind, extras: Image(tmp_path, tmp_path))
    monkeypatch.setattr(ways.tempfile, "mkdtemp", fail)
    monkeypatch.setitem(WAYS, "tcg", replace(WAYS["tcg"], missing=lambda: ""))
    with pytest.raises(CannotBoot, match=r"tcg: .*No space left on device"):
        ways.boot("tcg", "one")


def boots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, console: str) -> None:
    """Make the way `tcg` start a shell script instead of a kernel."""
    image = Image(tmp_path / "kernel", tmp_path / "initramfs")
    way = ways.Way("tcg", "qemu", lambda: "", lambda *_: ["/bin/sh", "-c", console])
    monkeypatch.setitem(WAYS, "tcg", way)
    monkeypatch.setattr(ways, "build", lambda kind, extras: image)


@pytest.mark.parametrize(
    ("console", "reason"),
    [
        ("echo 'guest: ready'; read -r run; echo 'guest: ended 1 0'; read -r off", ""),
        ("echo 'guest: ready'; read -r run; echo 'guest: ended 1 3'; read -r off", "does not run a script: exit status 3"),
        ("echo 'guest: ready'; read -r run; exit", "does not boot a guest: "),
        ("echo 'Kernel panic: no init'", "does not boot a guest: Kernel panic: no init"),
    ],
)
def test_a_way_works_if_a_guest_boots_and_runs_a_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, console: str, reason: str
) -> None:
    boots(monkeypatch, tmp_path, console)
    said = unusable.__wrapped__("tcg")
    assert said.startswith(reason)
    assert bool(said) == bool(reason)


@pytest.mark.parametrize("name", ["kvm", "tcg"])
def test_a_way_that_cannot_be_tried_says_why(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: object) -> Machine:
        raise CannotBoot("no packages")

    monkeypatch.setitem(WAYS, name, replace(WAYS[name], missing=lambda: ""))
    monkeypatch.setattr(ways, "boot", fail)
    assert unusable.__wrapped__(name) == "cannot be tried: no packages"


def test_a_way_that_there_is_not_is_one_line_for_the_user() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "tests/interop/guest/test_machine.py"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "GUEST": "qemu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert ended.stderr.strip() == "ERROR: GUEST: qemu is not auto, all, or some of uml, kvm, tcg"


@pytest.mark.parametrize(("script", "is_undone"), [("kill -KILL $$", True), ("exit 7", False)])
def test_what_a_killed_process_could_not_take_away_is_taken_away_for_it(tmp_path: Path, script: str, is_undone: bool) -> None:
    share = tmp_path / "share"
    share.mkdir()
    with Machine(["/bin/sh", "-c", script], share, undo=["touch", str(tmp_path / "undone")]) as machine:
        machine._process.wait()
    assert (tmp_path / "undone").exists() == is_undone


def test_machines_know_how_their_process_ended(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    with Machine(["/bin/sh", "-c", "exit 7"], share) as machine:
        machine._process.wait()
        assert machine.exit_status == 7


@pytest.mark.parametrize(
    ("wanted", "found"), [(["uml"], ["tcg"]), (["uml", "kvm", "tcg"], ["kvm", "tcg"]), (["kvm"], ["kvm"]), ([], ["tcg"])]
)
def test_scenarios_that_need_debians_kernel_never_use_another(wanted: list[str], found: list[str]) -> None:
    assert ways_with_debian_kernel(wanted) == found
