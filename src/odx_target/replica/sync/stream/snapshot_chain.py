"""The snapshots that were taken while the other member was out of sync. A resync ships them first, each with its content.

The other member then has exactly the content of one snapshot after the other, from an anchor on, so it can take the same
snapshots. Meanwhile, no records are shipped, which would be newer.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from heapq import nlargest

from odx_target.environment import Environment
from odx_target.replica.link.errors import ChannelEnded
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.replica.sync.anchors.changed_blocks import ChangedRange, changed_since
from odx_target.replica.sync.limits import FILL_BLOCKS, MAX_NAMED_SNAPSHOTS
from odx_target.replica.sync.stream.documents import lineage_changed, taken_again
from odx_target.replica.sync.stream.items import Item, ItemKind
from odx_target.replica.sync.stream.shipping import Range, RecordsFollow, Shipped
from odx_target.store.api import BlockSource, FrozenMap, Pool, Snapshot, Volume


class SnapshotChain:
    """The snapshots of `volumes` that are newer than the maps of an anchor and not among `theirs`, the oldest first."""

    def __init__(self, pool: Pool, volumes: Sequence[Volume], anchor: Sequence[FrozenMap], theirs: Collection[bytes]) -> None:
        self._pool = pool
        self.last: list[BlockSource] = list(anchor)
        """The maps of the anchor, and during the walk the newest content of each volume that the other member has."""
        links = [
            (index, snapshot)
            for index, (volume, frozen) in enumerate(zip(volumes, anchor, strict=False))
            for snapshot in volume.snapshots.values()
            if snapshot.identifier > frozen.identifier
            and snapshot.guid not in theirs
            and KEPT_ATTRIBUTE not in snapshot.attributes
        ]
        self._links = sorted(links, key=lambda link: link[1].identifier)

    @property
    def guids(self) -> list[bytes]:
        """The guids of the snapshots, the oldest first."""
        return [snapshot.guid for _, snapshot in self._links]

    @property
    def volumes(self) -> set[int]:
        """The indexes of the volumes that have snapshots in the chain."""
        return {index for index, _ in self._links}

    async def walk(
        self, exchange: Exchange, environment: Environment, others: Sequence[ChangedRange]
    ) -> AsyncIterator[Shipped]:
        """Yield the snapshots with their content. `others` are the ranges that the other member has changed since the anchor.

        Raises DamagedBlock, and ChannelEnded if the exchange ends or a snapshot was deleted meanwhile.
        """
        left = list(others)
        for index, snapshot in self._links:
            yield Item(ItemKind.RESIZE, index, count_blocks=snapshot.size_blocks)
            for each in left:
                if each.volume == index:
                    for part in parts(each, snapshot):
                        yield part
            left = [each for each in left if each.volume != index]
            changes = changed_since(exchange, self._pool, environment, [self.last[index]], [snapshot])
            async for changed in changes:
                for part in parts(changed._replace(volume=index), snapshot):
                    yield part
            self._check_present()
            yield lineage_changed(index, snapshot.lineage)
            yield taken_again(index, snapshot)
            self.last[index] = snapshot
        yield RecordsFollow()

    def _check_present(self) -> None:
        """Check that the content of each snapshot was read, and not that of its volume."""
        if any(snapshot.guid not in self._pool.snapshots for _, snapshot in self._links):
            raise ChannelEnded("a snapshot was deleted during a resync, which begins again")


def parts(changed: ChangedRange, source: Snapshot | None = None) -> Iterator[Range]:
    """Divide a range into parts that are read at once, from a snapshot or from the volume. What is beyond the end of the source
    is left out.
    """
    volume, block, count = changed
    end = block + count if source is None else min(block + count, source.size_blocks)
    for at in range(block, end, FILL_BLOCKS):
        yield Range(volume, at, min(FILL_BLOCKS, end - at), source, 0 if source is None else at)


def newest_snapshots(volumes: Iterable[Volume]) -> tuple[bytes, ...]:
    """Return the guids of the newest snapshots of some volumes, the newest first: as many as a greeting names."""
    own = (each for volume in volumes for each in volume.snapshots.values())
    return tuple(each.guid for each in nlargest(MAX_NAMED_SNAPSHOTS, own, key=lambda each: each.identifier))
