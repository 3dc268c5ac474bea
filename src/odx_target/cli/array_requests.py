"""Requests of commands to the array that serves a pool."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from odx_target.cli.failure import CommandFailure
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoServer, request

Answer = dict[str, Any]


def request_array(pool: Path, operation: str, arguments: Mapping[str, object]) -> Answer:
    """Perform an operation on the array that serves a pool. Raises NoServer if no array answers.

    If the array refuses the operation, raises CommandFailure, or typer.BadParameter if the arguments are invalid.
    """
    try:
        return request(pool, operation, arguments)
    except ManagementError as error:
        raise refusal(error) from error


def ask_array(pool: Path, operation: str, arguments: Mapping[str, object]) -> Answer:
    """Perform an operation that needs a running array. Raises CommandFailure also if no array answers."""
    try:
        return request_array(pool, operation, arguments)
    except NoServer as error:
        raise CommandFailure(str(error)) from error


def refusal(error: ManagementError) -> Exception:
    """Return the exception by which a command reports that an operation was refused."""
    return typer.BadParameter(str(error)) if error.is_usage else CommandFailure(str(error))
