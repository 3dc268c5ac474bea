"""The changes of the primary, made again in the pool of the other member.

Every change may be made twice, because a member repeats what was shipped after the last position that it has kept. So each
handler accepts that its change was made already.
"""

from collections.abc import Awaitable, Callable

from odx_target.copymgr.tokens.adopted import NAME_BYTES, AdoptedTokens
from odx_target.copymgr.tokens.durable import MIN_RECORD_BYTES
from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import decode_object
from odx_target.replica.link.errors import ChannelEnded, LinkError, PeerFault
from odx_target.replica.link.messages import Message, read_message
from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.replica.sync.anchors.anchors import Anchors, decode_guids
from odx_target.replica.sync.limits import MAX_SHIPPED_MAPS
from odx_target.replica.sync.stream.documents import DOCUMENTS, attributes_of
from odx_target.replica.sync.stream.items import SOURCE, Item, ItemKind
from odx_target.replica.sync.stream.shipped_volumes import ShippedVolumes
from odx_target.replica.sync.stream.volume_values import PREFIXES, SIZE_VALUE, key_of
from odx_target.store.api import (
    AdoptedSnapshot,
    FrozenMap,
    Pool,
    PoolBusy,
    PoolFailed,
    PoolFull,
    Scarcity,
    Snapshot,
    StoreError,
    Volume,
)

RETRY_S = 0.1
"""Pause before a change is tried again for which the pool has no resources now."""


class NotApplied(LinkError):
    """A change of the primary cannot be made here. The group is then out of sync. The message is one line."""


class Relog:
    """Makes changes in `volumes`, which are in the order of the group, as long as `is_wanted` returns True. Without `anchors`,
    no anchor is taken. `shipped_volumes` changes the list of the group; `volumes` then changes too.

    Without `tokens`, no persistent tokens are kept.

    `close` releases the frozen maps of the primary.
    """

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        volumes: list[Volume],
        is_wanted: Callable[[], bool],
        anchors: Anchors | None = None,
        shipped_volumes: ShippedVolumes | None = None,
        tokens: AdoptedTokens | None = None,
    ) -> None:
        self._tokens = tokens
        self.anchors = anchors
        self._is_wanted = is_wanted
        self._shipped_volumes = shipped_volumes
        self._pool = pool
        self._environment = environment
        self._volumes = volumes
        self._by_identity = {each.identity: each for each in volumes}
        self._frozen: dict[int, FrozenMap] = {}
        self._taken: list[bytes] = []
        self._unnamed: set[bytes] = set()
        """Guids of the snapshots that a resync has not named yet."""

    async def apply(self, item: Item) -> None:
        """Make a change, when there is room for it. Raises NotApplied, PeerFault, ChannelEnded."""
        if item.volume >= len(self._volumes):
            raise PeerFault(f"an item of a SHIP is about volume {item.volume} of {len(self._volumes)}")
        volume = self._volumes[item.volume]
        await self.tried(lambda: _APPLY[item.kind](self, volume, item), volume.room_made)

    async def tried(self, change: Callable[[], None], room_made: Callable[[], Awaitable[None]]) -> None:
        """Make a change of the pool, and try again as long as a resource is missing. Raises NotApplied, ChannelEnded."""
        while True:
            self.check_wanted()
            try:
                change()
            except PoolBusy:
                await room_made()
            except (PoolFailed, PoolFull) as error:
                raise NotApplied(str(error)) from error
            except Scarcity:
                await self._environment.sleep(RETRY_S)
            except StoreError as error:
                raise NotApplied(str(error)) from error
            else:
                return

    def check_wanted(self) -> None:
        """Check that this stream is still the one of the primary. Raises ChannelEnded."""
        if not self._is_wanted():
            raise ChannelEnded("the stream has ended")

    def close(self) -> None:
        """Release the frozen maps."""
        for frozen in self._frozen.values():
            frozen.release()
        self._frozen.clear()

    def write(self, volume: Volume, item: Item) -> None:
        volume.write(item.block, [item.data])

    def unmap(self, volume: Volume, item: Item) -> None:
        volume.unmap(item.block, item.count_blocks)

    def resize(self, volume: Volume, item: Item) -> None:
        if volume.size_blocks != item.count_blocks:
            volume.resize(item.count_blocks)
            self._note_size(volume)

    def freeze(self, volume: Volume, item: Item) -> None:
        former = self._frozen.pop(item.argument, None)
        if former is not None:
            former.release()
        if len(self._frozen) >= MAX_SHIPPED_MAPS:
            raise PeerFault(f"the primary has shipped more than {MAX_SHIPPED_MAPS} frozen maps")
        self._frozen[item.argument] = volume.freeze()

    def release(self, _volume: Volume, item: Item) -> None:
        frozen = self._frozen.pop(item.argument, None)
        if frozen is not None:
            frozen.release()

    def clone(self, volume: Volume, item: Item) -> None:
        frozen = self._frozen.get(item.argument)
        if frozen is None:
            raise PeerFault(f"an item of a SHIP clones the frozen map {item.argument}, which was not shipped")
        (source,) = SOURCE.unpack(item.data)
        block, end = item.block, item.block + item.count_blocks
        while block < end:
            block += volume.copy_from(frozen, source + block - item.block, block, end - block)

    def keep_value(self, volume: Volume, item: Item) -> None:
        if item.argument >= len(PREFIXES):
            raise PeerFault(f"an item of a SHIP has the value {item.argument} of a volume, which is unknown")
        key = key_of(item.argument, volume.identity)
        if not item.data:
            self._pool.forget(key)
        elif self._pool.remembered(key) != item.data:
            self._pool.remember(key, bytes(item.data), spare=True)
        if item.argument == SIZE_VALUE:
            self._note_size(volume)

    def _note_size(self, volume: Volume) -> None:
        if self._shipped_volumes is not None:
            self._shipped_volumes.note_size(volume)

    def keep_token(self, volume: Volume, item: Item) -> None:
        data = bytes(item.data)
        name, value = data[:NAME_BYTES], data[NAME_BYTES:]
        if len(name) < NAME_BYTES or (value and len(value) < MIN_RECORD_BYTES):
            raise PeerFault("an item of a SHIP has a token that is cut off")
        if self._tokens is None:
            return
        if value:
            self._tokens.keep(name, value, volume if item.block else None)
        else:
            self._tokens.end(name)

    def begin_tokens(self, _volume: Volume, _found: Message) -> None:
        if self._tokens is not None:
            self._tokens.begin_names()

    def end_tokens(self, _volume: Volume, _found: Message) -> None:
        if self._tokens is not None:
            self._tokens.end_names()

    def follow_document(self, volume: Volume, item: Item) -> None:
        document = decode_object(item.data)
        word = str(document.get("do"))
        if word not in _DO:
            raise PeerFault("an item of a SHIP has an unknown JSON object")
        _DO[word](self, volume, read_message(DOCUMENTS[word], document))

    def take_snapshot(self, volume: Volume, found: Message) -> None:
        guid = found.content("guid")
        if guid in self._pool.snapshots:
            return
        self._make_way(volume.identity, found.text("name"))
        created_s = found.number("created_us") / 1e6
        attributes = attributes_of(found)
        snapshot = AdoptedSnapshot(volume.name, found.text("name"), guid, created_s, found.content("group"), attributes)
        self._pool.adopt_snapshots([snapshot])

    def change_snapshot(self, _volume: Volume, found: Message) -> None:
        snapshot = self._snapshot(found)
        self._unnamed.discard(found.content("guid"))
        if snapshot is None:
            return
        name = found.text("name")
        if snapshot.name != name:
            self._make_way(snapshot.volume_identity, name)
            snapshot.rename(name)
        attributes = attributes_of(found)
        if snapshot.attributes != attributes:
            snapshot.change_attributes(attributes)

    def _make_way(self, volume_identity: bytes, name: str) -> None:
        """Rename the snapshot of a volume with this name. The primary has renamed or deleted it, and that is shipped later."""
        volume = self._by_identity.get(volume_identity)
        former = None if volume is None else volume.snapshots.get(name)
        if former is not None:
            former.rename(f"former-{former.guid.hex()}")

    def delete_snapshot(self, _volume: Volume, found: Message) -> None:
        snapshot = self._snapshot(found)
        if snapshot is not None:
            snapshot.delete()

    def restore(self, volume: Volume, found: Message) -> None:
        snapshot = self._snapshot(found)
        if snapshot is None:
            raise NotApplied("a snapshot that is restored is missing here")
        volume.restore(snapshot)  # Also if it was made already, because the writes before it may have been repeated.
        volume.change_lineage(found.content("lineage"))

    def change_lineage(self, volume: Volume, found: Message) -> None:
        if volume.lineage != found.content("lineage"):
            volume.change_lineage(found.content("lineage"))

    def add_volume(self, _volume: Volume, found: Message) -> None:
        """Make a volume that is empty at first, unless it was prepared."""
        name, size_blocks = found.text("name"), found.number("size_blocks")
        self._changeable().add(found.content("identity"), name, size_blocks, attributes_of(found))

    def set_volumes(self, _volume: Volume, found: Message) -> None:
        self._volumes[:] = self._changeable().change(decode_guids(found.texts("identities")))
        self._by_identity = {each.identity: each for each in self._volumes}

    def _changeable(self) -> ShippedVolumes:
        if self._shipped_volumes is None:
            raise PeerFault("the volumes of the group cannot change")
        return self._shipped_volumes

    def begin_snapshots(self, _volume: Volume, _found: Message) -> None:
        self._unnamed = {
            guid
            for guid, each in self._pool.snapshots.items()
            if each.volume_identity in self._by_identity and KEPT_ATTRIBUTE not in each.attributes
        }

    def end_snapshots(self, _volume: Volume, _found: Message) -> None:
        """Delete the snapshots that the primary does not have. One that is held stays, and its holder deletes it later."""
        for guid in sorted(self._unnamed):
            snapshot = self._pool.snapshots.get(guid)
            if snapshot is not None and not snapshot.holds:
                snapshot.delete()
            self._unnamed.discard(guid)

    def take_reports(self) -> list[bytes]:
        """Return the guids of the anchors that were taken since the last call."""
        taken, self._taken = self._taken, []
        return taken

    def keep_anchors(self, _volume: Volume, found: Message) -> None:
        guids, taken = decode_guids(found.texts("guids")), found.content("taken")
        if self.anchors is None:
            return
        if taken and taken not in self.anchors.guids:
            self.anchors.take(taken, self._volumes, guids, self._environment.time())
            self._taken.append(taken)
        else:
            self.anchors.keep_only(guids)

    def _snapshot(self, found: Message) -> Snapshot | None:
        """Return the snapshot that a JSON object names, if it is one of a volume of the group."""
        snapshot = self._pool.snapshots.get(found.content("guid"))
        return snapshot if snapshot is not None and snapshot.volume_identity in self._by_identity else None


_APPLY: dict[ItemKind, Callable[[Relog, Volume, Item], None]] = {
    ItemKind.WRITE: Relog.write,
    ItemKind.UNMAP: Relog.unmap,
    ItemKind.RESIZE: Relog.resize,
    ItemKind.FREEZE: Relog.freeze,
    ItemKind.RELEASE: Relog.release,
    ItemKind.CLONE: Relog.clone,
    ItemKind.DOCUMENT: Relog.follow_document,
    ItemKind.VALUE: Relog.keep_value,
    ItemKind.TOKEN: Relog.keep_token,
}

_DO: dict[str, Callable[[Relog, Volume, Message], None]] = {
    "take snapshot": Relog.take_snapshot,
    "change snapshot": Relog.change_snapshot,
    "delete snapshot": Relog.delete_snapshot,
    "restore": Relog.restore,
    "change lineage": Relog.change_lineage,
    "keep anchors": Relog.keep_anchors,
    "add volume": Relog.add_volume,
    "set volumes": Relog.set_volumes,
    "begin of snapshots": Relog.begin_snapshots,
    "end of snapshots": Relog.end_snapshots,
    "begin of tokens": Relog.begin_tokens,
    "end of tokens": Relog.end_tokens,
}
