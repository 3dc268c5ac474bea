"""Settling of a base: in all maps, base places are replaced by the places of the data in the base.

Afterwards no map refers to the base, so it can be deleted. The new places are durable with the next checkpoint. If the array
ends before, the maps have base places again, and the settling is repeated.
"""

from array import array
from typing import TypeAlias

from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.cleaning.relocating import replace_places
from odx_target.store.cleaning.walking import Pause
from odx_target.store.errors import StoreError
from odx_target.store.ledger import Ledger
from odx_target.store.map.entries import whole_runs
from odx_target.store.map.leaf import HOLES, INDEX_MASK, LEAF_BLOCKS, Entries, packed
from odx_target.store.segments.base_place import block_of_base, is_base_place, is_of_base
from odx_target.store.volumes.volume import LogVolume

Runs: TypeAlias = list[tuple[int, int]]

AHEAD_BLOCKS = 16 * LEAF_BLOCKS
"""Number of blocks of the base whose leaves are loaded together: 64 MiB."""


class Settling:
    """Settles one base. `volume` is the base, and `number` is its number."""

    def __init__(self, number: int, volume: LogVolume, ledger: Ledger, checkpointer: Checkpointer) -> None:
        self._number = number
        self._volume = volume
        self._ledger = ledger
        self._checkpointer = checkpointer
        self._new: Entries | None = None
        """New entries of the leaf that is visited next. None if the leaf does not refer to the base."""

    async def run(self, pause: Pause) -> bool:
        """Settle the base, and save a checkpoint. Returns False if some maps may still refer to the base. Raises StoreError or
        OSError if a leaf cannot be read, or if no checkpoint can be saved.
        """
        ledger, checkpointer = self._ledger, self._checkpointer
        is_done = await replace_places(
            lambda _entries: self._new, ledger.contents, ledger.leaves, checkpointer, ledger.turns, pause, self._prepare
        )
        if is_done:
            # The base will be deleted, so the records that refer to it can no longer be replayed from the beginning of the log.
            await checkpointer.mark_cleaned()
            await checkpointer.save()
        return is_done

    async def _prepare(self, entries: Entries) -> bool:
        """Find the new entries of the leaf that is visited next. Returns True if this had to wait.

        The places in the base stay valid, because no block of it is missing and the cleaner does not work.
        """
        runs = whole_runs(entries)
        self._new = None
        if not any(is_of_base(place, self._number) for place, _ in runs):
            return False
        has_waited = False
        dense = HOLES[:]
        index = 0
        for place, count in runs:
            found, waited = await self._present(place, count) if is_of_base(place, self._number) else ([(place, count)], False)
            has_waited |= waited
            for new, length in found:
                if new:
                    dense[index : index + length] = array("Q", range(new, new + length))
                index += length
        self._new = packed(dense) or dense
        return has_waited

    async def _present(self, place: int, count_blocks: int) -> tuple[Runs, bool]:
        """Return the runs of the base to which a run refers. The second value is True if this had to wait."""
        live = self._volume.block_map
        _, block = block_of_base(place)
        found: Runs = []
        has_waited = False
        end = block + count_blocks
        while block < end:
            count = min(end - block, LEAF_BLOCKS - (block & INDEX_MASK))
            if live.missing_leaves(block, count):
                await self._volume.load(block, min(AHEAD_BLOCKS, self._volume.size_blocks - block))
                has_waited = True
            found += live.runs(block, count)
            block += count
        if any(is_base_place(each) for each, _ in found):
            raise StoreError(f"blocks before block {end} of the base {self._volume.name} are missing")
        return found, has_waited
