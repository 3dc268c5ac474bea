"""Tests that a guest leaves nothing behind if it is closed, or if the program that booted it is killed."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.guest.conftest import CLEAN, CLEAN_TIMEOUT_S, BootMachine
from tests.interop.guest.image import Image
from tests.interop.guest.machine import Ended, GuestError, Machine
from tests.interop.guest.ways import LAUNCH_UML, SHARE_PREFIX, WAYS

pytestmark = pytest.mark.interop

GONE_TIMEOUT_S = 20
"""Time limit for the end of a killed guest, which needs less than a second."""

BOOT_AND_WAIT = (
    "import sys; from tests.interop.guest.ways import boot; m = boot(sys.argv[1], 'orphan'); print(m.share, flush=True)"
)


def processes_of(share: Path) -> list[str]:
    """List the command lines of all processes of the guest with this folder; each command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(share) in words:
            found.append(words)
    return found


def interfaces_of(processes: list[str]) -> set[str]:
    words = {word.removeprefix("vec0:transport=tap,").split(",")[0] for line in processes for word in line.split()}
    return {word.removeprefix("ifname=") for word in words if word.startswith("ifname=")}


def index_of(interface: str) -> str:
    """Return the kernel's index of an interface. If another guest uses the same name, the index is different."""
    try:
        return Path(f"/sys/class/net/{interface}/ifindex").read_text()
    except OSError:  # also if the interface is removed at this moment
        return ""


def assert_gone(share: Path, interfaces: dict[str, str]) -> None:
    def left() -> object:
        return processes_of(share) or [name for name, index in interfaces.items() if index_of(name) == index]

    _until(lambda: not left())
    assert not left()


def _until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + GONE_TIMEOUT_S
    while not is_so() and time.monotonic() < deadline_s:
        time.sleep(0.05)


def seen(share: Path, way: str) -> dict[str, str]:
    """Return the network interfaces of the guest with their indexes."""
    running = processes_of(share)
    assert running
    interfaces = {name: index_of(name) for name in interfaces_of(running)}
    assert bool(interfaces) == (way == "uml")
    assert all(interfaces.values())
    return interfaces


def test_a_closed_guest_leaves_nothing(boot_machine: BootMachine, way: str) -> None:
    with boot_machine("closed") as machine:
        interfaces = seen(machine.share, way)
        assert machine.start("echo here").wait(30).output == "here\n"
    assert_gone(machine.share, interfaces)
    assert not machine.share.exists()


def test_a_guest_ends_with_the_program_that_booted_it(usable_way: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"{BOOT_AND_WAIT}; sys.stdin.read()", usable_way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        share = Path(owner.stdout.readline().strip())
        assert share.name.startswith(SHARE_PREFIX)
        interfaces = seen(share, usable_way)
        owner.kill()
    assert_gone(share, interfaces)
    shutil.rmtree(share)


def test_a_guest_whose_first_process_is_killed_leaves_nothing(boot_machine: BootMachine, way: str) -> None:
    with boot_machine("killed") as machine:
        interfaces = seen(machine.share, way)
        machine._process.kill()
        _until(lambda: not processes_of(machine.share))
        assert not processes_of(machine.share)
    assert_gone(machine.share, interfaces)


def test_what_a_killed_launcher_left_goes_with_the_next(usable_way: str, tmp_path: Path) -> None:
    if not WAYS[usable_way].undo(0):
        assert "launch_uml" not in " ".join(WAYS[usable_way].arguments(Image(tmp_path, tmp_path), tmp_path, "one", 0))
        return
    interface = Path("/sys/class/net/odxgkilled")
    launch = [str(LAUNCH_UML), interface.name, "10.213.202.1/24", str(tmp_path / "lock")]
    with subprocess.Popen([*launch, "cat"], stdin=subprocess.PIPE) as launcher:
        _until(interface.exists)
        launcher.kill()
    assert interface.exists()
    # The program is killed with the guest, but may take a moment to release the lock.
    _until(lambda: subprocess.run([*launch, "true"], check=False).returncode == 0)
    assert not interface.exists()


def test_what_a_scenario_left_running_or_mounted_goes_before_the_next(boot_machine: BootMachine) -> None:
    with boot_machine("cleaned") as machine:
        machine.start("sleep 1111")
        left = """
            sleep 2222 &
            mkdir /mnt/one
            mount -t tmpfs tmpfs /mnt/one
            mkdir /mnt/one/two
            mount -t tmpfs tmpfs /mnt/one/two
            cd /mnt/one/two
            sleep 3333 &
        """
        assert machine.start(left).wait(30).status == 0
        assert machine.start(CLEAN).wait(CLEAN_TIMEOUT_S) == Ended(0, "")
        looked = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /proc/mounts; ls -A /mnt"
        found = machine.start(looked).wait(30).output
        assert "iscsid" in found
        assert "sleep" not in found
        assert "/mnt" not in found
        assert machine.is_running


def test_several_guests_at_once(boot_machine: BootMachine) -> None:
    with boot_machine("one") as one, boot_machine("two") as two, boot_machine("three") as three:
        jobs = [machine.start("cat /etc/iscsi/initiatorname.iscsi") for machine in (one, two, three)]
        names = [job.wait(30).output.strip().rpartition(":")[2] for job in jobs]
    assert names == ["one", "two", "three"]


def test_a_script_that_does_not_end_is_told_with_its_output(boot_machine: BootMachine) -> None:
    with boot_machine("slow") as machine, pytest.raises(GuestError, match="as far as this"):
        machine.start("echo as far as this; sleep 100").wait(2)


def test_a_guest_that_dies_is_told_with_its_console(boot_machine: BootMachine) -> None:
    with boot_machine("dying") as machine:
        _expect_death(machine)


def _expect_death(machine: Machine) -> None:
    with pytest.raises(GuestError, match="the guest ended"):
        machine.start("echo c >/proc/sysrq-trigger; sleep 60").wait(40)
