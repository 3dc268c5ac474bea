"""The items in the body of SHIP: changes of the volumes of a group, in the order of the primary's log.

A volume is named by its index in the list of the group. An item has a head, and data or a JSON object after it.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_BODY_BYTES
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MAX_ITEM_BLOCKS
from odx_target.store.api import BLOCK_BYTES

_BODY = struct.Struct("<QQ")
_HEAD = struct.Struct("<BHQQQ")
BODY_HEAD_BYTES, ITEM_HEAD_BYTES = _BODY.size, _HEAD.size
"""Sizes of a body before its items, and of an item before its data."""


class ItemKind(IntEnum):
    """The kinds of items; `MEANINGS` describes them."""

    WRITE = 1
    UNMAP = 2
    RESIZE = 3
    FREEZE = 4
    RELEASE = 5
    CLONE = 6
    DOCUMENT = 7
    VALUE = 8
    TOKEN = 9


MEANINGS: dict[ItemKind, str] = {
    ItemKind.WRITE: "write the `count` blocks that follow, from `block` on",
    ItemKind.UNMAP: "unmap `count` blocks from `block` on",
    ItemKind.RESIZE: "give the volume a size of `count` blocks",
    ItemKind.FREEZE: "freeze the volume; `argument` is the number of the frozen map at the primary",
    ItemKind.RELEASE: "release the frozen map `argument`",
    ItemKind.CLONE: "copy `count` blocks to `block` from the frozen map `argument`; the first block in it follows as u64",
    ItemKind.DOCUMENT: "do what the JSON object says that follows with `count` bytes",
    ItemKind.VALUE: "keep the value with the number `argument` that follows with `count` bytes; 0 bytes: there is none",
    ItemKind.TOKEN: "keep the persistent token whose name and record follow with `count` bytes; `block` is 1 if it is new, "
    "and has the present content of the volume; without a record, the token has ended",
}
"""The change that the other member makes for an item, for the documentation."""

FORMATS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "SHIP": (
        ("u64", "previous", "OSN of the last change in the frames before"),
        ("u64", "reach", "OSN of the newest change whose effect may be in the items"),
        ("the rest", "items", "any number of items"),
    ),
    "item": (
        ("u8", "kind", "kind of the item"),
        ("u16", "volume", "index of the volume in the group"),
        ("u64", "block", "depends on the kind"),
        ("u64", "count", "depends on the kind"),
        ("u64", "argument", "depends on the kind"),
        ("the rest", "data", "depends on the kind"),
    ),
}
"""The parts of a body and of an item, as (type, name, meaning), for the documentation."""


class Item(NamedTuple):
    """One item. `data` is what follows its head."""

    kind: ItemKind
    volume: int
    block: int = 0
    count_blocks: int = 0
    argument: int = 0
    data: Buffer = b""

    @property
    def size_bytes(self) -> int:
        """Size of the item in a body."""
        return _HEAD.size + len(self.data)


class Shipment(NamedTuple):
    """The body of SHIP. All changes before the one with the OSN `previous_osn + 1` were shipped before.

    `reach_osn` is the OSN of the newest change whose effect may be in the items. It is that of the last change of the frame, or
    a later one if the data of the items was read from the volume and not from the log.
    """

    previous_osn: int
    reach_osn: int
    items: tuple[Item, ...]


MAX_ITEMS_BYTES = MAX_BODY_BYTES - _BODY.size
"""Maximum size of all items of one SHIP."""


def encode_shipment(previous_osn: int, reach_osn: int, items: Iterable[Item]) -> bytes:
    """Encode a body. The caller must keep `MAX_ITEMS_BYTES`."""
    parts: list[Buffer] = [_BODY.pack(previous_osn, reach_osn)]
    for kind, volume, block, count, argument, data in items:
        parts.append(_HEAD.pack(kind, volume, block, count, argument))
        parts.append(data)
    return b"".join(parts)


def put_body_head(body: bytearray, previous_osn: int, reach_osn: int) -> None:
    """Fill in the first BODY_HEAD_BYTES bytes of a body."""
    _BODY.pack_into(body, 0, previous_osn, reach_osn)


def item_head(kind: ItemKind, volume: int, block: int, count_blocks: int) -> bytes:
    """Encode an item without its data and argument."""
    return _HEAD.pack(kind, volume, block, count_blocks, 0)


def decode_shipment(body: Buffer, count_volumes: int = MAX_GROUP_VOLUMES) -> Shipment:
    """Decode a body. The receiver checks the volumes again, because an item may change their number. Raises PeerFault."""
    view = memoryview(body)
    if len(view) < _BODY.size:
        raise PeerFault("a SHIP is cut off")
    previous_osn, reach_osn = _BODY.unpack_from(view)
    return Shipment(previous_osn, reach_osn, tuple(_items(view, _BODY.size, count_volumes)))


def _items(view: memoryview, at: int, count_volumes: int) -> Iterator[Item]:
    while at < len(view):
        if len(view) - at < _HEAD.size:
            raise PeerFault("an item of a SHIP is cut off")
        number, volume, block, count, argument = _HEAD.unpack_from(view, at)
        at += _HEAD.size
        try:
            kind = ItemKind(number)
        except ValueError:
            raise PeerFault(f"an item of a SHIP has the kind {number}, which is unknown") from None
        if volume >= count_volumes:
            raise PeerFault(f"an item of a SHIP is about volume {volume}, and a group has at most {count_volumes}")
        if kind is ItemKind.WRITE and not 0 < count <= MAX_ITEM_BLOCKS:
            raise PeerFault(f"an item of a SHIP writes {count} blocks")
        end = at + _data_bytes(kind, count)
        if end > len(view):
            raise PeerFault("the data of an item of a SHIP is cut off")
        yield Item(kind, volume, block, count, argument, view[at:end])
        at = end


def _data_bytes(kind: ItemKind, count: int) -> int:
    if kind is ItemKind.WRITE:
        return count * BLOCK_BYTES
    if kind in (ItemKind.DOCUMENT, ItemKind.VALUE, ItemKind.TOKEN):
        return count
    return SOURCE.size if kind is ItemKind.CLONE else 0


SOURCE = struct.Struct("<Q")
"""The data of an item of the kind CLONE: the first block in the frozen map."""
