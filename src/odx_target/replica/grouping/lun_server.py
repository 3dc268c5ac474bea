"""The LUNs of the other member of a group: it serves the requests of the primary about volumes that come and leave."""

from collections.abc import Mapping

from odx_target.environment import Environment
from odx_target.replica.grouping import messages
from odx_target.replica.grouping.luns import MemberLuns, NotPossible
from odx_target.replica.grouping.messages import CHECK_JOIN, CHECK_LEAVE, IN_USE, NO_LUN, NOT_YET, PRESENT, STORAGE, TAKEN
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.messages import Message, read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Group as RequestGroup
from odx_target.replica.request_table import RequestTable, Row
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_table import GroupTable
from odx_target.replica.sync.group_volumes import volume_with
from odx_target.store.api import Pool, StoreError, Volume

REQUESTS = RequestGroup("LUNs of groups", 4)
"""An operator changes one volume at a time. A lost request may end late."""


class LunServer:
    """Serves the requests of primaries. `luns` are the LUNs of the array."""

    def __init__(self, pool: Pool, environment: Environment, groups: GroupTable, luns: MemberLuns) -> None:
        self._pool = pool
        self._environment = environment
        self._groups = groups
        self._luns = luns
        groups.on_delete = lambda volume: environment.start_soon(self._removed, volume)

    def add_to(self, requests: RequestTable) -> None:
        """Serve the requests of primaries."""
        requests.add({messages.LUN_REQUEST: Row(Right.REPLICATE, self._serve, REQUESTS)})

    async def _serve(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.LUN_FIELDS, document)
        group = self._groups.groups.get(found.text("group"))
        if group is None or group.settings.peer_pool != path.settings.peer_pool:
            raise RequestDenied(TAKEN, "this array has no such group with the peer")
        if group.driver.member.is_primary:
            raise RequestDenied(IN_USE, f"this array is the primary of the group {group.settings.name}")
        step = found.text("step")
        try:
            if step == CHECK_JOIN:
                self._check_join(found)
            elif step == PRESENT:
                await self._present(group, found)
            elif step == CHECK_LEAVE:
                leaving = volume_with(self._pool, found.content("volume"))
                self._luns.check_withdrawal([] if leaving is None else [leaving])
            else:
                raise PeerFault("a request about a LUN of a group has an unknown step")
        except NotPossible as error:
            raise RequestDenied(TAKEN, str(error)) from error
        except StoreError as error:
            raise RequestDenied(STORAGE, str(error)) from error
        exchange.answer({})

    def _check_join(self, found: Message) -> None:
        name = found.text("name")
        if name in self._pool.volumes:
            raise RequestDenied(TAKEN, f"there is a volume {name!r} already")
        if volume_with(self._pool, found.content("volume")) is not None:
            raise RequestDenied(TAKEN, f"the array has a volume with the identity of {name} already")
        self._luns.check(name, found.number("size_bytes"), found.number("block_bytes"), _number_of(found))

    async def _present(self, group: Group, found: Message) -> None:
        volume = volume_with(self._pool, found.content("volume"))
        if volume is None or volume.identity not in group.list.identities:
            raise RequestDenied(NOT_YET, "the volume has not come to the group yet")
        await self._luns.present([volume], [_number_of(found)])
        await self._pool.committed()
        await self._pool.flush()

    async def _removed(self, volume: Volume) -> None:
        """Take the LUN of a volume away that has left a group and was deleted. After a failure of the pool, no host uses it."""
        try:
            await self._luns.removed(volume)
        except StoreError:
            return


def _number_of(found: Message) -> int | None:
    lun = found.number("lun")
    return None if lun == NO_LUN else lun
