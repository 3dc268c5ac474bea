"""Send requests from commands to the array that serves a pool."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from odx_target.cli.failure import CommandFailure
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoResponse, NoServer, request
from odx_target.target.control.http.client import HttpPlace, request_over_http

Answer = dict[str, Any]
Place = Path | HttpPlace
"""The place where an array is managed: the directory of its pool, its control socket, or its HTTP control port."""


def request_array(pool: Place, operation: str, arguments: Mapping[str, object]) -> Answer:
    """Perform an operation on the array that serves a pool. Raises NoServer if no array answers. Raises typer.BadParameter if
    the arguments are invalid. Raises CommandFailure if the array refuses the operation for another reason, or does not respond
    in time.
    """
    try:
        if isinstance(pool, HttpPlace):
            return request_over_http(pool, operation, arguments)
        return request(pool, operation, arguments)
    except ManagementError as error:
        raise refusal(error) from error
    except NoResponse as error:
        raise CommandFailure(str(error)) from error


def ask_array(pool: Place, operation: str, arguments: Mapping[str, object]) -> Answer:
    """Perform an operation that needs a running array. Raises typer.BadParameter if the arguments are invalid. Raises
    CommandFailure if no array answers, or if the operation fails for another reason.
    """
    try:
        return request_array(pool, operation, arguments)
    except NoServer as error:
        raise CommandFailure(str(error)) from error


def given(**arguments: object) -> dict[str, object]:
    """Return the arguments of an operation that have a value. Those that are None have not been given."""
    return {name: value for name, value in arguments.items() if value is not None}


def refusal(error: ManagementError) -> Exception:
    """Return the exception that a command raises if the array refuses its operation."""
    return typer.BadParameter(str(error)) if error.is_usage else CommandFailure(str(error))
