"""The size of a LUN, and changing it while it is served.

A volume has whole blocks of the store; a LUN of 512-byte blocks may end inside the last one, so its size is kept beside it.
"""

from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES, Pool, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import LunConfig, lun_config

SIZE_ATTRIBUTE = "size_bytes"
"""Of a volume: the size that the LUN was created with."""

KEY_PREFIX = "lun size: "
"""Of a value that the pool remembers: the size of a LUN that is not the one it was created with."""


def volume_blocks(size_bytes: int) -> int:
    """The number of store blocks that a LUN needs."""
    return -(-size_bytes // BLOCK_BYTES)


def size_bytes_of(volume: Volume, pool: Pool) -> int:
    """The size of the LUN that presents a volume."""
    changed = pool.remembered(_key(volume))
    return int(volume.attributes[SIZE_ATTRIBUTE]) if changed is None else int.from_bytes(changed, "big")


def checked_growth(volume: Volume, pool: Pool, wanted: LunConfig) -> bool:
    """True if `wanted` is larger than the LUN is. Raises ConfigError if it is smaller: its end would be lost."""
    size_bytes = size_bytes_of(volume, pool)
    if wanted.size_bytes < size_bytes:
        raise ConfigError(
            f"LUN {wanted.name}: the pool has it with a size of {size_bytes} bytes, it cannot shrink to {wanted.size_bytes}; "
            "what could is `odx-target manage POOL resize NAME SIZE --shrink` while it is served"
        )
    return wanted.size_bytes > size_bytes


def grow(volume: Volume, pool: Pool, size_bytes: int) -> None:
    """Give the LUN of a volume this size, which is no less than it has; what is new reads as zeros.

    Commit the pool afterwards. Raises PoolFull and PoolFailed: then the LUN is as large as before.
    """
    # in this order: between the two, the volume only has more than is shown
    if volume_blocks(size_bytes) > volume.size_blocks:
        volume.resize(volume_blocks(size_bytes))
    _remember(volume, pool, size_bytes)


def grow_logical_unit(logical_unit: LogicalUnit, size_bytes: int) -> bool:
    """The same for a logical unit that is served; False if it has this size already. Raises ConfigError as well."""
    volume, pool = logical_unit.volume, logical_unit.pool
    if not checked_growth(volume, pool, lun_config(volume.name, size_bytes, logical_unit.block_bytes)):
        return False
    grow(volume, pool, size_bytes)
    logical_unit.capacity_blocks = size_bytes // logical_unit.block_bytes
    return True


async def shrink_logical_unit(logical_unit: LogicalUnit, size_bytes: int) -> None:
    """Cut off the end of a logical unit that is served. Tokens keep what they represent.

    1. Commands that begin from now on find the new end.
    2. Commands that already work beyond the new end complete as usual.
    3. What stays of the old end in the last block of the store becomes zeros: so it must read if the LUN grows again.
    4. Size and volume change, in one batch of the log.

    Commit the pool afterwards. Raises ConfigError for an invalid size, or if the size is changed by another request meanwhile,
    DamagedBlock, PoolFull and PoolFailed: then the LUN is as large as before. If the pool fails between 3 and 4, the few blocks
    of step 3 stay zeros.
    """
    volume, pool = logical_unit.volume, logical_unit.pool
    wanted = lun_config(volume.name, size_bytes, logical_unit.block_bytes)
    old_blocks, new_blocks = logical_unit.capacity_blocks, size_bytes // logical_unit.block_bytes
    if new_blocks > old_blocks:
        raise ConfigError(f"LUN {wanted.name}: {size_bytes} bytes are more than it has")

    def check_unchanged() -> None:
        if logical_unit.capacity_blocks != new_blocks:
            raise ConfigError(f"LUN {wanted.name}: its size was changed by somebody else at the same time")

    logical_unit.capacity_blocks = new_blocks
    try:
        await logical_unit.tasks.running_ended(size_bytes // BLOCK_BYTES)
        check_unchanged()
        end_blocks = volume_blocks(size_bytes) * BLOCK_BYTES // logical_unit.block_bytes
        if end_blocks > new_blocks:
            await logical_unit.blocks.unmap(new_blocks, end_blocks - new_blocks, check_unchanged)
            check_unchanged()
        _remember(volume, pool, size_bytes, spare=True)
        logical_unit.blocks.cut_off(volume_blocks(size_bytes))
    except BaseException:
        if logical_unit.capacity_blocks == new_blocks:
            logical_unit.capacity_blocks = old_blocks
        raise


def _remember(volume: Volume, pool: Pool, size_bytes: int, *, spare: bool = False) -> None:
    pool.remember(_key(volume), size_bytes.to_bytes(8, "big"), spare=spare)


def _key(volume: Volume) -> str:
    return KEY_PREFIX + volume.identity.hex()
