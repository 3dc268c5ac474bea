"""The reports of a pool, re-exported by `store.api`: its use of the disk, its troubles, and the progress of a scrub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Usage:
    """Number of bytes that the data of a pool occupies on the disk, and number of bytes that are still available for data."""

    used_bytes: int
    available_bytes: int | None
    """Number of bytes that are available for data. None if the pool has no limit and the free room of the disk is unknown."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of data of a volume, frozen map or snapshot, as they are on the disk.

    Holes do not count. Data that occurs twice counts once. Compressed data counts with its compressed size.
    """

    unique_bytes: int
    """Bytes of data that no other volume or frozen map of the pool shares. A deletion of the volume, frozen map or snapshot
    frees this data."""
    shared_bytes: int
    mapped_bytes: int = 0
    """Bytes of all blocks that are not holes, before compression."""

    @property
    def ratio(self) -> float:
        """Ratio of compression: the number of bytes before compression for each byte on the disk."""
        stored_bytes = self.unique_bytes + self.shared_bytes
        return self.mapped_bytes / stored_bytes if stored_bytes else 1.0


@dataclass(frozen=True, slots=True)
class VolumeSpace:
    """Bytes of data of a volume. `mapped_bytes` is the size before compression. All other sizes are sizes on the disk.

    Data that the volume contains twice counts twice in `mapped_bytes` and `stored_bytes`.
    """

    mapped_bytes: int
    stored_bytes: int
    unique_bytes: int
    """Bytes of data that no other volume and no frozen map shares."""

    @property
    def shared_bytes(self) -> int:
        """Bytes of the volume that others share, or that the volume contains more than once."""
        return self.stored_bytes - self.unique_bytes

    @property
    def compressed_bytes(self) -> int:
        """Bytes that compression saves."""
        return self.mapped_bytes - self.stored_bytes


@dataclass(frozen=True, slots=True)
class PoolSpace:
    """Bytes of data of all volumes and frozen maps of a pool at one moment. Each block of the log counts once."""

    volumes: Mapping[str, VolumeSpace]
    unique_bytes: int
    """Bytes of data that belong to exactly one volume."""
    shared_bytes: int
    """Bytes of data that several volumes share, or that volumes share with frozen maps."""
    frozen_bytes: int
    """Bytes of data that only snapshots and tokens need."""
    counted_at_s: float
    """Time of the count, as `Environment.monotonic` returns it."""


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The log of a pool. Its records have consecutive sequence numbers."""

    segment: int
    block: int
    """The next batch will begin at this block of `segment`, unless the segment is full."""
    next_osn: int
    """Sequence number of the next record."""
    durable_osn: int
    """All records with a lower sequence number are durable."""
    count_of_segments: int
    replay_bytes: int
    """Bytes of the log that an opening of the pool would have to replay."""
    cold_read_blocks: int
    """Number of blocks that were read from the disk by threads, because they were not in the page cache."""


class TroubleKind(Enum):
    """The kinds of trouble that need an operator."""

    FAILED = auto()
    """The pool accepts no more writes."""
    FULL = auto()
    NO_SEGMENT = auto()
    """No segment can be made now, although the pool may have room."""
    STALLED = auto()
    """The log cannot be written now. The pool will try again."""
    NOT_SEALED = auto()
    """A full segment could not be sealed. The pool will try again."""
    NOT_CLEANED = auto()
    """A segment could not be moved or freed. The pool will try again."""
    CHECKPOINT_FAILED = auto()
    DAMAGED_BLOCK = auto()
    UNREADABLE_BLOCK = auto()
    SCARCE = auto()
    """A read or a flush failed because there was no free descriptor, memory or thread. Initiators may try again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble that needs an operator.

    If `frozen_map` is given, `block` is a block of the frozen map. Otherwise `block` is a block of the volume.
    """

    kind: TroubleKind
    reason: str
    volume: str | None = None
    frozen_map: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class DamagedPlace:
    """A damaged block of a volume or of a frozen map, and the number of reads that found it damaged."""

    volume: str | None
    """Name of the volume. None for a frozen map that was made before the pool was opened."""
    frozen_map: int | None
    block: int
    count: int


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """Number of troubles of one kind since the pool was opened, with the reason and the age of the last trouble."""

    kind: TroubleKind
    count: int
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class CleaningStatus:
    """The room that dead blocks take, and the work of the cleaner since the pool was opened."""

    live_blocks: int
    """Number of blocks of sealed segments to which maps referred at the last marking."""
    dead_blocks: int
    """Number of blocks of sealed segments to which no map referred at the last marking, including headers and footers."""
    host_blocks: int
    """Number of data blocks that were written for hosts."""
    moved_blocks: int
    header_blocks: int
    freed_segments: int
    recycled_segments: int

    @property
    def write_amplification(self) -> float:
        """Number of data blocks that the pool has written for each data block of a host."""
        return (self.host_blocks + self.moved_blocks) / self.host_blocks if self.host_blocks else 1.0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The present and past troubles of a pool."""

    failure: str | None
    no_room: str | None
    """Reason why changes are refused at present. None if changes are accepted."""
    is_full: bool
    no_room_for_s: float | None
    checkpoint_error: str | None
    """Reason why the last checkpoint was not saved. None if it was saved."""
    checkpoint_age_s: float
    """Time since the last checkpoint was saved, or since the pool was opened."""
    damaged: tuple[DamagedPlace, ...]
    damaged_beyond: int
    """Number of reads that found a damaged block which is not in `damaged`, because the list is full."""
    met: tuple[TroubleCount, ...]
    """All kinds of trouble since the pool was opened, including troubles that are over."""
    cleaning: CleaningStatus | None = None
    log: LogStatus | None = None


@dataclass(slots=True)
class ScrubProgress:
    """State of a scrub. The numbers of blocks include headers. The total is counted at the start of the scrub."""

    total_blocks: int
    checked_blocks: int = 0
    damaged_blocks: int = 0
    unused_damaged_blocks: int = 0
    """Number of damaged blocks to which no volume and no frozen map refers. The damaged blocks of a segment do not count if a
    part of a map could not be read."""
    complaints: list[str] = field(default_factory=list)
    """Descriptions of damaged headers and footers, and of segments and parts of maps that cannot be read. Damaged headers and
    footers lose no data."""
    is_running: bool = True
    is_complete: bool = False
    elapsed_s: float = 0.0

    @property
    def remaining_s(self) -> float | None:
        """Estimated time to the end of the scrub. None if no block has been checked yet."""
        if not self.checked_blocks:
            return None
        return self.elapsed_s * max(0, self.total_blocks - self.checked_blocks) / self.checked_blocks
