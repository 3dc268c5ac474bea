"""A host that writes to all leaves of its map whenever the cleaner pauses: the cleaner still replaces the places of all moved
blocks. Otherwise their old segments would never be freed, and the pool would become full.
"""

from collections.abc import Awaitable, Callable
from random import Random

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, machine_with, start_cleaner
from tests.store.pools import block, read

from odx_target.store.api import PoolBusy
from odx_target.store.cleaning import cycle
from odx_target.store.cleaning.place_table import as_places
from odx_target.store.cleaning.relocating import Moves, relocate
from odx_target.store.map.leaf import LEAF_BLOCKS, expand
from odx_target.store.record_effects import Contents

LEAVES = 64
LIVE_BLOCKS = 32 * SEGMENT_BLOCKS
"""The blocks with data lie in all leaves."""


class FastHost:
    """Writes single blocks, each with its commit, at the pauses of the first relocation. It may also take a frozen map."""

    def __init__(self, writes_of_a_pause: int, *, freezes: bool) -> None:
        self.machine = machine_with(None, segment_blocks=8 * SEGMENT_BLOCKS)
        self.volume = self.machine.pool.create_volume("a", LEAVES * LEAF_BLOCKS, {})
        self.values: dict[int, int] = {}
        self._next_value = 1
        self._random = Random(1)
        self._writes_of_a_pause = writes_of_a_pause
        self._freezes = freezes
        self.frozen: list[object] = []
        self.pauses = 0
        """Number of pauses in which the host still writes."""
        cleaner = self.machine.pool.cleaner
        cleaner.cycles.pause = cleaner.cycles.hurried_pause = self._pause

    def write(self, count: int) -> None:
        for _ in range(count):
            at = self._random.randrange(LIVE_BLOCKS) * (LEAVES * LEAF_BLOCKS // LIVE_BLOCKS)
            try:
                self.volume.write(at, [block(self._next_value)])
            except PoolBusy:  # The next segment is being made.
                return
            self.values[at] = self._next_value
            self._next_value += 1
            self.machine.pool.commit()

    async def _pause(self) -> None:
        self.machine.pool.turns.hosts_were_served()
        if self.pauses > 0:
            self.pauses -= 1
            if self._freezes and self.pauses % 8 == 0:
                self.frozen = [*self.frozen[-3:], self.volume.freeze()]
            self.write(self._writes_of_a_pause)
        await self.machine.environment.turns.next()


def old_places(moves: Moves, contents: Contents) -> int:
    """Count the entries of all maps with places from which blocks were moved."""
    maps = [volume.map for volume in contents.volumes.values()] + [frozen.root for frozen in contents.frozen_maps.values()]
    found = 0
    for each in maps:
        for _, leaf in each.leaves():
            places = as_places(expand(leaf.present_entries()))
            found += int((moves.present(places) != places).sum())
    return found


@pytest.mark.parametrize(
    ("writes_of_a_pause", "freezes"),
    [(0, False), (1, False), (30, False), (3, True)],
    ids=["none", "one", "many", "frozen maps"],
)
def test_all_places_of_moved_blocks_are_replaced_while_a_host_writes(
    writes_of_a_pause: int, freezes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []

    async def watched(
        moves: Moves, contents: Contents, *others: object, then: Callable[..., Awaitable[None]] = relocate
    ) -> None:
        host.pauses = 0 if left else 500
        await then(moves, contents, *others)
        host.pauses = 0
        left.append(old_places(moves, contents))

    monkeypatch.setattr(cycle, "relocate", watched)
    host = FastHost(writes_of_a_pause, freezes=freezes)
    for _ in range(2 * LIVE_BLOCKS // SEGMENT_BLOCKS):
        host.write(SEGMENT_BLOCKS)
        host.machine.environment.settle()
    start_cleaner(host.machine.pool.cleaner)
    host.machine.environment.settle()
    assert left
    assert sum(left) == 0
    assert all(read(host.machine, host.volume, at, 1) == block(value) for at, value in host.values.items())
