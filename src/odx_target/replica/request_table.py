"""The requests that an array serves for its peers. A request names itself in its field `request`."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.blocks.limits import MAX_SERVED_REQUESTS
from odx_target.replica.blocks.requests import BLOCKS_REQUEST, BUSY, DIGEST_REQUEST
from odx_target.replica.blocks.snapshot_server import SnapshotServer
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.exchange import NO_RIGHT, UNKNOWN_REQUEST, Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.remote_tokens.limits import MAX_SERVED_PULLS, MAX_SERVED_TOKEN_REQUESTS
from odx_target.replica.remote_tokens.messages import BLOCKS_REQUEST as TOKEN_BLOCKS_REQUEST
from odx_target.replica.remote_tokens.messages import CLOSE_REQUEST, MAKE_REQUEST, OPEN_REQUEST, WRITE_REQUEST
from odx_target.replica.remote_tokens.token_server import TokenServer
from odx_target.replica.remote_tokens.unit_writer import UnitWriter
from odx_target.store.api import Pool

ServeRequest = Callable[[Path, Exchange, Mapping[str, Json]], Awaitable[object]]
"""Serves a request of the peer of a path: it answers and runs the exchange, or raises RequestDenied."""

MAX_SHOWN_CHARACTERS = 40
"""Maximum length of an unknown request in a message."""


class Group(NamedTuple):
    """Requests that are counted together. An array serves at most `max_served` of a peer at once."""

    name: str
    max_served: int


SNAPSHOTS = Group("snapshots", MAX_SERVED_REQUESTS)
TOKEN_DATA = Group("token data", MAX_SERVED_PULLS)
TOKENS = Group("tokens", MAX_SERVED_TOKEN_REQUESTS)


class Row(NamedTuple):
    """A request: the right that the path must give the peer, the function that serves the request, and its group."""

    right: Right
    serve: ServeRequest
    group: Group = SNAPSHOTS


class RequestTable:
    """Dispatches the requests of peers. A peer without the right of a request learns nothing else.

    Without `tokens`, the array serves no requests about tokens. Without `writer`, no peer can write a logical unit.
    """

    def __init__(
        self, pool: Pool, environment: Environment, tokens: TokenServer | None = None, writer: UnitWriter | None = None
    ) -> None:
        self._served: Counter[tuple[Path, Group]] = Counter()
        self._open: dict[Exchange, tuple[Path, Right]] = {}
        self.snapshots = SnapshotServer(pool, environment)
        self._rows: dict[str, Row] = {
            BLOCKS_REQUEST: Row(Right.REPLICATE, self.snapshots.serve_blocks),
            DIGEST_REQUEST: Row(Right.REPLICATE, self.snapshots.serve_digest),
        }
        if tokens is not None:
            self._rows |= {
                OPEN_REQUEST: Row(Right.SERVE_TOKENS, tokens.serve_open, TOKENS),
                CLOSE_REQUEST: Row(Right.SERVE_TOKENS, tokens.serve_close, TOKENS),
                MAKE_REQUEST: Row(Right.SERVE_LUNS, tokens.serve_make, TOKENS),
                TOKEN_BLOCKS_REQUEST: Row(Right.SERVE_TOKENS, tokens.serve_blocks, TOKEN_DATA),
            }

        if writer is not None:
            self._rows[WRITE_REQUEST] = Row(Right.WRITE_LUNS, writer.serve_write, TOKENS)

    def add(self, rows: Mapping[str, Row]) -> None:
        """Add requests."""
        self._rows.update(rows)

    async def serve(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve a request of the peer of a path. Raises RequestDenied, ChannelEnded and PeerFault."""
        name = document.get("request")
        row = self._rows.get(name) if isinstance(name, str) else None
        if row is None:
            shown = str(name)[:MAX_SHOWN_CHARACTERS]
            raise RequestDenied(UNKNOWN_REQUEST, f"this array does not know the request {shown!r}")
        if row.right not in path.settings.rights:
            raise no_right(row.right)
        counted = path, row.group
        if self._served[counted] >= row.group.max_served:
            raise RequestDenied(BUSY, "the array serves too many requests of this peer")
        self._served[counted] += 1
        self._open[exchange] = path, row.right
        try:
            await row.serve(path, exchange, document)
        finally:
            del self._open[exchange]
            self._served[counted] -= 1
            self._served += Counter()  # Forget paths without requests.

    def rights_changed(self, path: Path) -> None:
        """End the requests of the peer for which the path does not give it the right any more."""
        for exchange, (own, right) in list(self._open.items()):
            if own is path and right not in path.settings.rights:
                exchange.revoke(no_right(right))


def no_right(right: Right) -> RequestDenied:
    """Return the refusal of a request for which the path does not give the peer the right."""
    return RequestDenied(NO_RIGHT, f"the path gives no right {right}")
