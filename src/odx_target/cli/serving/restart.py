"""The restart of an array in its process, because a fault was injected."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVarTuple

import trio

from odx_target.target.access.targets import portals_of
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, Portal

Ts = TypeVarTuple("Ts")


def with_actual_ports(array: Array) -> Config:
    """Return the settings of an array with the ports at which it listens, so that hosts find it there after a restart."""
    actual = dict(zip(portals_of(array.config), array.portals, strict=False))

    def found(portals: tuple[Portal, ...]) -> tuple[Portal, ...]:
        return tuple(actual.get(portal, portal) if portal.port == 0 else portal for portal in portals)

    targets = tuple(
        each if each.portals is None else replace(each, portals=found(each.portals)) for each in array.config.targets
    )
    return replace(array.config, portals=found(array.config.portals), targets=targets)


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
