"""Records of the primary's log as items of SHIP. A table names what each kind of record becomes."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from odx_target.copymgr.tokens.adopted import ADOPTED_PREFIX, creators_of, is_of, name_in_key
from odx_target.copymgr.tokens.durable import KEY_PREFIX, frozen_in
from odx_target.replica.link.errors import LinkError
from odx_target.replica.sync.anchors.anchors import decode_anchors
from odx_target.replica.sync.group_records import ANCHOR_PREFIX, SETTINGS_PREFIX, decode_volumes
from odx_target.replica.sync.limits import MAX_ITEM_BLOCKS, MAX_SHIPPED_MAPS
from odx_target.replica.sync.stream import documents
from odx_target.replica.sync.stream.items import SOURCE, Item, ItemKind
from odx_target.replica.sync.stream.packing import pack
from odx_target.replica.sync.stream.volume_values import PREFIXES, key_of, value_item
from odx_target.store.api import (
    BLOCK_BYTES,
    BlockSource,
    Clone,
    CompressedWrite,
    Followed,
    Forget,
    Freeze,
    Link,
    Pool,
    Refer,
    Release,
    Remember,
    Snapshot,
    SnapshotChanged,
    SnapshotCreated,
    SnapshotDeleted,
    Unmap,
    Volume,
    VolumeDeleted,
    VolumeResized,
    VolumeRestored,
    Write,
)

TOKEN_PREFIXES = (KEY_PREFIX, ADOPTED_PREFIX)


class NeedsResync(LinkError):
    """The stream cannot continue, so the other member must be resynchronised. The message is one line."""


class Range(NamedTuple):
    """Blocks of a volume whose content must be read and shipped, because the log does not have it in a usable form.

    The content is that of the frozen map `source` from `source_block` on. If `source` is None, it is the present content of the
    volume, which may be newer than the record.
    """

    volume: int
    block: int
    count_blocks: int
    source: BlockSource | None = None
    source_block: int = 0


class Extent(NamedTuple):
    """A compressed extent whose content is written to a volume."""

    volume: int
    block: int
    followed: Followed


class RecordsFollow(NamedTuple):
    """The point of a resync from which on new records may be shipped between its parts."""


Shipped: TypeAlias = Item | Range | Extent | RecordsFollow


class Shipping:
    """Turns the records of one stream into items. `identities` are those of the volumes that the other member has in the group
    with the name `group`, in order. Nothing is shipped of those that are not in `own`, the present list of this member.

    A clone of a frozen map costs only an item if the other member froze an equal content. Otherwise its blocks are shipped.
    """

    def __init__(self, pool: Pool, identities: Sequence[bytes], group: str, own: Collection[bytes]) -> None:
        self.is_exact = False
        """True if the content of the other member is that of the volumes at the present record, and not partly newer."""
        self.is_resync = False
        """True while a resync ships content, which names volumes by their present index."""
        self.identities: Sequence[bytes] = ()
        self.taken_snapshots: set[bytes] = set()
        self._pool = pool
        self._anchor_key = ANCHOR_PREFIX + group
        self._settings_key = SETTINGS_PREFIX + group
        self._volumes: list[Volume | None] = []
        self._values: dict[str, tuple[int, int]] = {}
        """The index of the volume and the number of each value that both members have, by its key."""
        self._index: dict[int, int] = {}
        self._frozen: dict[int, int] = {}
        """The frozen maps that the other member has, by their numbers, with the indexes of their volumes."""
        self._group = group
        self._shipped_tokens: set[bytes] = set()
        """Names of tokens that this stream has shipped. A later record of them tells only of their use."""
        self._creators: set[bytes] = set()
        """The identities of the logical units of the volumes."""
        self._use(identities, own)

    def volume(self, index: int) -> Volume | None:
        """Return a volume of the group. None if it was deleted."""
        return self._volumes[index]

    def _use(self, identities: Sequence[bytes], own: Collection[bytes]) -> None:
        by_identity = {volume.identity: volume for volume in self._pool.volumes.values() if volume.identity in own}
        self.identities = identities
        self._volumes = [by_identity.get(each) for each in identities]
        self._values = {
            key_of(number, each): (index, number)
            for index, each in enumerate(identities)
            if each in own
            for number in range(len(PREFIXES))
        }
        self._creators = creators_of(self._pool, by_identity.values())
        self._index = {volume.number: index for index, volume in enumerate(self._volumes) if volume is not None}

    def shipped(self, followed: Followed) -> Iterator[Shipped]:
        """Yield what a record becomes. Raises NeedsResync."""
        handler = _HANDLERS.get(type(followed.record))
        if handler is not None:
            yield from handler(self, followed.record, followed)

    def pack(self, records: list[Followed]) -> list[Followed]:
        """Prepare the bodies of SHIP for commits that have only writes. Called in a thread, while no record is shipped."""
        index, handlers = self._index, _HANDLERS
        return pack(
            records,
            index,
            lambda each: each.record.volume in index if isinstance(each.record, Write) else type(each.record) in handlers,
        )

    def write(self, record: Write, followed: Followed) -> Iterator[Shipped]:
        volume = self._index.get(record.volume)
        if volume is None:
            return
        data = followed.data
        if data is None:
            yield Range(volume, record.block, record.count_blocks)
            return
        for at in range(0, record.count_blocks, MAX_ITEM_BLOCKS):
            count = min(MAX_ITEM_BLOCKS, record.count_blocks - at)
            part = data[at * BLOCK_BYTES : (at + count) * BLOCK_BYTES]
            yield Item(ItemKind.WRITE, volume, record.block + at, count, data=part)

    def compressed_write(self, record: CompressedWrite, followed: Followed) -> Iterator[Shipped]:
        volume = self._index.get(record.volume)
        if volume is not None and followed.data is not None:
            yield Extent(volume, record.block, followed)
        elif volume is not None:
            yield Range(volume, record.block, record.count_blocks)

    def refer(self, record: Refer, _followed: Followed) -> Iterator[Shipped]:
        if record.volume in self._index:
            yield Range(self._index[record.volume], record.block, record.count_blocks)

    def link(self, record: Link, _followed: Followed) -> Iterator[Shipped]:
        if record.volume in self._index:
            yield Range(self._index[record.volume], record.block, 1)

    def unmap(self, record: Unmap, _followed: Followed) -> Iterator[Shipped]:
        if record.volume in self._index:
            yield Item(ItemKind.UNMAP, self._index[record.volume], record.block, record.count_blocks)

    def freeze(self, record: Freeze, _followed: Followed) -> Iterator[Shipped]:
        if record.volume in self._index and self.is_exact and len(self._frozen) < MAX_SHIPPED_MAPS:
            self._frozen[record.frozen] = self._index[record.volume]
            yield Item(ItemKind.FREEZE, self._index[record.volume], argument=record.frozen)

    def release(self, record: Release, _followed: Followed) -> Iterator[Shipped]:
        if record.frozen in self._frozen:
            del self._frozen[record.frozen]
            yield Item(ItemKind.RELEASE, 0, argument=record.frozen)

    def clone(self, record: Clone, _followed: Followed) -> Iterator[Shipped]:
        volume = self._index.get(record.volume)
        if volume is None:
            return
        if record.frozen not in self._frozen:
            yield Range(volume, record.block, record.count_blocks, self._source(record.frozen), record.source_block)
            return
        source = SOURCE.pack(record.source_block)
        yield Item(ItemKind.CLONE, volume, record.block, record.count_blocks, record.frozen, source)

    def resize(self, record: VolumeResized, _followed: Followed) -> Iterator[Shipped]:
        if record.volume in self._index:
            yield Item(ItemKind.RESIZE, self._index[record.volume], count_blocks=record.size_blocks)

    def take_snapshot(self, record: SnapshotCreated, _followed: Followed) -> Iterator[Shipped]:
        if record.volume in self._index and self.is_exact:
            self.taken_snapshots.add(record.guid)
            yield documents.taken(self._index[record.volume], record)

    def change_snapshot(self, record: SnapshotChanged, _followed: Followed) -> Iterator[Shipped]:
        yield documents.changed(record)

    def delete_snapshot(self, record: SnapshotDeleted, _followed: Followed) -> Iterator[Shipped]:
        yield documents.deleted(record.guid)

    def restore(self, record: VolumeRestored, _followed: Followed) -> Iterator[Shipped]:
        volume = self._index.get(record.volume)
        if volume is None:
            return
        if record.frozen in self._frozen:  # `Volume.change_lineage` restores the present content.
            yield documents.lineage_changed(volume, record.lineage)
            return
        snapshot = self._snapshot(record.frozen)
        if snapshot is None:
            raise NeedsResync("a volume was restored from a snapshot that is deleted now")
        yield documents.restored(volume, snapshot.guid, record.lineage)

    def remember(self, record: Remember, _followed: Followed) -> Iterator[Shipped]:
        if record.key in self._values:
            yield value_item(*self._values[record.key], record.value)
        elif record.key == self._anchor_key:
            found = decode_anchors(record.value)
            yield documents.anchors_kept([each.guid for each in found.anchors], found.taken if self.is_exact else b"")
        elif record.key == self._settings_key:
            yield from self._change_volumes(record.value)
        elif record.key.startswith(TOKEN_PREFIXES):
            name, frozen = name_in_key(self._pool, self._group, record.key), frozen_in(record.value)
            if name is not None and is_of(record.value, self._creators):
                is_new = frozen in self._frozen and name not in self._shipped_tokens
                self._shipped_tokens.add(name)
                yield documents.token_kept(name, record.value, self._frozen.get(frozen, 0), is_new=is_new)

    def forget(self, record: Forget, _followed: Followed) -> Iterator[Shipped]:
        if record.key in self._values:
            yield value_item(*self._values[record.key], b"")
        elif record.key.startswith(TOKEN_PREFIXES):
            name = name_in_key(self._pool, self._group, record.key)
            if name is not None:
                self._shipped_tokens.discard(name)
                yield documents.token_kept(name, b"")

    def delete_volume(self, record: VolumeDeleted, _followed: Followed) -> Iterator[Shipped]:
        if record.volume in self._index:
            raise NeedsResync("a volume of the group was deleted")
        yield from ()

    def _change_volumes(self, value: bytes) -> Iterator[Shipped]:
        """Yield what a change of the group's settings becomes. Volumes that were deleted since are left out: their records are
        later in the log.
        """
        identities = decode_volumes(value)
        if not identities or list(identities) == list(self.identities):
            return
        if self.is_resync:
            raise NeedsResync("the group got other volumes during a resync")
        known = set(self.identities)
        self._use(identities, identities)
        added = [each for each in self._volumes if each is not None and each.identity not in known]
        yield from documents.volumes_set(added, identities)

    def _source(self, frozen: int) -> BlockSource | None:
        """Return a frozen map or snapshot by the number of its map. None if it was released or deleted."""
        return self._pool.frozen_maps.get(frozen) or self._snapshot(frozen)

    def _snapshot(self, frozen: int) -> Snapshot | None:
        return next((each for each in self._pool.snapshots.values() if each.identifier == frozen), None)


_HANDLERS: dict[type, Callable[[Shipping, Any, Followed], Iterator[Shipped]]] = {
    Write: Shipping.write,
    CompressedWrite: Shipping.compressed_write,
    Refer: Shipping.refer,
    Link: Shipping.link,
    Unmap: Shipping.unmap,
    Freeze: Shipping.freeze,
    Release: Shipping.release,
    Clone: Shipping.clone,
    VolumeResized: Shipping.resize,
    SnapshotCreated: Shipping.take_snapshot,
    SnapshotChanged: Shipping.change_snapshot,
    SnapshotDeleted: Shipping.delete_snapshot,
    VolumeRestored: Shipping.restore,
    Remember: Shipping.remember,
    Forget: Shipping.forget,
    VolumeDeleted: Shipping.delete_volume,
}
