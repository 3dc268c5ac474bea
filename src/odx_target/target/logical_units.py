"""Functions that attach the logical units in a pool, and create new logical units from the configuration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from odx_target.environment import Environment
from odx_target.replica.snapshots.protection import COPY_ATTRIBUTE
from odx_target.scsi.reservations.durable import recall
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.sanitize_operation import recall as recall_sanitize_operation
from odx_target.scsi.unit.thresholds import thresholds_at
from odx_target.scsi.unit.unit_personality import USUAL, UnitPersonality
from odx_target.store.api import BLOCK_BYTES, COMPRESSION_ATTRIBUTE, TIER_ATTRIBUTE, Pool, Volume, compression_of, tier_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import MAX_LUNS
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.event_log import log
from odx_target.target.groups.grouped_luns import is_in_group
from odx_target.target.lun_size import SIZE_ATTRIBUTE, grow, size_bytes_of, volume_blocks
from odx_target.target.personality.application import check_block_lengths, with_block_length

# Attributes of a volume that describe its LUN.
LUN_ATTRIBUTE = "lun"
BLOCK_ATTRIBUTE = "block_bytes"
READ_ONLY_ATTRIBUTE = "read_only"
FORMER_LUN_ATTRIBUTE = "replica_lun"
"""Number of the LUN of a volume that has become a copy of another array's volume. It gets this number again."""
YES = "yes"


def attach_logical_units(config: Config, pool: Pool, environment: Environment) -> dict[int, LogicalUnit]:
    """Return all logical units, with their LUNs as keys.

    A LUN of `config` that is not in the pool is created with the next free number. If `LunConfig.grows` is True, an existing
    LUN is enlarged to its configured size. An existing LUN never becomes smaller. Raises ConfigError if a LUN in the pool does
    not have its configured block length, or if there is no LUN. An array with a copy that another array sends needs no LUN,
    because all its volumes may be copies after a failover. Raises StoreError if a LUN cannot be created.
    """
    personality = config.personality
    for lun in (with_block_length(each, personality) for each in config.luns):
        if lun.name in pool.volumes:
            _find_again(lun, pool.volumes[lun.name], pool)
        else:
            _create(lun, pool)
    units = {
        int(volume.attributes[LUN_ATTRIBUTE]): logical_unit_of(
            volume, pool, environment, config.soft_thresholds, personality.unit
        )
        for volume in pool.volumes.values()
        if LUN_ATTRIBUTE in volume.attributes
    }
    if not units and not any(_is_copy(volume) for volume in pool.volumes.values()):
        raise ConfigError("the pool has no LUN: give at least one --lun NAME=SIZE")
    check_block_lengths(units, personality)
    return units


def logical_units_named(logical_units: Mapping[int, LogicalUnit], names: Sequence[str]) -> list[LogicalUnit]:
    """Return the logical units with these names. Raises ConfigError if no LUN of the pool has one of the names."""
    by_name = {unit.volume.name: unit for unit in logical_units.values()}
    for name in names:
        if name not in by_name:
            raise ConfigError(f"remote-luns: the pool has no LUN {name!r}")
    return [by_name[name] for name in names]


def _is_copy(volume: Volume) -> bool:
    """True if another array sends the content of a volume, or if the volume has been taken away from hosts for this."""
    is_withdrawn = FORMER_LUN_ATTRIBUTE in volume.attributes and LUN_ATTRIBUTE not in volume.attributes
    return COPY_ATTRIBUTE in volume.attributes or is_withdrawn


def _find_again(lun: LunConfig, volume: Volume, pool: Pool) -> None:
    if _is_copy(volume):
        hint = "`odx-target promote POOL NAME` makes it a LUN again"
        log.info("a volume that the settings name as a LUN is a copy that another array sends", name=lun.name, hint=hint)
        return
    apply_choices(lun, volume)
    size_bytes = size_bytes_of(volume, pool)
    if lun.size_bytes > size_bytes and lun.grows and not is_in_group(volume, pool):
        grow(volume, pool, lun.size_bytes)
    elif lun.size_bytes != size_bytes:
        report = log.warning if lun.grows else log.info
        report(
            "LUN keeps the size that the pool has",
            lun=lun.name,
            size_bytes=size_bytes,
            named_bytes=lun.size_bytes,
            hint="`odx-target manage POOL resize NAME SIZE` changes it",
        )


def apply_choices(lun: LunConfig, volume: Volume) -> bool:
    """Give an existing volume the compression and the tier that the settings choose. Returns True if this is a change.

    Raises ConfigError if the volume does not have the configured block length. May raise the exceptions of `Volume.write`.
    """
    found = volume.attributes.get(BLOCK_ATTRIBUTE)
    if found != str(lun.block_bytes):
        raise ConfigError(f"LUN {lun.name}: its block length in the pool is {found} bytes, not {lun.block_bytes}")
    if LUN_ATTRIBUTE not in volume.attributes:
        hint = "`odx-target lun add POOL NAME` makes it a LUN"
        log.warning("a volume that the settings name as a LUN has no LUN number, and is not served", name=lun.name, hint=hint)
    chosen = _choices(lun)
    if lun.compression in (None, compression_of(volume.attributes)):
        chosen.pop(COMPRESSION_ATTRIBUTE, None)
    if lun.tier in (None, tier_of(volume.attributes)):
        chosen.pop(TIER_ATTRIBUTE, None)
    if chosen:
        volume.change_attributes({**volume.attributes, **chosen})
    return bool(chosen)


def _create(lun: LunConfig, pool: Pool) -> None:
    number = next(free_numbers(pool.volumes))
    pool.create_volume(lun.name, volume_blocks(lun.size_bytes), {**lun_attributes(lun), LUN_ATTRIBUTE: str(number)})


def lun_attributes(lun: LunConfig) -> dict[str, str]:
    """Return the volume attributes for a new LUN, except for the number of the LUN."""
    return {SIZE_ATTRIBUTE: str(lun.size_bytes), BLOCK_ATTRIBUTE: str(lun.block_bytes), **_choices(lun)}


def _choices(lun: LunConfig) -> dict[str, str]:
    """Return the attributes for the compression and the tier, if the settings choose them."""
    choices = {COMPRESSION_ATTRIBUTE: lun.compression, TIER_ATTRIBUTE: lun.tier}
    return {name: value for name, value in choices.items() if value is not None}


def lun_attributes_of(volume: Volume, pool: Pool) -> dict[str, str]:
    """Return attributes with the present size, block length, compression and tier of a volume, for its snapshots and clones."""
    kept = {name: value for name, value in volume.attributes.items() if name in (COMPRESSION_ATTRIBUTE, TIER_ATTRIBUTE)}
    return {SIZE_ATTRIBUTE: str(size_bytes_of(volume, pool)), BLOCK_ATTRIBUTE: str(block_bytes_of(volume.attributes)), **kept}


def free_numbers(volumes: Mapping[str, Volume], also_used: Iterable[int] = ()) -> Iterator[int]:
    """Yield the LUN numbers that neither the volumes nor `also_used` have. Numbers above the highest used number come first.

    Raises ConfigError after the last number.
    """
    used = {int(volume.attributes[LUN_ATTRIBUTE]) for volume in volumes.values() if LUN_ATTRIBUTE in volume.attributes}
    used.update(also_used)
    first = max(used, default=-1) + 1
    yield from range(first, MAX_LUNS)
    yield from (number for number in range(first) if number not in used)
    raise ConfigError(f"the pool has no free LUN number below {MAX_LUNS}")


def volume_of_number(volumes: Mapping[str, Volume], number: int) -> Volume | None:
    """Return the volume that has a LUN number. Return None if no volume has it."""
    return next((each for each in volumes.values() if each.attributes.get(LUN_ATTRIBUTE) == str(number)), None)


def logical_unit_of(
    volume: Volume,
    pool: Pool,
    environment: Environment,
    soft_thresholds: tuple[int, ...] = (),
    personality: UnitPersonality = USUAL,
) -> LogicalUnit:
    """Return a logical unit that presents a volume. If the volume has no LUN number, the logical unit has LUN 0.

    `soft_thresholds` are percentages of the pool's room (see `Config`).
    """
    block_bytes = block_bytes_of(volume.attributes)
    logical_unit = LogicalUnit(
        number=int(volume.attributes.get(LUN_ATTRIBUTE, "0")),
        volume=volume,
        block_bytes=block_bytes,
        capacity_blocks=size_bytes_of(volume, pool) // block_bytes,
        pool=pool,
        environment=environment,
        write_protected=volume.attributes.get(READ_ONLY_ATTRIBUTE) == YES,
        thresholds=thresholds_at(soft_thresholds, pool.usage()),
    )
    logical_unit.set_personality(personality)
    logical_unit.reservations = recall(pool, volume.identity)
    logical_unit.sanitize_operation = recall_sanitize_operation(pool, volume.identity, environment.event)
    return logical_unit


def block_bytes_of(attributes: Mapping[str, str]) -> int:
    """Return the logical block length that the attributes of a volume or snapshot contain."""
    return int(attributes.get(BLOCK_ATTRIBUTE, str(BLOCK_BYTES)))
