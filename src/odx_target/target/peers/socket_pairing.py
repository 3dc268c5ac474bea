"""Pairings with other arrays on the same machine, through their control sockets (`serve --pair DIR`).

A user who may use the control socket of an array may add paths to it. So the array makes a path key, gives it to the other
array through this socket, and then pairs over the network as with any other array.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import trio

from odx_target.replica.link.errors import LinkError
from odx_target.replica.link.throttle import Rates
from odx_target.replica.pairing.path_key import new_path_key
from odx_target.replica.paths.settings import Address, Right
from odx_target.store.api import StoreError
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_portal
from odx_target.target.config.settings import Config
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoResponse, NoServer, request
from odx_target.target.loopback import from_this_machine
from odx_target.target.reporter import Reporter
from odx_target.target.trio_environment import TrioEnvironment

if TYPE_CHECKING:
    from odx_target.target.peers.peering import Peering


class PairingArray(Protocol):
    """The part of an array, or of a witness, that a pairing needs."""

    @property
    def config(self) -> Config: ...

    @property
    def environment(self) -> TrioEnvironment: ...

    @property
    def reporter(self) -> Reporter: ...


WAIT_S = 60.0
"""Time for which an array waits until the other array has started. Both may be started at the same moment."""

RETRY_S = 0.1
"""Delay before the control socket is tried again."""

MAX_NAME_CHARACTERS = 32
"""Maximum length of the name of a path that is made from the name of a directory."""


async def pair_with_pool(place: Path, array: PairingArray, peering: "Peering") -> None:
    """Pair with the array that serves the pool at a place, and wait until it is connected. A failure is one line in the log.

    At the end, `place` is removed from `Peering.pairing_places`.
    """
    try:
        name = await _paired(place, array, peering)
        with trio.move_on_after(WAIT_S):
            while (path := peering.paths.get(name)) is None or path.link is None:
                await trio.sleep(RETRY_S)
            return
        array.reporter.report("error", "the array cannot be paired", with_pool=str(place), error="it does not connect")
    except (LinkError, ManagementError, NoServer, NoResponse, StoreError) as error:
        array.reporter.report("error", "the array cannot be paired", with_pool=str(place), error=str(error))
    except (ConfigError, KeyError, TypeError, ValueError) as error:  # The other array is of another version.
        answer = f"it gives an unexpected answer ({error!r})"
        array.reporter.report("error", "the array cannot be paired", with_pool=str(place), error=answer)
    finally:
        peering.pairing_places.remove(place)


async def _paired(place: Path, array: PairingArray, peering: "Peering") -> str:
    """Begin the pairing, unless both arrays have a path already. Returns the name of the path.

    Raises LinkError, ManagementError, NoServer, NoResponse and StoreError.
    """
    theirs = await _their_paths(place)
    own, pool = peering.identity.pool, bytes.fromhex(theirs["pool"])
    if pool == own:
        raise ManagementError("it is the same array")
    name = next((each.settings.name for each in peering.paths.values() if each.settings.peer_pool == pool), None)
    their_name = next((each["name"] for each in theirs["paths"] if each["peer_pool"] == own.hex()), None)
    if name is not None and their_name is not None:
        await _use_present_address(peering, name, theirs["link_port"])
        return name
    if name is not None or their_name is not None:
        raise ManagementError(f"only one of the arrays has the path {name or their_name}; remove it first")
    address = _address(theirs["link_port"])
    key = new_path_key(array.environment.entropy)
    directory = array.config.pool_dir
    base = "peer" if directory is None else directory.absolute().name
    wanted = free_name(base, [each["name"] for each in (*theirs["paths"], *theirs["waiting"])])
    await _ask(place, "add-path", {"name": wanted, "key": key})
    name = free_name(place.absolute().name, [*peering.paths, *(each.name for each in peering.desk.waiting())])
    await peering.add(name, key, address, frozenset(Right), Rates())
    return name


async def _use_present_address(peering: "Peering", name: str, link_port: str) -> None:
    """Dial the link port that the other array has now, because port 0 is another port after each start.

    Raises PathRefused. May raise the exceptions of `Volume.write`.
    """
    former, present = peering.paths.existing(name).settings.address, _address(link_port)
    if former is not None and former != present:
        await peering.change(name, address=present)


async def _their_paths(place: Path) -> Mapping[str, Any]:
    """Return the paths of the other array, and wait until it has started. Raises ManagementError, NoServer and NoResponse."""
    until_s = trio.current_time() + WAIT_S
    while True:
        try:
            return await _ask(place, "paths", {})
        except NoServer:
            if trio.current_time() >= until_s:
                raise
            await trio.sleep(RETRY_S)


async def _ask(place: Path, operation: str, arguments: Mapping[str, object]) -> Mapping[str, Any]:
    return await trio.to_thread.run_sync(request, place, operation, arguments, abandon_on_cancel=True)


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return the name of a path that is like `wanted`, and is not taken."""
    base = re.sub(r"[^A-Za-z0-9._-]", "-", wanted).lstrip("._-")[:MAX_NAME_CHARACTERS] or "peer"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _address(text: str) -> Address:
    """Return the address at which an array on this machine can be reached, if `text` is its link port."""
    portal = from_this_machine(parse_portal(text))
    return Address(portal.host, portal.port)
