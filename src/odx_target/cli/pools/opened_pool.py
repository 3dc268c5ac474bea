"""Pools that a command opens itself, because no array serves them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar, TypeVarTuple

import trio

from odx_target.cli.failure import CommandFailure, first_error
from odx_target.cli.managing.array_requests import refusal
from odx_target.store.api import Pool, StoreError
from odx_target.store.errors import HeadDamaged
from odx_target.store.open import open_directory_pool, with_remedy
from odx_target.store.opening.directory_pool import HEAD_NAME, check_head
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoServer
from odx_target.target.trio_environment import TrioEnvironment

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class OpenedPool(NamedTuple):
    """A pool that this process has opened, and the environment of the pool."""

    pool: Pool
    environment: TrioEnvironment


def require_pool(path: Path, no_server: NoServer) -> None:
    """Raise CommandFailure if the directory `path` contains no pool. The exception has the same message as `no_server`, unless
    only the head of the pool is missing.
    """
    try:
        check_head(path)
    except HeadDamaged as error:
        raise CommandFailure(str(with_remedy(error, path))) from error
    if not (path / HEAD_NAME).exists():
        raise CommandFailure(str(no_server)) from no_server


def run_on_pool(function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
    """Run a coroutine function that opens a pool.

    Raises the first error of its tasks: StoreError, OSError, or an exception that `refusal` returns.
    """
    try:
        return trio.run(function, *arguments)
    except* (StoreError, OSError, ManagementError) as group:
        error = first_error(group)
        raise (refusal(error) if isinstance(error, ManagementError) else error) from None


@asynccontextmanager
async def opened_pool(path: Path) -> AsyncIterator[OpenedPool]:
    """Open a pool that no array serves, and close it after the body. A cancellation does not interrupt the close.

    Raises StoreError.
    """
    async with trio.open_nursery() as nursery:
        environment = TrioEnvironment(nursery)
        pool = await open_directory_pool(path, environment)
        try:
            yield OpenedPool(pool, environment)
        finally:
            with trio.CancelScope(shield=True):
                await pool.close()
        nursery.cancel_scope.cancel()
