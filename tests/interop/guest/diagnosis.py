"""Findings about a guest whose script has not ended. They show whether the guest or the array has stopped working.

The guest itself reports its state by `files/state.sh`. This module has the findings of the host: whether the kernel of the
guest answers, the state of its processes, and which end of the connections does not read.
"""

import socket
import struct
import subprocess
from pathlib import Path

STATE_SCRIPT = (Path(__file__).parent / "files" / "state.sh").read_text()

COMMAND_TIMEOUT_S = 10
CONSOLE_REQUEST = struct.Struct("=III512s")
"""Request to the management console of User-mode-linux: magic number, version, length, and text of the command."""
CONSOLE_MAGIC = 0xCAFEBABE
CONSOLE_VERSION = 2
CONSOLE_REPLY_BYTES = 4096


def kernel_answers(share: Path, timeout_s: float) -> bool:
    """True if the kernel of a guest answers on the management console of User-mode-linux.

    The kernel answers there in an interrupt, so it needs no process and no memory. Other guests have no such console, and the
    result is False.
    """
    for path in share.glob(".uml/*/mconsole"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            asking.bind("")  # The kernel chooses an address, to which the guest sends its reply.
            asking.settimeout(timeout_s)
            try:
                asking.sendto(CONSOLE_REQUEST.pack(CONSOLE_MAGIC, CONSOLE_VERSION, len(b"version"), b"version"), str(path))
                return b"Linux" in asking.recv(CONSOLE_REPLY_BYTES)
            except OSError:
                continue
    return False


def seen_from_host(share: Path, portal: str) -> str:
    """Describe the processes of a guest, and the connections of the portal that the guest uses."""
    processes = "\n".join(_processes_of(share))
    return f"its processes on the host:\n{processes}\nthe connections on the host:\n{_connections(portal)}"


def _processes_of(share: Path) -> list[str]:
    """Describe the processes whose command line names this folder: state, processor time, and place where they wait."""
    found = []
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda folder: int(folder.name)):
        try:
            words = (folder / "cmdline").read_bytes()
            if str(share).encode() not in words:
                continue
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            wait = (folder / "wchan").read_text()
        except OSError:  # The process has ended, or its place is secret.
            continue
        program = words.split(b"\0")[0].decode(errors="replace").rpartition("/")[2]
        found.append(f"{folder.name} {program}: state {stat[0]}, {stat[11]} user and {stat[12]} system ticks, in {wait}")
    return found


def _connections(portal: str) -> str:
    """Describe the TCP connections of a portal: unread and unsent bytes, and the times of the last bytes in each direction."""
    port = portal.rpartition(":")[2]
    if not port:
        return "no portal is known"
    command = ["ss", "-tnpi", f"( sport = :{port} or dport = :{port} )"]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: {error}"
    return (ended.stdout or ended.stderr).strip()
