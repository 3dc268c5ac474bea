"""The check of a closed pool. The check reads the head, the catalogue, the log and the maps, compares them with each other, and
verifies the checksum of every block.

The check itself writes nothing, so it is safe for a damaged pool. Only SQLite may write: it rolls back a transaction that a
crash has interrupted.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.catalogue.interface import Catalogue, LeafSource
from odx_target.store.checking.segment_check import SegmentCheck
from odx_target.store.checking.sound_places import SoundPlaces
from odx_target.store.errors import StoreError
from odx_target.store.log.checksum_index import load_table
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.inner import Node
from odx_target.store.map.leaf import LEAF_BITS, LEAF_BLOCKS, Leaf
from odx_target.store.opening.format_head import Head
from odx_target.store.opening.leaf_overflow import LeafOverflow
from odx_target.store.opening.recovery import read_state
from odx_target.store.opening.sealing import full_blocks
from odx_target.store.record_effects import Contents
from odx_target.store.segments.base_place import is_base_place
from odx_target.store.segments.lost_place import LOST_SEGMENT
from odx_target.store.segments.places import COMPRESSED, located
from odx_target.store.segments.segment import Segment, SegmentStore

MAX_LOST_RANGES = 10_000
"""Largest number of lost ranges that a report lists. Further ranges are only counted, so that the list fits into memory."""


@dataclass(frozen=True, slots=True)
class LostRange:
    """A range of lost blocks in the volume `volume` or in the frozen map `frozen_map`.

    If the frozen map belongs to a snapshot, `snapshot` is the name of the volume and the name of the snapshot, such as
    `disk@monday`. `attributes` are those of the volume or of the snapshot.
    """

    volume: str | None
    frozen_map: int | None
    block: int
    count_blocks: int
    reason: str
    snapshot: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def describe(self) -> dict[str, object]:
        """Return the range as values for JSON."""
        return {
            "volume": self.volume,
            "snapshot": self.snapshot,
            "frozen_map": self.frozen_map,
            "block": self.block,
            "count_blocks": self.count_blocks,
            "offset_bytes": self.block * BLOCK_BYTES,
            "length_bytes": self.count_blocks * BLOCK_BYTES,
            "reason": self.reason,
        }


@dataclass(slots=True)
class PoolReport:
    """The result of the check of a pool."""

    segments: int = 0
    checked_blocks: int = 0
    volumes: int = 0
    frozen_maps: int = 0
    mapped_blocks: int = 0
    """Number of blocks that are not holes. If several volumes or frozen maps share a block, the block is counted for each of
    them."""
    damaged_blocks: int = 0
    complaints: list[str] = field(default_factory=list)
    """Descriptions of damage to headers and footers. If nothing else is damaged, no data is lost."""
    lost: list[LostRange] = field(default_factory=list)
    lost_ranges: int = 0

    @property
    def is_sound(self) -> bool:
        return not (self.damaged_blocks or self.complaints or self.lost_ranges)


LOST_REASON = "a repair of the pool could not save it"
"""The reason in a LostRange for blocks that a repair has marked as lost."""

Advance = Callable[[int], None]
"""Function that is called with the number of blocks that were checked since its last call."""


def check_pool(
    store: SegmentStore, catalogue: Catalogue, head: Head, advance: Advance, overflow: LeafOverflow | None = None
) -> PoolReport:
    """Check a closed pool. This function waits for the disk, so call it in a thread.

    `overflow` stores the leaves that the replay of the log has changed, if they need too much memory. Raises PoolDamaged if the
    pool cannot be opened at all. Raises OSError and the exceptions of `Catalogue.load`.
    """
    found = read_state(store, catalogue, head, overflow=overflow)
    report = PoolReport(segments=len(found.kept))
    replay = found.replay
    leaves = catalogue if overflow is None else overflow
    survey = Survey(
        store, found.sizes, replay.used, replay.checksums, replay.end.segment, found.unsealed, head.identity, leaves
    )
    for number in sorted(found.kept):
        survey.check(number, report, advance)
    report_lost(found.contents, survey, report)
    return report


def report_lost(contents: Contents, survey: "Survey", report: PoolReport) -> None:
    """Add the lost ranges of all volumes and frozen maps to a report."""
    for volume in contents.volumes.values():
        report.volumes += 1
        _check_map(volume.map.freeze(), LostRange(volume.name, None, 0, 0, "", None, volume.attributes), survey, report)
    snapshots = {each.frozen: (f"{each.volume_name}@{each.name}", each.attributes) for each in contents.snapshots.values()}
    for frozen in contents.frozen_maps.values():
        report.frozen_maps += 1
        whose = LostRange(None, frozen.identifier, 0, 0, "", *snapshots.get(frozen.identifier, (None, {})))
        _check_map(frozen.root, whose, survey, report)


class Survey:
    """Checks segments, and finds the blocks of maps whose data is in damaged or missing blocks of segments.

    `used` has the number of used blocks of each replayed segment. `checksums` has the checksums of the replayed data, by
    segment and first block. `last` is the segment in which the log ends. `unsealed` has the segments that may have no footer,
    with their sizes in the checkpoint. Leaves that are not in memory are read from `leaves`, and are not kept in memory.
    """

    def __init__(
        self,
        store: SegmentStore,
        sizes: Mapping[int, int],
        used: Mapping[int, int],
        checksums: Mapping[int, Mapping[int, Sequence[int]]],
        last: int,
        unsealed: Mapping[int, int],
        pool_identity: bytes,
        leaves: LeafSource,
    ) -> None:
        self._leaves = leaves
        self._store = store
        self._sizes = sizes
        self._used = used
        self._checksums = checksums
        self._last = last
        self._unsealed = unsealed
        self._pool_identity = pool_identity
        self._damaged: dict[int, set[int]] = {}
        self._readable: dict[int, int] = {}
        self._sound_places = SoundPlaces()
        self.mapped_blocks = 0
        self._sound: dict[Node, int] = {}
        """Each node below which no block is lost, and the number of its blocks that are not holes."""

    def check(self, number: int, report: PoolReport, advance: Advance) -> None:
        """Check one segment, and add its damage to a report."""
        segment, size_blocks = self._store.open(number), self._sizes[number]
        check = SegmentCheck(segment, size_blocks, self._pool_identity)
        replayed_blocks, sealed_blocks = self._used.get(number), check.sealed_blocks()
        # After a loss of power, a footer may be on the disk although the last batches before it are not. The log then ends
        # before these batches.
        if sealed_blocks is None or (number == self._last and replayed_blocks != sealed_blocks):
            used_blocks = replayed_blocks if size_blocks else 0
            if number in self._unsealed:
                full = full_blocks(segment, size_blocks, self._unsealed[number], self._pool_identity)
                used_blocks = self._unsealed[number] if full is None else full[0]
            check = SegmentCheck(segment, size_blocks, self._pool_identity, used_blocks, self._checksums.get(number))
        goes_on, before = True, 0
        while goes_on:
            goes_on = check.advance()
            advance(check.checked_blocks - before)
            before = check.checked_blocks
        report.checked_blocks += check.checked_blocks
        report.damaged_blocks += len(check.damaged)
        report.complaints += [f"segment {number}: {complaint}" for complaint in check.complaints]
        self._damaged[number] = set(check.damaged)
        self._readable[number] = self._readable_blocks(segment, size_blocks)
        if not check.damaged:
            self._sound_places.add(number, self._readable[number])

    def faults(self, root: FrozenRoot) -> Iterator[tuple[int, int, str]]:
        """Yield (block, count_blocks, reason) for each range of a map whose data is lost. Adjacent ranges with the same reason
        are one range. Afterwards `mapped_blocks` is the number of blocks of the map that are not holes. Blocks in leaves that
        cannot be read are not counted.
        """
        merged: tuple[int, int, str] | None = None
        for block, count, reason in self._parts(root):
            if merged is not None and (block, reason) == (merged[0] + merged[1], merged[2]):
                merged = merged[0], merged[1] + count, reason
                continue
            if merged is not None:
                yield merged
            merged = block, count, reason
        if merged is not None:
            yield merged

    def _parts(self, root: FrozenRoot) -> Iterator[tuple[int, int, str]]:
        self.mapped_blocks = 0
        if root.root is not None:
            self.mapped_blocks = yield from self._below(root.root, 0, LEAF_BITS * root.levels, root.size_blocks)

    def _below(self, node: Node, first: int, shift: int, size_blocks: int) -> Generator[tuple[int, int, str], None, int]:
        """Yield the lost parts of a subtree, and return the number of its blocks that are not holes. A subtree without lost
        blocks is examined only once, although maps share it.
        """
        mapped = self._sound.get(node)
        if mapped is not None:
            return mapped
        if isinstance(node, Leaf):
            mapped, faults = self._faults_of(node, min(LEAF_BLOCKS, size_blocks - first))
            yield from ((first + index, count, reason) for index, count, reason in faults)
            is_sound = not faults
        else:
            mapped, is_sound = 0, True
            for slot, child in node.present():
                mapped += yield from self._below(child, first + (slot << shift), shift - LEAF_BITS, size_blocks)
                is_sound &= child in self._sound
        if is_sound:
            self._sound[node] = mapped
        return mapped

    def _faults_of(self, leaf: Leaf, size_blocks: int) -> tuple[int, list[tuple[int, int, str]]]:
        """Return the number of blocks of a leaf that are not holes, and its lost parts (index, count, reason)."""
        entries = leaf.entries or self._leaves.leaf_entries([leaf.stored])[0]
        if isinstance(entries, StoreError):
            return 0, [(0, size_blocks, f"the places of the blocks in the log are lost: {entries}")]
        present, faults, index = Leaf(entries, leaf.epoch), [], 0
        if len(entries) == LEAF_BLOCKS and self._sound_places.have_all(entries):
            return present.mapped_count(), []
        for place, count in present.runs(0, LEAF_BLOCKS):
            if place:
                found = _faults(place, count, self._damaged, self._readable)
                faults += [(index + offset, length, reason) for offset, length, reason in found]
            index += count
        return present.mapped_count(), faults

    def _readable_blocks(self, segment: Segment, size_blocks: int) -> int:
        """Return the number of blocks of a segment whose checksums are known. Other blocks cannot be read."""
        if segment.number in self._used:
            return self._used[segment.number]
        return len(load_table(segment, size_blocks, self._pool_identity)) if size_blocks else 0


def _check_map(root: FrozenRoot, whose: LostRange, survey: Survey, report: PoolReport) -> None:
    """Add the lost ranges of a map to the report. `whose` has the volume or the frozen map of the map; its other fields are
    replaced.
    """
    for block, count_blocks, reason in survey.faults(root):
        report.lost_ranges += 1
        if len(report.lost) < MAX_LOST_RANGES:
            report.lost.append(replace(whose, block=block, count_blocks=count_blocks, reason=reason))
    report.mapped_blocks += survey.mapped_blocks


def _faults(place: int, count: int, damaged: dict[int, set[int]], used: dict[int, int]) -> Iterator[tuple[int, int, str]]:
    """Yield (offset, count_blocks, reason) for each lost part of a run. The run has `count` consecutive places from `place`
    on.
    """
    number, at, stored_blocks, _ = located(place)
    used_blocks = used.get(number)
    if is_base_place(place):
        return
    if number == LOST_SEGMENT:
        yield 0, count, LOST_REASON
        return
    if used_blocks is None:
        yield 0, count, f"segment {number} does not belong to the pool"
        return
    if place >= COMPRESSED:
        if at + stored_blocks > used_blocks:
            yield 0, count, f"segment {number} ends before block {at + stored_blocks}"
        elif any(at + offset in damaged[number] for offset in range(stored_blocks)):
            yield 0, count, f"the compressed extent at block {at} of segment {number} does not match its checksums"
        return
    inside = max(0, min(count, used_blocks - at))
    bad = damaged[number]
    if bad:
        for offset in range(inside):
            if at + offset in bad:
                yield offset, 1, f"block {at + offset} of segment {number} does not match its checksum"
    if inside < count:
        yield inside, count - inside, f"segment {number} ends before block {at + inside}"
