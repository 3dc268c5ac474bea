"""Log lines for a person on standard error; set up only by the command line."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class StandardError:
    """Writes lines to what is standard error at that moment. An array goes on when nobody reads its log any more."""

    def __call__(self, *_arguments: object) -> "StandardError":
        return self

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):
            print(message, file=sys.stderr, flush=True)  # noqa: T201 - this is what it is for

    debug = info = warning = error = msg


def configure_logging(level: str) -> None:
    """Write log lines of `level` and above to standard error; errors inside the array show their stack only at debug."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            _printable,
            _stack_at_debug if level == "debug" else _place_of_error,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=StandardError(),
    )


def _printable(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What a peer has sent is not to steer the terminal."""
    for key, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            line[key] = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in value)
    return line


def _stack_at_debug(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        line["stack"] = "\n" + "".join(traceback.format_exception(error))
    return line


def _place_of_error(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException) and error.__traceback__ is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        line["place"] = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
    return line
