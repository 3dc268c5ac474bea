"""The requests that an array serves for its peers. A request names itself in its field `request`."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from odx_target.environment import Environment
from odx_target.replica.blocks.fill import BLOCKS_REQUEST, BUSY, DIGEST_REQUEST, SnapshotServer
from odx_target.replica.blocks.limits import MAX_SERVED_REQUESTS
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.store.api import Pool

MAX_SHOWN_CHARACTERS = 40
"""Maximum length of an unknown request in a message."""


class RequestTable:
    """Dispatches the requests of peers. The row of a request names the function that serves it."""

    def __init__(self, pool: Pool, environment: Environment) -> None:
        self._served: Counter[Path] = Counter()
        snapshots = SnapshotServer(pool, environment)
        self._rows: dict[str, Callable[[Path, Exchange, Mapping[str, Json]], Awaitable[object]]] = {
            BLOCKS_REQUEST: snapshots.serve_blocks,
            DIGEST_REQUEST: snapshots.serve_digest,
        }

    async def serve(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve a request of the peer of a path. Raises RequestDenied, ChannelEnded and PeerFault."""
        name = document.get("request")
        function = self._rows.get(name) if isinstance(name, str) else None
        if function is None:
            raise RequestDenied("unknown", f"this array does not know the request {str(name)[:MAX_SHOWN_CHARACTERS]!r}")
        if self._served[path] >= MAX_SERVED_REQUESTS:
            raise RequestDenied(BUSY, "the array serves too many requests of this peer")
        self._served[path] += 1
        try:
            await function(path, exchange, document)
        finally:
            self._served[path] -= 1
            self._served += Counter()  # Forget paths without requests.
