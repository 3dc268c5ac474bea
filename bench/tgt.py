"""Debian's tgt, with which the array is compared: a daemon of its own with one LUN on a file."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ports import free_port

IQN = "iqn.2026-11.example:tgt"
LUN = 1
"""Number of the LUN; LUN 0 of tgt is its controller."""

READY_TIMEOUT_S = 10
POLL_S = 0.05
CONTROL_SOCKETS = Path("/var/run/tgtd")
"""Folder in which tgt makes its control sockets. A daemon that is killed leaves them there."""
CONTROL_PORTS = 30_000
"""First number of a control socket of tgt. The process id is added, so that two benches use different sockets."""


@contextmanager
def tgt(file: Path, size_bytes: int) -> Iterator[str]:
    """Serve a new sparse file; yields the URL of its LUN and then ends the daemon. Raises OSError if it does not start."""
    with tgt_process(file, size_bytes) as (url, _):
        yield url


@contextmanager
def tgt_process(file: Path, size_bytes: int, *, digests: bool = False, port: int | None = None) -> Iterator[tuple[str, int]]:
    """Serve a file, which is made if it does not exist; yields the URL of its LUN and the id of the process.

    With `digests`, hosts may use digests. If `port` is None, the daemon listens at a free port.
    """
    file.touch()
    os.truncate(file, size_bytes)
    control = str(1000 + os.getpid() % CONTROL_PORTS)
    port = free_port() if port is None else port
    daemon = subprocess.Popen(
        ["tgtd", "--foreground", "--control-port", control, "--iscsi", f"portal=127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(daemon, control)
        _admin(control, "--mode", "target", "--op", "new", "--tid", "1", "--targetname", IQN)
        for key in ("HeaderDigest", "DataDigest") if digests else ():
            _admin(control, "--mode", "target", "--op", "update", "--tid", "1", "--name", key, "--value", "CRC32C,None")
        _admin(control, "--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", str(LUN), "--backing-store", str(file))
        _admin(control, "--mode", "target", "--op", "bind", "--tid", "1", "--initiator-address", "ALL")
        yield f"iscsi://127.0.0.1:{port}/{IQN}/{LUN}", daemon.pid
    finally:
        daemon.kill()  # tgt ignores SIGTERM while it has targets.
        daemon.wait()
        for name in (f"socket.{control}", f"socket.{control}.lock"):
            (CONTROL_SOCKETS / name).unlink(missing_ok=True)


def _wait_until_it_answers(daemon: "subprocess.Popen[bytes]", control: str) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not _admin(control, "--mode", "sys", "--op", "show", must=False):
        if daemon.poll() is not None or time.monotonic() > deadline_s:
            raise OSError(f"tgtd did not start (exit status {daemon.poll()})")
        time.sleep(POLL_S)


def _admin(control: str, *words: str, must: bool = True) -> bool:
    ended = subprocess.run(
        ["tgtadm", "--control-port", control, "--lld", "iscsi", *words],
        capture_output=True,
        text=True,
        timeout=READY_TIMEOUT_S,
        check=False,
    )
    if must and ended.returncode != 0:
        raise OSError(f"tgtadm {' '.join(words)}: {ended.stderr.strip()}")
    return ended.returncode == 0
