"""The restart of an array in its process, because a fault was injected."""

from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import trio

Ts = TypeVarTuple("Ts")


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
