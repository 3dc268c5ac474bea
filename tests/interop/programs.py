"""Programs of other projects: the packages they come from, and functions that run them with a time limit."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.libiscsi import LIBRARY

PROGRAM_TIMEOUT_S = 60
"""Time limit of a client, so long that only a hanging client reaches it."""

QEMU_ISCSI_DRIVERS = "lib/*/qemu/block-iscsi.so"
"""Path of QEMU's iSCSI driver in Debian, below /usr."""


def _library_loads() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def _program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _qemu(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None and any(Path("/usr").glob(QEMU_ISCSI_DRIVERS))


CLIENTS: dict[str, tuple[str, Callable[[], bool]]] = {
    # client: (Debian packages, function that returns True if it is installed)
    "iscsi-ls": ("libiscsi-bin", _program("iscsi-ls")),
    "iscsi-inq": ("libiscsi-bin", _program("iscsi-inq")),
    "iscsi-readcapacity16": ("libiscsi-bin", _program("iscsi-readcapacity16")),
    "iscsi-test-cu": ("libiscsi-bin", _program("iscsi-test-cu")),
    "libiscsi": ("libiscsi-bin", _library_loads),
    "qemu-img": ("qemu-utils and qemu-block-extra", _qemu("qemu-img")),
    "qemu-io": ("qemu-utils and qemu-block-extra", _qemu("qemu-io")),
    "sg_vpd": ("sg3-utils", _program("sg_vpd")),
    "sg_inq": ("sg3-utils", _program("sg_inq")),
    "tshark": ("tshark", _program("tshark")),
    "cpio": ("cpio", _program("cpio")),
    "tgtd": ("tgt", _program("tgtd")),
}


def need(client: str) -> None:
    """Skip the test if the client is not installed; in CI the test fails instead."""
    packages, is_here = CLIENTS[client]
    if is_here():
        return
    message = f"{client} is not installed (Debian: {packages})"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def run(client: str, *arguments: str | Path, timeout_s: float = PROGRAM_TIMEOUT_S, stdin: str = "") -> str:
    """Run a client to its end and return the output of both streams; an exit status other than 0 fails the test."""
    need(client)
    ended = attempt(client, *arguments, timeout_s=timeout_s, stdin=stdin)
    assert ended.returncode == 0, f"{client} {' '.join(map(str, arguments))} ended with {ended.returncode}:\n{ended.stdout}"
    return ended.stdout


def attempt(
    client: str, *arguments: str | Path, timeout_s: float = PROGRAM_TIMEOUT_S, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a client that may fail; returns its exit status and output. A client that is given by its path need not be
    installed.
    """
    if not Path(client).is_absolute():
        need(client)
    return subprocess.run(
        [client, *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
