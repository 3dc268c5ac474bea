"""The operations that control a scrub of the pool of a running array."""

from typing import TYPE_CHECKING

from odx_target.store.api import BLOCK_BYTES, ScrubProgress
from odx_target.target.control import arguments
from odx_target.target.control.answers import Scrub
from odx_target.target.control.arguments import Argument, ManagementError

if TYPE_CHECKING:
    from odx_target.target.array import Array

START_ARGUMENTS = (Argument("rate", "bytes per second, or a text such as 100M", arguments.rate),)


async def start_scrub(array: "Array", rate: int) -> Scrub:
    """Begin a scrub of the pool."""
    return describe_scrub(array.pool.scrubber.start(rate))


async def scrub_progress(array: "Array") -> Scrub:
    """Report the progress of the running scrub. If no scrub is running, report the result of the last scrub."""
    return describe_scrub(_last(array))


async def stop_scrub(array: "Array") -> Scrub:
    """Stop the running scrub."""
    progress = _last(array)
    await array.pool.scrubber.stop()
    return describe_scrub(progress)


def describe_scrub(progress: ScrubProgress) -> Scrub:
    """Return the progress of a scrub as plain data."""
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
    }


def _last(array: "Array") -> ScrubProgress:
    progress = array.pool.scrubber.progress
    if progress is None:
        raise ManagementError("the pool has not been scrubbed since the array started")
    return progress
