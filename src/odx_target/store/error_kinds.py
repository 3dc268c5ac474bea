"""The kinds of operating system errors: the one table from errno to kind, and from kind to exception.

The kinds stay distinct all the way up, because each needs a different reaction:

- scarcity passes: the caller may try again, and nothing is broken;
- a refusal lasts until an operator changes what the machine allows;
- damage is lost data: asking again does not help;
- a failure says nothing of the data. It ends a pool only where something that was promised may be lost.
"""

import errno
from collections.abc import Callable
from enum import Enum, auto

from odx_target.store.errors import DamagedBlock, OutOfResources, PoolFull, Refused, StoreError, Unreadable, Unwritable


class ErrorKind(Enum):
    SCARCITY = auto()
    NO_ROOM = auto()
    """Scarcity of room on a disk."""
    REFUSAL = auto()
    DAMAGE = auto()
    FAILURE = auto()


KINDS: dict[int, ErrorKind] = {
    errno.EMFILE: ErrorKind.SCARCITY,
    errno.ENFILE: ErrorKind.SCARCITY,
    errno.ENOMEM: ErrorKind.SCARCITY,
    errno.ENOBUFS: ErrorKind.SCARCITY,
    errno.EAGAIN: ErrorKind.SCARCITY,
    errno.EINTR: ErrorKind.SCARCITY,
    errno.ENOSPC: ErrorKind.NO_ROOM,
    errno.EDQUOT: ErrorKind.NO_ROOM,
    errno.EFBIG: ErrorKind.NO_ROOM,
    errno.EACCES: ErrorKind.REFUSAL,
    errno.EPERM: ErrorKind.REFUSAL,
    errno.EROFS: ErrorKind.REFUSAL,
    errno.ENOENT: ErrorKind.DAMAGE,
    errno.ENODATA: ErrorKind.DAMAGE,
    errno.EBADMSG: ErrorKind.DAMAGE,
    errno.EUCLEAN: ErrorKind.DAMAGE,
}
"""All others are failures. ENODATA is how a block device reports a bad sector, and how a segment that is too short is
reported here; EBADMSG and EUCLEAN are what file systems make of checksums that do not match (errno(3), Linux)."""

_OF_WRITES: dict[ErrorKind, Callable[[str], StoreError]] = {
    ErrorKind.SCARCITY: OutOfResources,
    ErrorKind.NO_ROOM: PoolFull,
    ErrorKind.REFUSAL: Refused,
    ErrorKind.DAMAGE: Unwritable,
    ErrorKind.FAILURE: Unwritable,
}


def kind_of(error: OSError) -> ErrorKind:
    return KINDS.get(error.errno or 0, ErrorKind.FAILURE)


def passes(error: OSError) -> bool:
    """True if the same call may succeed later by itself."""
    return kind_of(error) in (ErrorKind.SCARCITY, ErrorKind.NO_ROOM)


def of_write(doing: str, error: OSError) -> StoreError:
    """The exception for an error before anything was promised; `doing` begins its message."""
    return _OF_WRITES[kind_of(error)](f"{doing} failed: {reason(error)}")


def of_read(block: int, error: OSError) -> StoreError:
    """The exception for an error of a read of a block, counted as the caller does."""
    kind = kind_of(error)
    if kind is ErrorKind.DAMAGE:
        return DamagedBlock(block)
    if kind in (ErrorKind.SCARCITY, ErrorKind.NO_ROOM):
        return OutOfResources(f"block {block} cannot be read: {reason(error)}")
    return Unreadable(block, reason(error))


def reason(error: OSError) -> str:
    return error.strerror or str(error)
