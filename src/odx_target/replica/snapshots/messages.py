"""The requests of the replication of snapshots. The sending side makes all of them, except `blocks`."""

from collections.abc import Mapping, Sequence

from odx_target.replica.blocks.limits import MAX_RANGE_BLOCKS
from odx_target.replica.link.bounded_json import MAX_NUMBER
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Type
from odx_target.replica.snapshots.limits import MAX_ATTRIBUTES, MAX_GROUP_VOLUMES, MAX_GUIDS, MAX_KEEP

BASES_REQUEST = "bases"
RECEIVE_REQUEST = "receive"
PUBLISH_REQUEST = "publish"
SETTLE_REQUEST = "settle"
REVERSE_REQUEST = "reverse"

GUID_BYTES = 16
NOT_FOUND = MAX_GUIDS
"""Answer to a question for a base if the receiver has none of the snapshots."""

ABSENT = "absent"
PROMOTED = "promoted"
UNEQUAL = "unequal"
"""Codes of refusals."""

_GUID = (Type.BYTES, GUID_BYTES, GUID_BYTES)

BASES_FIELDS = (Field("snapshots", Type.TEXTS, 1, MAX_GUIDS, "guids of snapshots of the sender, the preferred ones first"),)
BASES_ANSWER_FIELDS = (
    Field("found", Type.NUMBER, 0, NOT_FOUND, f"index of the first snapshot that the receiver has too; {NOT_FOUND} if none"),
)

RECEIVE_FIELDS = (
    Field("volume", *_GUID, "identity of the sender's volume"),
    Field("name", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the sender's volume"),
    Field("lineage", *_GUID, "lineage of the snapshot"),
    Field("snapshot", *_GUID, "guid of the snapshot"),
    Field("base", *_GUID, "guid of a snapshot that both sides have; zeros if there is none"),
    Field("size_blocks", Type.NUMBER, 1, MAX_RANGE_BLOCKS, "size of the snapshot"),
    Field("size_bytes", Type.NUMBER, 1, MAX_NUMBER, "size of the LUN at the time of the snapshot"),
    Field("block_bytes", Type.NUMBER, 512, 4096, "logical block length of the LUN: 512 or 4096"),
    Field("changed_blocks", Type.NUMBER, 0, MAX_RANGE_BLOCKS, "number of blocks that differ from the base"),
)

PUBLISH_FIELDS = (
    Field("group", *_GUID, "guid of the group of the snapshots; zeros if they are no group"),
    Field("volumes", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "identities of the sender's volumes"),
    Field("snapshots", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "guids of their snapshots"),
    Field("names", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "names of the snapshots"),
    Field("created_us", Type.NUMBERS, 1, MAX_GROUP_VOLUMES, "times of the snapshots in microseconds since 1970"),
    Field("sizes", Type.NUMBERS, 1, MAX_GROUP_VOLUMES, "sizes of the snapshots in blocks"),
    Field("digests", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "digests of the snapshots"),
    Field("class", Type.TEXT, 1, MAX_TEXT_BYTES, "class of the snapshots for the retention, such as `daily`"),
    Field("keep", Type.NUMBER, 0, MAX_KEEP, "number of snapshots of this class to keep; 0 keeps all of them"),
    Field("attribute_names", Type.TEXTS, 0, MAX_ATTRIBUTES, "names of attributes of the snapshots", ()),
    Field("attribute_values", Type.TEXTS, 0, MAX_ATTRIBUTES, "their values", ()),
)

SETTLE_FIELDS = (
    Field("volume", *_GUID, "identity of the sender's volume"),
    Field("snapshot", *_GUID, "guid of the newest snapshot that both sides have, and that the sender holds"),
)

MAX_CLASSES = 8
"""Maximum number of classes of snapshots in a message."""

REVERSE_FIELDS = (
    Field(
        "volumes",
        Type.TEXTS,
        1,
        MAX_GROUP_VOLUMES,
        "identities of the requester's volumes, of which the other has promoted copies",
    ),
    Field("begin", Type.NUMBER, 0, 1, "1 if the other sends its volumes from now on; 0 only asks for them"),
    Field("is_group", Type.NUMBER, 0, 1, "1 if the snapshots of the volumes are published together"),
    Field("name", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the group"),
    Field("trigger", Type.TEXT, 1, MAX_TEXT_BYTES, "`each` or `latest`"),
    Field("keep_names", Type.TEXTS, 0, MAX_CLASSES, "classes of snapshots"),
    Field("keep_counts", Type.NUMBERS, 0, MAX_CLASSES, "number of snapshots of each class that the requester keeps"),
)
REVERSE_ANSWER_FIELDS = (
    Field("volumes", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "identities of the promoted volumes"),
    Field("names", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "their names"),
)


def decode_guids(texts: Sequence[str]) -> list[bytes]:
    """Decode a list of guids or digests. Raises PeerFault."""
    try:
        found = [bytes.fromhex(text) for text in texts]
    except ValueError:
        raise PeerFault("a guid in a message is not hexadecimal") from None
    if any(len(each) != GUID_BYTES for each in found):
        raise PeerFault(f"a guid in a message does not have {GUID_BYTES} bytes")
    return found


def sendable_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return those attributes of a snapshot that fit into a message."""
    fitting = {
        name: value
        for name, value in sorted(attributes.items())
        if all(each.isprintable() and len(each.encode()) <= MAX_TEXT_BYTES for each in (name, value))
    }
    return dict(list(fitting.items())[:MAX_ATTRIBUTES])
