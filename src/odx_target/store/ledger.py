"""The ledger, which a pool shares with its volumes and frozen maps. The ledger connects the contents of the pool with the log
of their changes.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import repeat

from odx_target.environment import Environment
from odx_target.store.api import FrozenMap, Snapshot, Volume
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.digests.digester import Digester
from odx_target.store.health import Health
from odx_target.store.log.reader import Reader
from odx_target.store.log.records import LINK, LINK_BYTES, Record, Release, Unmap, encode, encode_link
from odx_target.store.log.writer import Log
from odx_target.store.map.copy_on_write import MAX_SIZE_BLOCKS
from odx_target.store.record_effects import Contents
from odx_target.store.segments.places import is_run
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.volumes.compression import PreparedMemory
from odx_target.store.volumes.linking import Linker


class Ledger:
    """The contents and the log of one pool, and the objects for its volumes, snapshots and frozen maps.

    `note_freed` is called with the number of blocks that a change may have made dead (to which no map refers any more).
    `note_sharing` is called when a volume shares more blocks than before, and `note_tier` when a volume has changed its tier.
    `room_freed` waits until the cleaner has freed room. `frozen_maps` contains the frozen maps that have not been released,
    except those of snapshots.
    """

    def __init__(
        self,
        contents: Contents,
        log: Log,
        reader: Reader,
        supply: SegmentSupply,
        leaves: LeafLoader,
        health: Health,
        environment: Environment,
        digester: Digester,
        linker: Linker,
    ) -> None:
        self.contents = contents
        self.log = log
        self.reader = reader
        self.supply = supply
        self.leaves = leaves
        self.health = health
        self.environment = environment
        self.turns = environment.turns
        self.digester = digester
        self.linker = linker
        self.volumes: dict[str, Volume] = {}
        self.frozen_maps: dict[int, FrozenMap] = {}
        self.snapshots: dict[bytes, Snapshot] = {}
        self.on_snapshot: list[Callable[[], None]] = []
        self.prepared_memory = PreparedMemory()
        self.is_closed = False
        self.note_freed: Callable[[int], None] = _ignore
        self.note_sharing: Callable[[], None] = _nothing
        self.note_tier: Callable[[], None] = _nothing
        self.room_freed: Callable[[], Awaitable[None]] = _at_once

    async def room_made(self) -> None:
        """Wait until a change that has raised PoolBusy can be repeated; see `Volume.room_made` in `store.api`."""
        await self.supply.made()
        await self.room_freed()
        await self.leaves.changes_saved()
        await self.leaves.loaded()
        await self.linker.loaded()

    def record(self, change: Record, *, spare: bool = False, announce: Callable[[], None] | None = None) -> None:
        """Add a change to the log, and apply it to the contents. If this method raises an exception, nothing has changed.

        Set `spare` if the change frees room. The record may then use the reserve of a full pool. `announce` is called before
        the change, but only if there is room for the record.
        """
        encoded = encode(change)
        self.log.require_record(len(encoded), spare=spare)
        if announce is not None:
            announce()
        self.log.append(encoded)
        self.contents.apply(change)
        if spare:
            self.note_freed(_freed_blocks(change))

    def record_all(self, changes: Sequence[Record], announce: Callable[[], None] | None = None) -> None:
        """Add changes to the log in one batch, and apply them to the contents. `announce` is called as by `record`.

        After a crash, the log contains either all of the changes or none. Raises the same exceptions as `record`.
        """
        encoded = [encode(change) for change in changes]
        self.log.require_record(sum(map(len, encoded)))
        if announce is not None:
            announce()
        for change, record in zip(changes, encoded, strict=True):
            self.log.append(record)
            self.contents.apply(change)

    def record_links(
        self,
        volume: int,
        block: int,
        indexes: Sequence[int],
        places: Sequence[int],
        checksums: Sequence[int],
        announce: Callable[[], None],
    ) -> None:
        """Add links to the log in one batch, and apply them. `indexes` are the numbers of the linked blocks, counted from
        `block`, in ascending order. Each has an item in `places` and `checksums`. Does the same as `record_all`, but faster.
        """
        if len(indexes) == len(places):
            blocks: Iterable[int] = range(block, block + len(places))
            encoded = list(map(encode_link, repeat(LINK), repeat(volume), blocks, places, checksums))
        else:
            encoded = [encode_link(LINK, volume, block + index, places[index], checksums[index]) for index in indexes]
        self.log.require_record(LINK_BYTES * len(encoded))
        announce()
        self.log.append_all(encoded)
        for start, count in _runs_of_links(indexes, places):
            self.contents.link_run(volume, block + start, places[start], count)

    def record_or_defer(self, change: Record, *, matters: bool = True) -> None:
        """Apply a change that must not fail. Its record is added to the log when there is room; see `Room.append_or_defer`."""
        self.log.append_or_defer(encode(change), matters=matters)
        self.contents.apply(change)
        if isinstance(change, Release):
            self.note_freed(0)


def _runs_of_links(indexes: Sequence[int], places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Join adjacent blocks with consecutive places to runs (first index, number of blocks)."""
    start = at = indexes[0]
    if len(indexes) == len(places) and is_run(places):
        yield start, len(places)
        return
    for index in indexes[1:]:
        if index != at + 1 or places[index] != places[at] + 1:
            yield start, at + 1 - start
            start = index
        at = index
    yield start, at + 1 - start


def _freed_blocks(change: Record) -> int:
    """Return the largest number of blocks that a change may make dead (to which no map then refers any more)."""
    return change.count_blocks if isinstance(change, Unmap) else MAX_SIZE_BLOCKS


def _nothing() -> None:
    pass


def _ignore(_count_blocks: int) -> None:
    pass


async def _at_once() -> None:
    pass
