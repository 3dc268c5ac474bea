"""A stream of the changed ranges between two sources of blocks, for maps of any size.

The maps are compared batch by batch. A thread reads the leaves of a batch that are not in memory, and compares all pairs of
the batch. Meanwhile, the event loop passes on the ranges of the batch before. The leaves that were read are not kept in memory,
so a comparison does not displace the leaves that hosts use.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from odx_target.environment import Work
from odx_target.store.catalogue.leaf_loader import Place
from odx_target.store.catalogue.stored_pairs import BodySource, StoredLeaf, compare_stored
from odx_target.store.errors import OutOfResources, StoreError
from odx_target.store.ledger import Ledger
from odx_target.store.log.pins import Pin
from odx_target.store.map.frozen_root import FrozenRoot, MapReader
from odx_target.store.map.leaf import LEAF_BLOCKS, Leaf
from odx_target.store.map.leaf_pairs import HOLE, Present, Ranges, ranges_of
from odx_target.store.map.node_pairs import next_leaf_pairs
from odx_target.store.volumes.changes import ChangedRanges, RangeStream

FIRST_PAIRS = 64
"""Largest number of pairs of leaves in the first batch. Each further batch may have twice as many, up to MAX_PAIRS. So a caller
that needs only the first ranges does not wait for a large batch."""

MAX_PAIRS = 1024
"""Largest number of pairs of leaves in a batch. Their entries need at most 16 MiB of memory. The next batch may need the same
memory at the same time."""

MAX_ENTRIES = 1 << 19
"""Largest number of entries of the leaves in a batch, if it has more than one pair. A leaf that must be read counts as dense. A
batch may find as many ranges as it has entries, so this limit bounds its memory to some tens of MiB."""

MAX_NODES = 64
"""Number of inner nodes after which the search for the pairs of a batch ends. The search takes up to 30 us for a node."""

RANGES_AT_ONCE = 4096
"""Largest number of ranges in one part of the stream. The ranges of a part are made in about a millisecond."""

PAIRS_OF_A_STEP = 4
STEPS_OF_A_NODE = 8
RANGES_OF_A_STEP = 8

MAX_REPEATS = 8
"""Number of times that a batch is compared again because the cleaner has begun to move blocks since the comparison began. After
the last time, equal blocks that were moved may count as different."""

NOTHING = FrozenRoot(None, 1, 0)
"""A map without blocks. The changed ranges from this map to another map are the allocated ranges of the other map."""

Maps = Callable[[], tuple[MapReader, MapReader]]
"""A function that returns the two maps as they are at the moment of the call. Raises Absent."""


async def changed_ranges(ledger: Ledger, maps: Maps, block: int) -> RangeStream:
    """Yield the changed ranges between two maps from `block` on; see `Pool.changed_ranges` in `store.api`."""
    turns = ledger.turns
    most, repeats = FIRST_PAIRS, 0
    batch: Batch | None = Batch(ledger, maps, block, most)
    while batch is not None:
        most = len(batch.blocks) if batch.is_cut else min(2 * most, MAX_PAIRS)
        ahead = Batch(ledger, maps, batch.end, most) if batch.end < batch.size_blocks else None
        await turns.next_if_spent()
        compared = await batch.compared()
        if batch.relocations != ledger.contents.relocations and repeats < MAX_REPEATS:
            batch, repeats = Batch(ledger, maps, batch.block, batch.max_pairs), repeats + 1
            continue
        repeats, end = 0, batch.end_of(compared, (None, None))
        if compared.error is not None:
            ahead = Batch(ledger, maps, end, FIRST_PAIRS)  # This batch raises the error, unless the read succeeds now.
        for part in _parts(compared.ranges, end):
            yield part
            turns.take(len(part.blocks) // RANGES_OF_A_STEP)
            await turns.next_if_spent()
        batch = ahead


def _parts(ranges: Ranges, end: int) -> Iterator[ChangedRanges]:
    """Divide ranges into parts. The last part ends at the block `end`, and all other parts at the end of their last range."""
    for first in range(0, max(len(ranges.blocks), 1), RANGES_AT_ONCE):
        blocks, counts, kinds = (column[first : first + RANGES_AT_ONCE] for column in ranges)
        is_last = first + RANGES_AT_ONCE >= len(ranges.blocks)
        yield ChangedRanges(blocks, counts, kinds, end if is_last else int(blocks[-1] + counts[-1]))


class Result(NamedTuple):
    """The changed ranges of a batch. `pairs_read` and `error` are those of `Compared`."""

    ranges: Ranges
    pairs_read: int
    error: StoreError | None


def _compare(
    source: BodySource,
    pairs: tuple[Sequence[int], Sequence[StoredLeaf], Sequence[StoredLeaf]],
    block: int,
    present: Present | None,
) -> Result:
    """Compare the pairs of a batch. Reads the catalogue, so call it in a thread."""
    compared = compare_stored(source, *pairs)
    return Result(ranges_of(compared.parts, block, present), compared.pairs_read, compared.error)


class Batch:
    """The comparison of some pairs of leaves, which begins at once. The pairs are those between the blocks `block` and `end`.

    If `until` is given, only pairs before this block are compared. `blocks` has the first block of each pair. `is_cut` is True
    if the batch would have had more than MAX_ENTRIES entries with more pairs. `relocations` belongs to the moment at which the
    entries of the leaves in memory were looked up.
    """

    def __init__(self, ledger: Ledger, maps: Maps, block: int, max_pairs: int, until: int | None = None) -> None:
        before, after = maps()
        self.block = block
        self.max_pairs = max_pairs
        self.size_blocks = max(before.size_blocks, after.size_blocks)
        self._present = None if before is NOTHING else ledger.contents.present
        self.relocations = ledger.contents.relocations
        pairs = next_leaf_pairs(before, after, block, max_pairs, MAX_NODES)
        if until is not None and pairs.end > until and (count := bisect_left(pairs.blocks, until)) < len(pairs.blocks):
            pairs.cut(count)
        self._ledger = ledger
        self._unread: list[Leaf] = []
        self._old = self._stored(before, pairs.old)
        self._new = self._stored(after, pairs.new)
        count = len(pairs.blocks) if self._is_small() else _fitting(self._old, self._new)
        self.is_cut = count < len(pairs.blocks)
        if self.is_cut:
            pairs.cut(count)
            del self._old[count:], self._new[count:]
        self.blocks, self.end = pairs.blocks, max(pairs.end, block)
        self._pin: Pin | None = ledger.reader.pins.pin((), self._unread)
        self._result: Result | None = None
        self._error: Exception = OutOfResources("the array stops")
        self._ended = ledger.environment.event()
        ledger.turns.take(len(pairs.blocks) // PAIRS_OF_A_STEP + pairs.nodes * STEPS_OF_A_NODE)
        ledger.environment.start_soon(self._compare)

    def end_of(self, compared: Result, place: Place) -> int:
        """Return the block before which the result has all ranges. If the first leaf could not be read, raises DamagedBlock,
        Unreadable or OutOfResources, and reports the error as one of `place`.
        """
        if compared.error is None:
            return self.end
        end = self.blocks[compared.pairs_read]
        if end <= self.block:
            raise self._ledger.leaves.explained(compared.error, self.block, place)
        return end

    async def compared(self) -> Result:
        """Wait for the result. Raises Scarcity if no thread or no memory was available, or if the array stops."""
        await self._ended.wait()
        if self._result is None:
            raise self._error
        return self._result

    def _is_small(self) -> bool:
        """True if it is clear without a look at each pair that the batch has at most MAX_ENTRIES entries."""
        entries = len(self._unread) * LEAF_BLOCKS
        for leaves in (self._old, self._new):
            entries += sum([len(leaf) for leaf in leaves if not isinstance(leaf, int)])
        return entries <= MAX_ENTRIES

    def _stored(self, reader: MapReader, leaves: Sequence[Leaf | None]) -> list[StoredLeaf]:
        """Return the entries of leaves, or their numbers if the entries are not in memory."""
        found: list[StoredLeaf] = [HOLE if leaf is None else leaf.entries for leaf in leaves]
        if not (all(found) and reader.is_frozen):
            for at, leaf in enumerate(leaves):
                if leaf is not None:
                    found[at] = self._stored_leaf(reader, leaf)
        return found

    def _stored_leaf(self, reader: MapReader, leaf: Leaf) -> StoredLeaf:
        entries = self._ledger.leaves.memory.entries_of(leaf)
        if not entries:
            self._unread.append(leaf)
            return leaf.stored
        return entries[:] if reader.may_change(leaf) else entries

    async def _compare(self) -> None:
        ledger = self._ledger
        try:
            pairs = self.blocks, self._old, self._new
            self._result = await ledger.environment.in_thread(
                _compare, ledger.leaves.catalogue, pairs, self.block, self._present, work=Work.UPKEEP
            )
        except MemoryError:
            self._error = OutOfResources("no memory for the comparison of two maps")
        except Exception as error:
            self._error = error  # The caller of the stream gets it, even that of a bug. It must not end the array.
        finally:
            self._pin = None  # While leaves are pinned, no segment is freed. So the pin must not wait for the caller.
            self._old, self._new = [], []
            self._ended.set()


def _fitting(old: Sequence[StoredLeaf], new: Sequence[StoredLeaf]) -> int:
    """Return the number of pairs whose leaves have at most MAX_ENTRIES entries, but at least one pair."""
    entries = 0
    for number, pair in enumerate(zip(old, new, strict=True)):
        entries += sum(LEAF_BLOCKS if isinstance(leaf, int) else len(leaf) for leaf in pair)
        if entries > MAX_ENTRIES and number:
            return number
    return len(old)
