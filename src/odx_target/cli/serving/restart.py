"""The restart of an array in its process, because a fault was injected."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TypeVarTuple

import trio

from odx_target.target.access.targets import portals_of
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, Portal

Ts = TypeVarTuple("Ts")


def with_actual_ports(array: Array) -> Config:
    """Return the settings of an array with the ports at which it listens, so that hosts find it there after a restart.

    All settings that name a portal name it with its actual port.
    """
    config = array.config
    found: dict[Portal, list[Portal]] = {}
    for portal, actual in zip(portals_of(config), array.portals, strict=False):
        found.setdefault(portal, []).append(portal if portal.port else actual)

    def all_of(portals: Iterable[Portal]) -> tuple[Portal, ...]:
        return tuple(actual for portal in dict.fromkeys(portals) for actual in found.get(portal, [portal]))

    def one_of(portal: Portal) -> Portal:
        return found.get(portal, [portal])[-1]

    return replace(
        config,
        portals=all_of(config.portals),
        targets=tuple(
            each if each.portals is None else replace(each, portals=tuple(map(one_of, each.portals))) for each in config.targets
        ),
        portal_groups=tuple(replace(group, portals=all_of(group.portals)) for group in config.portal_groups),
        announced=tuple((one_of(portal), address) for portal, address in config.announced),
        redirects=tuple(
            replace(rule, to=one_of(rule.to), portal=None if rule.portal is None else one_of(rule.portal))
            for rule in config.redirects
        ),
    )


async def ends_at(event: trio.Event, work: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> bool:
    """Do work until it is done or an event happens. Returns True if the event has ended the work."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at, event, nursery.cancel_scope)
        await work(*arguments)
        nursery.cancel_scope.cancel()
        return False
    return True


async def _cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
