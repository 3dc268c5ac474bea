"""The records that a follower of the log yields, re-exported by `store.api`."""

from typing import NamedTuple, Protocol

from odx_target.store.log.records import Record


class Followed(NamedTuple):
    """A record of the log that a follower has read.

    `stream` is the stream of changes of its batch, which is 0 for changes that were made in this pool. `place` is the place of
    its data. `data` is None if a block of the data does not match its checksum. The data of a CompressedWrite is the compressed
    extent. A Link has no data: its data is at the place in the record.
    """

    osn: int
    stream: int
    record: Record
    place: int
    data: memoryview | None


class Following(Protocol):
    """An iterator over the durable records of a pool. The iteration ends when the pool or the follower is closed.

    A slow reader does not delay writers, and takes little memory. But the pool keeps the segments that the follower still needs
    only up to a limit, and not while it is short of room.
    """

    @property
    def next_osn(self) -> int:
        """OSN of the next record. A later follower may continue there, also after a restart."""
        ...

    def __aiter__(self) -> "Following": ...

    async def __anext__(self) -> Followed:
        """Return the next record, and wait until it is durable.

        Raises LogFreed if the next record has been freed or is damaged. The caller must then compare the contents instead.
        Raises OutOfResources or LogUnreadable if the log cannot be read now. The next call then tries again.
        """
        ...

    def close(self) -> None:
        """End the iteration, so that the pool need not keep the log for it."""
        ...
