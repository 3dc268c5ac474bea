"""The side of an exchange of blocks that gets the data. It finds out what it has already, and writes the rest to a volume.

For each offered fingerprint with a hint, the receiver links the block to the data that the hint names. The link checks the
CRC32C. Then the receiver reads the linked block and compares its fingerprint. So a wrong hint costs a read, and never leaves
wrong data: a block whose fingerprint differs is wanted, and its data replaces the link. The volume must be hidden from hosts
until the exchange has ended.

A part is complete when all its wanted blocks have arrived. `on_part` is called after its blocks are in the open batch of the
pool, and may add a mark to the same batch. Parts are completed in order.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from odx_target.environment import Buffer, Environment
from odx_target.native.checksum import checksums_of_blocks
from odx_target.replica.blocks.compression import decompress
from odx_target.replica.blocks.fingerprints import fingerprints_in_turns
from odx_target.replica.blocks.formats import FINGERPRINT_BYTES, BlockState, Offer, cut, decode_data, decode_offer, encode_want
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import MAX_OFFER_BLOCKS, MAX_OFFERS, MAX_WAIT_S, TURN_BLOCKS, WINDOW_BYTES
from odx_target.replica.blocks.ranges import part_end, runs_of
from odx_target.replica.link.errors import ChannelEnded, PeerFault
from odx_target.replica.link.frame import HEADER_BYTES, Frame
from odx_target.replica.link.kinds import Flag, Kind
from odx_target.replica.paths.exchange import Exchange
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, Pool, PoolBusy, Unreadable, Volume

OnPart = Callable[[int, int], None]


class EndedEarly(ChannelEnded):
    """The peer has closed the channel before all parts were complete, although the link is open."""


@dataclass
class ReceiveTotals:
    """Counts of an exchange."""

    offered_blocks: int = 0
    linked_blocks: int = 0
    """Offered blocks that this array has already."""
    repeated_blocks: int = 0
    """Offered blocks that are equal to a block which was requested shortly before, so that they are not sent again."""
    wrong_hints: int = 0
    received_blocks: int = 0
    data_bytes: int = 0
    """Size of the bodies of DATA on the link."""
    done_blocks: int = 0
    """Blocks in all complete parts, except those that are the same in the base."""
    parts: int = 0
    """Number of complete parts."""
    lost_blocks: list[int] = field(default_factory=list)
    """Numbers of the blocks that the sender could not read. They were not changed."""
    link_bytes: int = 0
    """Size of the frames of the exchange, in both directions."""


@dataclass(eq=False)
class _Part:
    first: int
    offer: Offer
    missing: set[int]
    """Indexes of the blocks whose data has not arrived."""
    frames: list[tuple[Sequence[int], memoryview]] = field(default_factory=list)
    """The arrived data: indexes of blocks in ascending order, and their joined content."""
    requested: dict[bytes, int] = field(default_factory=dict)
    """The indexes of the blocks that were requested after an offer, by their fingerprints."""
    copies: "dict[int, list[tuple[_Part, int]]]" = field(default_factory=dict)
    """For the index of a block: the equal blocks of this part and of later ones that were not requested, as part and index. A
    part does not refer to earlier ones, because a chain of parts would keep all their data in memory."""
    copied: dict[int, Buffer] = field(default_factory=dict)
    """Data of the blocks that are equal to a requested one."""

    def data(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the arrived blocks: the index of each, and its data."""
        for indexes, content in self.frames:
            for number, index in enumerate(indexes):
                yield index, content[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]


class BlockReceiver:
    """Receives parts into `volume`. `key` is the key of the fingerprints, and `hints` belong to the path. Call `run` once.

    `has_base` is True if the sender knows what the volume has, and leaves out blocks that are the same. A part has up to
    `part_blocks`.
    """

    def __init__(
        self,
        exchange: Exchange,
        pool: Pool,
        volume: Volume,
        key: bytes,
        hints: Hints,
        environment: Environment,
        on_part: OnPart,
        *,
        has_base: bool = False,
        part_blocks: int = MAX_OFFER_BLOCKS,
    ) -> None:
        self.totals = ReceiveTotals()
        self._exchange = exchange
        self._pool = pool
        self._volume = volume
        self._key = key
        self._hints = hints
        self._environment = environment
        self._on_part = on_part
        self._has_base = has_base
        self._part_blocks = part_blocks
        self._under_way: deque[_Part] = deque()
        self._coming: dict[bytes, _Part] = {}
        """The parts of the requested blocks by their fingerprints, until these parts are complete."""
        self._next = self._end = 0

    async def run(self, first: int, count: int) -> None:
        """Receive a range of blocks until all its parts are complete.

        Raises ChannelEnded if the peer ends the exchange early, RequestDenied if it cannot read the data, and PeerFault if it
        violates the rules. May raise the exceptions of `Volume.write`.
        """
        self._next, self._end = first, first + count
        self._exchange.max_wait_s = MAX_WAIT_S
        with suppress(ChannelEnded):  # `receive` then says why the channel has ended.
            self._exchange.widen(WINDOW_BYTES)
        while self._next < self._end or self._under_way:
            frame = await self._exchange.receive()
            if frame is None:
                raise EndedEarly("the peer has ended the exchange early")
            self.totals.link_bytes += frame.size_bytes
            try:
                if frame.kind is Kind.OFFER:
                    await self._offered(frame)
                else:
                    self._arrived(frame)
            except PeerFault as fault:
                raise self._exchange.violated(fault) from None
            while self._under_way and not self._under_way[0].missing:
                await self._complete(self._under_way.popleft())
            self._exchange.consumed(frame)

    async def _offered(self, frame: Frame) -> None:
        offer, first = decode_offer(frame.body), frame.argument
        following = part_end(first, self._end, self._part_blocks)
        is_next = self._next <= first < self._end if self._has_base else first == self._next
        if len(self._under_way) >= MAX_OFFERS or not is_next or first + offer.count != following:
            raise PeerFault("an OFFER is not the next one of the range")
        if not self._has_base and BlockState.SAME in offer.states:
            raise PeerFault("an OFFER has a block that is the same as in the base, but there is no base")
        self._next = following
        if bool(frame.flags & Flag.END) is not (following == self._end):
            raise PeerFault("the last OFFER is marked in a wrong way")
        self.totals.lost_blocks += [first + index for index in offer.indexes_of(BlockState.LOST)]
        part = _Part(first, offer, set(offer.indexes_of(BlockState.UNASKED)))
        if offer.fingerprints:
            wanted = self._not_coming(part, await self._unknown(first, offer))
            await self._exchange.room()
            want = encode_want(offer.count, wanted)
            self.totals.link_bytes += HEADER_BYTES + len(want)
            self._exchange.send(Kind.WANT, first, want)
            part.missing.update(wanted)
        self._under_way.append(part)

    async def _unknown(self, first: int, offer: Offer) -> list[int]:
        """Link the blocks that this array has, and return the numbers of the other fingerprints of the offer."""
        indexes = offer.indexes_of(BlockState.FINGERPRINT)
        self.totals.offered_blocks += len(indexes)
        places = self._hints.find(offer.fingerprints)
        hinted = [index for index, place in zip(indexes, places, strict=True) if place]
        right: list[int] = []
        linked_blocks = 0
        for start, count in runs_of(hinted, TURN_BLOCKS):
            number = bisect_left(indexes, start)
            linked = await self._link(first + start, places[number : number + count], offer.checksums[number : number + count])
            for at, linked_count in runs_of(linked):
                right += await self._verified(first + start + at, offer, number + at, linked_count)
            linked_blocks += len(linked)
        self.totals.linked_blocks += len(right)
        self.totals.wrong_hints += linked_blocks - len(right)
        if len(right) in (0, len(indexes)):
            return [] if right else list(range(len(indexes)))
        known = set(right)
        return [number for number in range(len(indexes)) if number not in known]

    async def _link(self, block: int, places: Sequence[int], checksums: Sequence[int]) -> list[int]:
        """Link adjacent blocks. Returns the indexes of the linked ones. The data at the other places is gone, or has another
        checksum.
        """
        found: list[int] = []
        await self._change(lambda: found.extend(self._volume.link_run(block, places, checksums)))
        return found

    async def _verified(self, block: int, offer: Offer, number: int, count: int) -> Sequence[int]:
        """Return the numbers of those of some adjacent linked blocks whose data has the offered fingerprint. `number` is the
        number of the fingerprint of the first block.
        """
        try:
            buffers = self._volume.read_now(block, count) or await self._volume.read(block, count)
        except (DamagedBlock, Unreadable):
            return ()  # The sender sends these blocks.
        content = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
        present = await fingerprints_in_turns(self._key, [content], self._environment.turns)
        numbers = range(number, number + count)
        offered = offer.fingerprints[number * FINGERPRINT_BYTES : (number + count) * FINGERPRINT_BYTES]
        if present == offered:
            return numbers
        pairs = zip(numbers, cut(present), cut(offered), strict=True)
        return [each for each, ours, theirs in pairs if ours == theirs]

    def _not_coming(self, part: _Part, numbers: list[int]) -> list[int]:
        """Return the indexes of the blocks to request. A block with the fingerprint of one that is coming is copied from it."""
        if not numbers:
            return []
        offered, fingerprints = part.offer.indexes_of(BlockState.FINGERPRINT), cut(part.offer.fingerprints)
        if len(numbers) < len(offered):
            offered, fingerprints = [offered[each] for each in numbers], [fingerprints[each] for each in numbers]
        distinct = dict(zip(fingerprints, offered, strict=True))
        if len(distinct) == len(offered) and self._coming.keys().isdisjoint(distinct):
            self._coming.update(dict.fromkeys(distinct, part))
            part.requested = distinct
            return offered
        wanted: list[int] = []
        for index, fingerprint in zip(offered, fingerprints, strict=True):
            source = self._coming.setdefault(fingerprint, part)
            at = source.requested.setdefault(fingerprint, index)
            if source is part and at == index:
                wanted.append(index)
            else:
                source.copies.setdefault(at, []).append((part, index))
        self.totals.repeated_blocks += len(offered) - len(wanted)
        return wanted

    def _arrived(self, frame: Frame) -> None:
        if frame.kind is not Kind.DATA or not self._under_way or self._under_way[0].first != frame.argument:
            raise PeerFault(f"a {frame.kind.name} does not belong to the first incomplete OFFER")
        part = self._under_way[0]
        found = decode_data(frame.body)
        if not part.missing.issuperset(found.indexes):
            raise PeerFault("a DATA has a block that is not wanted")
        content = memoryview(decompress(frame.flags, found.content, len(found.indexes) * BLOCK_BYTES))
        if checksums_of_blocks(content, BLOCK_BYTES) != list(found.checksums):
            raise PeerFault("a block does not match its checksum")
        part.frames.append((found.indexes, content))
        part.missing.difference_update(found.indexes)
        self.totals.received_blocks += len(found.indexes)
        self.totals.data_bytes += len(frame.body)

    async def _complete(self, part: _Part) -> None:
        """Write the data of a part, and note hints for it."""
        for index, count in runs_of(part.offer.indexes_of(BlockState.HOLE)):
            await self._change(lambda at=part.first + index, count=count: self._volume.unmap(at, count))  # type: ignore[misc]
        if part.copies:
            for at, block in part.data():
                if at in part.copies:
                    data = bytes(block)  # A view would keep the whole frame.
                    for other, index in part.copies[at]:
                        other.copied[index] = data
        for indexes, content in part.frames:
            await self._write_runs(part.first, indexes, content)
        if part.copied:
            indexes = sorted(part.copied)
            await self._write_runs(part.first, indexes, memoryview(b"".join([part.copied[index] for index in indexes])))
        await self._change(lambda: self._on_part(part.first, part.offer.count))
        await self._pool.committed()
        self.totals.parts += 1
        self.totals.done_blocks += part.offer.count - part.offer.states.count(BlockState.SAME)
        for fingerprint in part.requested:
            del self._coming[fingerprint]
        if part.frames:
            await self._note_hints(part)

    async def _write_runs(self, first: int, indexes: Sequence[int], content: memoryview) -> None:
        """Write blocks whose joined data is `content`. One buffer costs the log less than one for each block."""
        at = 0
        for index, count in runs_of(indexes, TURN_BLOCKS):
            await self._write(first + index, [content[at * BLOCK_BYTES : (at + count) * BLOCK_BYTES]])
            at += count
            await self._environment.turns.next_if_spent()

    async def _write(self, block: int, buffers: list[Buffer]) -> None:
        data = await self._volume.prepare(block, buffers) if self._volume.must_prepare(buffers) else buffers
        await self._change(lambda: self._volume.write(block, data))

    async def _note_hints(self, part: _Part) -> None:
        """Remember the places of the received blocks, so that the next equal block need not be sent."""
        turns, requested = self._environment.turns, set(part.requested.values())
        unasked = [frame for frame in part.frames if requested.isdisjoint(frame[0])]
        indexes = [*part.requested.values(), *(index for arrived, _ in unasked for index in arrived)]
        hashed = await fingerprints_in_turns(self._key, [content for _, content in unasked], turns)
        fingerprints = b"".join([*part.requested, hashed])
        places = self._volume.places_now(part.first, part.offer.count)
        if indexes != list(range(part.offer.count)):
            places = [places[index] for index in indexes]
        self._hints.note(fingerprints, places)
        turns.take(len(indexes))
        await turns.next_if_spent()

    async def _change(self, change: Callable[[], object]) -> None:
        """Change the pool, and wait while it makes room. May raise the exceptions of `Volume.write` except PoolBusy."""
        while True:
            try:
                change()
            except PoolBusy:
                await self._volume.room_made()
            else:
                await self._environment.turns.next_if_spent()
                return
