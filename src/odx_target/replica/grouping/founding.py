"""A new group, made by its primary."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.grouping import messages
from odx_target.replica.grouping.asking import ask
from odx_target.replica.grouping.messages import FIRST_EPOCH, NO_LUN
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.membership.messages import MemberRecord
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import NUMBER_BYTES
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_records import GroupSettings
from odx_target.replica.sync.group_table import GroupRefused, GroupTable
from odx_target.store.api import Pool, StoreError, Volume, change_when_ready


class GroupVolume(NamedTuple):
    """A volume of a new group. `lun` is the number of its LUN at the other member, or None if hosts cannot use it there.
    `refusal` returns the reason why the volume cannot be in a group at present, or an empty text.
    """

    volume: Volume
    size_bytes: int
    block_bytes: int
    lun: int | None
    refusal: Callable[[], str] = str


class Founding:
    """Makes one group whose primary is this array. `path` leads to the other member, and `witness` to the witness."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        groups: GroupTable,
        name: str,
        volumes: Sequence[GroupVolume],
        path: Path,
        witness: Path,
        out_of_sync_s: float,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._groups = groups
        self._volumes = volumes
        self._path = path
        self._witness = witness
        self._settings = GroupSettings(
            name,
            path.settings.peer_pool,
            witness.settings.peer_pool,
            tuple(each.volume.identity for each in volumes),
            out_of_sync_s,
        )

    async def run(self) -> Group:
        """Make the group. Its resync begins at once. Raises GroupRefused and StoreError.

        After an exception, this array is not a member, and what the other arrays have made is removed if they can be reached.
        Otherwise another attempt replaces it.
        """
        self._groups.check(self._settings)
        if Right.REPLICATE not in self._path.settings.rights:
            raise GroupRefused(f"the path {self._path.settings.name} needs the right {Right.REPLICATE}")
        data_bytes = 0
        for each in self._volumes:
            data_bytes += (await self._pool.space_of(each.volume)).mapped_bytes
        number = int.from_bytes(self._environment.entropy(NUMBER_BYTES), "little")
        primary = self._pool.identity.hex()
        register = Register(FIRST_EPOCH, primary, frozenset([primary]))
        try:
            for each in self._volumes:
                await ask(self._path, messages.VOLUME_REQUEST, self._volume_document(each, data_bytes))
            peer = self._settings.peer_pool.hex()
            document: dict[str, Json] = {"group": self._settings.name, "peer": peer, "number": number}
            await ask(self._witness, messages.WITNESS_REQUEST, document)
            await ask(self._path, messages.BEGIN_REQUEST, self._begin_document(number))
            return await self._begin(MemberRecord(0, register, number))
        except (GroupRefused, StoreError):
            if self._settings.name not in self._groups.groups:
                await self._undo()
            raise

    async def _begin(self, record: MemberRecord) -> Group:
        """Become the primary. From now on, the resync runs, and the group exists."""
        group = await change_when_ready(self._pool, self._environment, lambda: self._add(record))
        await self._pool.committed()
        await self._pool.flush()
        return group

    def _add(self, record: MemberRecord) -> Group:
        for each in self._volumes:
            if self._pool.volumes.get(each.volume.name) is not each.volume:
                raise GroupRefused(f"the volume {each.volume.name} was deleted meanwhile")
            if reason := each.refusal():
                raise GroupRefused(reason)
        return self._groups.add(self._settings, record)

    async def _undo(self) -> None:
        """Have the other arrays forget the group, as far as they can be reached."""
        document: dict[str, Json] = {"group": self._settings.name, "epoch": FIRST_EPOCH, "keeps_copies": 0}
        for path in (self._path, self._witness):
            with suppress(GroupRefused):
                await ask(path, messages.FORGET_REQUEST, document)

    def _volume_document(self, each: GroupVolume, data_bytes: int) -> dict[str, Json]:
        return {
            "group": self._settings.name,
            "witness": self._settings.witness_pool.hex(),
            "volume": self._pool.public_identity(each.volume).hex(),
            "name": each.volume.name,
            "size_blocks": each.volume.size_blocks,
            "size_bytes": each.size_bytes,
            "block_bytes": each.block_bytes,
            "lun": NO_LUN if each.lun is None else each.lun,
            "data_bytes": data_bytes,
        }

    def _begin_document(self, number: int) -> dict[str, Json]:
        return {
            "group": self._settings.name,
            "witness": self._settings.witness_pool.hex(),
            "volumes": [self._pool.public_identity(each.volume).hex() for each in self._volumes],
            "luns": [NO_LUN if each.lun is None else each.lun for each in self._volumes],
            "number": number,
            "out_of_sync_ms": round(self._settings.out_of_sync_s * 1000),
        }
