"""Runs and streams of the changes between two sources, in a form that does not depend on their division into parts."""

from collections.abc import Iterable
from typing import TypeAlias

from tests.sim.virtual_environment import VirtualEnvironment

from odx_target.store.api import BlockSource, Change, Pool

Changes: TypeAlias = list[tuple[int, int, Change]]


def merged(runs: Iterable[tuple[int, int, Change]]) -> Changes:
    """Join adjacent runs of the same kind, and leave out unchanged blocks."""
    found: Changes = []
    for at, count, change in runs:
        if found and found[-1][2] is change and sum(found[-1][:2]) == at:
            found[-1] = (found[-1][0], found[-1][1] + count, change)
        elif change is not Change.NONE:
            found.append((at, count, change))
    return found


def streamed(
    environment: VirtualEnvironment, pool: Pool, older: BlockSource | None, newer: BlockSource, block: int = 0
) -> Changes:
    """Return the ranges of a whole stream from `block` on, merged. Checks the order of the ranges and the ends of the parts."""

    async def collected() -> Changes:
        at, found = block, Changes()
        async for part in pool.changed_ranges(older, newer, block):
            assert part.end >= at
            for first, count, kind in part.ranges():
                assert at <= first < first + count <= part.end
                at = first + count
                found.append((first, count, kind))
            at = part.end
        assert at == max(block, newer.size_blocks, 0 if older is None else older.size_blocks)
        return merged(found)

    return environment.run(collected())
