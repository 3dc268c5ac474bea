"""Warnings of settings that give hosts more, or less, access than the operator may want."""

from collections.abc import Iterable, Sequence

from odx_target.target.access.targets import Target
from odx_target.target.event_log import log
from odx_target.target.loopback import is_loopback


def warn_of_open_portals(targets: Iterable[Target]) -> None:
    """Log a warning for each portal that other machines can reach, if hosts need no CHAP secret there."""
    is_open = (portal for target in targets if target.authentication is None for portal in target.portals)
    for portal in dict.fromkeys(is_open):
        if not is_loopback(portal.host):
            log.warning(
                "every host that can reach this portal can use its LUNs; --chap-user makes hosts log in", portal=str(portal)
            )


def warn_of_missing_volumes(targets: Sequence[Target]) -> None:
    """Log a warning for each name in an access rule for which there is no LUN."""
    present = targets[0].lun_maps.units_by_volume()
    for target in targets:
        for name in target.lun_maps.missing_volumes(present):
            log.warning("an access rule names a volume that is not a LUN of the pool", volume=name, target=target.name)
