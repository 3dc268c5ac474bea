"""Records on their way to a file: a bounded queue, and the thread that writes.

The event loop hands a record over and goes on. When the file is slower than the records come, what does not fit in the queue
is left out, and the file says how much, at the place where it is missing.
"""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

MAX_QUEUED_BYTES = 16 << 20
"""A tenth of a second of full speed; more would only delay what is left out."""

WRITE_BYTES = 1 << 20
"""The bytes that one write takes from the queue, so that many small records need few calls."""

CLOSE_TIMEOUT_S = 2.0
"""How long the end of the array waits for a file that takes nothing."""


class Sink(Protocol):
    """The file that is written to, by one thread at a time. A write may take long."""

    path: Path

    @property
    def has_failed(self) -> bool:
        """True if nothing would be written at present."""
        ...

    @property
    def error(self) -> str | None:
        """Why the last record was not written; None if it was."""
        ...

    def write(self, record: bytes) -> bool:
        """False if it was left out, as all records are from then on for a while, or until `retry`."""
        ...

    def retry(self) -> None: ...

    def stop_waiting(self) -> None:
        """From another thread: the end has come."""
        ...

    def close(self) -> None: ...


class RecordWriter:
    """Writes to a file, which it closes. `gap(count)` makes the record that stands for `count` that were left out.

    All calls but `flush` and `close` return at once.
    """

    def __init__(self, file: Sink, gap: Callable[[int], bytes], max_queued_bytes: int = MAX_QUEUED_BYTES) -> None:
        self.gaps = 0
        """How often records have begun to be left out."""
        self._file = file
        self._gap = gap
        self._max_queued_bytes = max_queued_bytes
        self._queue: deque[tuple[bytes, int]] = deque()
        self._queued_bytes = 0
        self._count_left_out = 0
        self._is_writing = False
        self._is_closing = False
        self._changed = threading.Condition()
        # A daemon: a disk that never answers does not keep the process.
        self._thread = threading.Thread(target=self._run, name=f"trace {file.path.name}", daemon=True)
        self._thread.start()

    def write(self, record: bytes, count: int) -> bool:
        """Queue a record that holds `count` lines or packets. False if it is left out."""
        with self._changed:
            if not self._has_room(len(record)):
                self.gaps += not self._count_left_out
                self._count_left_out += count
                return False
            self._end_gap()
            self._put(record, count)
            self._changed.notify_all()
        return True

    @property
    def error(self) -> str | None:
        """The reason why the file cannot be written, with its name."""
        return None if self._file.error is None else f"{self._file.path}: {self._file.error}"

    def retry(self) -> None:
        """Write again from now on, after an error."""
        self._file.retry()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until the file has all that was queued, or has failed. False if it takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._is_writing, timeout_s)

    def close(self) -> bool:
        """Write what is queued and close the file. False if it takes nothing: then it is given up as it is."""
        with self._changed:
            if not self._file.has_failed:
                self._end_gap()
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_TIMEOUT_S)
        self._file.stop_waiting()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            return False
        self._file.close()
        return True

    def _has_room(self, size_bytes: int) -> bool:
        """Once something is left out, half of the queue empties first: few long gaps are easier to read past than many."""
        if self._file.has_failed or self._is_closing:
            return False
        limit_bytes = self._max_queued_bytes // 2 if self._count_left_out else self._max_queued_bytes
        return not self._queue or self._queued_bytes + size_bytes <= limit_bytes

    def _end_gap(self) -> None:
        if self._count_left_out:
            self._put(self._gap(self._count_left_out), 0)
            self._count_left_out = 0

    def _put(self, record: bytes, count: int) -> None:
        self._queue.append((record, count))
        self._queued_bytes += len(record)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                if not self._queue:
                    return
                records, count = self._take()
                self._is_writing = True
            if not self._file.write(b"".join(records)):
                self._lose(count)

    def _take(self) -> tuple[list[bytes], int]:
        records: list[bytes] = []
        size_bytes = count = 0
        while self._queue and (not records or size_bytes + len(self._queue[0][0]) <= WRITE_BYTES):
            record, count_in_record = self._queue.popleft()
            records.append(record)
            size_bytes += len(record)
            count += count_in_record
        self._queued_bytes -= size_bytes
        return records, count

    def _lose(self, count: int) -> None:
        """The file has failed: leave out what was to be written, and all that is queued."""
        with self._changed:
            self.gaps += not self._count_left_out
            self._count_left_out += count + sum(count for _, count in self._queue)
            self._queue.clear()
            self._queued_bytes = 0
