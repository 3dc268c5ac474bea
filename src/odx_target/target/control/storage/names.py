"""Functions that find volumes and snapshots by the names in a request.

A name is VOLUME, VOLUME@SNAPSHOT, or the hexadecimal guid of a snapshot.
"""

from typing import NamedTuple

from odx_target.replica.snapshots.protection import COPY_ATTRIBUTE
from odx_target.store.api import Absent, Pool, Snapshot, StoreError, Volume
from odx_target.target.config.error import ConfigError

SEPARATOR = "@"
GUID_DIGITS = 32


class SnapshotName(NamedTuple):
    """The two parts of VOLUME@SNAPSHOT."""

    volume: str
    snapshot: str


def parse_snapshot_name(value: object) -> SnapshotName:
    """Return the two parts of VOLUME@SNAPSHOT. Raises ConfigError."""
    volume, separator, snapshot = value.partition(SEPARATOR) if isinstance(value, str) else ("", "", "")
    if not (volume and separator and snapshot):
        raise ConfigError(f"snapshot {value!r}: want VOLUME{SEPARATOR}NAME")
    if not snapshot.isprintable():
        raise ConfigError(f"snapshot {value!r}: want printable characters")
    return SnapshotName(volume, snapshot)


def parse_new_name(value: object) -> str:
    """Check a new name for a snapshot. The name is the part after @ in VOLUME@SNAPSHOT. Raises ConfigError."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError(f"name {value!r}: want printable characters")
    return value


def find_volume(pool: Pool, name: str) -> Volume:
    """Return the volume with this name. Raises Absent."""
    volume = pool.volumes.get(name)
    if volume is None:
        raise Absent(f"there is no volume {name!r}")
    return volume


def find_own_volume(pool: Pool, name: str) -> Volume:
    """Return the volume with this name, which must not be a copy that another array sends. Raises Absent and ConfigError."""
    volume = find_volume(pool, name)
    if COPY_ATTRIBUTE in volume.attributes:
        raise ConfigError(f"volume {name} is a copy that another array sends: clone or promote it (`odx-target promote`)")
    return volume


def find_snapshot(pool: Pool, text: str) -> Snapshot:
    """Return the snapshot with the name VOLUME@SNAPSHOT, or with this guid.

    If the volume has been deleted, VOLUME is the last name of the volume. Raises Absent and ConfigError. Raises StoreError if
    snapshots of several deleted volumes have this name.
    """
    if SEPARATOR not in text:
        return _by_guid(pool, text)
    name = parse_snapshot_name(text)
    volume = pool.volumes.get(name.volume)
    if volume is not None and name.snapshot in volume.snapshots:
        return volume.snapshots[name.snapshot]
    present = {each.identity for each in pool.volumes.values()}
    orphans = [
        each
        for each in pool.snapshots.values()
        if (each.volume_name, each.name) == name and each.volume_identity not in present
    ]
    if len(orphans) > 1:
        raise StoreError(
            f"{len(orphans)} deleted volumes {name.volume!r} had a snapshot {name.snapshot!r}: name it by its guid"
        )
    if not orphans:
        if volume is not None:
            raise Absent(f"volume {name.volume!r} has no snapshot {name.snapshot!r}")
        raise Absent(f"there is no volume {name.volume!r}, and no snapshot {name.snapshot!r} of a deleted one")
    return orphans[0]


def find_source(pool: Pool, text: str) -> Snapshot | Volume:
    """Return the snapshot or the volume that a text names. A text without @ is the name of a volume, or the guid of a snapshot.

    Raises the same errors as `find_snapshot`.
    """
    if SEPARATOR not in text and (text in pool.volumes or len(text) != GUID_DIGITS):
        return find_volume(pool, text)
    return find_snapshot(pool, text)


def _by_guid(pool: Pool, text: str) -> Snapshot:
    try:
        guid = bytes.fromhex(text) if len(text) == GUID_DIGITS else b""
    except ValueError:
        guid = b""
    if not guid:
        raise ConfigError(f"snapshot {text!r}: want VOLUME{SEPARATOR}NAME or a guid of {GUID_DIGITS} hexadecimal digits")
    snapshot = pool.snapshots.get(guid)
    if snapshot is None:
        raise Absent(f"there is no snapshot with the guid {text}")
    return snapshot
