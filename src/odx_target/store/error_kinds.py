"""The kinds of operating system errors. One table gives the kind of each errno, and another table gives the exception for each
kind.

Each kind needs a different reaction:

- scarcity is temporary: no data is lost, and the caller may try again;
- a refusal lasts until an operator changes the permissions or the mount of the file system;
- damage means that data is lost, and a second attempt does not help;
- failure means that the state of the data is unknown. After a failure by which accepted data may be lost, the pool accepts no
  more writes.
"""

import errno
from collections.abc import Callable
from enum import Enum, auto

from odx_target.store.errors import (
    DamagedBlock,
    LogFreed,
    LogUnreadable,
    OutOfResources,
    PoolFull,
    Refused,
    StoreError,
    Unreadable,
    Unwritable,
)


class ErrorKind(Enum):
    SCARCITY = auto()
    NO_ROOM = auto()
    """The disk is full, a quota is used up, or a file is too large."""
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
"""Kind of each errno. An errno that is not listed is a failure. ENODATA is the errno for a bad sector of a block device. The
store also uses it for a segment that is too short. File systems report wrong checksums as EBADMSG or EUCLEAN (errno(3),
Linux)."""

_OF_WRITES: dict[ErrorKind, Callable[[str], StoreError]] = {
    ErrorKind.SCARCITY: OutOfResources,
    ErrorKind.NO_ROOM: PoolFull,
    ErrorKind.REFUSAL: Refused,
    ErrorKind.DAMAGE: Unwritable,
    ErrorKind.FAILURE: Unwritable,
}

_OF_READS_OF_THE_LOG: dict[ErrorKind, Callable[[str], StoreError]] = {
    ErrorKind.SCARCITY: OutOfResources,
    ErrorKind.NO_ROOM: OutOfResources,
    ErrorKind.REFUSAL: LogUnreadable,
    ErrorKind.DAMAGE: LogFreed,
    ErrorKind.FAILURE: LogUnreadable,
}


def kind_of(error: OSError) -> ErrorKind:
    return KINDS.get(error.errno or 0, ErrorKind.FAILURE)


def passes(error: OSError) -> bool:
    """True if the error is temporary, so that the same call may succeed later."""
    return kind_of(error) in (ErrorKind.SCARCITY, ErrorKind.NO_ROOM)


def of_write(doing: str, error: OSError) -> StoreError:
    """Make the exception for a write that failed before the pool accepted its data. The message begins with `doing`."""
    return _OF_WRITES[kind_of(error)](f"{doing} failed: {reason(error)}")


def of_read(block: int, error: OSError) -> StoreError:
    """Make the exception for a failed read. `block` is the number of the block in the volume or frozen map."""
    kind = kind_of(error)
    if kind is ErrorKind.DAMAGE:
        return DamagedBlock(block)
    if kind in (ErrorKind.SCARCITY, ErrorKind.NO_ROOM):
        return OutOfResources(f"block {block} cannot be read: {reason(error)}")
    return Unreadable(block, reason(error))


def of_log_read(osn: int, error: OSError) -> StoreError:
    """Make the exception for a follower that cannot read the log from the record `osn` on."""
    return _OF_READS_OF_THE_LOG[kind_of(error)](f"the log cannot be read from record {osn} on: {reason(error)}")


def reason(error: OSError) -> str:
    return error.strerror or str(error)
