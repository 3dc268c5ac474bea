"""Starts `odx-target` as processes that are forked from a process which has imported the program.

Its start takes a tenth of the processor time of a new interpreter. It ignores variables of its environment that only the start
of Python or an import reads, such as PYTHONWARNINGS, but it obeys ODX_NATIVE. Tests of the start itself, of imports and of
memory use new interpreters.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from tests.interop.fork_server import NUMBER

ROOT = Path(__file__).parents[2]
NATIVE = "ODX_NATIVE"
START_TIMEOUT_S = 300
"""Time limit of a start. The first start takes a second of processor time, but other processes may need the processors too."""
END_TIMEOUT_S = 60


class Program:
    """A running `odx-target`, with the methods of `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], report: socket.socket) -> None:
        self.args = words
        self.returncode: int | None = None
        self._report = report
        self.pid = self._read()

    def _read(self) -> int:
        data = self._report.recv(NUMBER.size)
        assert data, "the fork server ended"
        (number,) = NUMBER.unpack(data)
        return int(number)

    def poll(self) -> int | None:
        """Return the exit status, or None while the program runs. A negative status is a signal that ended it."""
        return self.returncode if self._ends_within(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        if not self._ends_within(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def _ends_within(self, timeout_s: float | None) -> bool:
        if self.returncode is None and select.select([self._report], [], [], timeout_s)[0]:
            with self._report:
                self.returncode = self._read()
        return self.returncode is not None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class _Server(NamedTuple):
    process: subprocess.Popen[bytes]
    control: socket.socket

    def end(self) -> None:
        self.control.close()
        try:
            self.process.wait(END_TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.wait(END_TIMEOUT_S)


@functools.cache
def _server(native: str | None) -> _Server:
    """Return the fork server of programs with this value of ODX_NATIVE, which decides at the import of the program."""
    server = _start_server(native)
    atexit.register(server.end)
    return server


def _start_server(native: str | None) -> _Server:
    control, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other_end:
        number = other_end.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.interop.fork_server", str(number)],
            cwd=ROOT, env=_environment(native), pass_fds=(number,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return _Server(process, control)


def _environment(native: str | None) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if name != NATIVE}
    return others if native is None else {**others, NATIVE: native}


def start(
    words: Sequence[str | Path],
    *,
    stdin: int | IO[str] = subprocess.DEVNULL,
    stdout: int | IO[str],
    stderr: int | IO[str],
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    descriptors: int | None = None,
) -> Program:
    """Start the program with a command line. The streams are files or descriptors, and the default input is empty.
    `descriptors` limits its open files.
    """
    given = [str(word) for word in words]
    request = {
        "words": given,
        "environment": dict(environment),
        "folder": str(folder or Path.cwd()),
        "descriptors": descriptors,
    }
    report, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report.settimeout(START_TIMEOUT_S)
    with other_end, Path(os.devnull).open() as nothing:
        chosen = (nothing if stdin == subprocess.DEVNULL else stdin, stdout, stderr)
        streams = [stream if isinstance(stream, int) else stream.fileno() for stream in chosen]
        socket.send_fds(
            _server(environment.get(NATIVE)).control, [json.dumps(request).encode()], [*streams, other_end.fileno()]
        )
    return Program(given, report)


def run(
    *words: str | Path,
    stdin: str | IO[str] = "",
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    timeout_s: float = END_TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end. Raises subprocess.TimeoutExpired, and kills it, if that takes longer than `timeout_s`."""
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        if isinstance(stdin, str):
            given.write(stdin)
            given.seek(0)
            stdin = given
        program = start(words, stdin=stdin, stdout=out, stderr=error, environment=environment, folder=folder)
        try:
            code = program.wait(timeout_s)
        finally:
            program.kill()
            program.wait(END_TIMEOUT_S)
        texts = []
        for file in (out, error):
            file.seek(0)
            texts.append(file.read())
        return subprocess.CompletedProcess(program.args, code, *texts)
