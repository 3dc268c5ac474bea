"""Groups from the configuration file. Each is made when its paths are connected, if the array does not have it."""

from typing import TYPE_CHECKING

from odx_target.replica.grouping.asking import AskedInVain
from odx_target.replica.link.errors import LinkError
from odx_target.store.api import StoreError
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import GroupTemplate
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.groups.operations import create_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odx_target.target.array import Array
    from odx_target.target.peers.peering import Peering

LOOK_S = 1.0
"""Time between two looks if the paths of a group are connected now."""

RETRY_S = 30.0
"""Pause of a group after an attempt that another array has refused. Each attempt counts the data of the volumes."""

NOT_MADE = "a group of the configuration cannot be made"


async def make_groups(array: "Array", peering: "Peering", templates: "Sequence[GroupTemplate]") -> None:
    """Make the groups that the array does not have, as soon as their paths are connected. Returns when there is none left.

    If another array refuses, its operator may change that, so the group is tried again. Any other refusal is reported once.
    """
    waiting, not_before_s = list(templates), dict.fromkeys((each.name for each in templates), 0.0)
    while waiting:
        waiting = [each for each in waiting if array.groups is None or each.name not in array.groups.groups]
        now_s = array.environment.monotonic()
        for template in [each for each in waiting if not_before_s[each.name] <= now_s and _are_connected(peering, each)]:
            try:
                await create_group(
                    array,
                    template.name,
                    template.volumes,
                    template.path,
                    template.witness,
                    template.luns,
                    template.out_of_sync_s,
                )
            except AskedInVain as error:
                _report(array, template, error)
                not_before_s[template.name] = now_s + RETRY_S
            except (LinkError, StoreError, ConfigError, ManagementError) as error:
                _report(array, template, error)
                waiting.remove(template)
        if waiting:
            await array.environment.sleep(LOOK_S)


def _are_connected(peering: "Peering", template: GroupTemplate) -> bool:
    paths = (peering.paths.get(name) for name in (template.path, template.witness))
    return all(path is not None and path.link is not None for path in paths)


def _report(array: "Array", template: GroupTemplate, error: Exception) -> None:
    array.reporter.report("error", NOT_MADE, cause=template.name, group=template.name, error=str(error))
