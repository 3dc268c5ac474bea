"""Operations that add, change and remove the LUN numbers of volumes, and that make volumes read-only."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from odx_target.scsi.reservations.durable import drop
from odx_target.store.api import NameTaken, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import MAX_LUNS
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.storage import answers
from odx_target.target.control.storage.describe import describe_volume
from odx_target.target.control.storage.members import check_no_member, check_not_left_over
from odx_target.target.control.storage.names import find_own_volume
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import (
    FORMER_LUN_ATTRIBUTE,
    LUN_ATTRIBUTE,
    READ_ONLY_ATTRIBUTE,
    YES,
    free_numbers,
    volume_of_number,
)


async def add(storage: Storage, name: str, number: int | None) -> answers.Volume:
    """Make a volume a LUN that hosts can use. Without a number, the LUN gets the next free number.

    A volume that was a LUN until it became a copy gets its former number again, if this is free.
    """
    volume = find_own_volume(storage.pool, name)
    with changing(storage, volume):
        if LUN_ATTRIBUTE in volume.attributes:
            raise ManagementError(f"volume {name} is LUN {volume.attributes[LUN_ATTRIBUTE]} already")
        check_not_left_over(storage.pool, volume)
        await _give_number(storage, volume, number)
        drop(storage.pool, volume.identity)  # a process that ended while it removed the LUN may have left reservations
        await storage.make_durable()
        if storage.array is not None:
            await storage.array.lun_changes.serve([volume])
    return describe_volume(volume, storage.pool)


async def remove(storage: Storage, name: str, *, may_be_last: bool = False) -> answers.Volume:
    """Remove the LUN number and the persistent reservations of a volume. The volume keeps its data.

    The array keeps at least one LUN, unless `may_be_last` is true.
    """
    volume = find_own_volume(storage.pool, name)
    with changing(storage, volume):
        if LUN_ATTRIBUTE not in volume.attributes:
            raise ManagementError(f"volume {name} is not a LUN")
        check_no_member(storage.pool, volume)
        unit = storage.unit_of(volume)
        if not may_be_last:
            check_not_the_only_lun(storage, volume)
        await storage.set_attributes(volume, {LUN_ATTRIBUTE: None})
        if unit is not None and storage.array is not None:
            storage.array.commit()
            await storage.array.lun_changes.remove(unit)
        drop(storage.pool, volume.identity)
        await storage.make_durable()
    return describe_volume(volume, storage.pool)


async def renumber(storage: Storage, name: str, number: int) -> answers.Volume:
    """Give a LUN another number. The identity, the serial number and the reservations stay."""
    volume = find_own_volume(storage.pool, name)
    with changing(storage, volume):
        if LUN_ATTRIBUTE not in volume.attributes:
            raise ManagementError(f"volume {name} is not a LUN: `odx-target lun add` makes it one")
        if volume.attributes[LUN_ATTRIBUTE] != str(number):
            unit = storage.unit_of(volume)
            await _give_number(storage, volume, number)
            await storage.make_durable()
            if unit is not None and storage.array is not None:
                await storage.array.lun_changes.renumber(unit)
    return describe_volume(volume, storage.pool)


async def set_read_only(storage: Storage, name: str, *, read_only: bool) -> answers.Volume:
    """Make a volume read-only for hosts, or writable."""
    volume = find_own_volume(storage.pool, name)
    check_no_member(storage.pool, volume)
    with changing(storage, volume):
        if (volume.attributes.get(READ_ONLY_ATTRIBUTE) == YES) != read_only:
            await storage.set_attributes(volume, {READ_ONLY_ATTRIBUTE: YES if read_only else None})
            await storage.make_durable()
            unit = storage.unit_of(volume)
            if unit is not None and storage.array is not None:
                await storage.array.lun_changes.set_read_only(unit, read_only=read_only)
    return describe_volume(volume, storage.pool)


def lun_number(value: object) -> int:
    """Check a LUN number. Raises ConfigError."""
    if type(value) is not int or not 0 <= value < MAX_LUNS:
        raise ConfigError(f"want a LUN number from 0 to {MAX_LUNS - 1}, not {value!r}")
    return value


def check_not_the_only_lun(storage: Storage, volume: Volume) -> None:
    """Raise ManagementError if a volume is the only LUN of the array. Without any LUN, the array could not start again.

    Other LUNs that are being changed do not count, because they may be about to be removed.
    """
    if storage.array is None:
        return
    units, is_changing = storage.array.logical_units.values(), storage.array.lun_changes.is_changing
    others = [unit.volume for unit in units if unit.volume is not volume]
    if not others:
        raise ManagementError(f"volume {volume.name} is the only LUN of the array")
    if all(is_changing(other) for other in others):
        raise ManagementError(
            f"volume {volume.name} is the only LUN of the array that no other request is changing: try again later"
        )


@contextmanager
def changing(storage: Storage, volume: Volume) -> Iterator[None]:
    """Reserve the LUN of a volume for one change while the body runs. Raises ConfigError if another request is changing this
    LUN. Raises ManagementError if the volume is a base, which only its import may change.
    """
    if storage.pool.bases.is_base(volume):
        raise ManagementError(f"volume {volume.name} has the fetched blocks of an import, and is deleted at its end")
    if storage.array is None:
        yield
        return
    with storage.array.lun_changes.changing(volume):
        yield


def unused_numbers(storage: Storage) -> Iterator[int]:
    """Yield the unused LUN numbers in the order of `free_numbers`. A LUN that is being removed still uses its number."""
    also_used = () if storage.array is None else storage.array.lun_changes.numbers_in_use()
    return free_numbers(storage.pool.volumes, also_used)


@contextmanager
def reserved_numbers(storage: Storage, count: int) -> Iterator[list[int]]:
    """Choose and reserve unused LUN numbers for volumes that are about to be created. Raises ConfigError."""
    numbers = list(islice(unused_numbers(storage), count))
    if storage.array is None:
        yield numbers
        return
    with storage.array.lun_changes.reserving(numbers):
        yield numbers


async def _give_number(storage: Storage, volume: Volume, number: int | None) -> None:
    """Store the LUN number of a volume. If `number` is None, the volume gets the next free number."""

    def change() -> None:
        # Another request may take a number while this one waits for room, so the number is chosen and checked here.
        chosen = _former_number(storage, volume) if number is None else number
        if chosen is None:
            chosen = next(unused_numbers(storage))
        check_unused(storage, chosen)
        others = {key: value for key, value in volume.attributes.items() if key != FORMER_LUN_ATTRIBUTE}
        volume.change_attributes({**others, LUN_ATTRIBUTE: str(chosen)})

    await storage.when_ready(change)


def _former_number(storage: Storage, volume: Volume) -> int | None:
    """Return the LUN number that a volume had until it became a copy. Returns None if it had none, or if it is used now."""
    former = volume.attributes.get(FORMER_LUN_ATTRIBUTE)
    if former is None:
        return None
    try:
        check_unused(storage, int(former))
    except NameTaken:
        return None
    return int(former)


def check_unused(storage: Storage, number: int) -> None:
    """Raise NameTaken if a volume has a LUN number, or is about to get it."""
    taken = volume_of_number(storage.pool.volumes, number)
    if taken is not None:
        raise NameTaken(f"volume {taken.name} is LUN {number} already")
    if storage.array is None or number not in storage.array.lun_changes.numbers_in_use():
        return
    if number in storage.array.logical_units:
        raise NameTaken(f"LUN {number} is being removed")
    raise NameTaken(f"LUN {number} is for a volume that another request is creating")
