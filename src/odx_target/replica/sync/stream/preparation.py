"""The first of the two phases of a change that the other member may refuse: it says whether it can make the change.

A member that prepares a new volume makes it at once, so that nobody takes its name meanwhile, and notes that durably. If the
change does not follow, the volume is deleted again.
"""

from collections.abc import Callable

from odx_target.environment import Buffer
from odx_target.replica.link.bounded_json import MAX_NUMBER, Json, decode_object, encode_object
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Message, Type, read_message, shortened
from odx_target.replica.sync.anchors.anchors import GUID_BYTES
from odx_target.replica.sync.group_records import GroupRecords
from odx_target.replica.sync.group_volumes import GroupVolumes, volume_with
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MIN_ROOM_BYTES
from odx_target.replica.sync.stream.documents import IDENTITY_BYTES, VOLUME_FIELDS, attributes_of
from odx_target.store.api import Pool, PoolBusy, PoolFailed, Scarcity, StoreError

_IDENTITY = Field("identity", Type.BYTES, IDENTITY_BYTES, IDENTITY_BYTES, "identity of the volume")

PREPARATIONS: dict[str, tuple[Field, ...]] = {
    "nothing": (),
    "make volume": VOLUME_FIELDS,
    "resize": (_IDENTITY, Field("size_blocks", Type.NUMBER, 1, MAX_NUMBER, "new size of the volume in blocks")),
    "take snapshot": (Field("name", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the snapshot of all volumes"),),
    "restore": (_IDENTITY, Field("guid", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of the snapshot")),
}
"""The JSON objects in PREPARE by their member `do`, with their other members."""


class Preparation:
    """Prepares changes at the member that is not the primary."""

    def __init__(self, pool: Pool, records: GroupRecords, volumes: GroupVolumes) -> None:
        self._pool = pool
        self._records = records
        self._volumes = volumes

    def prepare(self, body: Buffer) -> str:
        """Prepare a change. Returns why this member cannot make it: one line, or an empty text if it can.

        The caller commits the pool. Raises PeerFault, and PoolBusy and PoolFailed.
        """
        document = decode_object(body)
        word = str(document.get("do"))
        if word not in PREPARATIONS:
            raise PeerFault("a PREPARE has an unknown JSON object")
        found = read_message(PREPARATIONS[word], document)
        try:
            self.undo()
            if word != "nothing":
                self._check_room()
            _PREPARE[word](self, found)
        except (PoolBusy, PoolFailed):
            raise
        except StoreError as error:
            return shortened(str(error)) or "the change cannot be made"
        return ""

    def undo(self) -> None:
        """Delete the volumes that were prepared and then not used. Raises the exceptions of `Volume.write`."""
        prepared = self._records.prepared
        for identity in prepared.difference(self._volumes.identities):
            volume = volume_with(self._pool, identity)
            if volume is not None:
                self._pool.delete_volume(volume.name)
        if prepared:
            self._records.keep_prepared(frozenset())

    def _check_room(self) -> None:
        if self._pool.failure is not None:
            raise PoolFailed(self._pool.failure)
        available_bytes = self._pool.usage().available_bytes
        if available_bytes is not None and available_bytes < MIN_ROOM_BYTES:
            raise Scarcity("the pool of the other member has no room")

    def nothing(self, found: Message) -> None:
        """Undo what was prepared before, because the change does not follow."""

    def make_volume(self, found: Message) -> None:
        identity = found.content("identity")
        if len(self._volumes.identities) >= MAX_GROUP_VOLUMES:
            raise StoreError(f"a group has at most {MAX_GROUP_VOLUMES} volumes")
        if volume_with(self._pool, identity) is not None:
            raise StoreError("the other member has the volume already")
        self._records.keep_prepared(frozenset({identity}))
        try:
            own = self._volumes.attributes_here(attributes_of(found))
            self._pool.create_volume(found.text("name"), found.number("size_blocks"), own, identity=identity)
        except BaseException:
            self._records.keep_prepared(frozenset())
            raise

    def resize(self, found: Message) -> None:
        if volume_with(self._pool, found.content("identity")) is None:
            raise StoreError("the volume does not exist at the other member")

    def take_snapshot(self, found: Message) -> None:
        name = found.text("name")
        if any(name in volume.snapshots for volume in self._volumes.present()):
            raise StoreError(f"a volume of the other member has a snapshot {name} already")

    def restore(self, found: Message) -> None:
        if found.content("guid") not in self._pool.snapshots:
            raise StoreError("the other member does not have the snapshot")


_PREPARE: dict[str, Callable[[Preparation, Message], None]] = {
    "nothing": Preparation.nothing,
    "make volume": Preparation.make_volume,
    "resize": Preparation.resize,
    "take snapshot": Preparation.take_snapshot,
    "restore": Preparation.restore,
}


def encode_preparation(word: str, document: dict[str, Json]) -> bytes:
    """Encode the body of PREPARE."""
    return encode_object({"do": word, **document})
