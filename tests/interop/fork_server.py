"""A process that has imported `odx-target`, and forks for each start of the program, because importing takes most of a start.

`tests/interop/forked.py` starts it: `python -m tests.interop.fork_server DESCRIPTOR`. It ends when the other end of the socket
is closed.
"""

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import runpy
import selectors
import signal
import socket
import struct
import sys
from contextlib import redirect_stdout, suppress
from typing import Any, NoReturn

STREAMS = 3
MAX_REQUEST_BYTES = 1 << 20
NUMBER = struct.Struct("i")
"""Format of the two reports about a program: its process ID, and its exit status as `subprocess` counts it."""
PROGRAM = "odx_target.cli.main"
USUAL_COMMAND = ["odx-target", "decode", "cdb", "00 00 00 00 00 00"]
NOT_OF_THE_PROGRAM = (
    PROGRAM,
    "odx_target.__main__",
    "odx_target.native.compiled",
    "odx_target.pytest_plugin",
    "odx_target.testing",
)


def import_program() -> None:
    """Import all modules of the program, in the way in which `serve` imports its own (see `lean_dataclasses`)."""
    import odx_target
    from odx_target.cli import program

    assert program._usual_serve(["serve", "pool"], {}) is not None
    for module in pkgutil.walk_packages(odx_target.__path__, "odx_target.", onerror=lambda _: None):
        if not module.name.startswith(NOT_OF_THE_PROGRAM):
            importlib.import_module(module.name)
    sys.argv = USUAL_COMMAND  # it imports what typer imports when it reads a command line
    with redirect_stdout(io.StringIO()):
        assert program.run() == 0


def answer_requests(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request, and report the process ID and the end of each child.

    Returns the request and its streams in a child, and None in this process after the end of the requests.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    selector.unregister(key.fileobj)
                    _report_end(key.fd, *key.data)
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, STREAMS + 1)
                if not message:
                    return None
                *streams, report = descriptors
                if (child := os.fork()) == 0:
                    return json.loads(message), streams
                for stream in streams:
                    os.close(stream)
                os.write(report, NUMBER.pack(child))
                selector.register(os.pidfd_open(child), selectors.EVENT_READ, (child, report))


def _report_end(process: int, child: int, report: int) -> None:
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):  # nobody waits for the child any more
        os.write(report, NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os.close(report)
    os.close(process)


def become_program(request: dict[str, Any], streams: list[int], end: "End") -> NoReturn:
    """Run the program in this process, as a new interpreter would."""
    signal.signal(signal.SIGINT, end.interrupt_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(STREAMS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if request["descriptors"] is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (request["descriptors"],) * 2)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.stdin = os.fdopen(0, closefd=False)
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdout = os.fdopen(1, "w", closefd=False, buffering=1 if is_unbuffered or os.isatty(1) else -1)
    sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1, errors="backslashreplace")
    sys.argv = ["odx-target", *request["words"]]
    try:
        runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        end.code = int(ended.code or 0)
        raise
    raise AssertionError("the program exits")


class End:
    """The end of this process without freeing the objects of all modules, which takes longer than a usual command."""

    def __init__(self) -> None:
        self.code = 1
        """The exit status, which is 1 after an exception that nobody handles."""
        self.interrupt_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        """The usual handler. The fork server ends after the tests, which end on an interrupt."""

    def exit(self) -> NoReturn:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(self.code)


def main() -> None:
    end = End()
    atexit.register(end.exit)  # registered first, so that it is called after all others
    with socket.socket(fileno=int(sys.argv[1])) as control:
        import_program()
        gc.collect()
        gc.freeze()
        started = answer_requests(control)
    if started is not None:
        become_program(*started, end)
    end.code = 0


if __name__ == "__main__":
    main()
