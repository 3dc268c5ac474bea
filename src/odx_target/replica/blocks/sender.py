"""The side of an exchange of blocks that has the data. It offers parts of a source in order, and sends the wanted blocks.

The sender keeps the data of a part until its blocks are sent, so each block is read once. Up to `MAX_OFFERS` parts are under
way.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from odx_target.environment import Buffer, Environment
from odx_target.native.checksum import checksums_of_blocks
from odx_target.replica.blocks.compression import LinkCompression, PathCompression, compress
from odx_target.replica.blocks.fingerprints import fingerprints_in_turns
from odx_target.replica.blocks.formats import BlockState, Offer, decode_want, encode_data_head, encode_offer
from odx_target.replica.blocks.limits import (
    MAX_DATA_BLOCKS,
    MAX_OFFER_BLOCKS,
    MAX_OFFERS,
    MAX_WAIT_S,
    MIN_HIT_PERCENT,
    PAUSE_AFTER_BYTES,
    RAW_DATA_BLOCKS,
    RETRY_AFTER_BYTES,
    TURN_BLOCKS,
)
from odx_target.replica.blocks.part_finder import Base, PartFinder, Run, Unknown
from odx_target.replica.blocks.ranges import runs_of
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import NO_FLAGS, Flag, Kind
from odx_target.replica.link.limits import MAX_BODY_BYTES
from odx_target.replica.paths.exchange import Exchange
from odx_target.store.api import BLOCK_BYTES, BlockSource, Change, DamagedBlock


@dataclass
class SendTotals:
    """Counts of an exchange."""

    offered_blocks: int = 0
    known_blocks: int = 0
    """Offered blocks that the receiver has already."""
    sent_blocks: int = 0
    data_bytes: int = 0
    """Size of the bodies of DATA on the link."""
    done_blocks: int = 0
    """Blocks in all parts that were sent, except those that are the same in the base."""
    parts: int = 0
    """Number of parts that were offered."""


@dataclass
class _Part:
    first: int
    offer: Offer
    contents: "_Contents"
    to_send: list[int] | None
    """Indexes of the blocks to send. None until the receiver has answered."""


class _Contents:
    """The data of some of the `count` blocks of a part, in the order of their indexes."""

    def __init__(self, count: int) -> None:
        self.indexes: list[int] = []
        self._checksums = [0] * count
        """The CRC32C of each block of the part, by its index. 0 for blocks without data."""
        self._runs: list[tuple[int, memoryview]] = []

    def add(self, index: int, content: memoryview) -> None:
        """Add adjacent blocks, of which the first has this index. They come after all other blocks."""
        count = len(content) // BLOCK_BYTES
        self.indexes += range(index, index + count)
        self._checksums[index : index + count] = checksums_of_blocks(content, BLOCK_BYTES)
        self._runs.append((index, content))

    def mark(self, states: bytearray, state: BlockState) -> None:
        """Set the states of all blocks that were added."""
        for index, content in self._runs:
            count = len(content) // BLOCK_BYTES
            states[index : index + count] = bytes([state]) * count

    def buffers(self) -> Iterable[memoryview]:
        """Return the data of all blocks."""
        return [content for _, content in self._runs]

    def checksums(self, indexes: Sequence[int]) -> Sequence[int]:
        """Return the CRC32Cs of some blocks, whose indexes are in ascending order."""
        return [checksum for index, count in runs_of(indexes) for checksum in self._checksums[index : index + count]]

    def joined(self, indexes: Sequence[int]) -> Buffer:
        """Return the joined data of some blocks, whose indexes are in ascending order."""
        pieces = [self._content(index, count) for index, count in runs_of(indexes)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _content(self, index: int, count: int) -> Buffer:
        """Return the data of adjacent blocks, which may have been added in several pieces."""
        pieces: list[memoryview] = []
        number, end = bisect_right(self._runs, index, key=lambda run: run[0]) - 1, index + count
        while index < end:
            first, content = self._runs[number]
            pieces.append(content[(index - first) * BLOCK_BYTES : (end - first) * BLOCK_BYTES])
            number, index = number + 1, first + len(content) // BLOCK_BYTES
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass
class OfferPolicy:
    """Decides if fingerprints are offered. If the receiver has few of the offered blocks, they are not worth their cost."""

    is_on: bool = True
    _offered: int = 0
    _known: int = 0
    _sent: int = 0

    def note_answer(self, offered: int, known: int) -> None:
        """Note how many of the offered blocks the receiver has."""
        self._offered += offered
        self._known += known
        if self._offered * BLOCK_BYTES >= PAUSE_AFTER_BYTES:
            self.is_on = self._known * 100 >= self._offered * MIN_HIT_PERCENT
            self._offered = self._known = self._sent = 0

    def note_unasked(self, sent: int) -> None:
        """Note how many blocks were sent without an offer."""
        self._sent += sent
        if not self.is_on and self._sent * BLOCK_BYTES >= RETRY_AFTER_BYTES:
            self.is_on = True
            self._sent = 0


class BlockSender:
    """Sends the parts of `source` that differ from `base`. `key` is the key of the fingerprints. A part has up to
    `part_blocks`. Call `run` once.
    """

    def __init__(
        self,
        exchange: Exchange,
        source: BlockSource,
        key: bytes,
        compression: PathCompression,
        environment: Environment,
        base: Base | None = None,
        part_blocks: int = MAX_OFFER_BLOCKS,
    ) -> None:
        self.totals = SendTotals()
        self.policy = OfferPolicy()
        self._exchange = exchange
        self._source = source
        self._key = key
        self._compression = compression
        self._environment = environment
        self._base = Unknown() if base is None else base
        self._part_blocks = part_blocks
        self._under_way: deque[_Part] = deque()
        self._spent_s = 0.0
        """Time that compression and waits for the line have taken since the last DATA."""

    async def run(self, first: int, count: int) -> None:
        """Offer a range of blocks part by part, and send what the receiver wants. Returns when the receiver closes the channel.

        Raises ChannelEnded and PeerFault, and the exceptions of `BlockSource.read` except DamagedBlock.
        """
        self._exchange.max_wait_s = MAX_WAIT_S
        parts = PartFinder(self._source, self._base, first, first + count, self._environment, self._part_blocks)
        while not parts.has_ended or self._under_way:
            if not parts.has_ended and len(self._under_way) < MAX_OFFERS:
                runs = await parts.next()
                await self._offer(runs, is_last=parts.has_ended)
            while (frame := self._exchange.received_now()) is not None:
                self._answered(frame)
            if self._under_way and self._under_way[0].to_send is not None:
                await self._send(self._under_way.popleft())
            elif parts.has_ended or len(self._under_way) == MAX_OFFERS:
                arrived = await self._exchange.receive()
                if arrived is None:
                    return
                self._answered(arrived)
        while await self._exchange.receive() is not None:
            pass

    async def _offer(self, runs: list[Run], *, is_last: bool) -> None:
        first, count = runs[0].block, sum(run.count_blocks for run in runs)
        states, contents = bytearray([BlockState.LOST]) * count, _Contents(count)
        for at, run_blocks, change in runs:
            if change is Change.DATA:
                for block in range(at, at + run_blocks, TURN_BLOCKS):
                    await self._read(first, block, min(TURN_BLOCKS, at + run_blocks - block), contents)
            else:
                state = BlockState.HOLE if change is Change.HOLE else BlockState.SAME
                states[at - first : at - first + run_blocks] = bytes([state]) * run_blocks
        offers, indexes = self.policy.is_on, contents.indexes
        contents.mark(states, BlockState.FINGERPRINT if offers else BlockState.UNASKED)
        if offers:
            fingerprints = await fingerprints_in_turns(self._key, contents.buffers(), self._environment.turns)
            offer = Offer(bytes(states), fingerprints, tuple(contents.checksums(indexes)))
        else:
            offer = Offer(bytes(states))
        part = _Part(first, offer, contents, None if offers and indexes else indexes)
        await self._room()
        self._exchange.send(Kind.OFFER, first, encode_offer(offer), Flag.END if is_last else NO_FLAGS)
        self._under_way.append(part)
        self.totals.parts += 1
        if offers:
            self.totals.offered_blocks += len(indexes)
        else:
            self.policy.note_unasked(len(indexes))

    async def _read(self, first: int, block: int, count: int, contents: _Contents) -> None:
        """Read blocks of the part that begins at `first`, and add them to `contents`. Damaged blocks are left out."""
        try:
            buffers = self._source.read_now(block, count)
            if buffers is None:
                buffers = await self._source.read(block, count)
            content = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
        except DamagedBlock:
            half = count // 2
            if half:
                await self._read(first, block, half, contents)
                await self._read(first, block + half, count - half, contents)
            return
        contents.add(block - first, content)

    def _answered(self, frame: Frame) -> None:
        """Note what the receiver wants of the first part without an answer."""
        part = next((each for each in self._under_way if each.to_send is None), None)
        if frame.kind is not Kind.WANT or part is None or part.first != frame.argument:
            raise self._exchange.violated(PeerFault("a WANT answers no OFFER"))
        try:
            part.to_send = decode_want(frame.body, part.offer)
        except PeerFault as fault:
            raise self._exchange.violated(fault) from None
        offered = len(part.contents.indexes)
        known = offered - len(part.to_send)
        self.totals.known_blocks += known
        self.policy.note_answer(offered, known)
        self._exchange.consumed(frame)

    async def _send(self, part: _Part) -> None:
        assert part.to_send is not None
        compression = self._compression.present
        most = MAX_DATA_BLOCKS if compression is LinkCompression.WAN else RAW_DATA_BLOCKS
        for start in range(0, len(part.to_send), most):
            await self._send_blocks(part, part.to_send[start : start + most], compression)
        self.totals.done_blocks += part.offer.count - part.offer.states.count(BlockState.SAME)

    async def _send_blocks(self, part: _Part, indexes: list[int], compression: LinkCompression) -> None:
        content = part.contents.joined(indexes)
        began_s = self._environment.monotonic()
        if compression is LinkCompression.WAN:
            compressed, flag = await self._environment.in_thread(compress, compression, content)
        else:
            compressed, flag = compress(compression, content)
        self._spent_s += self._environment.monotonic() - began_s
        body = encode_data_head(indexes, part.contents.checksums(indexes)) + compressed
        if len(body) > MAX_BODY_BYTES:
            half = len(indexes) // 2
            await self._send_blocks(part, indexes[:half], compression)
            await self._send_blocks(part, indexes[half:], compression)
            return
        await self._room()
        self._compression.note(compression, len(content), self._spent_s)
        self._spent_s = 0.0
        self._exchange.send(Kind.DATA, part.first, body, flag)
        self._environment.turns.take(len(indexes))
        await self._environment.turns.next_if_spent()
        self.totals.sent_blocks += len(indexes)
        self.totals.data_bytes += len(body)

    async def _room(self) -> None:
        """Wait until another frame may be sent, and note how long this takes. Raises ChannelEnded."""
        if not self._exchange.has_room:
            began_s = self._environment.monotonic()
            await self._exchange.room()
            self._spent_s += self._environment.monotonic() - began_s
