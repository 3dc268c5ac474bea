"""The reports of a pool: its use of the disk, and the troubles it met. Re-exported by `store.api`."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Usage:
    """The bytes of the disk that a pool takes, and those that are left for its data, as far as they are known."""

    used_bytes: int
    available_bytes: int | None
    """None where no limit and no disk sets a bound that is known."""


class TroubleKind(Enum):
    """The kinds of trouble that an operator must act on."""

    FAILED = auto()
    """The pool takes no more writes."""
    FULL = auto()
    NO_SEGMENT = auto()
    """There may be room, but no segment can be made of it now."""
    STALLED = auto()
    """The log cannot be written now; it is tried again."""
    NOT_SEALED = auto()
    """A segment that is full could not be finished now; it is tried again."""
    CHECKPOINT_FAILED = auto()
    DAMAGED_BLOCK = auto()
    UNREADABLE_BLOCK = auto()
    SCARCE = auto()
    """A read or a flush could not be done for want of descriptors, memory or threads; initiators try again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble that an operator must act on; `block` belongs to a volume, or to a frozen map of it."""

    kind: TroubleKind
    reason: str
    volume: str | None = None
    frozen_map: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class DamagedPlace:
    """A damaged block of a volume or of a frozen map of it, and the number of times it was met."""

    volume: str | None
    """None for a frozen map from before the pool was opened."""
    frozen_map: int | None
    block: int
    count: int


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """The number of troubles of a kind since the pool was opened, and the last of them."""

    kind: TroubleKind
    count: int
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The troubles of a pool, present and past."""

    failure: str | None
    no_room: str | None
    """Why changes are refused at present."""
    is_full: bool
    no_room_for_s: float | None
    checkpoint_error: str | None
    """Why the last checkpoint was not saved."""
    checkpoint_age_s: float
    """Since the last one was saved, or the pool opened."""
    damaged: tuple[DamagedPlace, ...]
    damaged_beyond: int
    """The number of times that further damaged blocks were met; those are not listed one by one."""
    met: tuple[TroubleCount, ...]
    """All troubles since the pool was opened, also those that are over."""
