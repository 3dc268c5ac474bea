"""Operations on volumes and snapshots of a pool that this process opens, because no array serves it.

`requests` imports this module only if it is needed, because the store and the SCSI device server take most of a second to load.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from odx_target.cli.managing.array_requests import Answer
from odx_target.cli.pools.opened_pool import opened_pool, require_pool, run_on_pool
from odx_target.target.control.client import NoServer
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.table import perform_on_storage


def ask_pool(
    path: Path, no_server: NoServer, operation: str, show: Callable[[Answer], object], given: Mapping[str, object]
) -> None:
    """Perform an operation on the pool at `path`, and call `show` with each page of its answer. Raises CommandFailure with the
    message of `no_server` if there is no pool.
    """
    require_pool(path, no_server)
    run_on_pool(_ask_opened, path, operation, show, given)


async def _ask_opened(path: Path, operation: str, show: Callable[[Answer], object], given: Mapping[str, object]) -> None:
    async with opened_pool(path) as opened:
        storage = Storage(opened.pool, opened.environment)
        page: object = None
        while True:
            arguments = given if page is None else {**given, "block": page}
            answer: Answer = dict(await perform_on_storage(storage, operation, arguments))
            show(answer)
            page = answer.get("next")
            if page is None:
                return
