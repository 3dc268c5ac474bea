"""Changes of the volumes of a group that a person makes. Those that the other member may refuse are made in two phases.

First, the other member says whether it can make the change, and prepares it. Then the primary makes the change, and its record
goes through the stream. So if the other member refuses, nothing has happened, and an interruption leaves nothing half done.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import LinkError
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_records import Departure
from odx_target.replica.sync.group_states import ChangeRefused, NotServing
from odx_target.replica.sync.group_volumes import volume_with
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES
from odx_target.replica.sync.stream.documents import IDENTITY_BYTES, volume_document
from odx_target.replica.sync.stream.preparation import encode_preparation
from odx_target.store.api import NameTaken, Pool, Snapshot, StoreError, Volume


class VolumeOperations:
    """The operations of one group, one after the other.

    Each of them raises ChangeRefused if the other member refuses, and NotServing if this member is not the primary. They may
    raise the exceptions of the methods of `Pool` and `Volume` that they call. After ChangeRefused, nothing has changed.
    """

    def __init__(self, group: Group, pool: Pool, environment: Environment) -> None:
        self._group = group
        self._pool = pool
        self._environment = environment
        self._is_busy = False

    async def create_volume(self, name: str, size_blocks: int, attributes: Mapping[str, str]) -> Volume:
        """Make an empty volume at both members, in the group."""
        with self._alone():
            if name in self._pool.volumes:
                raise NameTaken(f"there is a volume {name!r} already")
            self._check_count()
            identity = self._environment.entropy(IDENTITY_BYTES)
            document = volume_document(identity, name, size_blocks, attributes)

            def make() -> None:
                if volume_with(self._pool, identity) is None:
                    # An interruption leaves no volume outside of the group.
                    self._group.records.keep_prepared(frozenset({identity}))
                    self._pool.create_volume(name, size_blocks, attributes, identity=identity)
                self._group.list.change([*self._group.list.identities, identity], deletes=False)
                self._group.records.keep_prepared(frozenset())

            await self._prepared("make volume", document, lambda: self._change(make))
            return self._pool.volumes[name]

    async def add_volume(self, volume: Volume) -> None:
        """Take a volume with its content into the group. The caller makes sure that it is in no other group.

        The other member is dropped, and a resync brings it the content of this volume, and what the others have changed since
        the last anchor.
        """
        with self._alone():
            if volume.identity in self._group.list.identities:
                raise ChangeRefused(f"the volume {volume.name} is in the group already")
            self._check_count()
            document = volume_document(volume.identity, volume.name, volume.size_blocks, volume.attributes)

            def add() -> None:
                if self._group.outgoing.needs_peer:
                    raise NotServing("the other member is in sync again already: add the volume again")
                self._group.list.change([*self._group.list.identities, volume.identity], deletes=False)
                self._group.outgoing.close()  # A resync that is under way does not have the volume.

            async def drop_and_add() -> None:
                await self._group.drop_other("a volume with content comes to the group")
                await self._change(add)

            await self._prepared("make volume", document, drop_and_add)

    async def remove_volume(self, volume: Volume) -> None:
        """Take a volume out of the group. It stays at this member. The other one deletes its copy."""
        with self._alone():
            await self._leave(volume, deletes=False)

    async def delete_volume(self, volume: Volume) -> None:
        """Delete a volume at both members. This member keeps it until the other one has deleted its copy."""
        with self._alone():
            await self._leave(volume, deletes=True)

    async def resize(self, volume: Volume, size_blocks: int, change: Callable[[], object] | None = None) -> None:
        """Change the size of a volume, by `change` if it is given."""
        make = change or partial(volume.resize, size_blocks)
        await self.resize_in_steps(volume, size_blocks, partial(self._group.change, make, volume.room_made))

    async def resize_in_steps(self, volume: Volume, size_blocks: int, change: Callable[[], Awaitable[None]]) -> None:
        """Change the size of a volume by `change`, which counts as a command of a host, and waits for the other member."""
        with self._alone():
            document: dict[str, Json] = {"identity": volume.identity.hex(), "size_blocks": size_blocks}
            await self._prepared("resize", document, change)

    async def take_snapshot(
        self, name: str, attributes: Callable[[Volume], Mapping[str, str]] = lambda _: {}
    ) -> Sequence[Snapshot]:
        """Take a snapshot of all volumes of the group at one moment, at both members. `attributes` returns those of a snapshot
        by its volume.
        """
        with self._alone():
            found: list[Snapshot] = []

            def take() -> None:
                names = {volume.name: attributes(volume) for volume in self._group.volumes()}
                found.extend(self._pool.snapshot_volumes(names, name))

            await self._prepared("take snapshot", {"name": name}, lambda: self._change(take))
            return found

    async def restore(self, volume: Volume, snapshot: Snapshot, change: Callable[[], object] | None = None) -> None:
        """Give a volume the content of one of its snapshots, by `change` if it is given."""
        with self._alone():
            document: dict[str, Json] = {"identity": volume.identity.hex(), "guid": snapshot.guid.hex()}
            make = change or partial(volume.restore, snapshot)
            await self._prepared("restore", document, partial(self._group.change, make, volume.room_made))

    async def _leave(self, volume: Volume, *, deletes: bool) -> None:
        if self._group.records.departure is not None:
            raise ChangeRefused(f"another volume is leaving the group {self._group.settings.name} still")
        if volume.identity not in self._group.list.identities:
            raise ChangeRefused(f"the volume {volume.name} is not in the group")
        if len(self._group.list.identities) == 1:
            raise ChangeRefused(f"the volume {volume.name} is the last one of the group: delete the group")

        await self._change(partial(self._group.departures.begin, Departure(volume.identity, deletes)))
        await self._pool.committed()  # Other tasks may have begun a batch while the other member got the change.
        self._group.departures.finish()
        await self._pool.committed()

    async def _prepared(self, word: str, document: dict[str, Json], second: Callable[[], Awaitable[None]]) -> None:
        """Make a change in two phases."""
        await self._prepare(word, document)
        try:
            await second()
        except (StoreError, NotServing):
            self._cancel_preparation()
            raise

    async def _prepare(self, word: str, document: dict[str, Json]) -> None:
        """Ask the other member, if it is needed, whether it can make a change (the first phase); see `PREPARATIONS`.

        Raises ChangeRefused if it cannot, and then nothing has changed. Raises NotServing, StoreError.
        """
        with self._group.command():
            give_up_s = self._group.progress.give_up_s
            while self._group.outgoing.needs_peer:
                answers: list[str] = []
                with suppress(LinkError):
                    self._group.outgoing.prepare_peer(encode_preparation(word, document), answers.append)
                sender = self._group.outgoing.sender
                while not answers and self._group.outgoing.needs_peer and self._group.outgoing.sender is sender:
                    await self._group.progress.next_change(give_up_s)
                if answers and answers[0]:
                    raise ChangeRefused(f"the other member of the group {self._group.settings.name} refuses: {answers[0]}")
                if answers:
                    return

    def _cancel_preparation(self) -> None:
        """Undo what the other member has prepared, because the change does not follow. If the message is lost, the other member
        does it at the begin of the next stream.
        """
        with suppress(LinkError):
            self._group.outgoing.prepare_peer(encode_preparation("nothing", {}), lambda _: None)

    async def _change(self, change: Callable[[], None]) -> None:
        await self._group.change(change, self._group.volumes()[0].room_made)

    def _check_count(self) -> None:
        if len(self._group.list.identities) >= MAX_GROUP_VOLUMES:
            raise ChangeRefused(f"the group has {MAX_GROUP_VOLUMES} volumes, which is the limit")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._is_busy:
            raise ChangeRefused(f"another change of the group {self._group.settings.name} is under way")
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False
