"""Fills a volume with blocks of a snapshot of the peer. The fill is continued where it was cut, also after a restart.

The pool remembers the next block of an unfinished fill, in the same batch as the blocks before it. So after a cut, at most one
part is sent again.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.blocks.compression import LinkCompression
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import MAX_RANGE_BLOCKS
from odx_target.replica.blocks.receiver import BlockReceiver, ReceiveTotals
from odx_target.replica.blocks.sender import BlockSender, SendTotals
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded
from odx_target.replica.link.messages import Field, Type, read_message
from odx_target.replica.pairing.path_key import derived
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.store.api import Pool, Snapshot, StoreError, Volume

BLOCKS_REQUEST = "blocks"
DIGEST_REQUEST = "digest"
RETRY_S = 0.5
"""Delay before a fill continues that has been cut, so that a peer that ends it at once is not asked without a pause."""

GUID_BYTES = 16
DIGEST_BYTES = 16

BLOCKS_FIELDS = (
    Field("snapshot", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of a snapshot of the receiver"),
    Field("first", Type.NUMBER, 0, MAX_RANGE_BLOCKS, "first block of the range"),
    Field("count", Type.NUMBER, 1, MAX_RANGE_BLOCKS, "number of blocks"),
)
DIGEST_FIELDS = (Field("snapshot", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of a snapshot of the receiver"),)
DIGEST_ANSWER_FIELDS = (
    Field("digest", Type.BYTES, DIGEST_BYTES, DIGEST_BYTES, "digest of the snapshot"),
    Field("size_blocks", Type.NUMBER, 0, MAX_RANGE_BLOCKS, "size of the snapshot in blocks"),
)

MARK_PREFIX = "replica/fill/"
"""Beginning of the keys under which the pool remembers unfinished fills. The guid of the snapshot follows."""

_MARK = struct.Struct("<16sQQQ")
"""Value of such a key: identity of the volume, first block of the filled blocks, next block, and number of lost blocks."""

BUSY = "busy"
"""Code of the refusal of a request that the peer may serve later."""


def fingerprint_key(path: Path) -> bytes:
    """Return the key of the fingerprints on a path. Both arrays have the same key, and no other array has it."""
    return derived(path.settings.secret, "fingerprints")


class SnapshotServer:
    """Serves requests for blocks and digests of the snapshots of a pool."""

    def __init__(self, pool: Pool, environment: Environment, compression: LinkCompression = LinkCompression.LAN) -> None:
        self._pool = pool
        self._environment = environment
        self._compression = compression

    async def serve_blocks(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> SendTotals:
        """Serve a request for blocks of a snapshot. Raises RequestDenied, ChannelEnded and PeerFault."""
        found = read_message(BLOCKS_FIELDS, document)
        snapshot = self._snapshot(path, found.content("snapshot"))
        first, count = found.number("first"), found.number("count")
        if first + count > snapshot.size_blocks:
            raise RequestDenied("range", "the range is not inside the snapshot")
        exchange.answer({})
        sender = BlockSender(exchange, snapshot, fingerprint_key(path), self._compression, self._environment)
        try:
            await sender.run(first, count)
        except StoreError as error:
            raise RequestDenied("storage", str(error)) from error
        while await exchange.receive() is not None:
            pass
        return sender.totals

    async def serve_digest(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve a request for the digest of a snapshot. Raises RequestDenied and ChannelEnded."""
        snapshot = self._snapshot(path, read_message(DIGEST_FIELDS, document).content("snapshot"))
        size_blocks = snapshot.size_blocks
        try:
            digest = await snapshot.digest()
        except StoreError as error:
            raise RequestDenied("storage", str(error)) from error
        exchange.answer({"digest": digest.hex(), "size_blocks": size_blocks})

    def _snapshot(self, path: Path, guid: bytes) -> Snapshot:
        """Return a snapshot. A peer without the right does not learn if the snapshot exists."""
        if Right.REPLICATE not in path.settings.rights:
            raise RequestDenied("right", "the path has no right to replicate")
        snapshot = self._pool.snapshots.get(guid)
        if snapshot is None:
            raise RequestDenied("absent", "there is no such snapshot")
        return snapshot


class _Filled(NamedTuple):
    """The blocks from `first` to `end` are filled, except for `lost` blocks."""

    first: int
    end: int
    lost: int


@dataclass
class Fill:
    """Fills a range of `volume` with the same blocks of the snapshot `guid` of the peer.

    The volume must be hidden from hosts.
    """

    pool: Pool
    path: Path
    volume: Volume
    guid: bytes
    hints: Hints
    environment: Environment

    @property
    def mark(self) -> str:
        """Key under which the pool remembers the next block."""
        return MARK_PREFIX + self.guid.hex()

    @property
    def next_block(self) -> int | None:
        """The block at which an unfinished fill continues. None if none is unfinished."""
        filled = self._filled
        return None if filled is None else filled.end

    @property
    def lost_blocks(self) -> int:
        """Number of blocks that the peer could not read, also before a restart. If it is not 0, the volume is no copy."""
        filled = self._filled
        return 0 if filled is None else filled.lost

    @property
    def _filled(self) -> "_Filled | None":
        """The blocks that the mark says are filled. A mark of another volume says nothing."""
        value = self.pool.remembered(self.mark)
        if value is None or len(value) != _MARK.size:
            return None
        volume, *filled = _MARK.unpack(value)
        return _Filled(*filled) if volume == self.volume.identity else None

    def _before(self, first: int) -> "_Filled":
        """Return the filled blocks that a range which begins at `first` continues. They may be none."""
        filled = self._filled
        return filled if filled is not None and filled.first <= first <= filled.end else _Filled(first, first, 0)

    async def run(self, first: int, count: int) -> list[ReceiveTotals]:
        """Fill the range over as many links as necessary. Returns the totals of each attempt.

        Raises RequestDenied and PeerFault, ConnectionEnded if the path is removed, and the exceptions of `Volume.write`.
        """
        totals = []
        end = first + count
        while (start := self._before(first).end) < end:
            receiver: BlockReceiver | None = None
            try:
                link = await self.path.opened()
                document: dict[str, Json] = {
                    "request": BLOCKS_REQUEST,
                    "snapshot": self.guid.hex(),
                    "first": start,
                    "count": end - start,
                }
                exchange = await link.request(document, TrafficClass.SNAPSHOT)
                receiver = self._receiver(exchange, self._before(first))
                try:
                    await receiver.run(start, end - start)
                finally:
                    exchange.close()
            except (ChannelEnded, ConnectionEnded, RequestDenied) as error:
                if isinstance(error, RequestDenied) and error.code != BUSY:
                    raise
                await self.environment.sleep(RETRY_S)
                await self.path.opened()
            finally:
                if receiver is not None:
                    totals.append(receiver.totals)
        return totals

    def forget(self) -> None:
        """Forget the mark after the fill has ended. May raise the exceptions of `Volume.write`."""
        self.pool.forget(self.mark)

    async def peer_digest(self) -> bytes:
        """Return the digest of the snapshot at the peer. Raises RequestDenied, ChannelEnded and ConnectionEnded."""
        link = await self.path.opened()
        document = {"request": DIGEST_REQUEST, "snapshot": self.guid.hex()}
        exchange = await link.request(document, TrafficClass.SNAPSHOT)
        try:
            return read_message(DIGEST_ANSWER_FIELDS, await exchange.answered()).content("digest")
        finally:
            exchange.close()

    def _receiver(self, exchange: Exchange, before: "_Filled") -> BlockReceiver:
        def complete(first: int, count: int) -> None:
            lost = before.lost + sum(block < first + count for block in receiver.totals.lost_blocks)
            self.pool.remember(self.mark, _MARK.pack(self.volume.identity, before.first, first + count, lost))

        key, hints = fingerprint_key(self.path), self.hints
        receiver = BlockReceiver(exchange, self.pool, self.volume, key, hints, self.environment, complete)
        return receiver
