"""The interface of segments, in which the log is stored, and of the store that keeps them.

A *segment* is a numbered row of blocks. This is its life:

1. `SegmentStore.create` makes it with room for a given number of blocks. This may be slow and is done in advance.
2. The log writer alone fills it with `write`, from block 0 upwards. A block is written twice only to repeat a failed write, or
   when recovery writes a footer over a torn batch.
3. `seal` cuts it after its footer. From then on the segment does not change.
4. When nothing refers to it any more, `SegmentStore.delete` removes it, or `SegmentStore.recycle` makes it a new segment.

Written data survives the death of the process. It survives a loss of power only after `sync` has returned. Before that, any
part of any write may be lost, in any order; so may the creation, the cut or the removal of a segment.

All calls but `read_now`, `write` and `describe` may take long and are made in a thread. The caller must not seal, sync or
write one segment in two threads at once. Reading is always allowed. A segment may be deleted during a read; the read then
either succeeds or raises OSError.
"""

from collections.abc import Sequence
from typing import Protocol

from odx_target.environment import Buffer

PLACE_BITS = 14
"""Number of bits for the block in a *place*, which is `segment_number << PLACE_BITS | block_in_segment`. Place 0 is a hole."""

MAX_SEGMENT_BLOCKS = 1 << PLACE_BITS
"""Largest size of a segment: 64 MiB."""

MIN_SEGMENT_BLOCKS = 32
"""Smallest size of a segment. The header with the longest record, a value of 64 KiB, must fit beside the footer."""

SEGMENT_DESCRIPTORS = 512
"""Half of the usual limit of 1,024 descriptors for a process; the other half is for connections."""


class Segment(Protocol):
    @property
    def number(self) -> int: ...

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        """Hand the joined buffers, which are whole blocks in total, to the operating system.

        Raises OSError; any part of the buffers may then have been written.
        """
        ...

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        """Read blocks into a new buffer without waiting for a disk; None if `read` is needed. Never raises."""
        ...

    def read(self, block: int, count_blocks: int) -> bytearray:
        """Read blocks, and wait for the disk. Any number of threads may read.

        Raises OSError, also if the segment is too short.
        """
        ...

    def sync(self) -> None:
        """Make the segment and all data written to it durable. Raises OSError."""
        ...

    def seal(self, size_blocks: int) -> None:
        """Cut the segment to its first `size_blocks` blocks. Raises OSError."""
        ...


class SegmentStore(Protocol):
    def names(self) -> dict[int, int]:
        """List the segments that exist: number -> size in blocks."""
        ...

    def room_blocks(self) -> int | None:
        """Number of further blocks that the store has room for; None if that is unknown or unlimited."""
        ...

    def describe(self, number: int) -> str:
        """Name of a segment for a person, such as its file name."""
        ...

    def create(self, number: int, size_blocks: int) -> Segment:
        """Make a segment of zeros and reserve the room for it. Raises PoolFull if there is no room, else OSError.

        Segments are made in advance, so slow work that makes later writes cheaper belongs here.
        """
        ...

    def recycle(self, former: int, number: int, size_blocks: int) -> Segment:
        """Make a segment out of an existing one that is not used any more; this is cheaper than `create`.

        Blocks of the former segment stay until they are written. Like a creation, this is durable only after a sync of the new
        segment: a loss of power before that may leave the file under its former number, with data of the new segment in it.
        Raises PoolFull or OSError; then neither segment is there.
        """
        ...

    def open(self, number: int) -> Segment:
        """Open an existing segment. Raises OSError if it cannot be read."""
        ...

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove segments durably. Ignores segments that do not exist. Raises OSError."""
        ...

    def close(self) -> None:
        """Close all descriptors. No segment is used afterwards."""
        ...
