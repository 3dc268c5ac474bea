"""Changes of access rules while the array runs."""

from collections.abc import Callable, Mapping, Sequence

from odx_target.copymgr.manager import CopyManager
from odx_target.environment import Environment
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.lun_map import LunMap
from odx_target.scsi.nexus import Nexus
from odx_target.target.access.targets import Target, map_of
from odx_target.target.config.access_settings import AccessRule

STEPS_OF_A_TARGET = 20
"""Number of steps (see `turns`) that the comparison of the rules of a target with its LUN maps takes."""
STEPS_OF_A_NEXUS = 200
"""Number of steps (see `turns`) that the change of the LUN map of one nexus takes, without the notifications."""


class AccessChanges:
    """Changes the access rules of the targets of an array.

    `cut` ends the sessions of an initiator with a target, and is called with the names of the initiator and the target.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        device_server: DeviceServer,
        copy_manager: CopyManager,
        environment: Environment,
        cut: Callable[[str, str], None],
    ) -> None:
        self._targets = targets
        self._device_server = device_server
        self._copy_manager = copy_manager
        self._environment = environment
        self._cut = cut

    async def change(self, rules: Mapping[str, Sequence[AccessRule]]) -> bool:
        """Set the access rules of targets, which are given by their names. Returns True if any rule has changed, or if a volume
        in the rules was renamed.

        The sessions continue, and each nexus gets its new LUN map. Its tasks and copies on LUNs that it loses are aborted, and
        it is notified of the change. Only the sessions of initiators that may not log in any more are ended.
        """
        changed = await self._changed_targets(rules)
        for target in changed:
            target.lun_maps.set_rules(rules.get(target.name, ()))
        names = {target.name for target in changed}
        for nexus in [each for each in self._device_server.nexuses if each.target_name in names]:
            await self._change_nexus(nexus)
        self._end_copies(names)
        for target in changed:
            target.lun_maps.forget_replaced()
        return bool(changed)

    async def _changed_targets(self, rules: Mapping[str, Sequence[AccessRule]]) -> list[Target]:
        """Return the targets that get other rules, or whose LUN maps differ from their rules."""
        turns, changed = self._environment.turns, []
        units = self._targets[0].lun_maps.units_by_volume()
        for target in self._targets:
            await turns.next_if_spent()
            turns.take(STEPS_OF_A_TARGET)
            if target.lun_maps.rules != rules.get(target.name, ()) or target.lun_maps.is_outdated(units):
                changed.append(target)
        return changed

    async def _change_nexus(self, nexus: Nexus) -> None:
        turns = self._environment.turns
        await turns.next_if_spent()
        turns.take(STEPS_OF_A_NEXUS)
        target_name = nexus.target_name
        lun_map = map_of(self._targets, target_name, nexus.initiator_name)
        for _ in self._device_server.change_lun_map(nexus, lun_map or LunMap()):
            turns.take()
            await turns.next_if_spent()
        if lun_map is None:
            self._cut(nexus.initiator_name, target_name)

    def _end_copies(self, target_names: set[str]) -> None:
        """End the copies to logical units that their nexuses have lost.

        A background copy continues after the end of its session. So its nexus gets the new LUN map too, and the copy ends if
        it writes to a LUN that is now read-only.
        """
        copies = self._copy_manager.copies
        for operation in list(copies.operations):
            nexus = operation.nexus
            target_name = nexus.target_name
            if target_name in target_names:
                lun_map = map_of(self._targets, target_name, nexus.initiator_name) or LunMap()
                nexus.use(lun_map)
                if lun_map.lun_of(operation.logical_unit) is None:
                    copies.terminate(operation)
