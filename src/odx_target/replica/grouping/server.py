"""The other member and the witness of a group that is made or removed: they serve the requests of its primary."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from odx_target.environment import Environment
from odx_target.replica.blocks.requests import BUSY
from odx_target.replica.grouping import messages
from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE, CopiesOfGroups, member_attribute
from odx_target.replica.grouping.luns import MemberLuns, NotPossible
from odx_target.replica.grouping.messages import FIRST_EPOCH, IN_USE, NO_LUN, NO_ROOM, NO_WITNESS, STORAGE, TAKEN
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.messages import Message, read_message
from odx_target.replica.membership.messages import MemberRecord
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import WitnessRecord
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Group as RequestGroup
from odx_target.replica.request_table import RequestTable, Row
from odx_target.replica.snapshots.messages import decode_guids
from odx_target.replica.snapshots.protection import BLOCK_ATTRIBUTE, SIZE_ATTRIBUTE
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_records import GroupSettings
from odx_target.replica.sync.group_table import GroupRefused, GroupTable
from odx_target.store.api import BLOCK_BYTES, Pool, StoreError, Volume, change_when_ready

BLOCK_LENGTHS = (512, 4096)

REQUESTS = RequestGroup("grouping", 4)
"""A peer makes one group at a time. A lost request may end late."""


class GroupServer:
    """Serves the requests that make and remove groups. `luns` are the LUNs of the array."""

    def __init__(self, pool: Pool, environment: Environment, groups: GroupTable, luns: MemberLuns) -> None:
        self._pool = pool
        self._environment = environment
        self._groups = groups
        self._luns = luns
        self._busy: set[str] = set()
        self.copies = CopiesOfGroups(pool, environment, luns)

    def add_to(self, requests: RequestTable) -> None:
        """Serve the requests of the primary."""
        requests.add(
            {
                messages.VOLUME_REQUEST: Row(Right.REPLICATE, self._serve_volume, REQUESTS),
                messages.WITNESS_REQUEST: Row(Right.REPLICATE, self._serve_witness, REQUESTS),
                messages.BEGIN_REQUEST: Row(Right.REPLICATE, self._serve_begin, REQUESTS),
                messages.FORGET_REQUEST: Row(Right.REPLICATE, self._serve_forget, REQUESTS),
            }
        )

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """Reserve the group `name` for one change while the body runs. Raises RequestDenied if it is being changed."""
        if name in self._busy:
            raise RequestDenied(BUSY, f"the group {name} is being changed by another request")
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

    @contextmanager
    def _serving(self, name: str) -> Iterator[None]:
        """Reserve a group, and turn what goes wrong into a refusal of the request."""
        with self.changing(name):
            try:
                yield
            except (StoreError, GroupRefused) as error:
                raise RequestDenied(STORAGE, str(error)) from error
            except NotPossible as error:
                raise RequestDenied(TAKEN, str(error)) from error

    async def _serve_volume(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.VOLUME_FIELDS, document)
        size_bytes, block_bytes = found.number("size_bytes"), found.number("block_bytes")
        if block_bytes not in BLOCK_LENGTHS or size_bytes > found.number("size_blocks") * BLOCK_BYTES:
            raise PeerFault("a volume of a group has an impossible size")
        name = found.text("group")
        with self._serving(name):
            self._check_witness(path, found.content("witness"))
            await self._remove_half_made(path, name)
            self._check_room(found.number("data_bytes"))
            await self._make_volume(path, found)
            await self._durable()
        exchange.answer({})

    async def _make_volume(self, path: Path, found: Message) -> None:
        """Make a volume that hosts cannot reach, or find the one that an earlier attempt has made."""
        mark, identity, size_blocks = _mark(path, found), found.content("volume"), found.number("size_blocks")
        size_bytes, block_bytes = found.number("size_bytes"), found.number("block_bytes")
        self._luns.check(found.text("name"), size_bytes, block_bytes, _number_of(found.number("lun")))
        volume = self._volume(identity)
        if volume is not None and not mark.items() <= volume.attributes.items():
            same = f"the identity of {found.text('name')}"
            raise RequestDenied(TAKEN, f"the array has a volume {volume.name} with {same} already")
        if volume is not None:
            await self.copies.delete(volume, with_snapshots=True)
        attributes = {SIZE_ATTRIBUTE: str(size_bytes), BLOCK_ATTRIBUTE: str(block_bytes), **mark}
        create, name = self._pool.create_volume, found.text("name")
        await self._change(lambda: create(name, size_blocks, attributes, identity=identity))
        if self._volume(identity) is None:
            await self.copies.delete(self._pool.volumes[name], with_snapshots=True)
            raise RequestDenied(TAKEN, "hosts would see another disk, because the identities of its pool were renewed")

    async def _serve_witness(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.WITNESS_FIELDS, document)
        name, primary, peer = found.text("group"), path.settings.peer_pool, found.content("peer")
        if peer in (primary, self._pool.identity):
            raise PeerFault("the members and the witness of a group are three arrays")
        desk = self._groups.witness_desk
        with self._serving(name):
            self._require_path(peer, "this array, the witness, has no path to the other member of the group")
            members = primary.hex(), peer.hex()
            register = Register(FIRST_EPOCH, members[0], frozenset(members[:1]))
            present = desk.members.get(name)
            if present is not None:
                known = desk.record(name).register
                if present != members or known is None or known.epoch != FIRST_EPOCH:
                    raise RequestDenied(TAKEN, f"the array is the witness of another group {name} already")
                desk.remove(name)
            record = WitnessRecord(found.number("number"), register)
            await self._change(lambda: desk.add(name, members, record))
            await self._durable()
        exchange.answer({})

    async def _serve_begin(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.BEGIN_FIELDS, document)
        name, identities, numbers = found.text("group"), decode_guids(found.texts("volumes")), found.numbers("luns")
        if len(numbers) != len(identities) or not all(0 <= each <= NO_LUN for each in numbers):
            raise PeerFault("a new group has not one LUN number for each volume")
        with self._serving(name):
            self._check_witness(path, found.content("witness"))
            await self._remove_half_made(path, name)
            volumes = self._made_volumes(path, found, identities)
            settings = GroupSettings(
                name,
                path.settings.peer_pool,
                found.content("witness"),
                tuple(identities),
                found.number("out_of_sync_ms") / 1000,
            )
            primary = path.settings.peer_pool.hex()
            record = MemberRecord(0, Register(FIRST_EPOCH, primary, frozenset([primary])), found.number("number"))
            await self._change(lambda: self._groups.add(settings, record))
            await self._durable()
            await self._luns.present(volumes, [_number_of(each) for each in numbers])
            await self._durable()
        exchange.answer({})

    def _made_volumes(self, path: Path, found: Message, identities: Sequence[bytes]) -> list[Volume]:
        mark = _mark(path, found)
        volumes = [volume for volume in map(self._volume, identities) if volume is not None]
        if len(volumes) < len(identities) or not all(mark.items() <= each.attributes.items() for each in volumes):
            raise RequestDenied(TAKEN, "the array does not have all volumes of the group")
        return volumes

    async def _serve_forget(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        found = read_message(messages.FORGET_FIELDS, document)
        name, primary = found.text("group"), path.settings.peer_pool
        desk = self._groups.witness_desk
        with self._serving(name):
            if desk.has(name, primary):
                register = desk.record(name).register
                if register is not None and register.primary != primary.hex():
                    raise RequestDenied(IN_USE, f"the other member is the primary of the group {name}")
                if register is not None and register.epoch > found.number("epoch"):
                    raise RequestDenied(IN_USE, f"the group {name} has changed since the request was sent")
                desk.remove(name)
            group = self._groups.groups.get(name)
            if group is not None and group.settings.peer_pool == primary:
                self._check_unneeded(group, found.number("epoch"), resigns=found.number("resigns") == 1)
                await self.forget(group, keeps_copies=found.number("keeps_copies") == 1)
            self._check_readable(name)
            await self.copies.delete_left_over(member_attribute(name, primary))
            await self._durable()
        exchange.answer({})

    async def forget(self, group: Group, *, keeps_copies: bool) -> None:
        """Be no member of a group any more. Its copies are deleted, or become volumes with new identities that are no LUNs.

        Hosts cannot reach the volumes before the group is forgotten. Raises StoreError.
        """
        volumes = self.copies.present(group.settings.volumes)
        await self._luns.withdraw(volumes)
        await self._durable()
        self._groups.remove(group.settings.name)
        for volume in volumes:
            if keeps_copies:
                await self.copies.keep(volume)
            # A volume that was not made for the group may have snapshots that the other member does not have.
            await self.copies.delete(volume, with_snapshots=not keeps_copies and GROUP_ATTRIBUTE in volume.attributes)
        await self._durable()

    def _check_readable(self, name: str) -> None:
        """Check that no record of a group is damaged, because its volumes may be the only ones. Raises RequestDenied."""
        if name in self._groups.unreadable:
            raise RequestDenied(TAKEN, f"the records of the group {name} cannot be read: delete it at this array with --force")

    def _check_unneeded(self, group: Group, epoch: int, *, resigns: bool) -> None:
        """Check that this member is not the primary, and can never take over. Raises RequestDenied.

        It may not have heard yet that it was dropped. The sender has a newer register then. If it resigns, it cannot take over
        after it has forgotten the group.
        """
        member = group.driver.member
        if member.is_primary:
            raise RequestDenied(IN_USE, f"this array is the primary of the group {group.settings.name}")
        if member.is_in_sync and epoch <= member.register.epoch and not resigns:
            raise RequestDenied(IN_USE, f"this array is in sync in the group {group.settings.name}, and may take it over")

    async def _remove_half_made(self, path: Path, name: str) -> None:
        """Remove a group that an attempt has left whose primary has not begun. Raises RequestDenied if it is another one."""
        self._check_readable(name)
        group = self._groups.groups.get(name)
        if group is None:
            return
        register, primary = group.driver.member.register, path.settings.peer_pool
        if group.settings.peer_pool != primary or register.epoch != FIRST_EPOCH or register.primary != primary.hex():
            raise RequestDenied(TAKEN, f"the array has another group {name} already")
        await self._luns.withdraw(self.copies.present(group.settings.volumes))
        self._groups.remove(name)

    def _check_witness(self, path: Path, witness: bytes) -> None:
        if witness in (self._pool.identity, path.settings.peer_pool):
            raise RequestDenied(NO_WITNESS, "the members and the witness of a group are three arrays")
        self._require_path(witness, "this array has no path to the witness: pair both first")

    def _require_path(self, pool: bytes, reason: str) -> None:
        """Check that there is a path to an array, whose requests about groups it serves. Raises RequestDenied."""
        path = self._groups.path_to(pool)
        if path is None:
            raise RequestDenied(NO_WITNESS, reason)
        if Right.REPLICATE not in path.settings.rights:
            raise RequestDenied(NO_WITNESS, f"the path {path.settings.name} needs the right {Right.REPLICATE}")

    def _check_room(self, data_bytes: int) -> None:
        available_bytes = self._pool.usage().available_bytes
        if available_bytes is not None and available_bytes < data_bytes:
            raise RequestDenied(NO_ROOM, f"the array has room for {available_bytes} bytes, and the volumes have {data_bytes}")

    def _volume(self, identity: bytes) -> Volume | None:
        return next((each for each in self._pool.volumes.values() if self._pool.public_identity(each) == identity), None)

    async def _change(self, change: Callable[[], object]) -> None:
        """Change the pool, and wait while it makes room. Raises StoreError."""
        await change_when_ready(self._pool, self._environment, change)

    async def _durable(self) -> None:
        await self._pool.committed()
        await self._pool.flush()


def _mark(path: Path, found: Message) -> dict[str, str]:
    """Return the attribute of the volumes that this array has made for a group."""
    return member_attribute(found.text("group"), path.settings.peer_pool)


def _number_of(lun: int) -> int | None:
    return None if lun == NO_LUN else lun
