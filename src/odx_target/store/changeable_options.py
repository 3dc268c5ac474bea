"""The options of a pool that can change while the pool is open."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class ChangeableOptions:
    """Options of an open pool, see `PoolOptions`. If `map_memory_bytes` is None, the maps have their default memory."""

    limit_bytes: int | None
    capacity_limit_bytes: int | None
    capacity_compression: str
    cleaning: bool
    cleaning_share: float
    map_memory_bytes: int | None
