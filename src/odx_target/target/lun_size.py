"""The size of a LUN, and changes of the size while hosts use the LUN.

A volume has whole store blocks, but a LUN of 512-byte blocks may end within the last store block. Therefore the size of the LUN
is stored separately. After a change of the size, `LunResizing` notifies the hosts.
"""

from collections.abc import Callable

from odx_target.environment import Environment
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.stored_size import KEY_PREFIX
from odx_target.store.api import BLOCK_BYTES, Pool, Snapshot, Volume, change_when_ready
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import lun_config
from odx_target.target.config.settings import LunConfig
from odx_target.target.groups.grouped_luns import Change, check_not_in_group
from odx_target.target.sanitized_luns import check_not_sanitized

SIZE_ATTRIBUTE = "size_bytes"
"""Name of a volume attribute. The value of the attribute is the size with which the LUN was created."""


def volume_blocks(size_bytes: int) -> int:
    """Return the number of store blocks that a LUN of this size needs."""
    return -(-size_bytes // BLOCK_BYTES)


def size_bytes_of(volume: Volume, pool: Pool) -> int:
    """Return the size of the LUN that presents a volume.

    The LUN is never larger than the volume. The stored size may be lost by damage, and the attribute may then be too large.
    """
    volume_bytes = volume.size_blocks * BLOCK_BYTES
    changed = pool.remembered(_key(volume))
    if changed is not None:
        return min(int.from_bytes(changed, "big"), volume_bytes)
    return min(int(volume.attributes.get(SIZE_ATTRIBUTE, str(volume_bytes))), volume_bytes)


def forget_size(volume: Volume, pool: Pool) -> None:
    """Remove the stored size of a volume that is about to be deleted."""
    pool.forget(_key(volume))


def restore_logical_unit(logical_unit: LogicalUnit, snapshot: Snapshot, *, is_followed: bool = False) -> bool:
    """Restore the volume and the size of a logical unit. Return True if the size changed. `is_followed` is True if the other
    member of the group of the volume follows the change.

    Before this call, the caller must abort the tasks of the logical unit. After this call, the caller must commit the pool.
    Raises PoolFull, PoolBusy and PoolFailed. After an error, another call completes the change.
    """
    check_not_sanitized(logical_unit)
    if not is_followed:
        check_not_in_group(logical_unit, Change.RESTORE)
    volume, pool = logical_unit.volume, logical_unit.pool
    block_bytes = logical_unit.block_bytes
    saved = int(snapshot.attributes.get(SIZE_ATTRIBUTE, str(snapshot.size_blocks * BLOCK_BYTES)))
    size_bytes, present_bytes = saved // block_bytes * block_bytes, size_bytes_of(volume, pool)
    # in this order, so that the volume is never smaller than the LUN
    if size_bytes < present_bytes:
        _remember(volume, pool, size_bytes, spare=True)
    logical_unit.blocks.restore(snapshot)
    if size_bytes > present_bytes:
        _remember(volume, pool, size_bytes)
    is_resized = logical_unit.capacity_blocks != size_bytes // block_bytes
    logical_unit.capacity_blocks = size_bytes // block_bytes
    return is_resized


def checked_growth(volume: Volume, pool: Pool, wanted: LunConfig) -> bool:
    """True if `wanted` is larger than the LUN. Raises ConfigError if `wanted` is smaller, because data would be lost."""
    size_bytes = size_bytes_of(volume, pool)
    if wanted.size_bytes < size_bytes:
        raise ConfigError(
            f"LUN {wanted.name}: its size in the pool is {size_bytes} bytes, it cannot shrink here to {wanted.size_bytes}; "
            "use `odx-target manage POOL resize NAME SIZE --shrink` while it is served"
        )
    return wanted.size_bytes > size_bytes


def grow(volume: Volume, pool: Pool, size_bytes: int) -> None:
    """Enlarge the LUN of a volume to `size_bytes`, which must not be smaller than the present size.

    The new part reads as zeros. The caller must commit the pool after this call. Raises PoolFull, PoolFailed. If this function
    raises an exception, the LUN keeps its size.
    """
    # in this order, so that the volume is never smaller than the LUN
    if volume_blocks(size_bytes) > volume.size_blocks:
        volume.resize(volume_blocks(size_bytes))
    _remember(volume, pool, size_bytes)


def grow_logical_unit(logical_unit: LogicalUnit, size_bytes: int) -> bool:
    """Enlarge a logical unit while hosts use it. Return False if the logical unit already has this size.

    Raises ConfigError if `size_bytes` is invalid or less than the present size. Raises PoolFull and PoolFailed.
    """
    check_not_in_group(logical_unit, Change.RESIZE)
    volume, pool = logical_unit.volume, logical_unit.pool
    if not checked_growth(volume, pool, lun_config(volume.name, size_bytes, logical_unit.block_bytes)):
        return False
    grow(volume, pool, size_bytes)
    logical_unit.capacity_blocks = size_bytes // logical_unit.block_bytes
    return True


async def shrink_logical_unit(
    logical_unit: LogicalUnit, size_bytes: int, require_service: Callable[[], None] | None = None
) -> None:
    """Remove the end of a logical unit while hosts use it. Tokens keep the data that they represent.

    `require_service` is given if the other member of the group of the volume follows the change, and raises an exception if
    this member may not change the volume.

    1. Commands that begin after this call are checked against the new end.
    2. Commands that are already running may complete beyond the new end.
    3. The removed part of the last remaining store block is filled with zeros. If the LUN grows again, this part reads as
       zeros.
    4. The stored size and the volume change in one batch of the log.

    The caller must commit the pool after this call. Raises ConfigError if the size is invalid, or if another request changes
    the size at the same time. Raises DamagedBlock, PoolFull and PoolFailed. After an error, the LUN keeps its size. If the pool
    fails between steps 3 and 4, the part that step 3 has filled with zeros stays zero.
    """
    if require_service is None:
        check_not_in_group(logical_unit, Change.RESIZE)
    volume, pool = logical_unit.volume, logical_unit.pool
    wanted = lun_config(volume.name, size_bytes, logical_unit.block_bytes)
    old_blocks, new_blocks = logical_unit.capacity_blocks, size_bytes // logical_unit.block_bytes
    if new_blocks > old_blocks:
        raise ConfigError(f"LUN {wanted.name}: {size_bytes} bytes are more than its present size")

    def check_unchanged() -> None:
        if logical_unit.capacity_blocks != new_blocks:
            raise ConfigError(f"LUN {wanted.name}: another request changed its size at the same time")
        if require_service is not None:
            require_service()

    logical_unit.capacity_blocks = new_blocks
    try:
        await logical_unit.tasks.running_ended(size_bytes // BLOCK_BYTES)
        check_unchanged()
        end_blocks = volume_blocks(size_bytes) * BLOCK_BYTES // logical_unit.block_bytes
        if end_blocks > new_blocks:
            await logical_unit.blocks.unmap(new_blocks, end_blocks - new_blocks, check_unchanged)
            check_unchanged()
        if volume_blocks(size_bytes) < volume.size_blocks:
            await volume.load(volume_blocks(size_bytes), 1)
            check_unchanged()
        _remember(volume, pool, size_bytes, spare=True)
        logical_unit.blocks.cut_off(volume_blocks(size_bytes))
    except BaseException:
        if logical_unit.capacity_blocks == new_blocks:
            logical_unit.capacity_blocks = old_blocks
        raise


class LunResizing:
    """Changes of the sizes of LUNs while hosts use them. The hosts are notified that the capacity has changed.

    `unit_of` returns the logical unit that presents a volume, if there is one. `commit` commits the pool and never raises
    Scarcity.
    """

    def __init__(
        self,
        pool: Pool,
        device_server: DeviceServer,
        environment: Environment,
        unit_of: Callable[[Volume], LogicalUnit | None],
        commit: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._device_server = device_server
        self._environment = environment
        self._unit_of = unit_of
        self._commit = commit

    async def grow(self, logical_unit: LogicalUnit, size_bytes: int) -> bool:
        """Enlarge a LUN while hosts use it, and notify the hosts. Return False if the LUN already has this size.

        If the pool must make room for the change, this method waits. Raises PoolFull and PoolFailed. Raises ConfigError if the
        size is invalid or the LUN is removed during the wait.
        """

        def grow() -> LogicalUnit | None:
            present = self._unit_of(logical_unit.volume)  # Another request may have renumbered or removed the LUN.
            if present is None:
                raise ConfigError(f"there is no LUN {logical_unit.volume.name}")
            return present if grow_logical_unit(present, size_bytes) else None

        grown = await change_when_ready(self._pool, self._environment, grow)
        if grown is None:
            return False
        self._commit()
        self._device_server.capacity_changed(grown)
        return True

    async def shrink(self, logical_unit: LogicalUnit, size_bytes: int) -> None:
        """Make a LUN smaller while hosts use it, and notify the hosts.

        Raises DamagedBlock, PoolFull and PoolFailed. Raises ConfigError if the size is invalid.
        """
        await shrink_logical_unit(logical_unit, size_bytes)
        self._commit()
        self._device_server.capacity_changed(logical_unit)


def _remember(volume: Volume, pool: Pool, size_bytes: int, *, spare: bool = False) -> None:
    pool.remember(_key(volume), size_bytes.to_bytes(8, "big"), spare=spare)


def _key(volume: Volume) -> str:
    return KEY_PREFIX + volume.identity.hex()
