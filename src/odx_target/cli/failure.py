"""Exceptions that end a subcommand with one line and an exit code, and the exit codes."""

import os
import sys
from contextlib import suppress
from pathlib import Path

EXIT_FAILURE = 1
"""Exit code of a command that was understood but failed."""
EXIT_USAGE = 2
"""Exit code of a mistake in the command line or the settings."""
EXIT_SIGNAL = 128
"""Exit code of a process stopped by a signal: this plus the number of the signal, as in shells."""


class CommandFailure(Exception):
    """The command was understood but failed. The message is one line, and the exit code is 1.

    For a mistake in the command line raise `typer.BadParameter` instead, with exit code 2.
    """


class Interrupted(Exception):
    """The command was stopped by the signal of this number, and has cleaned up.

    `state` is one line that describes what was done before the signal; "" if there is nothing to report.
    """

    def __init__(self, number: int, state: str = "") -> None:
        super().__init__(f"signal {number}")
        self.number = number
        self.state = state


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first single error in a group of exceptions that trio raised."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def drop_output() -> None:
    """Drop buffered output that cannot be written, so that the interpreter does not try again to write it at exit."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError, AttributeError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
