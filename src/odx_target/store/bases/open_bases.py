"""The bases of an open pool, and the reads of blocks whose data is in them."""

from collections.abc import Collection, Sequence

from odx_target.environment import Buffer
from odx_target.store.bases.interface import Fetch
from odx_target.store.bases.missing import refers_to_bases
from odx_target.store.errors import Absent, DamagedBlock, SourceAway, Unreadable, Unsettled
from odx_target.store.ledger import Ledger
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BLOCKS, Entries, LeafMissing
from odx_target.store.segments.base_place import block_of_base, is_base_place
from odx_target.store.volumes.interface import Volume
from odx_target.store.volumes.volume import LogVolume

LEAVES_OF_A_STEP = 4
"""Number of leaves that are searched for base places in one step."""


class OpenBase:
    """A base of an open pool. `reads` is the number of reads that use it now."""

    def __init__(self, number: int, volume: LogVolume) -> None:
        self.number = number
        self.volume = volume
        self.fetch: Fetch | None = None
        self.reads = 0


class OpenBases:
    """The bases of one pool by their numbers. `BaseReads` in `store.log` describes the reads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._bases: dict[int, OpenBase] = {}
        self._settled: set[int] = set()

    def bases(self) -> Collection[OpenBase]:
        return self._bases.values()

    def base_of(self, volume: Volume) -> OpenBase:
        """Return the base whose volume this is. Raises Absent."""
        for base in self._bases.values():
            if base.volume is volume:
                return base
        raise Absent(f"the volume {volume.name} is not a base, or was deleted")

    def add(self, number: int, volume: LogVolume) -> OpenBase:
        base = self._bases[number] = OpenBase(number, volume)
        return base

    def note_settled(self, base: OpenBase) -> None:
        """Note that no map refers to a base any more, before it is removed."""
        self._settled.add(base.number)

    def remove(self, base: OpenBase) -> None:
        del self._bases[base.number]

    def read_now(self, place: int, count_blocks: int, block: int) -> Buffer | None:
        number, first = block_of_base(place)
        base = self._present_base(number, block)
        try:
            runs = base.volume.block_map.runs(first, count_blocks)
        except LeafMissing:
            return None
        if any(is_base_place(each) for each, _ in runs):
            return None
        try:
            buffers = self._ledger.reader.read_now(runs, first)
        except DamagedBlock as error:
            raise DamagedBlock(block + error.block - first) from error
        return None if buffers is None else _joined(buffers)

    async def read(self, place: int, count_blocks: int, block: int) -> Buffer:
        number, first = block_of_base(place)
        base = self._present_base(number, block)
        base.reads += 1
        try:
            return await self._read(base, first, count_blocks)
        except DamagedBlock as error:
            raise DamagedBlock(block + error.block - first) from error
        finally:
            base.reads -= 1

    async def _read(self, base: OpenBase, block: int, count_blocks: int) -> Buffer:
        end = block + count_blocks
        parts: list[Buffer] = []
        while block < end:
            in_leaf = min(end - block, LEAF_BLOCKS - (block & INDEX_MASK))
            await base.volume.load(block, in_leaf)
            place, count = base.volume.block_map.runs(block, in_leaf)[0]
            if not is_base_place(place):
                parts += await base.volume.read(block, count)
            elif base.fetch is None:
                raise SourceAway(f"block {block} of {base.volume.name} has not been fetched, and nothing fetches it now")
            else:
                parts.append(await base.fetch(block, count))
            block += count
        return _joined(parts)

    def _present_base(self, number: int, block: int) -> OpenBase:
        base = self._bases.get(number)
        if base is None and number in self._settled:
            raise Unreadable(block, "its base was settled during the read")  # The map has its place now.
        if base is None:
            raise DamagedBlock(block, "was never fetched, and the volume for its data was deleted")
        return base

    def check_entries(self, leaves: Sequence[Entries]) -> None:
        """Raise Unsettled if any leaf refers to a base, because its digest would change."""
        if self._bases:
            self._ledger.turns.take(len(leaves) // LEAVES_OF_A_STEP)
            if any(map(refers_to_bases, leaves)):
                raise Unsettled("some blocks are still being fetched from another array")


def _joined(buffers: Sequence[Buffer]) -> Buffer:
    return buffers[0] if len(buffers) == 1 else b"".join(buffers)
