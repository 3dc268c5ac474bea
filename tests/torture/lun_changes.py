"""The changes of LUNs of the array, in the virtual environment."""

from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.lun_changes import RESTORE_WAIT_S, LunChanges

LOOKS = 20
"""Number of looks for running commands before a LUN changes."""


class LunChangesUnderTorture(LunChanges):
    """Waits for running commands without trio."""

    async def _settle(self, logical_unit: LogicalUnit) -> None:
        for _ in range(LOOKS):
            if not any(member.is_running for member in logical_unit.tasks.members):
                return
            await self._environment.sleep(RESTORE_WAIT_S / LOOKS)
