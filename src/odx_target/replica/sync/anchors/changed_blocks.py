"""The ranges that a member has changed since an anchor. The primary ships them even if it has not changed them itself."""

import struct
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

from odx_target.environment import Buffer, Environment
from odx_target.replica.link.errors import ChannelEnded, LinkError, PeerFault
from odx_target.replica.link.kinds import Flag, Kind
from odx_target.replica.paths.exchange import Exchange
from odx_target.store.api import Absent, BlockSource, Change, DamagedBlock, FrozenMap, Pool, StoreError, Volume

_ROW = struct.Struct("<HQQ")

FORMATS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "CHANGED": (
        ("u16", "volume", "index of the volume in the group"),
        ("u64", "block", "first block of the range"),
        ("u64", "count", "number of blocks; these three parts are repeated for each range"),
    )
}
"""The parts of a body, as (type, name, meaning), for the documentation."""

MAX_ROWS = 8192
"""Number of ranges in one CHANGED. They fit into a frame."""

MAX_CHANGED_RANGES = 1 << 18
"""Maximum number of ranges that a primary keeps: some 30 MiB. Beyond them, the other member is resynchronised as a whole."""

RETRY_S = 0.2
"""Pause before a part of a map is read again that could not be read."""


class TooManyRanges(LinkError):
    """The other member has changed too many ranges."""


class ChangedRange(NamedTuple):
    """Blocks of the volume with the index `volume`."""

    volume: int
    block: int
    count_blocks: int


def encode_changed(ranges: Sequence[ChangedRange]) -> bytes:
    """Encode the body of CHANGED."""
    return b"".join(_ROW.pack(*each) for each in ranges)


def decode_changed(body: Buffer, count_volumes: int) -> list[ChangedRange]:
    """Decode the body of CHANGED. Raises PeerFault."""
    if len(body) % _ROW.size or len(body) > MAX_ROWS * _ROW.size:
        raise PeerFault("a CHANGED has an impossible length")
    found = [ChangedRange(*row) for row in _ROW.iter_unpack(body)]
    if any(each.volume >= count_volumes for each in found):
        raise PeerFault("a CHANGED is about a volume that the group does not have")
    return found


async def changed_since(
    exchange: Exchange,
    pool: Pool,
    environment: Environment,
    older: Sequence[BlockSource],
    newer: Sequence[BlockSource],
) -> AsyncIterator[ChangedRange]:
    """Yield the ranges of `newer` that differ from `older`, in ascending order. Where `older` has no source, yield those with
    data.

    Raises DamagedBlock, and ChannelEnded if the exchange ends, for which the ranges are read.
    """
    for index, source in enumerate(newer):
        block = 0
        is_over = False
        while not is_over:
            _check_open(exchange)
            stream = pool.changed_ranges(older[index] if index < len(older) else None, source, block)
            try:
                async for part in stream:
                    _check_open(exchange)
                    for first, count, kind in part.ranges():
                        if kind is not Change.NONE:
                            yield ChangedRange(index, first, count)
                    block = part.end
                is_over = True
            except DamagedBlock:
                raise
            except Absent as error:
                raise ChannelEnded("a volume or a snapshot was deleted while it was compared") from error
            except StoreError:
                await environment.sleep(RETRY_S)
            finally:
                await stream.aclose()


def _check_open(exchange: Exchange) -> None:
    if not exchange.is_open:
        raise ChannelEnded("the stream has ended")


async def received_changes(exchange: Exchange, count_volumes: int) -> list[ChangedRange]:
    """Receive the CHANGED of the other member, up to the last one. Raises LinkError."""
    found: list[ChangedRange] = []
    while (frame := await exchange.receive()) is not None:
        exchange.consumed(frame)
        if frame.kind is not Kind.CHANGED:
            raise PeerFault(f"{frame.kind.name} is not allowed before the last CHANGED")
        found += decode_changed(frame.body, count_volumes)
        if len(found) > MAX_CHANGED_RANGES:
            raise TooManyRanges(f"the other member has changed more than {MAX_CHANGED_RANGES} ranges")
        if frame.flags & Flag.END:
            return found
    raise ChannelEnded("the other member has ended the stream")


async def send_changes(
    exchange: Exchange, pool: Pool, environment: Environment, anchor: Sequence[FrozenMap], volumes: Sequence[Volume]
) -> None:
    """Send the ranges that this member has changed since an anchor. Raises LinkError, DamagedBlock."""
    rows: list[ChangedRange] = []
    async for changed in changed_since(exchange, pool, environment, anchor, volumes):
        rows.append(changed)
        if len(rows) == MAX_ROWS:
            await exchange.room()
            exchange.send(Kind.CHANGED, 0, encode_changed(rows))
            rows = []
    await exchange.room()
    exchange.send(Kind.CHANGED, 0, encode_changed(rows), Flag.END)


class RangeList:
    """Ranges in ascending order, and the parts of other ranges that are not in them."""

    def __init__(self, ranges: Sequence[ChangedRange]) -> None:
        self._ranges = sorted(ranges)

    def __iter__(self) -> Iterator[ChangedRange]:
        return iter(self._ranges)

    def outside(self, wanted: ChangedRange) -> Iterator[ChangedRange]:
        """Yield the parts of a range that are in no range of the list."""
        volume, block, count = wanted
        end = block + count
        index = max(0, bisect_right(self._ranges, (volume, block, 1 << 64)) - 1)
        while block < end:
            known = self._ranges[index] if index < len(self._ranges) else None
            if known is None or known.volume > volume or (known.volume == volume and known.block >= end):
                yield ChangedRange(volume, block, end - block)
                return
            if known.volume == volume and known.block + known.count_blocks > block:
                if known.block > block:
                    yield ChangedRange(volume, block, known.block - block)
                block = known.block + known.count_blocks
            index += 1
