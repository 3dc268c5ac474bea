"""Operations on volumes and snapshots. An operation is sent to the array that serves the pool, or performed directly on a pool
that no array serves.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from odx_target.cli.managing.array_requests import Answer, given, request_array
from odx_target.target.control.client import NoServer

PoolArgument = Annotated[
    Path,
    typer.Argument(
        readable=False, metavar="POOL", help="Directory of the pool, or control socket of the array that serves the pool."
    ),
]


def ask(pool: Path, operation: str, **arguments: object) -> Answer:
    """Perform an operation and return its answer. Arguments that are None are not sent. Raises CommandFailure."""
    answers: list[Answer] = []
    ask_pages(pool, operation, answers.append, **arguments)
    return answers[0]


def ask_pages(pool: Path, operation: str, show: Callable[[Answer], object], **arguments: object) -> None:
    """Perform an operation and call `show` with each page of its answer. If a page has a value `next`, the next page is
    requested with this value as the argument `block`. Raises CommandFailure.
    """
    wanted = given(**arguments)
    try:
        _ask_array(pool, operation, show, wanted)
    except NoServer as error:
        # The import takes most of a second, and is not needed if an array serves the pool.
        from odx_target.cli.storage.opened import ask_pool

        ask_pool(pool, error, operation, show, wanted)


def _ask_array(pool: Path, operation: str, show: Callable[[Answer], object], wanted: Mapping[str, object]) -> None:
    page: int | None = None
    while True:
        answer = request_array(pool, operation, wanted if page is None else {**wanted, "block": page})
        show(answer)
        page = answer.get("next")
        if page is None:
            return
