"""The explanation of a copy between two arrays on this machine: what has crossed their link, and which rules refused a part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from odx_target.cli.hosts.local_arrays import LocalLun
from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.text.sizes import size


class Found(NamedTuple):
    """The result. `link_bytes` includes what was read ahead and what other copies have moved meanwhile."""

    link_bytes: int
    is_connected: bool
    refusals: Sequence[str]


class Explanation:
    """The state of both arrays before a copy."""

    def __init__(self, source: Path, destination: Path, path: Mapping[str, Any] | None) -> None:
        self._pools = [source] if source == destination else [source, destination]
        self._destination = destination
        self._name = None if path is None else path["name"]
        self._before_bytes = 0 if path is None else path["redeemed_link_bytes"]
        self._refusals = [ask_array(pool, "refusals", {"after": 0})["last"] for pool in self._pools]

    def ended(self) -> Found:
        """Return what has happened since the beginning."""
        refusals = [
            str(each["explanation"])
            for pool, last in zip(self._pools, self._refusals, strict=True)
            for each in ask_array(pool, "refusals", {"after": last})["refusals"]
        ]
        return Found(self._link_bytes() - self._before_bytes, self._name is not None, refusals)

    def _link_bytes(self) -> int:
        if self._name is None:
            return 0
        paths: list[dict[str, Any]] = ask_array(self._destination, "paths", {})["paths"]
        return next((int(each["redeemed_link_bytes"]) for each in paths if each["name"] == self._name), self._before_bytes)


def begun(source: LocalLun | None, destination: LocalLun | None, path: Mapping[str, Any] | None) -> Explanation:
    """Return the state before a copy. `path` is the path between the arrays, or None.

    Raises typer.BadParameter if one of the arrays was not named by its pool.
    """
    if source is None or destination is None:
        raise typer.BadParameter("an explanation needs POOL:LUN for both arrays", param_hint="--explain")
    return Explanation(source.pool, destination.pool, path)


def lines_of(found: Found, logical_bytes: int) -> list[str]:
    """Return the lines of an explanation. `logical_bytes` is what was copied by token."""
    if found.is_connected:
        ratio = f", ratio {found.link_bytes / logical_bytes:.3f}" if logical_bytes else ""
        moved = f"link: {logical_bytes} bytes ({size(logical_bytes)}) copied by token"
        lines = [f"{moved}, {found.link_bytes} bytes ({size(found.link_bytes)}) on the link{ratio}"]
    else:
        lines = ["link: there is no connected path between the arrays, or they are the same array"]
    return lines + [f"refused: {each}" for each in found.refusals or ["nothing"]]
