"""The relative target ports of the other members of groups, which REPORT TARGET PORT GROUPS lists beside the own ones.

Each member asks the other one, and remembers the answer for the time after the other one has died.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import LinkError, PeerFault
from odx_target.replica.link.messages import Field, Type, read_message
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Group as RequestGroup
from odx_target.replica.request_table import RequestTable, Row
from odx_target.replica.sync.limits import MAX_GROUPS
from odx_target.scsi.asymmetric_access.port_groups import MAX_PORTS_OF_GROUP
from odx_target.store.api import Pool, StoreError

PORTS_REQUEST = "target ports"
PORTS_FIELDS = (Field("ports", Type.NUMBERS, 1, MAX_PORTS_OF_GROUP, "relative target ports of the array"),)
REQUESTS = RequestGroup("target ports", 2 * MAX_GROUPS)
"""Each group of both arrays keeps one request open. A lost one may end late."""

KEY_PREFIX = "sync/ports/"
"""Prefix of a key in the pool. The identity of another pool follows. The value has the ports of its array."""

ASSUMED_PORTS = (1,)
"""The ports of an array that was not asked yet: those of one target with one portal group."""

MAX_PORT = 0xFFFF

RETRY_S = 1.0
"""Pause before the other member is asked again."""


class PeerPorts:
    """The ports of other arrays, by the identities of their pools. `own_ports` returns those of this array."""

    def __init__(self, pool: Pool, own_ports: Callable[[], Sequence[int]]) -> None:
        self._pool = pool
        self._own_ports = own_ports

    def of(self, peer_pool: bytes) -> tuple[int, ...]:
        """Return the ports of an array, as far as they are known."""
        with suppress(ValueError, TypeError, PeerFault):
            return _checked(json.loads(self._pool.remembered(KEY_PREFIX + peer_pool.hex()) or b"null"))
        return ASSUMED_PORTS

    def add_to(self, requests: RequestTable) -> None:
        """Answer the requests of other members."""
        requests.add({PORTS_REQUEST: Row(Right.REPLICATE, self._serve, REQUESTS)})

    async def _serve(self, _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
        exchange.answer({"ports": list(self._own_ports())[:MAX_PORTS_OF_GROUP]})
        while (frame := await exchange.receive()) is not None:
            exchange.consumed(frame)

    async def follow(
        self,
        environment: Environment,
        path: Callable[[], Path | None],
        is_wanted: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        """Ask the array at the end of a path whenever it is connected, as long as `is_wanted` returns True.

        `on_change` is called when the array has other ports than before.
        """
        while is_wanted():
            found = path()
            if found is not None and found.link is not None:
                with suppress(LinkError):
                    await self._ask(found.link, found.settings.peer_pool, on_change)
            await environment.sleep(RETRY_S)

    async def _ask(self, link: Link, peer_pool: bytes, on_change: Callable[[], None]) -> None:
        """Ask once, and return when the link has ended. Raises LinkError."""
        exchange = await link.request({"request": PORTS_REQUEST}, TrafficClass.SYNCHRONOUS)
        try:
            ports = _checked(read_message(PORTS_FIELDS, await exchange.answered()).numbers("ports"))
            if ports != self.of(peer_pool):
                with suppress(StoreError):  # The array answers again after the next start.
                    self._pool.remember(KEY_PREFIX + peer_pool.hex(), json.dumps(ports).encode())
                    on_change()
            while (frame := await exchange.receive()) is not None:
                exchange.consumed(frame)
        except PeerFault as fault:
            raise exchange.violated(fault) from None
        finally:
            exchange.close()


def _checked(ports: Sequence[int]) -> tuple[int, ...]:
    """Check that these are relative target ports. Raises PeerFault, TypeError."""
    if not 0 < len(ports) <= MAX_PORTS_OF_GROUP or not all(type(port) is int and 0 < port <= MAX_PORT for port in ports):
        raise PeerFault("relative target ports are numbers from 1 to 65535")
    return tuple(ports)
