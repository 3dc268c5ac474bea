"""Where the log lives: segments, and the store that keeps them.

A *segment* is a row of blocks with a number. The life of one:

1. `SegmentStore.create` makes it with room for a given count of blocks. Creating may be slow and is done in advance.
2. The one log writer fills it from block 0 upwards with `write`, at explicit places. It never writes a block twice, but for
   the first block of a batch that never became whole.
3. `seal` cuts it to the blocks that count, the footer included. From then on nothing about it changes.
4. `SegmentStore.delete` removes it, when nothing refers to it.

Nothing here promises that what was written outlives a loss of power before `sync` has returned; until then any part of any
write may be missing, in any order, and so may the creation, the cut or the removal of a segment. What was written does
outlive the death of the process.

Calls that may take long (all but `read_now`, `write` and `describe`) are made in a thread; the caller sees to it that one
segment is not sealed, synced and written at once by two of them. Reading is always allowed. A segment may be deleted while
a read of it is under way: that read ends as if nothing had happened, or raises OSError.
"""

from collections.abc import Sequence
from typing import Protocol

from odx_target.environment import Buffer

PLACE_BITS = 14
"""A *place* is what the block map keeps of a block: `segment_number << PLACE_BITS | block_in_segment`; 0 is a hole."""

MAX_SEGMENT_BLOCKS = 1 << PLACE_BITS
"""64 MiB of 4 KiB blocks."""

MIN_SEGMENT_BLOCKS = 32
"""The longest header, of a remembered value of 64 KiB, must fit beside the footer; tests use segments this small."""

SEGMENT_DESCRIPTORS = 512
"""Half of the usual limit of 1,024 descriptors of a process; the other half is for connections."""


class Segment(Protocol):
    @property
    def number(self) -> int: ...

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        """Hand the joined buffers, whole blocks in all, to the operating system. Raises OSError: any part may be written."""
        ...

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        """Blocks without waiting for a disk, in a buffer of the caller's own; None where `read` is needed. Never raises."""
        ...

    def read(self, block: int, count_blocks: int) -> bytearray:
        """Blocks, waiting for the disk; any number of threads may read. Raises OSError, also where the segment is shorter."""
        ...

    def sync(self) -> None:
        """Return when all that was written, and the existence of the segment, is durable. Raises OSError."""
        ...

    def seal(self, size_blocks: int) -> None:
        """Cut the segment to its first `size_blocks` blocks. Raises OSError."""
        ...


class SegmentStore(Protocol):
    def names(self) -> dict[int, int]:
        """The segments there are: number -> size in blocks."""
        ...

    def room_blocks(self) -> int | None:
        """The number of blocks that there is still room for; None if that is unknown or unbounded."""
        ...

    def describe(self, number: int) -> str:
        """The name of a segment for a person: the file, the object."""
        ...

    def create(self, number: int, size_blocks: int) -> Segment:
        """Make a segment of zeros and see to it that it can be filled. Raises PoolFull when there is no room, else OSError.

        No caller waits for it, so work that makes filling it cheaper is done now.
        """
        ...

    def open(self, number: int) -> Segment:
        """An existing segment. Raises OSError when it cannot be read."""
        ...

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove segments for good: returns when that is durable. Does nothing for absent ones. Raises OSError."""
        ...

    def close(self) -> None:
        """Give up what is held open; no segment is used afterwards."""
        ...
