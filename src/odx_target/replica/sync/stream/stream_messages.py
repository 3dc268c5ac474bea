"""The request that opens a stream, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from odx_target.replica.link.bounded_json import MAX_NUMBER, Json
from odx_target.replica.link.messages import Field, Type, read_message
from odx_target.replica.membership.register import Register
from odx_target.replica.sync.anchors.anchors import MAX_ANCHORS, decode_guids
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MAX_NAMED_SNAPSHOTS
from odx_target.replica.sync.membership_messages import REGISTER_FIELDS, read_register, register_document
from odx_target.replica.sync.positions import StreamPosition

STREAM_REQUEST = "stream"

_LOG = (Type.BYTES, 16, 16)

GREETING_FIELDS = (
    *REGISTER_FIELDS,
    Field("log", *_LOG, "identity of the pool whose log the position of the sender is in; zeros if it has no stream"),
    Field("osn", Type.NUMBER, 0, MAX_NUMBER, "OSN up to which the sender has all changes"),
    Field("reach_osn", Type.NUMBER, 0, MAX_NUMBER, "OSN up to which it may have effects of changes"),
    Field("base_log", *_LOG, "identity of the pool of the primary before"),
    Field("base_osn", Type.NUMBER, 0, MAX_NUMBER, "end of the stream in its log"),
    Field("begin_osn", Type.NUMBER, 0, MAX_NUMBER, "begin of the stream in the log `log`"),
    Field("is_proven", Type.NUMBER, 0, 1, "1 if the sender is proven"),
    Field("anchors", Type.TEXTS, 0, MAX_ANCHORS, "guids of the anchors of the sender, the oldest first"),
    Field("snapshots", Type.TEXTS, 0, MAX_NAMED_SNAPSHOTS, "guids of the newest snapshots of these volumes at the sender"),
    Field("volumes", Type.TEXTS, 0, MAX_GROUP_VOLUMES, "identities of the volumes of the group at the sender, in order"),
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """The states that the members of a group exchange at the start of a stream: in the request, and in the answer."""

    register: Register
    position: StreamPosition
    is_proven: bool
    anchors: tuple[bytes, ...] = ()
    volumes: tuple[bytes, ...] = ()
    snapshots: tuple[bytes, ...] = ()


def greeting_document(greeting: Greeting) -> dict[str, Json]:
    """Return a greeting as members of a JSON object."""
    position = greeting.position
    return {
        **register_document(greeting.register),
        "log": position.log.hex(),
        "osn": position.osn,
        "reach_osn": position.reach_osn,
        "base_log": position.base_log.hex(),
        "base_osn": position.base_osn,
        "begin_osn": position.begin_osn,
        "is_proven": int(greeting.is_proven),
        "anchors": [guid.hex() for guid in greeting.anchors],
        "snapshots": [guid.hex() for guid in greeting.snapshots],
        "volumes": [identity.hex() for identity in greeting.volumes],
    }


def read_greeting(document: Mapping[str, Json]) -> Greeting:
    """Check a greeting. Raises PeerFault."""
    found = read_message(GREETING_FIELDS, document)
    position = StreamPosition(
        found.content("log"),
        found.number("osn"),
        found.number("reach_osn"),
        found.content("base_log"),
        found.number("base_osn"),
        found.number("begin_osn"),
    )
    lists = (tuple(decode_guids(found.texts(name))) for name in ("anchors", "volumes", "snapshots"))
    return Greeting(read_register(found), position, found.number("is_proven") == 1, *lists)
