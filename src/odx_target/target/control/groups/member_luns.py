"""The LUNs of a running array, as making and removing groups changes them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from odx_target.replica.grouping.luns import NotPossible
from odx_target.scsi.reservations.durable import drop
from odx_target.store.api import NameTaken, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import lun_config
from odx_target.target.control.storage.luns import changing, check_unused, lun_number
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.volumes import forget_volume
from odx_target.target.logical_units import LUN_ATTRIBUTE

if TYPE_CHECKING:
    from odx_target.target.array import Array


class ArrayLuns:
    """The LUNs of an array, as `MemberLuns` describes them."""

    def __init__(self, array: "Array") -> None:
        self._array = array
        self._storage = Storage(array.pool, array.environment, array)

    def check(self, name: str, size_bytes: int, block_bytes: int, number: int | None) -> None:
        try:
            lun_config(name, size_bytes, block_bytes)
        except ConfigError as error:
            raise NotPossible(str(error)) from error
        if number is not None and self._number_of(name) != number:
            self._check_number(number)

    def _check_number(self, number: int) -> None:
        """Check that a new LUN can have a number. Raises NotPossible."""
        try:
            check_unused(self._storage, lun_number(number))
        except (ConfigError, NameTaken) as error:
            raise NotPossible(str(error)) from error

    def _number_of(self, name: str) -> int | None:
        """Return the LUN number of a volume. An earlier attempt may have made the volume with its number."""
        volume = self._array.pool.volumes.get(name)
        number = None if volume is None else volume.attributes.get(LUN_ATTRIBUTE)
        return None if number is None else int(number)

    async def present(self, volumes: Sequence[Volume], numbers: Sequence[int | None]) -> None:
        new = []
        for volume, number in zip(volumes, numbers, strict=True):
            if number is None or LUN_ATTRIBUTE in volume.attributes:
                continue
            self._check_number(number)
            await self._storage.set_attributes(volume, {LUN_ATTRIBUTE: str(number)})
            new.append(volume)
        await self._storage.make_durable()
        await self._array.lun_changes.serve(new)

    def check_withdrawal(self, volumes: Sequence[Volume]) -> None:
        own = {volume.identity for volume in volumes}
        has_luns = any(LUN_ATTRIBUTE in volume.attributes for volume in volumes)
        if has_luns and all(unit.volume.identity in own for unit in self._array.logical_units.values()):
            raise NotPossible("the group has all LUNs of the array, which keeps at least one: add another LUN first")

    async def withdraw(self, volumes: Sequence[Volume]) -> None:
        self.check_withdrawal(volumes)
        for volume in [volume for volume in volumes if LUN_ATTRIBUTE in volume.attributes]:
            try:
                with changing(self._storage, volume):
                    await self._withdraw(volume)
            except ConfigError as error:
                raise NotPossible(str(error)) from error

    async def _withdraw(self, volume: Volume) -> None:
        unit = self._storage.unit_of(volume)
        await self._storage.set_attributes(volume, {LUN_ATTRIBUTE: None})
        if unit is not None:
            self._array.commit()
            await self._array.lun_changes.remove(unit)
        drop(self._array.pool, volume.identity)

    async def forget(self, volume: Volume) -> None:
        await forget_volume(self._storage, volume)

    async def removed(self, volume: Volume) -> None:
        for unit in [unit for unit in self._array.logical_units.values() if unit.volume is volume]:
            await self._array.lun_changes.remove(unit)
        await self.forget(volume)
