"""A comparison of the data of an anchor at both members. Unlike digests of maps, it reads all blocks from the disks.

The primary asks the other member for the digest of each part of the anchor that has data, reads the same part itself, and
compares. The store checks the CRC32C of each block that is read, so a damaged block is found at the member that has it.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from blake3 import blake3

from odx_target.environment import Buffer, Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, LinkError, PeerFault
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.messages import Field, Type, read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.sync.anchors.anchors import GUID_BYTES, Anchors
from odx_target.replica.sync.anchors.changed_blocks import ChangedRange, changed_since
from odx_target.replica.sync.limits import MAX_READ_BLOCKS, MAX_READ_FINDINGS
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, FrozenMap, Pool, Scarcity, StoreError

READ_REQUEST = "read-anchor"

READ_FIELDS = (Field("anchor", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of the anchor whose blocks are read"),)

NO_ANCHOR = "no-anchor"
"""Code of the refusal of a member that does not have the anchor."""

_PART = struct.Struct("<HQ")
RETRY_S = 0.2

FORMATS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "READ": (("u16", "volume", "index of the volume in the group"), ("u64", "count", "number of blocks")),
    "READ_DIGEST": (
        ("u8", "state", "0: the digest follows; 1: a block is damaged, and zeros follow"),
        ("32 bytes", "digest", "BLAKE3 of the data of the part"),
    ),
}
"""The parts of the bodies, as (type, name, meaning), for the documentation."""

IS_READ, IS_DAMAGED = b"\0", b"\1"
DIGEST_BYTES = 32


class Source(NamedTuple):
    """The parts of the array that a reading uses."""

    pool: Pool
    environment: Environment
    anchors: Anchors


class AnchorReading:
    """A reading of one anchor by the primary, in the background. `rate_bytes` is the most that each member reads in a second.

    `is_over` is True at the end. `failure` is then empty, unless the reading has ended early.
    """

    def __init__(self, source: Source, guid: bytes, rate_bytes: int, on_end: Callable[["AnchorReading"], None]) -> None:
        self.guid = guid
        self.rate_bytes = rate_bytes
        self.read_blocks = 0
        self.count_different = 0
        """Number of parts whose data differs."""
        self.count_damaged = 0
        """Number of parts that one of the members could not read."""
        self.findings: list[tuple[str, ChangedRange]] = []
        """The first parts that differ, are damaged here or at the other member, with one of these words."""
        self.is_over = False
        self.failure = ""
        self._source = source
        self._on_end = on_end
        self._is_stopped = False

    def stop(self) -> None:
        """End the reading soon."""
        self._is_stopped = True

    async def run(self, link: Link, group: str) -> None:
        """Read and compare. Raises nothing that belongs to the peer or the pool: `failure` has the reason."""
        source = self._source
        try:
            document = {"request": READ_REQUEST, "group": group, "anchor": self.guid.hex()}
            exchange = await link.request(document, TrafficClass.RESYNC)
            try:
                maps = source.anchors.maps(self.guid)
                if maps is None:
                    raise ChannelEnded("the anchor was released")
                async for changed in changed_since(exchange, source.pool, source.environment, (), maps):
                    await self._compare(exchange, maps, changed)
            except PeerFault as fault:
                raise exchange.violated(fault) from None
            finally:
                exchange.close(drop_waiting=True)
        except (LinkError, StoreError) as error:
            self.failure = str(error)
        finally:
            self.is_over = True
            self._on_end(self)

    async def _compare(self, exchange: Exchange, maps: Sequence[FrozenMap], changed: ChangedRange) -> None:
        volume, first, count_blocks = changed
        for block in range(first, first + count_blocks, MAX_READ_BLOCKS):
            if self._is_stopped:
                raise ChannelEnded("the reading was stopped")
            began_s = self._source.environment.monotonic()
            count = min(MAX_READ_BLOCKS, first + count_blocks - block)
            await exchange.room()
            exchange.send(Kind.READ, block, _PART.pack(volume, count))
            own = await part_digest(self._source.environment, maps[volume], block, count)
            other = await _received_digest(exchange, block)
            self._note(ChangedRange(volume, block, count), own, other)
            self.read_blocks += count
            rest_s = began_s + count * BLOCK_BYTES / self.rate_bytes - self._source.environment.monotonic()
            if rest_s > 0:
                await self._source.environment.sleep(rest_s)

    def _note(self, part: ChangedRange, own: bytes, other: bytes) -> None:
        damaged = [word for word, digest in (("damaged here", own), ("damaged there", other)) if digest[:1] == IS_DAMAGED]
        words = damaged or (["different"] if own != other else [])
        self.count_damaged += len(damaged)
        self.count_different += words == ["different"]
        self.findings += [(word, part) for word in words][: MAX_READ_FINDINGS - len(self.findings)]


async def part_digest(environment: Environment, source: FrozenMap, block: int, count_blocks: int) -> bytes:
    """Return the body of READ_DIGEST for a part. Raises StoreError if it cannot be read, but not because of damage."""
    while True:
        try:
            data = await source.read(block, count_blocks)
        except DamagedBlock:
            return IS_DAMAGED + bytes(DIGEST_BYTES)
        except Scarcity:
            await environment.sleep(RETRY_S)
        else:
            return IS_READ + await environment.in_thread(_digest, data)


def _digest(data: Sequence[Buffer]) -> bytes:
    hasher = blake3()
    for each in data:
        hasher.update(each)
    return hasher.digest(DIGEST_BYTES)


async def _received_digest(exchange: Exchange, block: int) -> bytes:
    frame = await exchange.receive()
    if frame is None:
        raise ChannelEnded("the other member has ended the reading")
    exchange.consumed(frame)
    if frame.kind is not Kind.READ_DIGEST or frame.argument != block or len(frame.body) != 1 + DIGEST_BYTES:
        raise PeerFault("the answer to a READ is another frame")
    return bytes(frame.body)


async def serve_reading(source: Source, exchange: Exchange, document: Mapping[str, Json]) -> None:
    """Read the parts of an anchor for the primary. Raises LinkError."""
    maps = source.anchors.maps(read_message(READ_FIELDS, document).content("anchor"))
    if maps is None:
        raise RequestDenied(NO_ANCHOR, "this member does not have the anchor")
    exchange.answer({})
    while (frame := await exchange.receive()) is not None:
        exchange.consumed(frame)
        volume, count = _PART.unpack(frame.body) if len(frame.body) == _PART.size else (len(maps), 0)
        if frame.kind is not Kind.READ or volume >= len(maps) or not 0 < count <= MAX_READ_BLOCKS:
            raise exchange.violated(PeerFault("a READ is about a part that the anchor does not have"))
        if frame.argument + count > maps[volume].size_blocks:
            raise exchange.violated(PeerFault("a READ is beyond the end of a volume"))
        try:
            body = await part_digest(source.environment, maps[volume], frame.argument, count)
        except StoreError as error:
            raise RequestDenied(NO_ANCHOR, str(error)) from error
        await exchange.room()
        exchange.send(Kind.READ_DIGEST, frame.argument, body)
