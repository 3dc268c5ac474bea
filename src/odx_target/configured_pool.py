"""The pool that the settings of an array describe. The array itself knows no kind of pool, so its caller opens the pool."""

import trio

from odx_target.store.api import Pool
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.store.open import PoolOptions, PoolParts, memory_parts, open_directory_pool, open_memory_pool
from odx_target.store.segments.segment import SEGMENT_DESCRIPTORS
from odx_target.target.config.settings import Config
from odx_target.target.trio_environment import TrioEnvironment

__all__ = ["PoolParts", "memory_parts", "open_pool"]


async def open_pool(
    environment: TrioEnvironment,
    config: Config,
    *,
    descriptors: int = SEGMENT_DESCRIPTORS,
    memory: PoolParts | None = None,
) -> Pool:
    """Open the pool of a configuration, in a directory or in memory. `memory` has the storage of a pool in memory; by default,
    the pool is new. If the caller is cancelled, the opening is given up.
    """
    pool_options = PoolOptions(
        limit_bytes=config.pool_limit_bytes,
        capacity_directory=config.capacity_tier,
        capacity_limit_bytes=config.capacity_limit_bytes,
        capacity_compression=config.capacity_compression,
        descriptors=descriptors,
        cleaning=config.cleaning,
        cleaning_share=config.cleaning_share,
        before_step=trio.from_thread.check_cancelled,
        map_memory_bytes=config.map_memory_bytes or DEFAULT_MAP_MEMORY_BYTES,
    )
    if config.pool_dir is None:
        return await open_memory_pool(environment, pool_options, memory)
    return await open_directory_pool(config.pool_dir, environment, pool_options)
