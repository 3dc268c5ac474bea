"""The records of named snapshots, of clones, and of changed names. `records` describes the encoding of all records."""

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from odx_target.store.log.record_fields import (
    decode_attributes,
    decode_texts,
    encode_attributes,
    encode_texts,
    join_parts,
    split_parts,
)


class SnapshotCreated(NamedTuple):
    """A named snapshot of the volume `volume` was taken. `frozen` is the number of the frozen map of the snapshot. `created_us`
    is the wall clock time of the snapshot, in microseconds since 1970.
    """

    guid: bytes
    frozen: int
    volume: int
    created_us: int
    group: bytes
    name: str
    attributes: Mapping[str, str]


class SnapshotChanged(NamedTuple):
    """The new name, attributes and holds of a snapshot."""

    guid: bytes
    name: str
    attributes: Mapping[str, str]
    holds: tuple[str, ...]


class SnapshotDeleted(NamedTuple):
    guid: bytes


class VolumeCloned(NamedTuple):
    """A new volume with the data of the frozen map `frozen`.

    If `frozen` is 0, the data is that of the volume `source`.
    """

    volume: int
    frozen: int
    source: int
    identity: bytes
    lineage: bytes
    name: str
    attributes: Mapping[str, str]


class VolumeRestored(NamedTuple):
    volume: int
    frozen: int
    lineage: bytes


class VolumeChanged(NamedTuple):
    """The new name and attributes of a volume."""

    volume: int
    name: str
    attributes: Mapping[str, str]


SnapshotRecord: TypeAlias = SnapshotCreated | SnapshotChanged | SnapshotDeleted | VolumeCloned | VolumeRestored | VolumeChanged

FIXED: dict[int, tuple[type, str]] = {
    13: (SnapshotDeleted, "16s"),
    15: (VolumeRestored, "IQ16s"),
}
"""The records that have only fields of fixed length: kind -> class and format of the fields."""

_CREATED = struct.Struct("<16sQIQ16s")
_CHANGED = struct.Struct("<16s")
_CLONED = struct.Struct("<IQI16s16s")
_VOLUME_CHANGED = struct.Struct("<I")


def encode_body(record: SnapshotCreated | SnapshotChanged | VolumeCloned | VolumeChanged) -> tuple[int, bytes]:
    """Return the kind of a record with variable parts, and its encoded fields."""
    name_and_attributes = join_parts([record.name.encode(), encode_attributes(record.attributes)])
    match record:
        case SnapshotCreated():
            return 11, _CREATED.pack(*record[:5]) + name_and_attributes
        case SnapshotChanged():
            return 12, _CHANGED.pack(record.guid) + name_and_attributes + join_parts([encode_texts(record.holds)])
        case VolumeCloned():
            return 14, _CLONED.pack(*record[:5]) + name_and_attributes
        case VolumeChanged():
            return 16, _VOLUME_CHANGED.pack(record.volume) + name_and_attributes


def _decode_created(body: memoryview) -> tuple[SnapshotRecord, int]:
    (name, attributes), end = split_parts(body, _CREATED.size, 2)
    return SnapshotCreated._make((*_CREATED.unpack_from(body), name.decode(), decode_attributes(attributes))), end


def _decode_changed(body: memoryview) -> tuple[SnapshotRecord, int]:
    (name, attributes, holds), end = split_parts(body, _CHANGED.size, 3)
    (guid,) = _CHANGED.unpack_from(body)
    return SnapshotChanged(guid, name.decode(), decode_attributes(attributes), tuple(decode_texts(holds))), end


def _decode_cloned(body: memoryview) -> tuple[SnapshotRecord, int]:
    (name, attributes), end = split_parts(body, _CLONED.size, 2)
    return VolumeCloned._make((*_CLONED.unpack_from(body), name.decode(), decode_attributes(attributes))), end


def _decode_volume_changed(body: memoryview) -> tuple[SnapshotRecord, int]:
    (name, attributes), end = split_parts(body, _VOLUME_CHANGED.size, 2)
    return VolumeChanged._make((*_VOLUME_CHANGED.unpack_from(body), name.decode(), decode_attributes(attributes))), end


DECODE_BODY: dict[int, Callable[[memoryview], tuple[SnapshotRecord, int]]] = {
    11: _decode_created,
    12: _decode_changed,
    14: _decode_cloned,
    16: _decode_volume_changed,
}
"""The records that have parts of variable length: kind -> decoder. A decoder returns the record, and the number of bytes that
it has read."""
