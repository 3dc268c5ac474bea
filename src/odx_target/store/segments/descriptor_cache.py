"""A cache of open descriptors of segments. If the cache is full, the oldest descriptor is closed.

Any thread may add or close descriptors. Only the event loop reads through cached descriptors, and it takes no lock. Before a
read, the event loop puts the descriptor into `in_use`, and then checks that the segment still has this descriptor. Before a
thread closes a descriptor, the thread removes the descriptor from the segment, and then checks `in_use`. If both happen at the
same time, at least one of the two checks fails. Then there is no read through the descriptor, or it is not closed. So no
descriptor is closed during a read.
"""

import errno
import os
from pathlib import Path
from threading import Lock
from typing import Protocol

NO_DESCRIPTOR = -1


class Held(Protocol):
    """A segment that owns a cached descriptor."""

    descriptor: int
    """The descriptor of the segment, or NO_DESCRIPTOR. Only the cache changes this field."""

    @property
    def is_pinned(self) -> bool:
        """True if the descriptor must stay open, because data is being written through it or has not been synced yet."""
        ...

    def unmap(self) -> None:
        """Give back the mapping of the file, if there is one. The cache calls this when it closes the descriptor."""
        ...


class DescriptorCache:
    """A cache of at most `max_held` descriptors of segments. The cache exceeds this number only while it must keep more
    descriptors open (`Held.is_pinned`).
    """

    def __init__(self, max_held: int) -> None:
        self.in_use = NO_DESCRIPTOR
        self._max_held = max_held
        self._held: dict[Held, None] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def open(self, path: Path, flags: int) -> int:
        """Open a file, and return a descriptor that the caller must close. If the process has too many open descriptors, cached
        descriptors are closed. Raises OSError.
        """
        while True:
            try:
                return os.open(path, flags | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._give_way():
                    raise

    def take_in(self, holder: Held, descriptor: int) -> None:
        """Add an open descriptor of a segment to the cache. If the cache is full, the oldest descriptor is closed.

        If the segment already has a cached descriptor, the given descriptor is closed instead.
        """
        with self._lock:
            if holder.descriptor == NO_DESCRIPTOR:
                holder.descriptor = descriptor
                self._held[holder] = None
            else:
                os.close(descriptor)
            while len(self._held) > self._max_held and self._evict():
                pass

    def drop(self, holder: Held) -> None:
        """Close the descriptor of a segment that is no longer used."""
        with self._lock:
            if holder in self._held:
                del self._held[holder]
                holder.descriptor, descriptor = NO_DESCRIPTOR, holder.descriptor
                os.close(descriptor)
                holder.unmap()

    def close(self) -> None:
        """Close all cached descriptors."""
        for holder in list(self._held):
            self.drop(holder)

    def _give_way(self) -> bool:
        with self._lock:
            return self._evict()

    def _evict(self) -> bool:
        """Close the oldest descriptor that may be closed. Returns False if there is none."""
        for holder in self._held:
            if holder.is_pinned:
                continue
            holder.descriptor, descriptor = NO_DESCRIPTOR, holder.descriptor
            if self.in_use == descriptor:
                holder.descriptor = descriptor
                continue
            del self._held[holder]
            os.close(descriptor)
            holder.unmap()
            return True
        return False
