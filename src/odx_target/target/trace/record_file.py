"""A file that is written record by record. Records that cannot be written are omitted, and the first omission is logged."""

import errno
import os
import select
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from odx_target.store.error_kinds import reason
from odx_target.target.event_log import log

PRIVATE_MODE, READABLE_MODE = 0o600, 0o644
PIPE_POLL_MS = 100
"""Interval at which `write` checks for a call of `stop_waiting` while it waits for the reader of a pipe."""

RETRY_S = 10.0
"""Time after an error during which nothing is written to the file."""
WARNING_INTERVAL_S = 60.0


class RecordFile:
    """A file for records. The file is open from construction until `close` is called.

    `write` waits for the file. If the file is a pipe and its reader is slow, `write` waits until the pipe has room or
    `stop_waiting` is called. Only one thread at a time may call methods, but any thread may call `stop_waiting` at any time.
    Raises OSError if the file cannot be opened.

    If `append` is True, the present content of the file is kept. `header` is written before the first record. If `private` is
    True, only the owner can read a regular file, even if an existing file had other permissions. If `private` is True, a
    symbolic link is refused. After an error, nothing is written for `RETRY_S` seconds, or until `retry` is called. After an
    error, a regular file ends with its last whole record. `error` is the cause of the error. `now` is a clock that never goes
    back.
    """

    def __init__(
        self,
        path: Path,
        *,
        append: bool,
        header: bytes = b"",
        private: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._descriptor = _open(path, os.O_APPEND if append else 0, private)
        self._is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        if self._is_regular:
            self._prepare(append, private)
        self._header = header
        self.error: str | None = None
        self._now = now
        self._retry_at_s = self._warn_at_s = float("-inf")
        self._waits = True

    @property
    def has_failed(self) -> bool:
        return self._now() < self._retry_at_s

    def write(self, record: bytes) -> bool:
        """Write a record. Return False if the record was omitted."""
        if self.has_failed:
            return False
        end_bytes = os.fstat(self._descriptor).st_size if self._is_regular else 0
        try:
            self._write_all(self._header + record)
        except OSError as error:
            self._fail(error)
            if self._is_regular:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, end_bytes)
                    os.lseek(self._descriptor, end_bytes, os.SEEK_SET)
            return False
        self._header = b""
        self.error = None
        return True

    def retry(self) -> None:
        """Allow writes again, even if an error has just occurred."""
        self._retry_at_s = self._warn_at_s = float("-inf")

    def stop_waiting(self) -> None:
        """End the wait of `write` for the reader of a pipe. Another thread may call this method during `write`."""
        self._waits = False

    def close(self) -> None:
        os.close(self._descriptor)

    def _fail(self, error: OSError) -> None:
        now_s = self._now()
        self._retry_at_s = now_s + RETRY_S
        self.error = reason(error)
        if now_s >= self._warn_at_s:
            self._warn_at_s = now_s + WARNING_INTERVAL_S
            log.warning("cannot write the trace; the trace pauses, the array continues", file=str(self.path), error=self.error)

    def _prepare(self, append: bool, private: bool) -> None:
        try:
            if private:
                os.fchmod(self._descriptor, PRIVATE_MODE)
            if not append:
                os.ftruncate(self._descriptor, 0)
        except OSError as error:
            self.close()
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _write_all(self, record: bytes) -> None:
        rest = memoryview(record)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                if not self._waits:
                    raise
                self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(PIPE_POLL_MS)


def _open(path: Path, flags: int, private: bool) -> int:
    """Open a file. A private file must not be a symbolic link, because another user may have chosen the target of the link."""
    always = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # not all systems have them, so not at the import
    if not private:
        return os.open(path, always | flags, READABLE_MODE)
    try:
        return os.open(path, always | flags | os.O_NOFOLLOW, PRIVATE_MODE)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(error.errno, "this is a symbolic link; name the file itself", str(path)) from None
