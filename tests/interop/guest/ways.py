"""The ways of booting a guest, with the requirements and the command line of each."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.interop.guest import registers
from tests.interop.guest.image import Image, build
from tests.interop.guest.machine import BOOT_TIMEOUT_S, GuestError, Machine
from tests.interop.guest.packages import CannotBuild

LAUNCH_UML = Path(__file__).parent / "files" / "launch_uml.sh"
INTERFACE_IN_USE = 75
NO_INTERFACE = 76
"""Exit status of `launch_uml.sh` if it could not make a network interface and started nothing."""
LOCKS = Path("/run")
"""Folder of the lock files. The user of a network interface holds the lock of its file."""

MOST_GUESTS = 200
"""Number of networks 10.213.N.0/24 for guests."""

SHARE_PREFIX = "odx-guest-"
"""Beginning of the name of a guest's folder."""

PROBE_TIMEOUT_S = 20

PROBE = """
iscsiadm --version
head -c 1048576 /dev/urandom | tee /tmp/one | md5sum >/tmp/sum
md5sum </tmp/one | cmp - /tmp/sum
"""
"""Script that checks the programs of the scenarios. It compares both ends of a pipe to detect a kernel that loses registers."""

UML_MEMORY_MB = 160
QEMU_MEMORY_MB = 320
"""Memory of a guest, in addition to the memory for unpacking: the archive, and a root twice as large as its files."""

MEMORY_PER_ARCHIVE = 4

_numbers = itertools.count()


class CannotBoot(Exception):
    """A way of booting does not work on this machine; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of booting. `missing` returns the missing requirement or an empty text; `arguments` returns the command line.

    `undo` returns the command that removes the resources of a guest if the process started by `arguments` was killed.
    """

    name: str
    kernel_kind: str
    missing: Callable[[], str]
    arguments: Callable[[Image, Path, str, int], list[str]]
    undo: Callable[[int], list[str]] = lambda _number: []


def _lacks_programs(*names: str) -> str:
    return ", ".join(name for name in names if shutil.which(name) is None)


def _uml_lacks() -> str:
    if os.getuid() != 0:
        return "root, for a network interface"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun"
    return _lacks_programs("ip", "unshare", "setpriv", "flock")


def _tcg_lacks() -> str:
    return _lacks_programs("qemu-system-x86_64", "setpriv")


def _kvm_lacks() -> str:
    return _tcg_lacks() or ("" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "/dev/kvm")


def _memory_mb(image: Image, base_mb: int) -> int:
    return base_mb + MEMORY_PER_ARCHIVE * (image.initramfs.stat().st_size >> 20)


def _interface(number: int) -> str:
    return f"odxg{number}"


def _launcher(number: int) -> list[str]:
    interface = _interface(number)
    return [str(LAUNCH_UML), interface, f"10.213.{number}.1/24", f"{LOCKS}/{interface}.lock"]


def _delete_interface(number: int) -> list[str]:
    """Command that waits for ending programs of the guest and deletes its interface, but never that of another guest."""
    interface = _interface(number)
    return ["flock", "--timeout", "5", f"{LOCKS}/{interface}.lock", "ip", "link", "delete", interface]


def _uml(image: Image, share: Path, name: str, number: int) -> list[str]:
    command = [
        str(image.kernel),
        *(f"mem={_memory_mb(image, UML_MEMORY_MB)}M", f"initrd={image.initramfs}", f"uml_dir={share}/.uml", f"umid={name}"),
        *("con=null", "con0=fd:0,fd:1", "console=tty0", "quiet", "panic=1"),
        f"vec0:transport=tap,ifname={_interface(number)},depth=128,gro=1",
        *("guest.interface=vec0", f"guest.address=10.213.{number}.2/24", f"guest.gateway=10.213.{number}.1"),
        *(f"guest.share={share}", f"guest.name={name}"),
    ]
    if registers.too_many(registers.CPUINFO.read_text()):
        command = registers.behind_filter(command)
    return ["setpriv", "--pdeathsig", "TERM", *_launcher(number), *command]


def _qemu(*acceleration: str) -> Callable[[Image, Path, str, int], list[str]]:
    def arguments(image: Image, share: Path, name: str, _number: int) -> list[str]:
        words = (
            "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off",
            "guest.interface=eth0 guest.address=10.0.2.15/24 guest.gateway=10.0.2.2",
            f"guest.share=9p guest.name={name}",
        )
        memory = str(_memory_mb(image, QEMU_MEMORY_MB))
        return [
            *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *acceleration, "-M", "q35", "-m", memory),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
            *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-virtfs", f"local,path={share},mount_tag=share,security_model=none"),
            *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", " ".join(words)),
        ]

    return arguments


WAYS: dict[str, Way] = {
    # in order of preference
    way.name: way
    for way in (
        Way("uml", "uml", _uml_lacks, _uml, _delete_interface),
        Way("kvm", "qemu", _kvm_lacks, _qemu("-accel", "kvm", "-cpu", "host")),
        Way("tcg", "qemu", _tcg_lacks, _qemu("-accel", "tcg,thread=multi", "-cpu", "max")),
    )
}


def boot(way_name: str, name: str, extras: tuple[str, ...] = ()) -> Machine:
    """Boot a guest and return when it accepts scripts. `name` becomes a part of its initiator name, `extras` are layers.

    Raises CannotBoot if this way is not possible on this machine, GuestError if the guest should boot but fails.
    """
    way = WAYS[way_name]
    lacks = way.missing()
    if lacks:
        raise CannotBoot(f"{way_name} needs {lacks}")
    try:
        image = build(way.kernel_kind, extras)
    except CannotBuild as error:
        raise CannotBoot(str(error)) from None
    try:
        for _ in range(MOST_GUESTS):
            machine = _try(way, image, name)
            if machine is not None:
                return machine
    except OSError as error:
        raise CannotBoot(f"{way_name}: {error}") from None
    raise CannotBoot(f"all {MOST_GUESTS} network interfaces are in use")


def _try(way: Way, image: Image, name: str) -> Machine | None:
    """Boot a guest; None if another guest has the same number."""
    share = Path(tempfile.mkdtemp(prefix=SHARE_PREFIX))
    number = next(_numbers) % MOST_GUESTS
    try:
        machine = Machine(way.arguments(image, share, name, number), share, way.undo(number))
    except BaseException:
        shutil.rmtree(share)
        raise
    try:
        machine.wait_until_ready(PROBE_TIMEOUT_S if way.name == "kvm" else BOOT_TIMEOUT_S)
    except GuestError:
        machine.close()
        if machine.exit_status == INTERFACE_IN_USE:
            return None
        if machine.exit_status == NO_INTERFACE:
            raise CannotBoot(f"{way.name} has no network interface: {machine.console.strip()}") from None
        raise
    except BaseException:
        machine.close()
        raise
    return machine


@cache
def unusable(way_name: str) -> str:
    """Reason why this way cannot be used on this machine; empty if it can be used.

    A guest may fail to start although /dev/kvm exists. Root may not be allowed to make an interface. A processor may have
    registers that a kernel cannot keep. So a guest is booted once and runs a script.
    """
    reason = WAYS[way_name].missing()
    if reason:
        return f"needs {reason}"
    return (_interface_trouble() if way_name == "uml" else "") or _boot_trouble(way_name)


def _boot_trouble(way_name: str) -> str:
    """Reason why a guest cannot be booted and run a script; empty if it can."""
    try:
        with boot(way_name, "probe") as machine:
            ended = machine.start(PROBE).wait(PROBE_TIMEOUT_S)
    except CannotBoot as error:
        return f"cannot be tried: {error}"
    except GuestError as error:
        return f"does not boot a guest: {str(error).strip().splitlines()[-1]}"
    return "" if ended.status == 0 else f"does not run a script: exit status {ended.status}"


def _interface_trouble() -> str:
    """Reason why a program with its own network interface cannot be started; empty if it can."""
    try:
        ended = subprocess.run(
            [*_launcher(MOST_GUESTS), "true"],  # a number that no guest has
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"has no network interface: {error}"
    if ended.returncode in (0, INTERFACE_IN_USE):
        return ""
    return f"has no network interface: {ended.stderr.strip()}"
