"""Operations on volumes and snapshots. An operation is sent to the array that serves the pool, or performed directly on a pool
that no array serves.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import trio
import typer

from odx_target.cli.failure import CommandFailure, first_error
from odx_target.store.api import StoreError
from odx_target.store.open import open_directory_pool
from odx_target.store.opening.directory_pool import HEAD_NAME
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoServer, request
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.table import perform_on_storage
from odx_target.target.trio_environment import TrioEnvironment

Answer = dict[str, Any]

PoolArgument = Annotated[
    Path,
    typer.Argument(
        readable=False, metavar="POOL", help="Directory of the pool, or control socket of the array that serves the pool."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def ask(pool: Path, operation: str, **arguments: object) -> Answer:
    """Perform an operation and return its answer. Arguments that are None are not sent. Raises CommandFailure."""
    answers: list[Answer] = []
    ask_pages(pool, operation, answers.append, **arguments)
    return answers[0]


def ask_pages(pool: Path, operation: str, show: Callable[[Answer], object], **arguments: object) -> None:
    """Perform an operation and call `show` with its answer. While an answer has `next`, repeat the operation with `next` as its
    argument `block`. Raises CommandFailure.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        _ask_array(pool, operation, show, given)
    except NoServer as error:
        if not (pool / HEAD_NAME).exists():
            raise CommandFailure(str(error)) from error
        _ask_pool(pool, operation, show, given)


def print_json(answer: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(answer, indent=2))


def _ask_array(pool: Path, operation: str, show: Callable[[Answer], object], given: Mapping[str, object]) -> None:
    page: int | None = None
    while True:
        try:
            answer = request(pool, operation, given if page is None else {**given, "block": page})
        except ManagementError as error:
            raise _failure(error) from error
        show(answer)
        page = answer.get("next")
        if page is None:
            return


def _ask_pool(path: Path, operation: str, show: Callable[[Answer], object], given: Mapping[str, object]) -> None:
    try:
        trio.run(_ask_opened, path, operation, show, given)
    except* (StoreError, OSError, ManagementError) as group:
        error = first_error(group)
        raise (_failure(error) if isinstance(error, ManagementError) else error) from None


async def _ask_opened(path: Path, operation: str, show: Callable[[Answer], object], given: Mapping[str, object]) -> None:
    """Open a pool that no array serves, and perform the operation on it."""
    async with trio.open_nursery() as nursery:
        environment = TrioEnvironment(nursery)
        pool = await open_directory_pool(path, environment)
        try:
            storage = Storage(pool, environment)
            page: int | None = None
            while True:
                answer = await perform_on_storage(storage, operation, given if page is None else {**given, "block": page})
                show(dict(answer))
                page = answer.get("next")  # type: ignore[assignment]
                if page is None:
                    break
        finally:
            with trio.CancelScope(shield=True):
                await pool.close()
        nursery.cancel_scope.cancel()


def _failure(error: ManagementError) -> Exception:
    return typer.BadParameter(str(error)) if error.is_usage else CommandFailure(str(error))
