"""A writer of records: a bounded queue of records, and a thread that writes the queue to a file.

The event loop queues a record and continues. If the file is too slow, records that do not fit in the queue are omitted. In the
file, the number of omitted records replaces the records.
"""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

MAX_QUEUED_BYTES = 16 << 20
"""Maximum size of the queue of a trace or capture. At full speed, the queue is full after a tenth of a second.

A longer queue would only delay the loss of records.
"""

WRITE_BYTES = 1 << 20
"""Number of bytes that one write takes from the queue. With this size, many small records are written in few calls."""

CLOSE_TIMEOUT_S = 2.0
"""Maximum time that a stopping array waits for a file that accepts no data."""


class Sink(Protocol):
    """The file to which records are written. Only one thread at a time calls methods of the file.

    A write may take a long time.
    """

    path: Path

    @property
    def has_failed(self) -> bool:
        """True if the file omits all records at present, because of an error."""
        ...

    @property
    def error(self) -> str | None:
        """The reason why the last record was not written, or None if the last record was written."""
        ...

    def write(self, record: bytes) -> bool:
        """Write a record. Return False if the record was omitted.

        After a failure, further records are omitted for some time or until `retry` is called.
        """
        ...

    def retry(self) -> None: ...

    def stop_waiting(self) -> None:
        """End the wait of `write` for a reader, because the array stops. Another thread calls this method."""
        ...

    def close(self) -> None: ...


class RecordWriter:
    """Writes records to a file, and closes the file.

    `gap(count)` makes the record that replaces `count` omitted lines or packets. All methods except `flush` and `close` return
    at once.
    """

    def __init__(self, file: Sink, gap: Callable[[int], bytes], max_queued_bytes: int = MAX_QUEUED_BYTES) -> None:
        self.gaps = 0
        """Number of gaps. A gap is a sequence of records that were omitted."""
        self._file = file
        self._gap = gap
        self._max_queued_bytes = max_queued_bytes
        self._queue: deque[tuple[bytes, int]] = deque()
        self._queued_bytes = 0
        self._count_left_out = 0
        self._is_writing = False
        self._is_closing = False
        self._changed = threading.Condition()
        # A daemon thread, so that the process can end even if a disk never responds.
        self._thread = threading.Thread(target=self._run, name=f"trace {file.path.name}", daemon=True)
        self._thread.start()

    def write(self, record: bytes, count: int) -> bool:
        """Queue a record that contains `count` lines or packets. Return False if the record is omitted."""
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
    def queued_bytes(self) -> int:
        """Number of bytes that wait for the file."""
        return self._queued_bytes

    @property
    def error(self) -> str | None:
        """The name of the file and the reason why the file cannot be written, or None if there is no error."""
        return None if self._file.error is None else f"{self._file.path}: {self._file.error}"

    def retry(self) -> None:
        """Allow writes again, even if an error has just occurred."""
        self._file.retry()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all queued records are written or the file has failed.

        Return False if the wait takes longer than `timeout_s`.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._is_writing, timeout_s)

    def close(self) -> bool:
        """Write the queued records and close the file. Return False if the file accepts no data in time."""
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
        """True if a record fits in the queue.

        After a record was omitted, the queue accepts no record until half of the queue is free. A few long gaps are easier to
        read than many short gaps.
        """
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
        """Omit `count` lines or packets, and also all records in the queue, because the file has failed."""
        with self._changed:
            self.gaps += not self._count_left_out
            self._count_left_out += count + sum(count for _, count in self._queue)
            self._queue.clear()
            self._queued_bytes = 0
