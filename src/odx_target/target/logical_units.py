"""Which LUN shows which volume: found in the pool, or created as the configuration says."""

from collections.abc import Mapping

from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.reservation_store import recall
from odx_target.store.api import BLOCK_BYTES, Environment, Pool, Volume
from odx_target.target.config import MOST_LUNS, Config, ConfigError, LunConfig

# What a volume remembers of the LUN that shows it.
LUN_ATTRIBUTE = "lun"
SIZE_ATTRIBUTE = "size_bytes"
BLOCK_ATTRIBUTE = "block_bytes"


def attach_logical_units(config: Config, pool: Pool, environment: Environment) -> dict[int, LogicalUnit]:
    """Logical units by LUN: those that the pool remembers, then those that `config` adds, numbered on from there.

    Raises ConfigError when a LUN is configured otherwise than the pool has it, or there is none at all; StoreError when one
    cannot be created.
    """
    for lun in config.luns:
        if lun.name in pool.volumes:
            _check_same(lun, pool.volumes[lun.name])
        else:
            _create(lun, pool)
    units = {
        int(volume.attributes[LUN_ATTRIBUTE]): _logical_unit(volume, pool, environment, config.iqn)
        for volume in pool.volumes.values()
        if LUN_ATTRIBUTE in volume.attributes
    }
    if not units:
        raise ConfigError("the pool has no LUN: give at least one --lun NAME=SIZE")
    return units


def _check_same(lun: LunConfig, volume: Volume) -> None:
    for attribute, what, wanted in (
        (SIZE_ATTRIBUTE, "size", lun.size_bytes),
        (BLOCK_ATTRIBUTE, "block length", lun.block_bytes),
    ):
        found = volume.attributes.get(attribute)
        if found != str(wanted):
            raise ConfigError(f"LUN {lun.name}: the pool has it with a {what} of {found} bytes, not {wanted}")


def _create(lun: LunConfig, pool: Pool) -> None:
    number = _free_number(pool.volumes)
    pool.create_volume(
        lun.name,
        -(-lun.size_bytes // BLOCK_BYTES),
        {LUN_ATTRIBUTE: str(number), SIZE_ATTRIBUTE: str(lun.size_bytes), BLOCK_ATTRIBUTE: str(lun.block_bytes)},
    )


def _free_number(volumes: Mapping[str, Volume]) -> int:
    used = {int(volume.attributes[LUN_ATTRIBUTE]) for volume in volumes.values() if LUN_ATTRIBUTE in volume.attributes}
    number = max(used, default=-1) + 1
    if number >= MOST_LUNS:
        raise ConfigError(f"the pool has no free LUN number below {MOST_LUNS}")
    return number


def _logical_unit(volume: Volume, pool: Pool, environment: Environment, iqn: str) -> LogicalUnit:
    logical_unit = LogicalUnit(
        number=int(volume.attributes[LUN_ATTRIBUTE]),
        volume=volume,
        block_bytes=int(volume.attributes[BLOCK_ATTRIBUTE]),
        capacity_blocks=int(volume.attributes[SIZE_ATTRIBUTE]) // int(volume.attributes[BLOCK_ATTRIBUTE]),
        pool=pool,
        environment=environment,
        target_name=iqn,
    )
    logical_unit.reservations = recall(pool, volume.identity)
    return logical_unit
