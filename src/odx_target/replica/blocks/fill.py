"""Fills a volume with blocks of a snapshot of the peer. The fill is continued where it was cut, also after a restart.

The pool remembers the next block of an unfinished fill, in the same batch as the blocks before it. So after a cut, at most one
part is sent again.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.blocks.fingerprints import fingerprint_key
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import MAX_VAIN_ATTEMPTS, MAX_WAIT_S
from odx_target.replica.blocks.receiver import BlockReceiver, EndedEarly, ReceiveTotals
from odx_target.replica.blocks.requests import BLOCKS_REQUEST, BUSY, DIGEST_ANSWER_FIELDS, DIGEST_REQUEST, GUID_BYTES
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, ConnectionEnded
from odx_target.replica.link.messages import read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.store.api import Pool, Volume

RETRY_S = 0.5
"""Delay before a fill continues that has been cut, so that a peer that ends it at once is not asked without a pause."""

MARK_PREFIX = "replica/receive/"
"""Beginning of the keys under which the pool remembers unfinished fills. The guid of the snapshot follows."""

_MARK = struct.Struct("<16s17sQQQ")
"""Value of such a key: identity of the volume, length and guid of the base, first block of the filled blocks, next block, and
number of lost blocks."""


class Mark(NamedTuple):
    """The record of an unfinished fill. `volume` has the content of `base`, and the blocks `first` to `end` of the snapshot,
    except for `lost` blocks.
    """

    volume: bytes
    base: bytes
    first: int
    end: int
    lost: int


def mark_of(pool: Pool, guid: bytes) -> Mark | None:
    """Return the mark of the fill of a snapshot of a peer."""
    value = pool.remembered(MARK_PREFIX + guid.hex())
    if value is None or len(value) != _MARK.size:
        return None
    volume, base, first, end, lost = _MARK.unpack(value)
    return Mark(volume, base[1 : 1 + base[0]], first, end, lost)


def forget_marks(pool: Pool, volume: bytes) -> None:
    """Forget all fills of a volume, because its content is about to be replaced."""
    for key in pool.remembered_keys(MARK_PREFIX):
        guid = bytes.fromhex(key.removeprefix(MARK_PREFIX))
        mark = mark_of(pool, guid)
        if mark is None or mark.volume == volume:
            pool.forget(key)


class _Filled(NamedTuple):
    """The blocks from `first` to `end` are filled, except for `lost` blocks."""

    first: int
    end: int
    lost: int


@dataclass
class Fill:
    """Fills a range of `volume` with the same blocks of the snapshot `guid` of the peer.

    The volume must be hidden from hosts. If `base` is the guid of a snapshot, the volume must have its content before the fill.
    If `base` is HOLES, the volume must have only holes.
    """

    pool: Pool
    path: Path
    volume: Volume
    guid: bytes
    hints: Hints
    environment: Environment
    base: bytes = b""
    receiver: BlockReceiver | None = None
    """The receiver of the last attempt."""
    on_receiver: Callable[[BlockReceiver], None] | None = None
    """Called with the receiver of each attempt."""
    on_part: Callable[[], None] | None = None
    """Called before a part is complete. An exception ends the attempt, and the part is received again."""

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
        """The blocks that the mark says are filled. A mark of another volume or of another base says nothing."""
        mark = mark_of(self.pool, self.guid)
        if mark is None or (mark.volume, mark.base) != (self.volume.identity, self.base):
            return None
        return _Filled(mark.first, mark.end, mark.lost)

    def _before(self, first: int) -> "_Filled":
        """Return the filled blocks that a range which begins at `first` continues. They may be none."""
        filled = self._filled
        return filled if filled is not None and filled.first <= first <= filled.end else _Filled(first, first, 0)

    def begin(self) -> None:
        """Remember that the volume has the content of the base. May raise the exceptions of `Volume.write`."""
        self._remember(_Filled(0, 0, 0))

    async def run(self, first: int, count: int) -> list[ReceiveTotals]:
        """Fill the range over as many links as necessary. Returns the totals of each attempt.

        Raises RequestDenied and PeerFault, ConnectionEnded if the path is removed, and the exceptions of `Volume.write`.
        """
        totals: list[ReceiveTotals] = []
        end = first + count
        vain_attempts = 0
        while (start := self._before(first).end) < end:
            self.receiver = None
            try:
                await self.attempt(await self.path.opened(), first, count)
            except (ChannelEnded, ConnectionEnded, RequestDenied) as error:
                if isinstance(error, RequestDenied) and error.code != BUSY:
                    raise
                if isinstance(error, EndedEarly):
                    vain_attempts = 0 if self._before(first).end > start else vain_attempts + 1
                    if vain_attempts >= MAX_VAIN_ATTEMPTS:
                        raise RequestDenied("storage", f"{error}, {vain_attempts} times at block {start}") from error
                await self.environment.sleep(RETRY_S)
                await self.path.opened()
            finally:
                if self.receiver is not None:
                    totals.append(self.receiver.totals)
        return totals

    async def attempt(self, link: Link, first: int, count: int) -> None:
        """Fill the rest of the range over one link.

        Raises RequestDenied, PeerFault, ChannelEnded and ConnectionEnded, and the exceptions of `Volume.write`.
        """
        before, end = self._before(first), first + count
        if before.end >= end:
            return
        document: dict[str, Json] = {
            "request": BLOCKS_REQUEST,
            "snapshot": self.guid.hex(),
            "first": before.end,
            "count": end - before.end,
            "base": self.base.hex(),
        }
        exchange = await link.request(document, TrafficClass.SNAPSHOT, MAX_WAIT_S)
        self.receiver = receiver = self._receiver(exchange, before)
        if self.on_receiver is not None:
            self.on_receiver(receiver)
        try:
            await receiver.run(before.end, end - before.end)
        finally:
            exchange.close()

    def forget(self) -> None:
        """Forget the mark after the fill has ended. May raise the exceptions of `Volume.write`."""
        self.pool.forget(self.mark)

    async def peer_digest(self) -> bytes:
        """Return the digest of the snapshot at the peer. Raises RequestDenied, ChannelEnded and ConnectionEnded."""
        link = await self.path.opened()
        document = {"request": DIGEST_REQUEST, "snapshot": self.guid.hex()}
        exchange = await link.request(document, TrafficClass.SNAPSHOT, MAX_WAIT_S)
        try:
            return read_message(DIGEST_ANSWER_FIELDS, await exchange.answered()).content("digest")
        finally:
            exchange.close()

    def _receiver(self, exchange: Exchange, before: "_Filled") -> BlockReceiver:
        def complete(first: int, count: int) -> None:
            if self.on_part is not None:
                self.on_part()
            lost = before.lost + sum(block < first + count for block in receiver.totals.lost_blocks)
            self._remember(_Filled(before.first, first + count, lost))

        key, hints = fingerprint_key(self.path), self.hints
        receiver = BlockReceiver(
            exchange, self.pool, self.volume, key, hints, self.environment, complete, has_base=bool(self.base)
        )
        return receiver

    def _remember(self, filled: "_Filled") -> None:
        base = bytes([len(self.base)]) + self.base.ljust(GUID_BYTES, b"\0")
        self.pool.remember(self.mark, _MARK.pack(self.volume.identity, base, *filled))
