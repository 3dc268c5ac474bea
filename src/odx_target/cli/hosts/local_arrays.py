"""Arrays on this machine that commands find by the directory of their pool: `POOL:LUN` instead of a URL."""

import time
from pathlib import Path
from typing import Any, NamedTuple

from odx_target.cli.failure import CommandFailure
from odx_target.initiator.url import SCHEME
from odx_target.target.config.parsing import parse_portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoResponse, NoServer, request
from odx_target.target.loopback import from_this_machine

WAIT_S = 15.0
"""Time for which a command waits until an array serves a pool, and until two arrays that are being paired are connected. They
may have been started a moment before."""

WAIT_FOR_POOL_S = 3.0
"""Time for which a command waits for the directory of a pool, which an array makes at its first start."""

RETRY_S = 0.1


class LocalLun(NamedTuple):
    """A LUN of an array on this machine: the directory of its pool, and its URL."""

    pool: Path
    url: str


def find_lun(text: str) -> LocalLun | None:
    """Find the LUN that a text of the form POOL:LUN names. Returns None if the text has another form, such as a URL.

    Waits until an array serves the pool. Raises CommandFailure if there is no such array or LUN.
    """
    directory, _, name = text.rpartition(":")
    if "://" in text or not directory or not name:
        return None
    pool = Path(directory)
    answer = _answer(pool, "luns")
    number = next((each["lun"] for each in answer["luns"] if each["name"] == name), None)
    if number is None:
        raise CommandFailure(f"{directory}: there is no LUN {name}")
    portal = from_this_machine(parse_portal(answer["portal"]))
    return LocalLun(pool, f"{SCHEME}{portal}/{answer['target']}/{number}")


def path_between(source: Path, destination: Path) -> dict[str, Any] | None:
    """Return the path of the array at `destination` to that at `source`. Returns None if there is no connection between them.

    Waits if the arrays are being paired, or have a path whose connection is not open yet.
    """
    try:
        pool = request(source, "paths", {})["pool"]
        until_s = time.monotonic() + WAIT_S
        while True:
            answer = request(destination, "paths", {})
            path: dict[str, Any] | None = next((each for each in answer["paths"] if each["peer_pool"] == pool), None)
            if path is not None and path["state"] == "connected":
                return path
            is_under_way = answer["pool"] != pool and (path is not None or answer["waiting"] or answer["pairing"])
            if not is_under_way or time.monotonic() >= until_s:
                return None
            time.sleep(RETRY_S)
    except (ManagementError, NoServer, NoResponse):
        return None  # One of them has no link port.


def _answer(pool: Path, operation: str) -> dict[str, Any]:
    """Ask the array that serves a pool, and wait until there is one. Raises CommandFailure."""
    began_s = time.monotonic()
    while True:
        try:
            return request(pool, operation, {})
        except NoServer as error:
            if time.monotonic() - began_s >= (WAIT_S if pool.exists() else WAIT_FOR_POOL_S):
                raise CommandFailure(str(error)) from error
            time.sleep(RETRY_S)
        except (ManagementError, NoResponse) as error:
            raise CommandFailure(str(error)) from error
