"""One request to another array about a group, and its answer."""

from collections.abc import Mapping

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import LinkError
from odx_target.replica.paths.exchange import NO_RIGHT, UNKNOWN_REQUEST, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.sync.group_table import GroupRefused


class AskedInVain(GroupRefused):
    """Another array has refused a request, or cannot be reached. `code` is that of its refusal, or empty."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


async def ask(path: Path, request: str, document: Mapping[str, Json]) -> None:
    """Send a request, and wait for its answer. Raises AskedInVain with the name of the path and the reason."""
    name = path.settings.name
    link = path.link
    if link is None:
        raise AskedInVain(f"the path {name} is not connected: {path.status.reason or 'it waits for the other array'}")
    try:
        exchange = await link.request({"request": request, **document}, TrafficClass.SYNCHRONOUS)
        exchange.close()
    except RequestDenied as denied:
        raise AskedInVain(f"{name} refuses: {_line(denied)}", denied.code) from denied
    except LinkError as error:
        raise AskedInVain(f"the path {name} was cut: {error}") from error


def _line(denied: RequestDenied) -> str:
    """Return the reason of a refusal, with what an operator can do about it."""
    if denied.code == NO_RIGHT:
        return f"{denied}; the other array gives it with `odx-target path rights`"
    if denied.code == UNKNOWN_REQUEST:
        return f"{denied}; it has an older version"
    return str(denied)
