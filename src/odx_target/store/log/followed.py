"""The records that a follower of the log yields, re-exported by `store.api`."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from odx_target.store.log.records import Record


class Followed(NamedTuple):
    """A record of the log that a follower has read.

    `stream` is the field `stream` of the batch of the record. It is 0 for changes that were made in this pool. `place` is the
    place of the data of the record. `data` is None if a block of the data does not match its checksum. The data of a
    CompressedWrite is the compressed extent. A Link has no data in its batch: its data is at the place in the record.
    `ends_commit` is True for the last record of a commit. After a crash, a pool has all records of a commit or none.

    If `prepared` is not None, the object stands for all records of some commits, up to this one. It was made by the function
    that was passed to `Pool.follow`.
    """

    osn: int
    stream: int
    record: Record
    place: int
    data: memoryview | None
    ends_commit: bool = True
    prepared: "tuple[bytearray, ...] | None" = None


Prepare: TypeAlias = Callable[[list[Followed]], list[Followed]]
"""Puts objects with `prepared` in the place of the records of whole commits. It runs in a thread, or in the event loop if the
records are few and in memory."""


class Following(Protocol):
    """An iterator over the records of a pool. The iteration ends when the pool or the follower is closed.

    A slow follower does not delay writers, and takes little memory. The pool does not free the segments that the follower still
    needs, but only up to a limit, and not while the pool is short of room.
    """

    @property
    def next_osn(self) -> int:
        """OSN (operation sequence number) of the next record. Another follower may later continue there, even after a
        restart.
        """
        ...

    def __aiter__(self) -> "Following": ...

    async def __anext__(self) -> Followed:
        """Wait until the next record is durable, or committed if the follower is early, and return it.

        Raises LogFreed if the next record has been freed or is damaged. The caller must then find the changes by a comparison
        of the contents. Raises OutOfResources or LogUnreadable if the log cannot be read now. The next call then tries again.
        """
        ...

    def close(self) -> None:
        """End the iteration. The pool may then free the segments that this follower needed."""
        ...
