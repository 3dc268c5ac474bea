"""The contents of a damaged pool, rebuilt from all readable batches of the log. The rebuilding begins with the last checkpoint,
or with empty contents if there is no checkpoint.

Some records may be lost. A later record may then refer to a volume or a frozen map that a lost record created. Such a volume is
made when the first record that refers to it is found. The blocks of this volume whose data is unknown are marked as lost.
"""

from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

from odx_target.store.errors import PoolDamaged
from odx_target.store.log.batch import Position
from odx_target.store.log.records import (
    Clone,
    CompressedWrite,
    Freeze,
    Link,
    Record,
    Unmap,
    VolumeCreated,
    VolumeResized,
    Write,
)
from odx_target.store.log.snapshot_records import SnapshotCreated, VolumeChanged, VolumeCloned, VolumeRestored
from odx_target.store.map.lost_blocks import lost_root
from odx_target.store.opening.leaf_overflow import LeafOverflow
from odx_target.store.opening.recovery import apply_change, changes_of
from odx_target.store.opening.replay_leaves import ReplayLeaves
from odx_target.store.record_effects import Contents
from odx_target.store.repairing.salvage import Gap, Salvage
from odx_target.store.repairing.unknown_sizes import UnknownSizes
from odx_target.store.volumes.volume import LINEAGE_BYTES


@dataclass(slots=True)
class Rebuilt:
    """Contents that were rebuilt from the log. `end` is the position after the last batch that was applied.

    `overflow` has the leaves of the contents that are not in memory. `used` maps each segment from which a batch was applied to
    the number of its used blocks. `odd_records` is the number of records that do not fit the contents, for example because they
    refer to an unknown volume.
    """

    contents: Contents
    overflow: LeafOverflow
    end: Position
    used: dict[int, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    odd_records: int = 0
    unknown_sizes: UnknownSizes = field(default_factory=UnknownSizes)


def rebuild(
    contents: Contents,
    salvage: Salvage,
    start: Position,
    known_osn: int,
    overflow: LeafOverflow,
    *,
    older_data: bool,
    pool_identity: bytes,
) -> Rebuilt:
    """Apply all readable batches after `start` to the contents.

    Every record with an operation sequence number (OSN) below `known_osn` was once written to the log. If such a record cannot
    be read, it is lost. A lost record may have changed any block of any volume. So after a lost record, all blocks of all
    volumes are lost until a later record changes them. If `older_data` is True, they keep their older data instead.
    `overflow` stores the changed leaves if they need too much memory.
    """
    rebuilt = Rebuilt(contents, overflow, start)
    leaves = ReplayLeaves(overflow)
    builder = _Builder(contents, leaves, pool_identity, rebuilt.unknown_sizes)
    for step in salvage.steps(start, known_osn):
        if isinstance(step, Gap):
            rebuilt.gaps.append(step)
            builder.skip(step, older_data=older_data)
        else:
            overflow.relieve(contents, leaves)
            for record, place in changes_of(step):
                rebuilt.odd_records += not builder.apply(record, place)
    leaves.drop()
    contents.release_temporary()
    rebuilt.end, rebuilt.used = salvage.end, salvage.used
    return rebuilt


class _Builder:
    """Applies records to contents. If a record does not fit the contents, the part of its effect that is known is applied."""

    def __init__(self, contents: Contents, leaves: ReplayLeaves, pool_identity: bytes, sizes: UnknownSizes) -> None:
        self._contents = contents
        self._with_leaves = leaves.with_leaves
        self._pool_identity = pool_identity
        self._unknown_sizes = sizes

    def skip(self, gap: Gap, *, older_data: bool) -> None:
        """Adapt the contents to lost records. Each lost record may have used a number for a volume and for a frozen map, so
        these numbers are skipped. Unless `older_data` is True, all blocks of all volumes become lost.
        """
        contents = self._contents
        contents.next_volume += gap.end_osn - gap.first_osn
        contents.next_frozen += gap.end_osn - gap.first_osn
        if not older_data:
            for volume in contents.volumes.values():
                volume.map.become(lost_root(volume.map.size_blocks))

    def apply(self, record: Record, place: int) -> bool:
        """Apply a record. Returns False if the record does not fit the contents."""
        if isinstance(record, VolumeResized) and record.volume in self._unknown_sizes.volumes:
            # Only the blocks beyond the former size are zeros, and this size is not known.
            self._make_volume(record.volume, record.size_blocks)
        try:
            self._apply(record, place)
        except PoolDamaged:
            self._apply_odd(record, place)
            return False
        return True

    def _apply(self, record: Record, place: int = 0) -> None:
        self._with_leaves(partial(apply_change, self._contents, record, place))
        self._unknown_sizes.follow(record)

    def _apply_odd(self, record: Record, place: int) -> None:
        """Apply a record that does not fit the contents, as far as its effect is known."""
        contents = self._contents
        if isinstance(record, Write | CompressedWrite | Unmap | Clone):
            self._make_volume(record.volume, record.block + record.count_blocks)
            if isinstance(record, Clone):
                self._lose(record.volume, record.block, record.count_blocks)
            else:
                self._apply(record, place)
        elif isinstance(record, Link):
            self._make_volume(record.volume, record.block + 1)
            self._apply_if_possible(record)
        elif isinstance(record, VolumeResized):
            self._make_volume(record.volume, record.size_blocks)
            self._unknown_sizes.volumes.discard(record.volume)
        elif isinstance(record, Freeze | SnapshotCreated):
            self._make_volume(record.volume, 1)
            self._apply_if_possible(record)
        elif isinstance(record, VolumeCreated | VolumeCloned):
            self._make_again(record)
        elif isinstance(record, VolumeRestored):
            self._make_volume(record.volume, 1)
            self._lose(record.volume, 0, contents.volumes[record.volume].map.size_blocks)
            self._unknown_sizes.volumes.add(record.volume)
        elif isinstance(record, VolumeChanged):
            self._make_volume(record.volume, 1)
            self._apply_if_possible(record._replace(name=self._free_name(record.name, record.volume)))

    def _apply_if_possible(self, record: Record) -> None:
        try:
            self._apply(record)
        except PoolDamaged:
            return  # A lost record would have removed the obstacle, for example by deleting a snapshot with the same name.

    def _make_again(self, record: VolumeCreated | VolumeCloned) -> None:
        """Create a volume although another volume has its number or its name, or although its origin is lost."""
        contents = self._contents
        former = contents.volumes.pop(record.volume, None)
        if former is not None:
            contents.forget_name(former.name)
        name = self._free_name(record.name, record.volume)
        if isinstance(record, VolumeCloned):
            try:
                self._apply(record._replace(name=name))
            except PoolDamaged:
                contents.apply(VolumeCreated(record.volume, 1, record.identity, name, record.attributes))
                self._lose(record.volume, 0, 1)
                self._unknown_sizes.volumes.add(record.volume)
        else:
            self._apply(record._replace(name=name))

    def _make_volume(self, number: int, least_blocks: int) -> None:
        """Make sure that the volume `number` exists and has at least `least_blocks` blocks. If the record of its creation is
        lost, make the volume. All blocks that are added are lost blocks.
        """
        contents = self._contents
        if number not in contents.volumes:
            identity = sha256(self._pool_identity + number.to_bytes(8, "little")).digest()[:LINEAGE_BYTES]
            name = self._free_name(f"recovered-{number}", number)
            contents.apply(VolumeCreated(number, max(least_blocks, 1), identity, name, {}))
            self._lose(number, 0, max(least_blocks, 1))
            self._unknown_sizes.volumes.add(number)
            return
        size_blocks = contents.volumes[number].map.size_blocks
        if size_blocks < least_blocks:
            self._with_leaves(partial(contents.apply, VolumeResized(number, least_blocks)))
            self._lose(number, size_blocks, least_blocks - size_blocks)

    def _lose(self, number: int, block: int, count_blocks: int) -> None:
        live = self._contents.volumes[number].map
        self._with_leaves(partial(live.copy_range, lost_root(live.size_blocks), block, block, count_blocks))

    def _free_name(self, name: str, number: int) -> str:
        taken = {volume.name for volume in self._contents.volumes.values() if volume.number != number}
        return name if name not in taken else f"{name}-{number}"
