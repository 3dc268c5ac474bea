"""Names of received volumes and snapshots, which must not collide with those that the array has already."""

from odx_target.store.api import Pool, Volume

MAX_NAME_BYTES = 255
"""Maximum length of the name of a volume or snapshot in UTF-8."""


def free_volume_name(pool: Pool, name: str, identity: bytes) -> str:
    """Return a name for a new volume. Another volume may have the name already, for instance that of a deleted volume.

    `identity` makes the name unique.
    """
    name = _shortened(name, MAX_NAME_BYTES)
    return name if name not in pool.volumes else _made_unique(name, identity)


def free_snapshot_name(volume: Volume, name: str, guid: bytes) -> str:
    """Return a name for a new snapshot of a volume, which may have a snapshot of this name already."""
    return name if name not in volume.snapshots else _made_unique(name, guid)


def _made_unique(name: str, identity: bytes) -> str:
    """Return a name that nothing else has, with an identity at its end."""
    suffix = f"~{identity.hex()}"
    return _shortened(name, MAX_NAME_BYTES - len(suffix)) + suffix


def _shortened(name: str, size_bytes: int) -> str:
    """Return the beginning of a name that fits into a size in UTF-8."""
    return name.encode()[:size_bytes].decode(errors="ignore")
