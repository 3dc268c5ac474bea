"""The reports of a pool, re-exported by `store.api`: its use of the disk, its faults, and the progress of a scrub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Usage:
    """The room of a pool: the number of bytes that it occupies on the disk, and the number of bytes that are still available
    for data.
    """

    used_bytes: int
    available_bytes: int | None
    """Number of bytes that are available for data. None if the pool has no limit and the free room of the disk is unknown."""
    gain_bytes: int = 0
    """Number of used bytes that cleaning makes available for hosts, by what the cleaner found when it last looked. The headers
    of the log are left out, and segments that have too few dead blocks to be moved.
    """

    @property
    def needed_bytes(self) -> int:
        """Number of used bytes that cleaning will not make available. Hosts see this number as the used room, because the room
        of overwritten data comes back by itself.
        """
        return self.used_bytes - self.gain_bytes

    @property
    def obtainable_bytes(self) -> int | None:
        """Number of bytes that are available, or that cleaning will make available. None if the former number is unknown."""
        return None if self.available_bytes is None else self.available_bytes + self.gain_bytes


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of data of a volume, frozen map or snapshot, as they are on the disk.

    Holes are not counted. Data to which several blocks refer is counted once. Compressed data is counted with its compressed
    size.
    """

    unique_bytes: int
    """Bytes of data to which no other volume or frozen map of the pool refers. If the volume, frozen map or snapshot is
    deleted, these bytes become free."""
    shared_bytes: int
    mapped_bytes: int = 0
    """Bytes of all blocks that are not holes, before compression."""

    @property
    def ratio(self) -> float:
        """Ratio of compression: bytes before compression divided by bytes on the disk."""
        stored_bytes = self.unique_bytes + self.shared_bytes
        return self.mapped_bytes / stored_bytes if stored_bytes else 1.0


@dataclass(frozen=True, slots=True)
class VolumeSpace:
    """Bytes of data of a volume. `mapped_bytes` is the size before compression. All other sizes are sizes on the disk.

    If two blocks of the volume refer to the same data, it is counted twice in `mapped_bytes` and `stored_bytes`.
    """

    mapped_bytes: int
    stored_bytes: int
    unique_bytes: int
    """Bytes of data to which no other volume and no frozen map refers."""

    @property
    def shared_bytes(self) -> int:
        """Bytes of data to which other volumes or frozen maps also refer, or to which several blocks of this volume refer."""
        return self.stored_bytes - self.unique_bytes

    @property
    def compressed_bytes(self) -> int:
        """Bytes that compression saves."""
        return self.mapped_bytes - self.stored_bytes


@dataclass(frozen=True, slots=True)
class PoolSpace:
    """Bytes of data of all volumes and frozen maps of a pool at one moment. Each block of the log is counted once."""

    volumes: Mapping[str, VolumeSpace]
    unique_bytes: int
    """Bytes of data to which exactly one volume refers, and no frozen map."""
    shared_bytes: int
    """Bytes of data to which several volumes refer, or a volume and a frozen map."""
    frozen_bytes: int
    """Bytes of data to which only frozen maps refer, such as those of snapshots and tokens."""
    counted_at_s: float
    """Time of the count, as `Environment.monotonic` returns it."""


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The state of the log of a pool. The records of the log have consecutive sequence numbers (OSNs)."""

    segment: int
    block: int
    """Block of `segment` at which the next batch begins, unless the segment is full."""
    next_osn: int
    """Sequence number of the next record."""
    durable_osn: int
    """All records with a lower sequence number are durable."""
    count_of_segments: int
    replay_bytes: int
    """Number of bytes of the log that would be replayed if the pool were opened now."""
    cold_read_blocks: int
    """Number of log blocks that threads have read from the disk, because the blocks were not in the page cache."""


class TroubleKind(Enum):
    """The kinds of faults that need the attention of an operator."""

    FAILED = auto()
    """The pool accepts no more writes until it is opened again."""
    FULL = auto()
    NO_SEGMENT = auto()
    """No segment can be made now, although the pool may have room."""
    STALLED = auto()
    """The log cannot be written now. The pool will try again."""
    NOT_SEALED = auto()
    """A full segment could not be sealed. The pool will try again."""
    NOT_CLEANED = auto()
    """A segment could not be moved or freed. The pool will try again."""
    NOT_PLACED = auto()
    """Data could not be moved to the capacity tier. It stays in the fast tier, and the pool will try again."""
    CHECKPOINT_FAILED = auto()
    DAMAGED_BLOCK = auto()
    UNREADABLE_BLOCK = auto()
    SCARCE = auto()
    """A read or a flush failed because there was no free descriptor, memory or thread. Initiators may try again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault that needs the attention of an operator.

    If `frozen_map` is given, `block` is the number of a block in this frozen map. Otherwise it is the number of a block in the
    volume.
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
    """Name of the volume. None if the name is not known, because the block belongs to a frozen map that was made before the
    pool was opened."""
    frozen_map: int | None
    block: int
    count: int


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """Number of faults of one kind since the pool was opened, with the reason and the age of the last fault."""

    kind: TroubleKind
    count: int
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class CleaningStatus:
    """The number of live and dead blocks, and the work of the cleaner since the pool was opened. A block is dead if no map
    refers to it.
    """

    live_blocks: int
    """Number of blocks of sealed segments to which a map referred when the cleaner last counted live blocks."""
    dead_blocks: int
    """Number of blocks of sealed segments to which no map referred when the cleaner last counted live blocks. Headers and
    footers are included."""
    host_blocks: int
    """Number of data blocks that were written for hosts."""
    moved_blocks: int
    header_blocks: int
    freed_segments: int
    recycled_segments: int

    @property
    def write_amplification(self) -> float:
        """Number of data blocks that the pool has written, divided by the number of data blocks that hosts have written."""
        return (self.host_blocks + self.moved_blocks) / self.host_blocks if self.host_blocks else 1.0


@dataclass(frozen=True, slots=True)
class CapacityStatus:
    """The capacity tier of a pool, and the blocks that wait for a move between the tiers.

    The blocks in the wrong tier were counted by the last marking of the cleaner.
    """

    used_blocks: int
    available_blocks: int | None
    """Number of blocks that are available in the tier. None if the tier has no limit and the free room of its disk is
    unknown."""
    limit_blocks: int | None
    to_capacity_blocks: int
    to_fast_blocks: int
    moved_blocks: int
    """Number of blocks that were written to the tier since the pool was opened."""
    problem: str | None
    """Reason why no data can be moved to the tier at present."""
    waiting: Mapping[bytes, int]
    """Number of blocks of each volume in the wrong tier, by the identity of the volume. Volumes without such blocks are left
    out. A block that several volumes share may count for each of them. The number is that before compression."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The present and past faults of a pool."""

    failure: str | None
    no_room: str | None
    """Reason why the pool refuses changes at present. None if the pool accepts changes."""
    is_full: bool
    no_room_for_s: float | None
    checkpoint_error: str | None
    """Reason why the last attempt to save a checkpoint failed. None if it did not fail."""
    checkpoint_age_s: float
    """Time since the last checkpoint was saved, or since the pool was opened."""
    damaged: tuple[DamagedPlace, ...]
    damaged_beyond: int
    """Number of reads of damaged blocks that are not in `damaged`, because this list is full."""
    met: tuple[TroubleCount, ...]
    """The faults since the pool was opened, by kind. Faults that are over are included."""
    cleaning: CleaningStatus | None = None
    log: LogStatus | None = None
    capacity: CapacityStatus | None = None
    """The capacity tier. None if the pool has no capacity tier."""
    limit_bytes: int | None = None
    """Largest number of bytes that the fast tier may occupy. None if only the disk limits the tier."""


@dataclass(slots=True)
class ScrubProgress:
    """The state of a scrub. Headers are included in the numbers of blocks. The total number is computed at the start of the
    scrub.
    """

    total_blocks: int
    checked_blocks: int = 0
    damaged_blocks: int = 0
    unused_damaged_blocks: int = 0
    """Number of damaged blocks to which no volume and no frozen map refers. The damaged blocks of a segment are not included if
    a part of a map could not be read during the search for their owners."""
    complaints: list[str] = field(default_factory=list)
    """Descriptions of damaged headers and footers, and of segments and parts of maps that cannot be read. If only headers and
    footers are damaged, no data is lost."""
    is_running: bool = True
    is_complete: bool = False
    elapsed_s: float = 0.0

    @property
    def remaining_s(self) -> float | None:
        """Estimated time until the scrub ends. None if no block has been checked yet."""
        if not self.checked_blocks:
            return None
        return self.elapsed_s * max(0, self.total_blocks - self.checked_blocks) / self.checked_blocks
