"""Debian's istgt, with which the array is compared: a process of its own with one LUN on a file. It needs no files of root.

istgt refuses a configuration with InitialR2T=No, so the data of a write beyond the immediate data waits for a R2T.
Each login takes a second, and all logins wait for one another, whatever the configuration is. So processes that begin together
read one after the other, and cells with several processes fail.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ports import free_port

NODE = "iqn.2026-11.example"
TARGET = "istgt"
READY_TIMEOUT_S = 10
POLL_S = 0.05
MIB = 1 << 20

CONFIGURATION = """\
[Global]
  NodeBase "{node}"
  PidFile {folder}/istgt.pid
  AuthFile {folder}/auth.conf
  MediaDirectory {folder}
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod Auto
  MaxSessions 64
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod None
  Portal UC1 127.0.0.1:{control_port}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:{port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
[LogicalUnit1]
  TargetName {target}
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  QueueDepth 64
  LUN0 Storage {file} {size_mib}MB
"""


def configuration(folder: Path, file: Path, size_bytes: int, port: int, control_port: int) -> str:
    """Return the text of a configuration file."""
    return CONFIGURATION.format(
        node=NODE, target=TARGET, folder=folder, file=file, size_mib=size_bytes // MIB, port=port, control_port=control_port
    )


@contextmanager
def istgt_process(file: Path, size_bytes: int) -> Iterator[tuple[str, int]]:
    """Serve a new sparse file; yields the URL of its LUN and the id of the process. Raises OSError if it does not start."""
    file.touch()
    os.truncate(file, size_bytes)
    folder = file.parent
    port = free_port()
    (folder / "auth.conf").touch()
    (folder / "istgt.conf").write_text(configuration(folder, file, size_bytes, port, free_port()))
    with (folder / "istgt.log").open("w") as log:
        process = subprocess.Popen(
            ["istgt", "-D", "-c", str(folder / "istgt.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_listens(process, port)
        yield f"iscsi://127.0.0.1:{port}/{NODE}:{TARGET}/0", process.pid
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port), POLL_S).close()
            return
        except OSError:
            time.sleep(POLL_S)
    raise OSError(f"istgt did not start (exit status {process.poll()})")
