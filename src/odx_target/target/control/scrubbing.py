"""The operations that control a scrub of the pool of a running array."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from odx_target.store.api import BLOCK_BYTES, DamagedPlace, Pool, ScrubProgress, Snapshot
from odx_target.target.control import arguments
from odx_target.target.control.answers import DamagedBlock, Scrub
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.health import MAX_DAMAGED_SHOWN, snapshots_of
from odx_target.target.logical_units import block_bytes_of

if TYPE_CHECKING:
    from odx_target.target.array import Array

START_ARGUMENTS = (Argument("rate", "bytes per second, or a text such as 100M", arguments.rate),)


async def start_scrub(array: "Array", rate: int) -> Scrub:
    """Begin a scrub of the pool."""
    return describe_scrub(array.pool.scrubber.start(rate), array.pool)


async def scrub_progress(array: "Array") -> Scrub:
    """Report the progress of the running scrub. If no scrub is running, report the result of the last scrub."""
    return describe_scrub(_last(array), array.pool)


async def stop_scrub(array: "Array") -> Scrub:
    """Stop the running scrub."""
    progress = _last(array)
    await array.pool.scrubber.stop()
    return describe_scrub(progress, array.pool)


def describe_scrub(progress: ScrubProgress, pool: Pool) -> Scrub:
    """Return the progress of a scrub of a pool as plain data, with the damaged blocks of the pool that are known."""
    status = pool.status()
    shown = status.damaged[:MAX_DAMAGED_SHOWN]
    snapshots = snapshots_of(shown, pool)
    return {
        "is_running": progress.is_running,
        "is_complete": progress.is_complete,
        "checked_bytes": progress.checked_blocks * BLOCK_BYTES,
        "total_bytes": progress.total_blocks * BLOCK_BYTES,
        "elapsed_s": progress.elapsed_s,
        "remaining_s": progress.remaining_s,
        "damaged_blocks": progress.damaged_blocks,
        "unused_damaged_blocks": progress.unused_damaged_blocks,
        "complaints": progress.complaints,
        "damaged": [_describe_damaged(place, pool, snapshots) for place in shown],
        "damaged_not_shown": len(status.damaged) - len(shown) + status.damaged_beyond,
    }


def _describe_damaged(place: DamagedPlace, pool: Pool, snapshots: Mapping[int, Snapshot]) -> DamagedBlock:
    """Describe a damaged block of the store. `lba` is None if the block belongs to a frozen map that is no snapshot."""
    snapshot = None if place.frozen_map is None else snapshots.get(place.frozen_map)
    volume = pool.volumes.get(place.volume or "") if place.frozen_map is None else None
    source = snapshot or volume
    return {
        "volume": place.volume,
        "snapshot": None if snapshot is None else f"{snapshot.volume_name}@{snapshot.name}",
        "frozen_map": place.frozen_map,
        "block": place.block,
        "offset_bytes": place.block * BLOCK_BYTES,
        "lba": None if source is None else place.block * (BLOCK_BYTES // block_bytes_of(source.attributes)),
        "count_blocks": None if source is None else BLOCK_BYTES // block_bytes_of(source.attributes),
    }


def _last(array: "Array") -> ScrubProgress:
    progress = array.pool.scrubber.progress
    if progress is None:
        raise ManagementError("the pool has not been scrubbed since the array started")
    return progress
