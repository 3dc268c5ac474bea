"""How large a LUN is, and making it larger while it is served.

A volume has whole blocks of the store; a LUN of 512-byte blocks may end inside the last one, so its size is kept beside it.
"""

from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES, Pool, Volume
from odx_target.target.config import LunConfig, lun_config
from odx_target.target.config_error import ConfigError

SIZE_ATTRIBUTE = "size_bytes"
"""Of a volume: the size that the LUN was created with."""

KEY_PREFIX = "lun size: "
"""Of a value that the pool remembers: the size of a LUN that has grown."""


def volume_blocks(size_bytes: int) -> int:
    """How many blocks of the store hold a LUN."""
    return -(-size_bytes // BLOCK_BYTES)


def size_bytes_of(volume: Volume, pool: Pool) -> int:
    """The size of the LUN that shows a volume."""
    grown = pool.remembered(_key(volume))
    return int(volume.attributes[SIZE_ATTRIBUTE]) if grown is None else int.from_bytes(grown, "big")


def checked_growth(volume: Volume, pool: Pool, wanted: LunConfig) -> bool:
    """Whether `wanted` is larger than the LUN is. Raises ConfigError if it is smaller: its end would be lost."""
    size_bytes = size_bytes_of(volume, pool)
    if wanted.size_bytes < size_bytes:
        raise ConfigError(
            f"LUN {wanted.name}: the pool has it with a size of {size_bytes} bytes, it cannot shrink to {wanted.size_bytes}"
        )
    return wanted.size_bytes > size_bytes


def grow(volume: Volume, pool: Pool, size_bytes: int) -> None:
    """Let the LUN of a volume have this size, which is no less than it has; what is new reads as zeros.

    Commit the pool afterwards. Raises PoolFull and PoolFailed: then the LUN is as large as before.
    """
    # in this order: between the two, the volume only has more than is shown
    if volume_blocks(size_bytes) > volume.size_blocks:
        volume.resize(volume_blocks(size_bytes))
    pool.remember(_key(volume), size_bytes.to_bytes(8, "big"))


def grow_logical_unit(logical_unit: LogicalUnit, size_bytes: int) -> bool:
    """The same for a logical unit that is served; False if it has this size already. Raises ConfigError as well."""
    volume, pool = logical_unit.volume, logical_unit.pool
    if not checked_growth(volume, pool, lun_config(volume.name, size_bytes, logical_unit.block_bytes)):
        return False
    grow(volume, pool, size_bytes)
    logical_unit.capacity_blocks = size_bytes // logical_unit.block_bytes
    return True


def _key(volume: Volume) -> str:
    return KEY_PREFIX + volume.identity.hex()
