"""The recovery of a pool from its last checkpoint and the log after that checkpoint.

Recovery has these steps. After a crash during any step, the next recovery begins at the first step:

1. Load the checkpoint. Every segment that it lists must exist and have at least the listed size. If there is no checkpoint,
   replay the whole log instead. This is impossible if the head is marked as cleaned.
2. Replay the log after the checkpoint, up to the last commit of which all batches are in the log.
3. Seal every replayed segment that has no correct footer. Also seal every segment that was full but not sealed when the
   checkpoint was saved. The footer of the last segment is written directly after the end of the log. So new batches are written
   to a new segment, and never follow an incomplete batch.
4. Delete all segments that the checkpoint does not list and the replay did not read. They are empty or after the end of the
   log.

Recovery does not sync the segments. The first flush of the opened pool also syncs the replayed segments (`unsynced`). If the
power is lost before this flush, some replayed batches may be lost. The log then ends before the first lost batch, and the next
recovery deletes all segments after this end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

from odx_target.store.catalogue.interface import Catalogue, Checkpoint
from odx_target.store.catalogue.kept_trees import stored_leaves
from odx_target.store.errors import CatalogueDamaged, PoolDamaged, StoreError
from odx_target.store.log.batch import Batch, Position
from odx_target.store.log.checksum_index import SegmentView, read_header
from odx_target.store.log.end_of_log import Replay
from odx_target.store.log.records import CompressedWrite, Moved, Record, Write, data_blocks_of
from odx_target.store.opening.format_head import Head
from odx_target.store.opening.json_position import position_of_json, position_to_json
from odx_target.store.opening.leaf_overflow import LeafOverflow
from odx_target.store.opening.rebuild_checkpoints import REBUILDING, RebuildCheckpoints
from odx_target.store.opening.replay_leaves import ReplayLeaves
from odx_target.store.opening.sealing import full_blocks, seal
from odx_target.store.record_effects import Contents
from odx_target.store.segments.places import extent_place
from odx_target.store.segments.segment import PLACE_BITS, Segment, SegmentStore
from odx_target.store.segments.tiers import log_sizes

FIRST_POSITION = Position(segment=0, block=0, osn=1, checksum=0, epoch=0)
"""Position before the first batch of a pool. The first segment has the number 1, because place 0 means a hole."""

LEAVES_AT_ONCE = 64
"""Number of leaves that are read from the catalogue at once."""


class _Start(NamedTuple):
    """The state from which a replay of the log begins.

    `listed` has the segments that must exist, with their least sizes in blocks. It is None if there is no checkpoint, and the
    contents must be rebuilt from the whole log. `is_rebuilt` is also True if an earlier opening has rebuilt a part of them.
    """

    contents: Contents
    position: Position
    listed: dict[int, int] | None
    is_rebuilt: bool


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Recovered:
    """The result of a recovery. `position` is the end of the log. `unsynced` has the numbers of the segments that the first
    flush must sync.

    `is_rebuilt` is True if the catalogue was lost and the contents were rebuilt from the whole log.
    """

    contents: Contents
    position: Position
    durable_osn: int
    replayed_blocks: int
    sizes: dict[int, int]
    segments: dict[int, Segment]
    unsynced: list[int]
    is_rebuilt: bool


@dataclass(slots=True)
class Replayed:
    """The state of a pool after the replay of its log. Nothing on the disk has been changed yet.

    `start` is the position of the checkpoint in the log. `sizes` has the sizes of all segments that exist. `listed` has the
    segments that the checkpoint lists, with their least sizes. `is_rebuilt` is True if the catalogue was lost and the contents
    were rebuilt from the whole log.
    """

    contents: Contents
    start: Position
    replay: Replay
    sizes: dict[int, int]
    listed: dict[int, int]
    is_rebuilt: bool

    @property
    def kept(self) -> set[int]:
        """Numbers of the segments that the checkpoint lists or the replay has read. All other segments are deleted."""
        return (self.listed.keys() | self.replay.used.keys()) & self.sizes.keys()

    @property
    def unsealed(self) -> dict[int, int]:
        """The segments that were full but not cut when the checkpoint was saved, with their sizes in the checkpoint.

        After a loss of power, the footer of such a segment may be missing.
        """
        sizes, used = self.sizes, self.replay.used
        return {number: blocks for number, blocks in self.listed.items() if number not in used and blocks < sizes[number]}


def read_state(
    store: SegmentStore,
    catalogue: Catalogue,
    head: Head,
    *,
    all_leaves: bool = False,
    checkpoints: RebuildCheckpoints | None = None,
    overflow: LeafOverflow | None = None,
    before_step: Callable[[], None] = _nothing,
) -> Replayed:
    """Load the checkpoint and replay the log after it. This function waits for the disk.

    If `all_leaves` is True, all leaves of the checkpoint are read, so that damage to them is found. Otherwise only the leaves
    that the replay needs are read. In both cases, only leaves that the replay changes stay in memory. If they need too much
    memory, they are stored in `overflow`. If `overflow` is None, the catalogue was lost and `checkpoints` is not None, they are
    stored in the catalogue. Otherwise nothing on the disk of the pool is changed. `before_step` is called often, and gives up
    the replay if it raises an exception. Raises PoolDamaged, OSError and the exceptions of `Catalogue.load`.
    """
    contents, start, listed, is_rebuilt = _of_catalogue(catalogue, head.identity)
    if all_leaves:
        _check_leaves(catalogue, contents)
    leaves = ReplayLeaves(catalogue if overflow is None else overflow)
    if listed is None and head.cleaned:
        raise PoolDamaged("there is no catalogue, and the log cannot replace it: parts of the log have been freed or lost")
    sizes = store.names()
    _check_listed(store, sizes, listed or {})
    replay = Replay(store, log_sizes(store, sizes), head.identity, start)
    for group in replay.groups():
        before_step()
        if is_rebuilt and checkpoints is not None and checkpoints.is_due(contents):
            leaves.drop()
            checkpoints.save(contents, replay, listed or {}, sizes)
        if overflow is not None:
            overflow.relieve(contents, leaves)
        for batch in group:
            for record, place in changes_of(batch):
                leaves.with_leaves(partial(apply_change, contents, record, place))
    leaves.drop()
    contents.release_temporary()
    if is_rebuilt:
        _check_reached(store, sizes, head.identity, replay)
    return Replayed(contents, start, replay, sizes, listed or {}, is_rebuilt)


def recover(
    store: SegmentStore,
    catalogue: Catalogue,
    head: Head,
    map_memory_bytes: int | None = None,
    before_step: Callable[[], None] = _nothing,
) -> Recovered:
    """Recover a pool. This function waits for the disk, so call it in a thread. Raises the exceptions of `read_state`, and
    OSError.

    `map_memory_bytes` is the memory for the maps while a lost catalogue is rebuilt. None means no limit. `before_step` is
    called often, and gives up the recovery if it raises an exception. Nothing is lost, and the pool can be opened again.
    """
    checkpoints = RebuildCheckpoints(store, catalogue, head.identity, map_memory_bytes)
    found = read_state(store, catalogue, head, checkpoints=checkpoints, before_step=before_step)
    contents, replay, sizes, kept = found.contents, found.replay, found.sizes, found.kept
    for number, used_blocks in replay.used.items():
        checksums = replay.checksums.get(number, {})
        sizes[number] = seal(store, number, sizes[number], used_blocks, replay.end_osns[number], head.identity, checksums)
    resealed = _seal_full(store, found, head.identity)
    store.delete(sorted(sizes.keys() - kept))
    return Recovered(
        contents=contents,
        position=replay.end,
        durable_osn=found.start.osn,
        replayed_blocks=replay.replayed_blocks,
        sizes={number: sizes[number] for number in kept},
        segments={number: store.open(number) for number in kept},
        unsynced=sorted([*replay.used, *resealed]),
        is_rebuilt=found.is_rebuilt,
    )


def empty_checkpoint(pool_identity: bytes) -> Checkpoint:
    """Return the first checkpoint of a new pool. It is saved before the head. So a pool that has a head but no checkpoint has
    lost its catalogue.
    """
    return Contents().checkpoint(position_to_json(FIRST_POSITION), {"identity": pool_identity.hex()}, {})


def _of_catalogue(catalogue: Catalogue, pool_identity: bytes) -> _Start:
    """Load the last checkpoint and return the result of `_of_checkpoint`. Raises CatalogueDamaged."""
    try:
        return _of_checkpoint(catalogue.load(with_entries=False), pool_identity)
    except PoolDamaged as error:
        raise CatalogueDamaged(str(error)) from error


def _check_leaves(catalogue: Catalogue, contents: Contents) -> None:
    """Read all stored leaves of the maps. Raises CatalogueDamaged, and the exceptions of `Catalogue.leaf_entries`."""
    maps = [volume.map for volume in contents.volumes.values()]
    numbers = stored_leaves([*maps, *(frozen.root for frozen in contents.frozen_maps.values())])
    while some := list(islice(numbers, LEAVES_AT_ONCE)):
        for found in catalogue.leaf_entries(some):
            if isinstance(found, PoolDamaged):
                raise CatalogueDamaged(str(found)) from found
            if isinstance(found, StoreError):
                raise found


def _of_checkpoint(checkpoint: Checkpoint | None, pool_identity: bytes) -> _Start:
    """Return the state from which a replay begins. Raises PoolDamaged."""
    if checkpoint is None:
        return _Start(Contents(), FIRST_POSITION, None, is_rebuilt=True)
    if checkpoint.pool.get("identity") != pool_identity.hex():
        raise PoolDamaged("the catalogue belongs to another pool")
    if checkpoint.segments is None:
        raise PoolDamaged("the catalogue has no list of segments")
    try:
        contents, position = Contents.of_checkpoint(checkpoint), position_of_json(checkpoint.position)
        return _Start(contents, position, dict(checkpoint.segments), is_rebuilt=REBUILDING in checkpoint.pool)
    except (KeyError, TypeError, ValueError) as error:
        raise PoolDamaged(f"a field of the catalogue is missing or not valid: {error}") from error


def _check_listed(store: SegmentStore, sizes: dict[int, int], listed: dict[int, int]) -> None:
    for number, least_blocks in sorted(listed.items()):
        if number not in sizes:
            raise PoolDamaged(f"{store.describe(number)} is missing")
        if sizes[number] < least_blocks:
            raise PoolDamaged(f"{store.describe(number)} is cut off: {sizes[number]} of {least_blocks} blocks are there")


def _check_reached(store: SegmentStore, sizes: dict[int, int], pool_identity: bytes, replay: Replay) -> None:
    """Check a log from which a lost catalogue is rebuilt: no segment may begin with a record after the end of the log. Raises
    PoolDamaged, OSError.
    """
    for number in sorted(log_sizes(store, sizes).keys() - replay.used.keys()):
        batch = read_header(SegmentView(store.open(number), sizes[number]), 0, pool_identity)
        if batch is not None and batch.first_osn > replay.end.osn:
            raise PoolDamaged(
                "there is no catalogue, and the log cannot replace it: the log ends before record "
                f"{replay.end.osn}, but {store.describe(number)} begins with record {batch.first_osn}"
            )


def changes_of(batch: Batch) -> Iterator[tuple[Record, int]]:
    """Yield the records of a batch that change the contents of a pool, each with the place of its data."""
    place = batch.segment << PLACE_BITS | batch.block + batch.header_blocks
    for record in batch.records:
        if type(record) is CompressedWrite:
            yield record, extent_place(place, record.stored_blocks)
        elif type(record) is not Moved:  # The maps still have the former places of moved blocks, which still exist.
            yield record, place
        place += data_blocks_of(record)


def apply_change(contents: Contents, record: Record, place: int) -> None:
    """Apply a record of the log. Raises PoolDamaged if the record does not fit the contents."""
    if isinstance(record, Write | CompressedWrite):
        contents.apply_write(record, place)
    else:
        contents.apply(record)


def _seal_full(store: SegmentStore, found: Replayed, pool_identity: bytes) -> list[int]:
    """Seal the segments that were full but not sealed when the checkpoint was saved. Returns the numbers of the segments that
    it has sealed.
    """
    sealed = []
    for number, listed_blocks in found.unsealed.items():
        full = full_blocks(store.open(number), found.sizes[number], listed_blocks, pool_identity)
        if full is not None:
            found.sizes[number] = seal(store, number, found.sizes[number], *full, pool_identity, {})
            sealed.append(number)
    return sealed
