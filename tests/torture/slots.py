"""The volumes of an array by the names of their slots, and their LUNs."""

from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Volume
from odx_target.store.pool import LogPool
from odx_target.target.control.storage.luns import unused_numbers
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import LUN_ATTRIBUTE, logical_unit_of
from tests.torture.found import SLOT
from tests.torture.lun_changes import LunChangesUnderTorture
from tests.torture.model import Settings
from tests.torture.process import Process

TARGET_NAME = "iqn.2026-11.io.odx-target:array"
NO_NUMBER = "16383"


class Slots:
    """The part of an array under torture that finds volumes and their logical units."""

    environment: Process
    pool: LogPool
    lun_changes: LunChangesUnderTorture
    storage: Storage

    def volume(self, slot: str) -> Volume:
        """Return the volume of a slot."""
        return next(volume for volume in self.pool.volumes.values() if volume.attributes[SLOT] == slot)

    def number_of(self, number: int) -> int:
        """Return the LUN of the slot `v<number>`, or the largest LUN if the volume has no LUN."""
        return int(self.volume(f"v{number}").attributes.get(LUN_ATTRIBUTE, NO_NUMBER))

    def unit(self, slot: str) -> LogicalUnit:
        """Return the logical unit of a slot. If hosts cannot use the volume, the unit exists only for the caller."""
        volume = self.volume(slot)
        unit = self.lun_changes.of_volume(volume)
        return unit if unit is not None else logical_unit_of(volume, self.pool, self.environment)

    def is_served(self, slot: str) -> bool:
        return self.lun_changes.of_volume(self.volume(slot)) is not None

    def new_settings(self, number: int, compression: str) -> Settings:
        """Return settings with a free name and a free LUN number for the volume of a slot."""
        name = f"v{number}" if f"v{number}" not in self.pool.volumes else f"new-{number}"
        is_taken = any(volume.attributes.get(LUN_ATTRIBUTE) == str(number) for volume in self.pool.volumes.values())
        return Settings(name, self.new_number() if is_taken else number, False, compression)

    def new_number(self) -> int:
        """Return the LUN number that management gives to the next new LUN."""
        return next(unused_numbers(self.storage))
