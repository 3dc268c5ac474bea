"""The start of the disks of one target as Windows does it: discovery, login, and the enumeration of the LUNs."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import trio

from odx_target.cli.failure import first_error
from odx_target.cli.hosts.windows.session import LiveSession, SessionPath, discover, plan_login
from odx_target.initiator.session.connecting import Connect
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.session.login import INITIATOR_NAME


@dataclass(frozen=True, slots=True)
class WindowsIdentity:
    """The name of the host, and its settings for sessions. `paths` is the number of sessions to each target."""

    initiator_name: str = INITIATOR_NAME
    paths: int = 1
    digests: bool = False


@contextlib.asynccontextmanager
async def open_windows_disks(
    windows: WindowsHost,
    places: Sequence[IscsiUrl],
    identity: WindowsIdentity,
    connect: Connect,
    *,
    prefix: str = "",
    first_session: int = 0,
) -> AsyncIterator[list[WindowsDisk]]:
    """Open LUNs of one target, and log out at the end. Returns one disk for each different place.

    `prefix` begins the names of the disks. `first_session` is the number of the first session of this host. Raises
    DiskUnusable, LoginDeclined or another InitiatorError.
    """
    lives: list[LiveSession] = []
    try:
        async with trio.open_nursery() as nursery:
            try:
                await _log_in(windows, places[0], identity, connect, nursery, first_session, lives)
                found = [_disk(windows, prefix, place, lives) for place in dict.fromkeys(places)]
                await enumeration.start(found, _disk(windows, prefix, replace(places[0], lun=0), lives))
                yield found
            finally:
                for live in lives:
                    await live.close()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_error(group) from None


async def _log_in(
    windows: WindowsHost,
    place: IscsiUrl,
    identity: WindowsIdentity,
    connect: Connect,
    nursery: trio.Nursery,
    first_session: int,
    lives: list[LiveSession],
) -> None:
    """Open a discovery session, then one session for each path. The sessions of the paths are added to `lives`."""
    plans = [
        plan_login(place, at, identity.initiator_name, windows.journal, connect, digests=identity.digests)
        for at in range(first_session, first_session + 1 + identity.paths)
    ]
    await discover(plans[0], windows.settings)
    for at, plan in enumerate(plans[1:], first_session + 1):
        live = LiveSession(f"path {at}", plan, windows.settings)
        await nursery.start(live.run)
        lives.append(live)


def _disk(windows: WindowsHost, prefix: str, place: IscsiUrl, lives: list[LiveSession]) -> WindowsDisk:
    return WindowsDisk(windows, f"{prefix}LUN {place.lun}", place.lun, [SessionPath(live, place.lun) for live in lives])
