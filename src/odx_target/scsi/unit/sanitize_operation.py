"""A sanitize operation of a logical unit (SBC-4 4.11), as other commands see it, and its record in the pool.

The pool keeps a record of each sanitize operation that runs or has failed (`Pool.remember`), so that the operation goes on
after a restart, and a failure is still reported. The record consists of these parts:

* Version, flags, length of the pattern.
* The initialization pattern of OVERWRITE. It is empty for the other methods.
* Checksum: CRC-32 of all bytes before the checksum.
"""

import struct
import zlib
from collections.abc import Callable

from odx_target.environment import Event
from odx_target.scsi.sense import SANITIZE_COMMAND_FAILED, SANITIZE_IN_PROGRESS, CheckCondition
from odx_target.scsi.unit.medium_progress import MAX_PROGRESS, MediumProgress, fraction
from odx_target.store.api import Pool, PoolDamaged

KEY_PREFIX = "scsi/sanitize/"
RECORD_VERSION = 1

_HEADER = struct.Struct(">BBH")
_CHECKSUM = struct.Struct(">I")
_FAILED, _RESTRICTED = 0x01, 0x02


class SanitizeOperation(MediumProgress):
    """A sanitize operation that runs or has failed. It first deallocates all blocks. If there is a `pattern`, it then fills
    each logical block with the repeated pattern.

    If `is_restricted` is True (AUSE 0), a failure ends only when another restricted operation has succeeded. `make_event` makes
    the events for which commands wait.
    """

    def __init__(self, pattern: bytes, *, is_restricted: bool, make_event: Callable[[], Event]) -> None:
        super().__init__()
        self.pattern = pattern
        self.is_restricted = is_restricted
        self.filled_blocks = 0
        """Number of blocks, from the first one on, that contain the pattern."""
        self.is_complete = False
        self.begun = make_event()
        """Set when the record of the operation is durable, or when the operation has ended."""
        self.ended = make_event()
        """Set when the operation is complete, has failed, or was stopped."""

    def made_progress(self, done_blocks: int, total_blocks: int) -> None:
        """Record that the first `done_blocks` of `total_blocks` blocks are deallocated."""
        super().made_progress(done_blocks, total_blocks)
        if self.pattern:
            self.progress //= 2

    def made_filling_progress(self, filled_blocks: int, total_blocks: int) -> None:
        """Record that the first `filled_blocks` of `total_blocks` blocks contain the pattern."""
        self.filled_blocks = filled_blocks
        self.progress = fraction(total_blocks + min(filled_blocks, total_blocks), 2 * total_blocks)

    def fail(self) -> None:
        """Record that the operation has failed."""
        self.has_failed = True

    @property
    def progress_percent(self) -> int:
        """The part of the work that is done, in percent."""
        return 100 * self.progress // MAX_PROGRESS

    def condition(self) -> CheckCondition:
        """Return the sense data for commands that the operation prevents."""
        if self.has_failed:
            return CheckCondition(SANITIZE_COMMAND_FAILED)
        return CheckCondition(SANITIZE_IN_PROGRESS, progress=self.progress)


def keep(pool: Pool, volume_identity: bytes, operation: SanitizeOperation) -> None:
    """Store the record of an operation in the pool. A full pool accepts the record too, because the operation frees room.

    Raises PoolFull, PoolBusy, PoolFailed.
    """
    flags = _FAILED * operation.has_failed | _RESTRICTED * operation.is_restricted
    body = _HEADER.pack(RECORD_VERSION, flags, len(operation.pattern)) + operation.pattern
    pool.remember(_key(volume_identity), body + _CHECKSUM.pack(zlib.crc32(body)), spare=True)


def recall(pool: Pool, volume_identity: bytes, make_event: Callable[[], Event]) -> SanitizeOperation | None:
    """Return the sanitize operation of a volume that has not ended or has failed. Return None if there is none.

    Raises PoolDamaged if the record is invalid. An invalid record must not be ignored, because old data could then be read.
    """
    value = pool.remembered(_key(volume_identity))
    if value is None:
        return None
    body = value[: -_CHECKSUM.size]
    if len(body) < _HEADER.size or _CHECKSUM.pack(zlib.crc32(body)) != value[-_CHECKSUM.size :]:
        raise PoolDamaged(f"the sanitize operation of volume {volume_identity.hex()} cannot be read: its checksum is wrong")
    version, flags, pattern_bytes = _HEADER.unpack_from(body)
    pattern = body[_HEADER.size :]
    if version != RECORD_VERSION or len(pattern) != pattern_bytes:
        raise PoolDamaged(f"the sanitize operation of volume {volume_identity.hex()} has format {version}, which is unknown")
    operation = SanitizeOperation(pattern, is_restricted=bool(flags & _RESTRICTED), make_event=make_event)
    operation.has_failed = bool(flags & _FAILED)
    return operation


def has_record(pool: Pool, volume_identity: bytes) -> bool:
    """True if a sanitize operation of a volume has not ended or has failed."""
    return pool.remembered(_key(volume_identity)) is not None


def drop(pool: Pool, volume_identity: bytes) -> None:
    """Remove the record of an operation that is complete, or of a volume that was deleted."""
    pool.forget(_key(volume_identity))


def _key(volume_identity: bytes) -> str:
    return f"{KEY_PREFIX}{volume_identity.hex()}"
