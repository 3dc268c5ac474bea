"""The groups of an array, and the requests that its peers make about them."""

from collections.abc import Callable, Iterable, Mapping

from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import LinkError
from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Type, read_message
from odx_target.replica.membership.messages import MemberRecord
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Group as RequestGroup
from odx_target.replica.request_table import RequestTable, Row
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.anchors.reading import READ_REQUEST
from odx_target.replica.sync.courier import MEMBERSHIP_REQUEST
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_records import SETTINGS_PREFIX, GroupRecords, GroupSettings, InvalidGroupRecord
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MAX_GROUPS, MAX_OUT_OF_SYNC_S, MIN_OUT_OF_SYNC_S
from odx_target.replica.sync.maintenance import Maintenance
from odx_target.replica.sync.stream.stream_messages import STREAM_REQUEST
from odx_target.replica.sync.volume_operations import VolumeOperations
from odx_target.replica.sync.witness_desk import ABSENT, WitnessDesk
from odx_target.store.api import Pool, Volume

GROUP_FIELDS = (Field("group", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the group"),)

REQUESTS = RequestGroup("groups", 4 * MAX_GROUPS)
"""A member has two channels of the membership, one stream and one reading for each group. A lost channel may end late."""


class GroupRefused(LinkError):
    """A group cannot be made. The message is one line."""


class GroupTable:
    """The groups of which this array is a member, by name, and those of which it is the witness."""

    def __init__(self, pool: Pool, environment: Environment, paths: Callable[[], Iterable[Path]]) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Function that is called after a group has begun or was removed."""
        self.on_delete: Callable[[Volume], None] = lambda _: None
        """Function that is called after a volume that has left a group was deleted. It must not use the pool."""
        self._pool = pool
        self._environment = environment
        self._paths = paths
        self.witness_desk = WitnessDesk(pool, environment)
        self.groups: dict[str, Group] = {}
        self.operations: dict[str, VolumeOperations] = {}
        """Changes of the volumes of each group, by the name of the group."""
        self.maintenance: dict[str, Maintenance] = {}
        """The maintenance of each group, by the name of the group."""
        self.unreadable: list[str] = []
        """Names of groups whose records are damaged."""

    def start(self) -> None:
        """Begin a life of each member that the pool remembers."""
        for key in self._pool.remembered_keys(SETTINGS_PREFIX):
            name = key.removeprefix(SETTINGS_PREFIX)
            records = GroupRecords(self._pool, name)
            try:
                settings = records.settings()
                records.member()
            except InvalidGroupRecord:
                self.unreadable.append(name)
            else:
                self._begin(settings)

    def stop(self) -> None:
        for group in self.groups.values():
            group.stop()
        for maintenance in self.maintenance.values():
            maintenance.stop()

    def add(self, settings: GroupSettings, record: MemberRecord) -> Group:
        """Become a member of a new group. The caller has flushed the record of the witness before.

        The record is in the open batch until the caller commits the pool. Raises GroupRefused, and the exceptions of
        `Volume.write`.
        """
        self.check(settings)
        records = GroupRecords(self._pool, settings.name)
        records.keep_settings(settings)
        records.keep_member(record)
        return self._begin(settings)

    def remove(self, name: str) -> None:
        """Be no member of a group any more. Its volumes stay. Raises GroupRefused if there is no such group.

        The change is in the open batch until the caller commits the pool.
        """
        if name in self.unreadable:
            GroupRecords(self._pool, name).remove()
            Anchors(self._pool, name).remove()
            self.unreadable.remove(name)
            self.on_change()
            return
        group = self.groups.pop(name, None)
        if group is None:
            raise GroupRefused(f"there is no group {name}")
        del self.operations[name]
        self.maintenance.pop(name).stop()
        group.remove()
        self.on_change()

    def add_to(self, requests: RequestTable) -> None:
        """Serve the requests of members."""
        requests.add(
            {
                MEMBERSHIP_REQUEST: Row(Right.REPLICATE, self._serve_membership, REQUESTS),
                STREAM_REQUEST: Row(Right.REPLICATE, self._serve_stream, REQUESTS),
                READ_REQUEST: Row(Right.REPLICATE, self._serve_reading, REQUESTS),
            }
        )

    def check(self, settings: GroupSettings) -> None:
        """Check that `add` accepts a new group with these settings. Raises GroupRefused."""
        if not settings.name.isprintable() or not 0 < len(settings.name.encode()) <= MAX_TEXT_BYTES:
            raise GroupRefused(f"the name of a group has 1 to {MAX_TEXT_BYTES} printable bytes")
        if self.unreadable:
            name = self.unreadable[0]
            raise GroupRefused(f"the group {name} cannot be read, and may have the volumes: delete it with --force before")
        if settings.name in self.groups:
            raise GroupRefused(f"there is a group {settings.name} already")
        if len(self.groups) >= MAX_GROUPS:
            raise GroupRefused(f"the array has {MAX_GROUPS} groups, which is the limit")
        if not 0 < len(settings.volumes) <= MAX_GROUP_VOLUMES:
            raise GroupRefused(f"a group has 1 to {MAX_GROUP_VOLUMES} volumes")
        if not MIN_OUT_OF_SYNC_S <= settings.out_of_sync_s <= MAX_OUT_OF_SYNC_S:
            raise GroupRefused(f"the time until a member is out of sync is {MIN_OUT_OF_SYNC_S:g} to {MAX_OUT_OF_SYNC_S:g} s")
        taken = {volume for group in self.groups.values() for volume in group.settings.volumes}
        if len(set(settings.volumes)) < len(settings.volumes) or taken & set(settings.volumes):
            raise GroupRefused("a volume is in one group only, and once")
        if settings.peer_pool == self._pool.identity or settings.witness_pool in (self._pool.identity, settings.peer_pool):
            raise GroupRefused("the members and the witness of a group are three arrays")

    def _begin(self, settings: GroupSettings) -> Group:
        group = Group(self._pool, self._environment, settings, self.path_to)
        group.list.on_delete.append(lambda volume: self.on_delete(volume))
        self.groups[settings.name] = group
        self.operations[settings.name] = VolumeOperations(group, self._pool, self._environment)
        self.maintenance[settings.name] = Maintenance(group, self._pool, self._environment)
        group.start()
        self.on_change()
        return group

    def path_to(self, pool: bytes) -> Path | None:
        """Return the path to the array with a pool identity, if there is one."""
        return next((path for path in self._paths() if path.settings.peer_pool == pool), None)

    def _member_of(self, path: Path, name: str) -> Group:
        """Return the group whose other member is the peer of a path. Raises RequestDenied."""
        group = self.groups.get(name)
        if group is None or group.settings.peer_pool != path.settings.peer_pool:
            raise RequestDenied(ABSENT, "this array has no such group with the peer")
        return group

    async def _serve_membership(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        name = read_message(GROUP_FIELDS, document).text("group")
        if self.witness_desk.has(name, path.settings.peer_pool):
            await self.witness_desk.serve(path, exchange, name)
        else:
            await self._member_of(path, name).serve_membership(exchange)

    async def _serve_stream(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        name = read_message(GROUP_FIELDS, document).text("group")
        await self._member_of(path, name).incoming.serve(exchange, document)

    async def _serve_reading(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        name = read_message(GROUP_FIELDS, document).text("group")
        await self.maintenance[self._member_of(path, name).settings.name].serve_reading(exchange, document)
