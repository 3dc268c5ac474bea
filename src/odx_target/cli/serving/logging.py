"""Log lines on standard error. Only the command line configures this output."""

import io
import logging
import os
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import Processor

from odx_target.target.config.settings import LogFormat
from odx_target.target.printable import printable
from odx_target.target.trace.record_writer import RecordWriter

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


MAX_QUEUED_BYTES = 1 << 20
"""Maximum total size of log lines that wait to be written. The size is enough for thousands of lines, so the reader of the log
may stop reading for a time."""


class _Stream:
    """A sink of log lines that writes to the current standard error."""

    path = Path("/dev/stderr")
    has_failed = False
    error = None

    def write(self, record: bytes) -> bool:
        if sys.stderr is None:  # standard error was closed before the start
            return True
        with suppress(OSError, ValueError):
            if (descriptor := _descriptor()) is None:
                print(record.decode(errors="replace"), end="", file=sys.stderr, flush=True)  # noqa: T201 - a log line
            else:
                # Buffered output takes a lock, and a thread that still runs at the end of the process could hold it.
                rest = memoryview(record)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
        return True

    def retry(self) -> None: ...

    def stop_waiting(self) -> None: ...

    def close(self) -> None: ...


def _descriptor() -> int | None:
    """Return the file descriptor of standard error, or None if standard error has no file descriptor."""
    try:
        return sys.stderr.fileno()
    except io.UnsupportedOperation:
        return None


class StandardError:
    """Writes lines to standard error. If a line cannot be written, the array continues to run."""

    def __init__(self, log_format: LogFormat) -> None:
        self.log_format = log_format
        self._stream = _Stream()
        self._writer: RecordWriter | None = None

    def __call__(self, *_arguments: object) -> "StandardError":
        return self

    def msg(self, message: str) -> None:
        line = f"{message}\n".encode()
        if self._writer is None:
            self._stream.write(line)
        else:
            self._writer.write(line, 1)

    debug = info = warning = error = msg

    @contextmanager
    def in_thread(self) -> Iterator[None]:
        """Write the lines in a thread while the body runs, so that the array never waits for a slow terminal, pipe or file."""
        self._writer = RecordWriter(self._stream, _gap, MAX_QUEUED_BYTES)
        try:
            yield
        finally:
            writer, self._writer = self._writer, None
            writer.close()


def _gap(count: int) -> bytes:
    return f"{count} lines of the log are left out here, because they were read too slowly\n".encode()


def configure_logging(level: str, log_format: LogFormat = LogFormat.TEXT) -> StandardError:
    """Write log lines of `level` and above to standard error, and return the writer.

    Errors inside the array show their stack only at level debug.
    """
    standard_error = StandardError(log_format)
    structlog.configure(logger_factory=standard_error)
    set_log_level(level)
    return standard_error


def set_log_level(level: str) -> None:
    """Log lines of `level` and above from now on."""
    standard_error: StandardError = structlog.get_config()["logger_factory"]
    error = _stack_at_debug if level == "debug" else _place_of_error
    as_json = standard_error.log_format is LogFormat.JSON
    structlog.configure(
        processors=[structlog.processors.add_log_level, *(_json(error) if as_json else _text(error))],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=standard_error,
    )


def _text(error: Processor) -> list[Processor]:
    return [
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        _printable,
        error,
        structlog.dev.ConsoleRenderer(colors=sys.stderr is not None and sys.stderr.isatty(), pad_event_to=0),
    ]


def _json(error: Processor) -> list[Processor]:
    """Return the processors of JSON. The line begins with `timestamp`, `level` and `event`."""
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        error,
        _first_fields,
        structlog.processors.JSONRenderer(),
    ]


def _first_fields(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {**{name: line[name] for name in ("timestamp", "level", "event")}, **line}


def _printable(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape text that a peer sent, so that it cannot control the terminal."""
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = printable(value)
    return line


def _stack_at_debug(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        line["stack"] = "\n" + "".join(traceback.format_exception(error))
    return line


def _place_of_error(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException) and error.__traceback__ is not None:
        last = error.__traceback__
        while last.tb_next is not None:
            last = last.tb_next
        line["place"] = f"{last.tb_frame.f_code.co_filename.rpartition('/')[2]}:{last.tb_lineno}"
    return line
