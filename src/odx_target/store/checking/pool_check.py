"""The check of a closed pool. The check compares head, catalogue, log and maps, and verifies the checksum of every block.

The check writes nothing itself, so it is safe for a damaged pool. SQLite may roll back a transaction that a crash interrupted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from odx_target.store.catalogue.interface import Catalogue
from odx_target.store.checking.segment_check import SegmentCheck
from odx_target.store.log.checksum_index import load_table
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.opening.format_head import Head
from odx_target.store.opening.recovery import Replayed, full_blocks, read_state
from odx_target.store.segments.places import COMPRESSED, located
from odx_target.store.segments.segment import SegmentStore

MAX_LOST_RANGES = 10_000
"""Largest number of lost ranges in the list. After this number, ranges are counted but not listed, so that the list fits into
memory."""


@dataclass(frozen=True, slots=True)
class LostRange:
    """A range of lost blocks in the volume `volume` or in the frozen map `frozen_map`."""

    volume: str | None
    frozen_map: int | None
    block: int
    count_blocks: int
    reason: str


@dataclass(slots=True)
class PoolReport:
    """Result of the check of a pool."""

    segments: int = 0
    checked_blocks: int = 0
    volumes: int = 0
    frozen_maps: int = 0
    mapped_blocks: int = 0
    """Number of blocks that are not holes. If several volumes or frozen maps share a block, the block is counted for each of
    them."""
    damaged_blocks: int = 0
    complaints: list[str] = field(default_factory=list)
    """Descriptions of damage that does not cause a loss of data by itself."""
    lost: list[LostRange] = field(default_factory=list)
    lost_ranges: int = 0

    @property
    def is_sound(self) -> bool:
        return not (self.damaged_blocks or self.complaints or self.lost_ranges)


Advance = Callable[[int], None]
"""Function that is called with the number of blocks that were checked since its last call."""


def check_pool(store: SegmentStore, catalogue: Catalogue, head: Head, advance: Advance) -> PoolReport:
    """Check a closed pool. Waits for the disk, so call it in a thread.

    Raises PoolDamaged if the pool cannot be opened at all. Raises OSError and the exceptions of `Catalogue.load`.
    """
    pool_identity = head.identity
    found = read_state(store, catalogue, head)
    report = PoolReport(segments=len(found.kept))
    damaged: dict[int, set[int]] = {}
    used: dict[int, int] = {}
    for number in sorted(found.kept):
        damaged[number] = _check_segment(store, found, number, pool_identity, report, advance)
        used[number] = _used_blocks(store, found, number, pool_identity)
    for volume in found.contents.volumes.values():
        report.volumes += 1
        _check_map(volume.map.freeze(), volume.name, None, damaged, used, report)
    for frozen in found.contents.frozen_maps.values():
        report.frozen_maps += 1
        _check_map(frozen.root, None, frozen.identifier, damaged, used, report)
    return report


def _check_segment(
    store: SegmentStore, found: Replayed, number: int, pool_identity: bytes, report: PoolReport, advance: Advance
) -> set[int]:
    """Check one segment. Returns the numbers of its damaged blocks."""
    segment, size_blocks = store.open(number), found.sizes[number]
    check = SegmentCheck(segment, size_blocks, pool_identity)
    replayed_blocks = found.replay.used.get(number)
    sealed_blocks = check.sealed_blocks()
    # If the power was lost, a footer may be on the disk without the last batches before it. The log then ends before them.
    if sealed_blocks is None or (number == found.replay.end.segment and replayed_blocks != sealed_blocks):
        used_blocks = replayed_blocks if size_blocks else 0
        if number in found.unsealed:
            full = full_blocks(segment, size_blocks, found.unsealed[number], pool_identity)
            used_blocks = found.unsealed[number] if full is None else full[0]
        check = SegmentCheck(segment, size_blocks, pool_identity, used_blocks, found.replay.checksums.get(number, {}))
    goes_on, before = True, 0
    while goes_on:
        goes_on = check.advance()
        advance(check.checked_blocks - before)
        before = check.checked_blocks
    report.checked_blocks += check.checked_blocks
    report.damaged_blocks += len(check.damaged)
    report.complaints += [f"segment {number}: {complaint}" for complaint in check.complaints]
    return set(check.damaged)


def _used_blocks(store: SegmentStore, found: Replayed, number: int, pool_identity: bytes) -> int:
    """Number of blocks of a segment whose checksums are known, so that they can be read."""
    if number in found.replay.used:
        return found.replay.used[number]
    return len(load_table(store.open(number), found.sizes[number], pool_identity)) if found.sizes[number] else 0


def _check_map(
    root: FrozenRoot,
    volume: str | None,
    frozen_map: int | None,
    damaged: dict[int, set[int]],
    used: dict[int, int],
    report: PoolReport,
) -> None:
    """Add the lost ranges of a map to the report."""
    for first, leaf in root.leaves():
        block = first
        for place, count in leaf.runs(0, LEAF_BLOCKS):
            if place:
                report.mapped_blocks += count
                for offset, length, reason in _faults(place, count, damaged, used):
                    report.lost_ranges += 1
                    if len(report.lost) < MAX_LOST_RANGES:
                        report.lost.append(LostRange(volume, frozen_map, block + offset, length, reason))
            block += count


def _faults(place: int, count: int, damaged: dict[int, set[int]], used: dict[int, int]) -> Iterator[tuple[int, int, str]]:
    """Yield (offset, count_blocks, reason) for each part of a run of places in which data is lost."""
    number, at, stored_blocks, _ = located(place)
    used_blocks = used.get(number)
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
