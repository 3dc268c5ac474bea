"""Exceptions that end a subcommand with one line and an exit code."""

import os
import sys
from contextlib import suppress
from pathlib import Path


class CommandFailure(Exception):
    """The command was understood but could not do its work; the message is one line, the exit code 1.

    For what was typed wrongly raise `typer.BadParameter` instead: exit code 2.
    """


class Interrupted(Exception):
    """The command was stopped by the signal of this number, and has cleaned up.

    `state` is one line about what is done by then, "" where there is nothing to say.
    """

    def __init__(self, number: int, state: str = "") -> None:
        super().__init__(f"signal {number}")
        self.number = number
        self.state = state


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error to report, out of a group that trio raised."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def drop_output() -> None:
    """Drop buffered output that cannot be written, so that the interpreter does not try again at its end."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError, AttributeError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
