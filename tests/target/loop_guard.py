"""Finds calls that may wait for a disk where they would hold the event loop."""

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
"""Functions of `os`. Not here: pwritev, by which the log goes to the page cache, and preadv, which has its own rule below."""

AUDITED = frozenset({"open", "os.listdir", "os.scandir", "sqlite3.connect", "subprocess.Popen", "import"})
"""What is seen of builtins and C code."""

_HERE = Path(__file__).name
FRAMES = 12
"""Of the stack of an offence that are shown."""


class LoopGuard:
    """Collects offences of one thread: what was called, and from where."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.is_on = False
        self.offences: list[str] = []

    def check(self, what: str) -> None:
        if self.is_on and threading.get_ident() == self.thread:
            self.offences.append("\n  ".join([what, *self._stack()]))

    def _stack(self) -> list[str]:
        """The innermost frames, without opening a source file for it."""
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
    """An audit hook cannot be taken back, so there is one for all tests."""

    is_installed = False


@contextmanager
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopGuard]:
    """A guard for this thread, off until it is switched on."""
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
    """Of SQLite, with a guard for what it does."""

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
    """Reads on the loop must not wait."""

    def checked(descriptor: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if not flags & os.RWF_NOWAIT:
            guard.check("os.preadv that waits")
        return int(function(descriptor, buffers, offset, flags))

    return checked
