"""The reports of a pool: its use of the disk, its troubles, and the progress of a scrub. Re-exported by `store.api`."""

from dataclasses import dataclass, field
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes that the data of a pool takes on the disk, and bytes that are still available for data."""

    used_bytes: int
    available_bytes: int | None
    """None if the pool has no limit and the room on the disk is unknown."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of data of a volume, frozen map or snapshot. Holes and blocks that it has twice do not count."""

    unique_bytes: int
    """Bytes that nothing else in the pool has; its deletion frees them."""
    shared_bytes: int


class TroubleKind(Enum):
    """The kinds of trouble that an operator must act on."""

    FAILED = auto()
    """The pool takes no more writes."""
    FULL = auto()
    NO_SEGMENT = auto()
    """No segment can be made now, although the pool may have room."""
    STALLED = auto()
    """The log cannot be written now; the pool will try again."""
    NOT_SEALED = auto()
    """A full segment could not be sealed; the pool will try again."""
    CHECKPOINT_FAILED = auto()
    DAMAGED_BLOCK = auto()
    UNREADABLE_BLOCK = auto()
    SCARCE = auto()
    """A read or a flush failed because descriptors, memory or threads were missing. Initiators may try again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble that an operator must act on. `block` counts within the volume, or within the frozen map if there is one."""

    kind: TroubleKind
    reason: str
    volume: str | None = None
    frozen_map: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class DamagedPlace:
    """A damaged block of a volume or of a frozen map, and the number of reads that found it damaged."""

    volume: str | None
    """Name of the volume; None for a frozen map that was made before the pool was opened."""
    frozen_map: int | None
    block: int
    count: int


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """Number of troubles of one kind since the pool was opened, with the reason and age of the last."""

    kind: TroubleKind
    count: int
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The present and past troubles of a pool."""

    failure: str | None
    no_room: str | None
    """Reason why changes are refused at present; None if they are accepted."""
    is_full: bool
    no_room_for_s: float | None
    checkpoint_error: str | None
    """Reason why the last checkpoint was not saved; None if it was saved."""
    checkpoint_age_s: float
    """Time since the last checkpoint was saved, or since the pool was opened."""
    damaged: tuple[DamagedPlace, ...]
    damaged_beyond: int
    """Number of reads of damaged blocks that are not listed in `damaged`, because the list is full."""
    met: tuple[TroubleCount, ...]
    """All kinds of trouble since the pool was opened, including troubles that are over."""


@dataclass(slots=True)
class ScrubProgress:
    """State of a scrub. Blocks are counted with headers; the total is that of the start."""

    total_blocks: int
    checked_blocks: int = 0
    damaged_blocks: int = 0
    unused_damaged_blocks: int = 0
    """Number of damaged blocks that no volume and no frozen map refers to."""
    complaints: list[str] = field(default_factory=list)
    """Damage of headers and footers, which costs no data, and segments that cannot be read."""
    is_running: bool = True
    is_complete: bool = False
    elapsed_s: float = 0.0

    @property
    def remaining_s(self) -> float | None:
        """Estimated time to the end; None if nothing has been checked yet."""
        if not self.checked_blocks:
            return None
        return self.elapsed_s * max(0, self.total_blocks - self.checked_blocks) / self.checked_blocks
