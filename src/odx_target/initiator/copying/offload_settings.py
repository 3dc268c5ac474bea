"""The settings of copies by token, and the reasons not to copy by token."""

from dataclasses import dataclass

from odx_target.initiator.copying.copy_plan import CopyPlan
from odx_target.initiator.copying.offload_outcome import OffloadStop, StopReason
from odx_target.initiator.disk import Disk

MIN_DISTANCE_BYTES = 1 << 20
"""Smallest distance between the starts of overlapping ranges at which the host copies by token. At a smaller distance, a token
covers so little data that reads and writes are faster than token commands.
"""


@dataclass(frozen=True, slots=True)
class OffloadSettings:
    """A host's settings for offloading.

    A token becomes invalid if it is not used for `inactivity_timeout_s` seconds; 0 means the target's default. If
    `delete_tokens` is True, the last WRITE USING TOKEN of a token deletes it (DEL_TKN), so that arrays do not keep unused
    tokens.
    """

    inactivity_timeout_s: int = 0
    delete_tokens: bool = True


def why_not(source: Disk, destination: Disk, plan: CopyPlan) -> OffloadStop | None:
    """Return the reason why this copy should not be offloaded; None if the copy should be offloaded."""
    if source.copy_limits is None:
        return OffloadStop(StopReason.SOURCE_CANNOT, source.no_copy_because, 0)
    if destination.copy_limits is None:
        return OffloadStop(StopReason.DESTINATION_CANNOT, destination.no_copy_because, 0)
    if 0 < plan.distance_bytes < MIN_DISTANCE_BYTES:
        return OffloadStop(StopReason.RANGES_TOO_CLOSE, f"{plan.distance_bytes} bytes apart", 0)
    return None
