"""The log of an array: structlog if the program has configured it, and otherwise Python's `logging`.

The command line configures structlog. A program that embeds an array, such as a test, need not configure anything: the lines
then go to the logger `odx_target`, and none is printed to standard output.
"""

import logging
import sys

LOGGER = logging.getLogger("odx_target")
"""The logger of programs that have not configured structlog."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class EventLog:
    """Writes lines about events. A line has the event in words, and fields.

    The field `exc_info` is an exception whose traceback is logged too.
    """

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """Write a line. `level` is a key of LEVELS."""
        structlog = sys.modules.get("structlog")  # A program that has not loaded structlog has not configured it.
        if structlog is not None and structlog.is_configured():
            getattr(structlog.get_logger(), level)(event, **fields)
        elif LOGGER.isEnabledFor(LEVELS[level]):
            error = fields.pop("exc_info", None)
            words = [event, *(f"{name}={value!r}" for name, value in fields.items())]  # repr escapes control characters
            LOGGER.log(LEVELS[level], "%s", " ".join(words), exc_info=error if isinstance(error, BaseException) else None)

    def info(self, event: str, /, **fields: object) -> None:
        """Write a line about a usual event."""
        self.write("info", event, **fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Write a line about an event that an operator should know."""
        self.write("warning", event, **fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Write a line about a failure."""
        self.write("error", event, **fields)


log = EventLog()
