"""Another witness for a group, because the former one is lost or was emptied."""

from collections.abc import Mapping
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.grouping import messages
from odx_target.replica.grouping.asking import ask
from odx_target.replica.grouping.messages import FORGET_REQUEST, NO_WITNESS, STORAGE, TAKEN
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.messages import read_message
from odx_target.replica.membership.witness import NUMBER_BYTES
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Group as RequestGroup
from odx_target.replica.request_table import RequestTable, Row
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_table import GroupRefused, GroupTable
from odx_target.store.api import Pool, StoreError, change_when_ready

REQUESTS = RequestGroup("witnesses of groups", 4)
"""An operator changes one group at a time. A lost request may end late."""


class WitnessChange:
    """Gives groups other witnesses, and serves the requests of primaries that do.

    The new witness knows no register. It decides nothing before both members have told it the same one, and the members ignore
    the former witness from then on. So nothing is decided twice, even if the former witness is alive.
    """

    def __init__(self, pool: Pool, environment: Environment, groups: GroupTable) -> None:
        self._pool = pool
        self._environment = environment
        self._groups = groups

    def add_to(self, requests: RequestTable) -> None:
        """Serve the requests of primaries."""
        requests.add(
            {
                messages.NEW_WITNESS_REQUEST: Row(Right.REPLICATE, self._serve_new, REQUESTS),
                messages.USE_WITNESS_REQUEST: Row(Right.REPLICATE, self._serve_use, REQUESTS),
            }
        )

    async def run(self, group: Group, witness: Path) -> None:
        """Use the array at the end of a path as the witness of a group whose primary is this array.

        The primary changes first: until then, the other member grants leases, because it has not lost its witness. Another call
        continues after an exception. Raises GroupRefused and StoreError.
        """
        settings, pool = group.settings, witness.settings.peer_pool
        if not group.driver.member.is_primary:
            raise GroupRefused(f"this array is not the primary of the group {settings.name}: give it a witness there")
        if pool == settings.peer_pool:
            raise GroupRefused("the members and the witness of a group are three arrays")
        if Right.REPLICATE not in witness.settings.rights:
            raise GroupRefused(f"the path {witness.settings.name} needs the right {Right.REPLICATE}")
        peer = group.path_to_peer()
        if peer is None or peer.link is None:
            raise GroupRefused("the other member cannot be reached, and both must agree on what a new witness believes")
        former, is_same = settings.witness_pool, pool == settings.witness_pool
        document: dict[str, Json] = {"group": settings.name, "peer": settings.peer_pool.hex(), "is_kept": int(is_same)}
        await ask(witness, messages.NEW_WITNESS_REQUEST, document)
        await self._use(group, pool)
        await ask(peer, messages.USE_WITNESS_REQUEST, {"group": settings.name, "witness": pool.hex()})
        path = self._groups.path_to(former)
        if path is not None and not is_same:
            epoch = group.driver.member.register.epoch
            with suppress(GroupRefused):  # It is lost.
                await ask(path, FORGET_REQUEST, {"group": settings.name, "epoch": epoch, "keeps_copies": 0})

    async def _use(self, group: Group, pool: bytes) -> None:
        await change_when_ready(self._pool, self._environment, lambda: group.change_witness(pool))
        await self._pool.committed()
        await self._pool.flush()

    async def _serve_new(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.NEW_WITNESS_FIELDS, document)
        name, peer, primary = found.text("group"), found.content("peer"), path.settings.peer_pool
        if peer in (primary, self._pool.identity):
            raise PeerFault("the members and the witness of a group are three arrays")
        if self._groups.path_to(peer) is None:
            raise RequestDenied(NO_WITNESS, "this array, the witness, has no path to the other member of the group")
        if name in self._groups.groups or name in self._groups.unreadable:
            raise RequestDenied(TAKEN, f"the array is a member of another group {name}")
        desk = self._groups.witness_desk
        if not (found.number("is_kept") and desk.has(name, primary)):
            number = int.from_bytes(self._environment.entropy(NUMBER_BYTES), "little")
            members = primary.hex(), peer.hex()
            try:
                await change_when_ready(self._pool, self._environment, lambda: desk.renew(name, members, number))
                await self._pool.committed()
                await self._pool.flush()
            except StoreError as error:
                raise RequestDenied(STORAGE, str(error)) from error
        exchange.answer({})

    async def _serve_use(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.USE_WITNESS_FIELDS, document)
        group, pool = self._groups.groups.get(found.text("group")), found.content("witness")
        if group is None or group.settings.peer_pool != path.settings.peer_pool:
            raise RequestDenied(TAKEN, "this array has no such group with the peer")
        if pool in (self._pool.identity, path.settings.peer_pool):
            raise PeerFault("the members and the witness of a group are three arrays")
        if self._groups.path_to(pool) is None:
            raise RequestDenied(NO_WITNESS, "this array has no path to the witness: pair both first")
        try:
            await self._use(group, pool)
        except StoreError as error:
            raise RequestDenied(STORAGE, str(error)) from error
        exchange.answer({})
