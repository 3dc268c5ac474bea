"""Exceptions that end a subcommand with one line and an exit code, and the exit codes."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from odx_target.store.errors import StoreError
from odx_target.target.config.error import ConfigError

EXIT_FAILURE = 1
"""Exit code of a command that failed although its command line was correct."""
EXIT_USAGE = 2
"""Exit code after a mistake in the command line or the settings."""
EXIT_SIGNAL = 128
"""Base of the exit code after a signal. The exit code is this number plus the number of the signal, as in shells."""


class CommandFailure(Exception):
    """A command failed although its command line was correct. The message is one line, and the exit code is 1.

    For a mistake in the command line, raise `typer.BadParameter` instead; its exit code is 2.
    """


class Interrupted(Exception):
    """Signal `number` stopped the command, and the command has cleaned up.

    `state` is one line about the work that was done before the signal; "" if there is nothing to report.
    """

    def __init__(self, number: int, state: str = "") -> None:
        super().__init__(f"signal {number}")
        self.number = number
        self.state = state


def exit_code_of(error: Exception) -> int:
    """Return the exit code of a command that an exception has ended."""
    if isinstance(error, Interrupted):
        return EXIT_SIGNAL + error.number
    if isinstance(error, ConfigError):
        return EXIT_USAGE
    if isinstance(error, CommandFailure | StoreError | OSError):
        return EXIT_FAILURE
    import typer  # `serve` starts without typer.

    return error.exit_code if isinstance(error, typer.TyperException) else EXIT_FAILURE


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception in a group of exceptions, even if groups are nested in the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def drop_output() -> None:
    """Drop buffered output that cannot be written. Otherwise the interpreter would try to write it again at exit."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError, AttributeError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
