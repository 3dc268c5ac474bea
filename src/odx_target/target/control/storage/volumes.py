"""Operations that list, create, clone, rename, resize and delete volumes."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import cast

from odx_target.migration.import_table import forget_finished
from odx_target.replica.remote_tokens.staging_names import STAGING_ATTRIBUTE
from odx_target.scsi.commands.identification import IDENTIFYING_ATTRIBUTES
from odx_target.scsi.reservations.durable import drop
from odx_target.scsi.unit.sanitize_operation import drop as drop_sanitize_operation
from odx_target.store.api import (
    BLOCK_BYTES,
    COMPRESSION_ATTRIBUTE,
    TIER_ATTRIBUTE,
    Pool,
    Snapshot,
    StoreError,
    Volume,
    compression_of,
    tier_of,
)
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import MAX_LUNS, lun_config
from odx_target.target.config.settings import LunConfig
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.describe import rows_in_turns
from odx_target.target.control.storage import answers
from odx_target.target.control.storage.describe import describe_volume
from odx_target.target.control.storage.luns import changing, check_not_the_only_lun, reserved_numbers, unused_numbers
from odx_target.target.control.storage.members import acknowledged, check_no_member
from odx_target.target.control.storage.names import find_own_volume, find_source, find_volume
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import (
    BLOCK_ATTRIBUTE,
    LUN_ATTRIBUTE,
    READ_ONLY_ATTRIBUTE,
    YES,
    block_bytes_of,
    logical_unit_of,
    lun_attributes,
    lun_attributes_of,
)
from odx_target.target.lun_size import (
    SIZE_ATTRIBUTE,
    forget_size,
    grow_logical_unit,
    shrink_logical_unit,
    size_bytes_of,
    volume_blocks,
)
from odx_target.target.personality.application import with_block_length
from odx_target.target.sanitized_luns import check_no_old_data
from odx_target.target.schedules.taking import OWN_ATTRIBUTES

MAX_CLONES = MAX_LUNS
"""Maximum number of clones in one request. This is also the maximum number of LUNs of an array."""

PLACE_OF_NUMBER = "{}"
"""Placeholder in a name for several clones. The number of each clone replaces the placeholder."""


async def volumes(storage: Storage, *, hidden: bool) -> answers.Volumes:
    """List the volumes. If `hidden` is true, also list those that take the arriving data of tokens of other arrays."""
    pool = storage.pool
    found = sorted((name, each) for name, each in pool.volumes.items() if hidden or STAGING_ATTRIBUTE not in each.attributes)
    rows = await rows_in_turns(storage.environment.turns, found, lambda item: describe_volume(item[1], pool))
    return {"volumes": rows}


async def create(storage: Storage, volume: LunConfig, *, lun: bool) -> answers.Volume:
    """Create a volume that reads as zeros."""
    made: list[Volume] = []
    if storage.array is not None:
        volume = with_block_length(volume, storage.array.config.personality)

    def make() -> None:
        number = {LUN_ATTRIBUTE: str(next(unused_numbers(storage)))} if lun else {}
        size_blocks = volume_blocks(volume.size_bytes)
        made.append(storage.pool.create_volume(volume.name, size_blocks, {**lun_attributes(volume), **number}))
        changes.enter_context(changing(storage, made[0]))

    with ExitStack() as changes:
        await storage.when_ready(make)
        await _serve(storage, made)
    return describe_volume(made[0], storage.pool)


async def clone(
    storage: Storage, origin: str, name: str, count: int, first: int, *, lun: bool, read_only: bool
) -> answers.Volumes:
    """Make clones of a snapshot or of the present state of a volume. All clones have the same content."""
    pool = storage.pool
    names = clone_names(name, count, first)
    source = find_source(pool, origin)
    attributes = _attributes_of_clone(source, pool, read_only=read_only)
    size_bytes, block_bytes = int(attributes[SIZE_ATTRIBUTE]), block_bytes_of(attributes)
    for each in names:
        lun_config(each, size_bytes, block_bytes)
        if each in pool.volumes:
            raise ConfigError(f"there is a volume {each!r} already")
    with ExitStack() as changes:
        with reserved_numbers(storage, count if lun else 0) as numbers:
            made = await _make_clones(storage, source, names, attributes, numbers, changes)
        await _serve(storage, made)
    return {"volumes": await rows_in_turns(storage.environment.turns, made, lambda volume: describe_volume(volume, pool))}


async def _make_clones(
    storage: Storage,
    source: Snapshot | Volume,
    names: Sequence[str],
    attributes: Mapping[str, str],
    numbers: Sequence[int],
    changes: ExitStack,
) -> list[Volume]:
    """Make all clones or none. `numbers` are their LUN numbers, or empty if hosts cannot use the clones.

    Until `changes` is closed, no other request can change or delete a clone.
    """
    pool, identity = storage.pool, _volume_identity(source, storage.pool)
    made: list[Volume] = []

    def make_next() -> None:
        number = {LUN_ATTRIBUTE: str(numbers[len(made)])} if numbers else {}
        # Hosts cannot have changed the first clone yet, so the other clones get the same content from the first clone.
        begin_as = made[0] if made else source
        if begin_as is source and pool.volumes.get(source.name) is source:
            check_no_old_data(pool, source)
        made.append(pool.create_volume(names[len(made)], source.size_blocks, {**attributes, **number}, begin_as))
        changes.enter_context(changing(storage, made[-1]))

    try:
        for _ in names:
            await storage.when_ready(make_next)
            await storage.environment.turns.next_if_spent()
        await acknowledged(storage, [identity])
    except BaseException:
        for volume in made:
            with suppress(StoreError):
                pool.delete_volume(volume.name)
        raise
    return made


def _volume_identity(source: Snapshot | Volume, pool: Pool) -> bytes:
    """Return the identity of a volume, or of the volume of a snapshot."""
    volume = pool.volumes.get(source.name)
    return volume.identity if volume is source else cast("Snapshot", source).volume_identity


def clone_names(name: str, count: int, first: int) -> list[str]:
    """Return the names of clones.

    If `name` has no placeholder and there are several clones, a hyphen and the number of the clone are appended.
    """
    if not 1 <= count <= MAX_CLONES:
        raise ManagementError(f"{count} clones: want 1 to {MAX_CLONES}", is_usage=True)
    if PLACE_OF_NUMBER not in name:
        if count == 1:
            return [name]
        name = f"{name}-{PLACE_OF_NUMBER}"
    digits = len(str(first + count - 1))
    return [name.replace(PLACE_OF_NUMBER, f"{number:0{digits}}") for number in range(first, first + count)]


async def rename(storage: Storage, name: str, new_name: str) -> answers.Volume:
    """Rename a volume."""
    volume = find_own_volume(storage.pool, name)
    lun_config(new_name, size_bytes_of(volume, storage.pool), block_bytes_of(volume.attributes))
    await storage.when_ready(lambda: volume.rename(new_name))
    await storage.make_durable()
    return describe_volume(volume, storage.pool)


async def resize(storage: Storage, name: str, size: int, *, shrink: bool) -> answers.Volume:
    """Change the size of a volume."""
    pool = storage.pool
    volume = find_own_volume(pool, name)
    lun_config(name, size, block_bytes_of(volume.attributes))
    with changing(storage, volume):
        check_shrink(volume, pool, size, shrink=shrink)
        size_bytes = size_bytes_of(volume, pool)
        if storage.array is not None and storage.unit_of(volume) is not None:
            if size < size_bytes:
                await storage.array.shrink_lun(name, size)
            else:
                await storage.array.resize_lun(name, size)
        else:
            unit = logical_unit_of(volume, pool, storage.environment)
            if size < size_bytes:
                await shrink_logical_unit(unit, size)
            else:
                await storage.when_ready(lambda: grow_logical_unit(unit, size))
        await storage.make_durable()
    return describe_volume(volume, pool)


def check_shrink(volume: Volume, pool: Pool, size: int, *, shrink: bool) -> None:
    """Raise ManagementError if a volume would become smaller, and the operator does not allow this by `shrink`."""
    size_bytes = size_bytes_of(volume, pool)
    if size < size_bytes and not shrink:
        raise ManagementError(
            f"volume {volume.name} has {size_bytes} bytes, the data beyond {size} would be lost: give --shrink to allow this"
        )


async def set_values(storage: Storage, name: str, compression: str | None, tier: str | None) -> answers.Volume:
    """Choose the compression of new writes to a volume, or the tier of the volume. None changes nothing.

    Data that is stored already keeps its compression. The cleaner moves it to the tier.
    """
    if compression is None and tier is None:
        raise ManagementError("want compression or tier")
    volume = find_own_volume(storage.pool, name)
    with changing(storage, volume):
        chosen: dict[str, str] = {}
        if compression is not None and compression != compression_of(volume.attributes):
            chosen[COMPRESSION_ATTRIBUTE] = compression
        if tier is not None and tier != tier_of(volume.attributes):
            chosen[TIER_ATTRIBUTE] = tier
        if chosen:
            await storage.set_attributes(volume, chosen)
            await storage.make_durable()
    return describe_volume(volume, storage.pool)


async def delete(storage: Storage, name: str, *, force: bool) -> answers.Volume:
    """Delete a volume. The snapshots of the volume stay.

    A volume that is a LUN of the array is deleted only if `force` is True.
    """
    volume = find_volume(storage.pool, name)
    unit = storage.unit_of(volume)
    if unit is not None and not force:
        raise ManagementError(f"volume {name} is LUN {unit.number} of hosts: give --force to delete it nevertheless")
    imports = None if storage.array is None else storage.array.imports
    if imports is not None and imports.importer_of(volume) is not None:
        raise ManagementError(f"volume {name} is being imported: cancel the import instead")
    check_no_member(storage.pool, volume)
    with changing(storage, volume):
        if unit is not None and storage.array is not None:
            check_not_the_only_lun(storage, volume)
            await storage.array.lun_changes.remove(unit)
        return await _delete(storage, volume)


async def _delete(storage: Storage, volume: Volume) -> answers.Volume:
    row = describe_volume(volume, storage.pool)
    name = volume.name
    await storage.when_ready(lambda: storage.pool.delete_volume(name))
    await forget_volume(storage, volume)
    return row


async def forget_volume(storage: Storage, volume: Volume) -> None:
    """Forget what the pool remembers about a volume that was deleted."""
    forget_size(volume, storage.pool)
    forget_finished(storage.pool, volume)
    (await storage.schedules()).book.forget_volume(volume)
    drop(storage.pool, volume.identity)
    drop_sanitize_operation(storage.pool, volume.identity)
    if storage.array is not None and storage.array.peering is not None:
        await storage.array.peering.replication.forget_copy(volume.identity)
    await storage.make_durable()


async def _serve(storage: Storage, made: list[Volume]) -> None:
    """Make new volumes durable. Serve the new volumes that have a LUN number."""
    await storage.make_durable()
    luns = [volume for volume in made if LUN_ATTRIBUTE in volume.attributes]
    if storage.array is not None and luns:
        await storage.array.lun_changes.serve(luns)


def _attributes_of_clone(source: Snapshot | Volume, pool: Pool, *, read_only: bool) -> dict[str, str]:
    """Return the attributes of a clone. A clone has the attributes and the present size of its origin, but no LUN number and no
    identifying information.
    """
    volume = pool.volumes.get(source.name)
    attributes = {**source.attributes, **(lun_attributes_of(volume, pool) if volume is source else {})}
    attributes.setdefault(SIZE_ATTRIBUTE, str(source.size_blocks * BLOCK_BYTES))
    attributes.setdefault(BLOCK_ATTRIBUTE, str(BLOCK_BYTES))
    attributes.pop(LUN_ATTRIBUTE, None)
    for name in (READ_ONLY_ATTRIBUTE, *IDENTIFYING_ATTRIBUTES, *OWN_ATTRIBUTES):
        attributes.pop(name, None)
    if read_only:
        attributes[READ_ONLY_ATTRIBUTE] = YES
    return attributes
