"""Serves the requests of peers for blocks and digests of the snapshots of a pool."""

from collections.abc import Callable, Mapping

from odx_target.environment import Environment
from odx_target.replica.blocks.compression import PathCompression
from odx_target.replica.blocks.fingerprints import fingerprint_key
from odx_target.replica.blocks.part_finder import Base, Holes, Older, Unknown
from odx_target.replica.blocks.requests import BLOCKS_FIELDS, DIGEST_FIELDS, HOLES
from odx_target.replica.blocks.sender import BlockSender, SendTotals
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.messages import read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.store.api import Absent, Pool, Snapshot, StoreError


class SnapshotServer:
    """Serves requests for blocks and digests of the snapshots of a pool."""

    def __init__(self, pool: Pool, environment: Environment) -> None:
        self._pool = pool
        self._environment = environment
        self.on_sender: Callable[[Path, Snapshot, BlockSender], None] | None = None
        """Called when blocks of a snapshot begin to be sent, so that the progress can be shown."""

    async def serve_blocks(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> SendTotals:
        """Serve a request for blocks of a snapshot. Raises RequestDenied, ChannelEnded and PeerFault."""
        found = read_message(BLOCKS_FIELDS, document)
        snapshot = self._snapshot(found.content("snapshot"))
        first, count = found.number("first"), found.number("count")
        if first + count > snapshot.size_blocks:
            raise RequestDenied("range", "the range is not inside the snapshot")
        base = self._base(found.content("base"))
        exchange.answer({})
        compression = PathCompression(path)
        sender = BlockSender(exchange, snapshot, fingerprint_key(path), compression, self._environment, base)
        if self.on_sender is not None:
            self.on_sender(path, snapshot, sender)
        try:
            await sender.run(first, count)
        except StoreError as error:
            raise _unreadable(error) from error
        return sender.totals

    async def serve_digest(self, _path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve a request for the digest of a snapshot. Raises RequestDenied and ChannelEnded."""
        snapshot = self._snapshot(read_message(DIGEST_FIELDS, document).content("snapshot"))
        size_blocks = snapshot.size_blocks
        try:
            digest = await snapshot.digest()
        except StoreError as error:
            raise _unreadable(error) from error
        exchange.answer({"digest": digest.hex(), "size_blocks": size_blocks})

    def _base(self, guid: bytes) -> Base:
        """Return what the receiver has, from the field `base` of its request."""
        if not guid:
            return Unknown()
        return Holes() if guid == HOLES else Older(self._pool, self._snapshot(guid))

    def _snapshot(self, guid: bytes) -> Snapshot:
        snapshot = self._pool.snapshots.get(guid)
        if snapshot is None:
            raise RequestDenied("absent", "there is no such snapshot")
        return snapshot


def _unreadable(error: StoreError) -> RequestDenied:
    """Return the refusal of a request whose data cannot be read. The peer does not ask again."""
    return RequestDenied("absent" if isinstance(error, Absent) else "storage", str(error))
