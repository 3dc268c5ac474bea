"""Finds calls that may wait for a disk and that would then block the event loop."""

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WAITING = (
    "open",
    "close",
    "stat",
    "lstat",
    "statvfs",
    "fsync",
    "fdatasync",
    "posix_fallocate",
    "truncate",
    "ftruncate",
    "unlink",
    "remove",
    "rename",
    "replace",
    "mkdir",
    "rmdir",
    "listdir",
    "scandir",
    "chmod",
    "fchmod",
    "utime",
    "write",
    "pwrite",
    "read",
    "pread",
    "readv",
)
"""Functions of `os` that may wait for a disk. pwritev only writes to the page cache, and preadv has its own check."""

AUDITED = frozenset({"open", "os.listdir", "os.scandir", "sqlite3.connect", "subprocess.Popen", "import"})
"""Audit events that are watched, of builtins and C code."""

_HERE = Path(__file__).name
FRAMES = 12
"""Number of stack frames that are shown for an offence."""


class LoopGuard:
    """Collects the offences of one thread: the called function, and the stack."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.is_on = False
        self.offences: list[str] = []

    def check(self, what: str) -> None:
        if self.is_on and threading.get_ident() == self.thread:
            self.offences.append("\n  ".join([what, *self._stack()]))

    def _stack(self) -> list[str]:
        """Return the innermost frames, without opening a source file for them."""
        found = []
        frame = sys._getframe(2)
        while frame is not None and len(found) < FRAMES:
            if not frame.f_code.co_filename.endswith(_HERE):
                found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
            frame = frame.f_back  # type: ignore[assignment]
        return found


_guards: list[LoopGuard] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _guards and event in AUDITED:
        for guard in _guards:
            guard.check(f"{event} {arguments[0]!r}")


class _Installed:
    """State of the audit hook. A hook cannot be removed, so all tests share one."""

    is_installed = False


@contextmanager
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopGuard]:
    """Yield a guard for this thread. It is off until it is switched on."""
    if not _Installed.is_installed:
        _Installed.is_installed = True
        sys.addaudithook(_audit)
    guard = LoopGuard()
    _guards.append(guard)
    try:
        with monkeypatch.context() as patched:
            for name in WAITING:
                patched.setattr(os, name, _checked(guard, f"os.{name}", getattr(os, name)))
            patched.setattr(os, "preadv", _checked_preadv(guard, os.preadv))
            yield guard
    finally:
        guard.is_on = False
        _guards.remove(guard)


class CheckedConnection(sqlite3.Connection):
    """A connection to SQLite that reports its calls to a guard."""

    guard: LoopGuard

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self.guard.check("sqlite3 execute")
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self.guard.check("sqlite3 executemany")
        return super().executemany(*arguments)

    def close(self) -> None:
        self.guard.check("sqlite3 close")
        super().close()


def _checked(guard: LoopGuard, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*arguments: Any, **options: Any) -> Any:
        guard.check(f"{what} {arguments[0] if arguments else ''!r}")
        return function(*arguments, **options)

    return checked


def _checked_preadv(guard: LoopGuard, function: Callable[..., Any]) -> Callable[..., Any]:
    """Replace preadv by a function that reports reads on the event loop which may wait."""

    def checked(descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if not flags & os.RWF_NOWAIT:
            guard.check("os.preadv that waits")
        return int(function(descriptor, buffers, offset, flags))

    return checked
