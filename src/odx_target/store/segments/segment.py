"""The interfaces of segments and of the store of segments.

The log is stored in segments. A *segment* is a numbered row of blocks. A segment has these stages:

1. `SegmentStore.create` makes the segment with room for a given number of blocks. The call may be slow and is made in advance.
2. Only the log writer writes to the segment (`write`), from block 0 upwards. A block is written a second time only in three
   cases: after a failed write, when the recovery of a pool writes a footer over an incomplete batch, and when a header is added
   to the zeros of a header block (`write_at`).
3. `seal` cuts the segment after its footer. After this call, the segment does not change.
4. When no map and no read needs the segment any more, `SegmentStore.delete` removes it, or `SegmentStore.recycle` makes it a
   new segment.

Written data survives the end of the process. Data survives a loss of power only after `sync` has returned. Until `sync` has
returned, a loss of power may undo any part of any write, in any order. A loss of power may also undo the creation, the cut or
the removal of a segment.

All calls except `read_now`, `write` and `describe` may take long, so callers make them in a thread. `sync` need not run in a
thread if `SegmentStore.syncs_at_once` is True. Two threads must not seal, sync or write the same segment at the same time.
Reads are allowed at any time. If a segment is deleted during a read, the read either succeeds or raises OSError.
"""

from collections.abc import Sequence
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.store.segments.watch import BeforeCall

PLACE_BITS = 14
"""Number of low bits of a place that contain the number of the block in its segment. A *place* is `segment_number << PLACE_BITS
| block_in_segment`. Place 0 means a hole."""

MAX_SEGMENT_BLOCKS = 1 << PLACE_BITS
"""Largest size of a segment: 64 MiB."""

MIN_SEGMENT_BLOCKS = 32
"""Smallest size of a segment. A segment must have room for its footer and for a header with the longest record, which has a
value of 64 KiB."""

SEGMENT_DESCRIPTORS = 512
"""Default for the largest number of open segment files: half of the 1,024 files that a process may usually open. The other half
is for connections."""


class Segment(Protocol):
    @property
    def number(self) -> int: ...

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers one after the other, beginning at `block`. The total size of the buffers must be a whole number of
        blocks.

        Raises OSError. After an error, any part of the buffers may be in the segment.
        """
        ...

    def write_at(self, offset_bytes: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers one after the other into blocks that have been written before, beginning at an offset of the
        segment. Raises the exceptions of `write`.
        """
        ...

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        """Read blocks into a new buffer without waiting for the disk.

        Returns None if the blocks cannot be read without waiting. The caller then uses `read`. Never raises an exception.
        """
        ...

    def read(self, block: int, count_blocks: int) -> bytearray:
        """Read blocks into a new buffer, and wait for the disk. Any number of threads may read at the same time.

        Raises OSError if the blocks cannot be read or the segment is too short.
        """
        ...

    def sync(self) -> None:
        """Make the segment and all its written data durable. Raises OSError."""
        ...

    def seal(self, size_blocks: int) -> None:
        """Cut the segment to its first `size_blocks` blocks. Raises OSError."""
        ...


class SegmentStore(Protocol):
    @property
    def syncs_at_once(self) -> bool:
        """True if `Segment.sync` never waits for a disk, because there is no disk. The event loop may then call it."""
        ...

    def names(self) -> dict[int, int]:
        """List the segments that exist: number -> size in blocks."""
        ...

    def room_blocks(self) -> int | None:
        """Return the number of further blocks for which the store has room, or None if this number is unknown or unlimited."""
        ...

    def describe(self, number: int) -> str:
        """Return the name of a segment for messages, such as its file name."""
        ...

    def create(self, number: int, size_blocks: int) -> Segment:
        """Make a segment of zeros and reserve room for it. Raises PoolFull if there is no room. Raises OSError for any other
        error.

        The pool makes segments before it needs them, so this call may do slow work that saves time in later writes. Only for
        the first segment, it may reserve room for a part, because the opening of the pool waits for it. `reserve` then reserves
        the rest.
        """
        ...

    def reserve(self, number: int, size_blocks: int) -> None:
        """Reserve the room of a new segment that `create` has not reserved. Blocks of the segment may be written meanwhile.

        Raises PoolFull or OSError. The segment stays, and a later call tries again.
        """
        ...

    def recycle(self, former: int, number: int, size_blocks: int) -> Segment:
        """Turn the segment `former`, which is no longer needed, into a new segment with the number `number`. This is faster
        than `create`.

        Each block keeps its former content until it is written. The new segment is durable only after its first sync. After a
        loss of power before that sync, there may be a segment with the number `former` that contains data of the new segment.
        Raises PoolFull or OSError. After an error, neither the former segment nor the new segment exists.
        """
        ...

    def open(self, number: int) -> Segment:
        """Open an existing segment. Raises OSError if it cannot be read."""
        ...

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove segments durably. Ignores segments that do not exist. Raises OSError."""
        ...

    def watch(self, before: BeforeCall | None) -> None:
        """Call a function before each read, write, sync and creation of a segment, until this method is called with None.

        While a function watches the segments, no read succeeds without waiting, so that the function sees all reads.
        """
        ...

    def close(self) -> None:
        """Close all descriptors. The caller must not use any segment afterwards."""
        ...
