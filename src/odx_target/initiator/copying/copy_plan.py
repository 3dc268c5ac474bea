"""The plan of a copy. If source and destination overlap, the plan limits the size of each step and defines the order of the
steps.
"""

import math
from dataclasses import dataclass

from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a copy. The position of a part is counted in bytes from the start of the copy."""

    start_bytes: int
    end_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.end_bytes - self.start_bytes


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """A plan for copying consecutive blocks.

    `unit_bytes` is the least common multiple of both block sizes. Each step begins and ends at a multiple of `unit_bytes`.
    `distance_bytes` is the distance between the starts of source and destination if the two ranges overlap; otherwise it is 0.
    A step that is at most as long as this distance never overwrites blocks that must still be read. If `backwards` is True, the
    copy must begin with the last step and end with the first step.
    """

    source_lba: int
    destination_lba: int
    size_bytes: int
    unit_bytes: int
    distance_bytes: int = 0
    backwards: bool = False

    def aligned(self, size_bytes: int) -> int:
        """Return `size_bytes` rounded down to a multiple of `unit_bytes`."""
        return size_bytes // self.unit_bytes * self.unit_bytes


def plan_copy(
    source: Disk,
    destination: Disk,
    *,
    source_lba: int = 0,
    destination_lba: int = 0,
    count_blocks: int | None = None,
    same_logical_unit: bool = False,
) -> CopyPlan:
    """Plan the copy of `count_blocks` blocks of the source. By default, plan the copy of all blocks from `source_lba` to the
    end.

    Disks with equal identities are the same disk. If the disks have no identities, `same_logical_unit` must be True if source
    and destination are the same disk. Raises BadRequest.
    """
    unit_bytes = math.lcm(source.block_bytes, destination.block_bytes)
    size_bytes = _size_bytes(source, source_lba, count_blocks)
    room_bytes = (destination.capacity_blocks - destination_lba) * destination.block_bytes
    if size_bytes > room_bytes:
        raise BadRequest(
            f"{size_bytes} bytes do not fit: {destination.name} has {max(room_bytes, 0)} bytes from block {destination_lba} on"
        )
    if size_bytes % unit_bytes:
        raise BadRequest(
            f"{size_bytes} bytes are no whole number of the destination's blocks of {destination.block_bytes} bytes"
        )
    is_same = same_logical_unit or bool(source.identity and source.identity == destination.identity)
    shift_bytes = (destination_lba - source_lba) * source.block_bytes if is_same else 0
    overlaps = 0 < abs(shift_bytes) < size_bytes
    return CopyPlan(
        source_lba,
        destination_lba,
        size_bytes,
        unit_bytes,
        distance_bytes=abs(shift_bytes) if overlaps else 0,
        backwards=overlaps and shift_bytes > 0,
    )


def _size_bytes(source: Disk, source_lba: int, count_blocks: int | None) -> int:
    available = source.capacity_blocks - source_lba
    if available <= 0:
        raise BadRequest(f"{source.name} has {source.capacity_blocks} blocks, none at {source_lba}")
    count = available if count_blocks is None else count_blocks
    if not 0 < count <= available:
        raise BadRequest(f"{source.name} has {available} blocks from {source_lba} on, not {count}")
    return count * source.block_bytes
