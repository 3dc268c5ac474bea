"""JSON objects in items of SHIP: changes of snapshots, which are too rare for a layout of their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from odx_target.replica.link.bounded_json import MAX_NUMBER, Json, encode_object
from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Message, Type
from odx_target.replica.sync.anchors.anchors import GUID_BYTES, MAX_ANCHORS
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES
from odx_target.replica.sync.stream.items import Item, ItemKind
from odx_target.store.api import Snapshot, SnapshotChanged, SnapshotCreated, Volume

MAX_SENT_ATTRIBUTES = 64
"""Maximum number of attributes of a snapshot that are shipped. Their texts are bounded by `MAX_TEXT_BYTES`."""

_GUID = Field("guid", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of the snapshot")
_NAME = Field("name", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the snapshot")
_LINEAGE = Field("lineage", Type.BYTES, GUID_BYTES, GUID_BYTES, "lineage of the volume")
_ATTRIBUTES = (
    Field("attribute_names", Type.TEXTS, 0, MAX_SENT_ATTRIBUTES, "names of attributes of the snapshot or volume"),
    Field("attribute_values", Type.TEXTS, 0, MAX_SENT_ATTRIBUTES, "their values"),
)

TAKEN_FIELDS = (
    _GUID,
    _NAME,
    Field("created_us", Type.NUMBER, 0, MAX_NUMBER, "time of the snapshot in microseconds since 1970"),
    Field("group", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of the group of the snapshot; zeros if it was taken alone"),
    *_ATTRIBUTES,
)
CHANGED_FIELDS = (_GUID, _NAME, *_ATTRIBUTES)
DELETED_FIELDS = (_GUID,)
RESTORED_FIELDS = (_GUID, _LINEAGE)
LINEAGE_FIELDS = (_LINEAGE,)

ANCHORS_FIELDS = (
    Field("guids", Type.TEXTS, 0, MAX_ANCHORS, "guids of the anchors that the primary keeps"),
    Field("taken", Type.BYTES, 0, GUID_BYTES, "guid of the anchor that is taken now; empty if none is taken"),
)

IDENTITY_BYTES = 16
LUN_ATTRIBUTE = "lun"
"""Name of the attribute of a volume that each array gives it by itself."""

VOLUME_FIELDS = (
    Field("identity", Type.BYTES, IDENTITY_BYTES, IDENTITY_BYTES, "identity of the volume, which is the same at both members"),
    Field("name", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the volume"),
    Field("size_blocks", Type.NUMBER, 1, MAX_NUMBER, "size of the volume in blocks"),
    *_ATTRIBUTES,
)
VOLUMES_FIELDS = (Field("identities", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "identities of all volumes of the group, in order"),)

NO_FIELDS: tuple[Field, ...] = ()

DOCUMENTS: dict[str, tuple[Field, ...]] = {
    "take snapshot": TAKEN_FIELDS,
    "change snapshot": CHANGED_FIELDS,
    "delete snapshot": DELETED_FIELDS,
    "restore": RESTORED_FIELDS,
    "change lineage": LINEAGE_FIELDS,
    "keep anchors": ANCHORS_FIELDS,
    "add volume": VOLUME_FIELDS,
    "set volumes": VOLUMES_FIELDS,
    "begin of snapshots": NO_FIELDS,
    "end of snapshots": NO_FIELDS,
    "begin of tokens": NO_FIELDS,
    "end of tokens": NO_FIELDS,
}
"""The JSON objects by their member `do`, with their other members."""


def taken(volume: int, record: SnapshotCreated) -> Item:
    """Return the item of a new snapshot."""
    return _item(
        volume,
        "take snapshot",
        {
            "guid": record.guid.hex(),
            "name": record.name,
            "created_us": record.created_us,
            "group": record.group.hex(),
            **_attributes(record.attributes),
        },
    )


def taken_again(volume: int, snapshot: Snapshot) -> Item:
    """Return the item of a snapshot that was taken while the other member was out of sync."""
    record = SnapshotCreated(
        snapshot.guid,
        snapshot.identifier,
        volume,
        round(snapshot.created_s * 1e6),
        snapshot.group,
        snapshot.name,
        snapshot.attributes,
    )
    return taken(volume, record)


def changed(snapshot: SnapshotChanged | Snapshot) -> Item:
    """Return the item of a snapshot with a new name or new attributes. Holds belong to each array."""
    document = {"guid": snapshot.guid.hex(), "name": snapshot.name, **_attributes(snapshot.attributes)}
    return _item(0, "change snapshot", document)


def all_snapshots(snapshots: Iterable[Snapshot]) -> Iterator[Item]:
    """Yield items after which the other member has no other snapshots than these. It may have fewer."""
    yield _item(0, "begin of snapshots", {})
    for snapshot in snapshots:
        yield changed(snapshot)
    yield _item(0, "end of snapshots", {})


def all_tokens(records: Iterable[tuple[bytes, bytes]]) -> Iterator[Item]:
    """Yield items after which the other member has no other persistent tokens than these. It may have fewer."""
    yield _item(0, "begin of tokens", {})
    for name, value in records:
        yield token_kept(name, value)
    yield _item(0, "end of tokens", {})


def token_kept(name: bytes, value: bytes, volume: int = 0, *, is_new: bool = False) -> Item:
    """Return the item of the record of a persistent token. An empty record means that the token has ended."""
    data = name + value
    return Item(ItemKind.TOKEN, volume, int(is_new), len(data), data=data)


def deleted(guid: bytes) -> Item:
    """Return the item of a snapshot that was deleted."""
    return _item(0, "delete snapshot", {"guid": guid.hex()})


def restored(volume: int, guid: bytes, lineage: bytes) -> Item:
    """Return the item of a volume that was restored from a snapshot."""
    return _item(volume, "restore", {"guid": guid.hex(), "lineage": lineage.hex()})


def lineage_changed(volume: int, lineage: bytes) -> Item:
    """Return the item of a volume with a new lineage and its former content."""
    return _item(volume, "change lineage", {"lineage": lineage.hex()})


def anchors_kept(guids: Sequence[bytes], taken: bytes) -> Item:
    """Return the item of the anchors that the primary keeps, of which one may be taken now."""
    return _item(0, "keep anchors", {"guids": [guid.hex() for guid in guids], "taken": taken.hex()})


def volume_document(identity: bytes, name: str, size_blocks: int, attributes: Mapping[str, str]) -> dict[str, Json]:
    """Return the fields of a volume that the other member must have."""
    shared = {key: value for key, value in attributes.items() if key != LUN_ATTRIBUTE}
    return {"identity": identity.hex(), "name": name, "size_blocks": size_blocks, **_attributes(shared)}


def volumes_set(volumes: Sequence[Volume | None], identities: Sequence[bytes]) -> Iterator[Item]:
    """Yield items after which the group has these volumes at the other member. It makes those that it does not have, empty."""
    for volume in volumes:
        if volume is not None:
            document = volume_document(volume.identity, volume.name, volume.size_blocks, volume.attributes)
            yield _item(0, "add volume", document)
    yield _item(0, "set volumes", {"identities": [each.hex() for each in identities]})


def attributes_of(found: Message) -> dict[str, str]:
    """Return the attributes in a JSON object."""
    return dict(zip(found.texts("attribute_names"), found.texts("attribute_values"), strict=False))


def _attributes(attributes: Mapping[str, str]) -> dict[str, Json]:
    """Return those attributes that fit into a JSON object."""
    fitting = (
        each
        for each in sorted(attributes.items())
        if all(text.isprintable() and len(text.encode()) <= MAX_TEXT_BYTES for text in each)
    )
    pairs = list(islice(fitting, MAX_SENT_ATTRIBUTES))
    return {"attribute_names": [name for name, _ in pairs], "attribute_values": [value for _, value in pairs]}


def _item(volume: int, word: str, document: Mapping[str, Json]) -> Item:
    data = encode_object({"do": word, **document})
    return Item(ItemKind.DOCUMENT, volume, count_blocks=len(data), data=data)
