"""The descriptors of segments that are held open, and which of them give way when there are too many.

Any thread may take one in, or make another give way; only the event loop reads through them, and takes no lock for that. It
names the descriptor that it is about to use in `in_use` and then looks whether the segment still has it. A thread that lets a
segment go takes the descriptor from it first and then looks at `in_use`. So one of the two sees the other, and a descriptor is
never closed under a read.
"""

import errno
import os
from pathlib import Path
from threading import Lock
from typing import Protocol

NO_DESCRIPTOR = -1


class Held(Protocol):
    """An owner of a cached descriptor."""

    descriptor: int
    """The descriptor, or NO_DESCRIPTOR; changed by the cache alone."""

    @property
    def is_pinned(self) -> bool:
        """True if the descriptor must stay: something is being written through it, or was and is not durable yet."""
        ...


class DescriptorCache:
    """A cache of at most `max_held` descriptors, and more only while more are pinned. The one taken in first gives way."""

    def __init__(self, max_held: int) -> None:
        self.in_use = NO_DESCRIPTOR
        self._max_held = max_held
        self._held: dict[Held, None] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def open(self, path: Path, flags: int) -> int:
        """A new descriptor, the caller's own. Where the process has none left, held ones give way. Raises OSError."""
        while True:
            try:
                return os.open(path, flags | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._give_way():
                    raise

    def take_in(self, holder: Held, descriptor: int) -> None:
        """Add a descriptor, unless the holder has one or there are too many that must stay."""
        with self._lock:
            if holder.descriptor == NO_DESCRIPTOR:
                holder.descriptor = descriptor
                self._held[holder] = None
            else:
                os.close(descriptor)
            while len(self._held) > self._max_held and self._evict():
                pass

    def drop(self, holder: Held) -> None:
        """Close the descriptor of what nothing uses any more."""
        with self._lock:
            if holder in self._held:
                del self._held[holder]
                holder.descriptor, descriptor = NO_DESCRIPTOR, holder.descriptor
                os.close(descriptor)

    def close(self) -> None:
        """Close all."""
        for holder in list(self._held):
            self.drop(holder)

    def _give_way(self) -> bool:
        with self._lock:
            return self._evict()

    def _evict(self) -> bool:
        """Close the descriptor that has been held for longest; False if none can be closed."""
        for holder in self._held:
            if holder.is_pinned:
                continue
            holder.descriptor, descriptor = NO_DESCRIPTOR, holder.descriptor
            if self.in_use == descriptor:
                holder.descriptor = descriptor
                continue
            del self._held[holder]
            os.close(descriptor)
            return True
        return False
