"""Volumes and snapshots as plain data, for responses."""

from collections.abc import Iterable

from odx_target.scsi.unit.logical_unit import naa_designator
from odx_target.store.api import BLOCK_BYTES, Pool, Snapshot, Volume, compression_of, tier_of
from odx_target.target.control.describe import rows_in_turns
from odx_target.target.control.storage import answers
from odx_target.target.logical_units import LUN_ATTRIBUTE, READ_ONLY_ATTRIBUTE, YES, block_bytes_of
from odx_target.target.lun_size import SIZE_ATTRIBUTE, size_bytes_of
from odx_target.turns import Turns


def describe_volume(volume: Volume, pool: Pool) -> answers.Volume:
    """Describe a volume. `lun` is None in the result if hosts cannot use the volume."""
    lun = volume.attributes.get(LUN_ATTRIBUTE)
    return {
        "name": volume.name,
        "size_bytes": size_bytes_of(volume, pool),
        "block_bytes": block_bytes_of(volume.attributes),
        "lun": None if lun is None else int(lun),
        "read_only": volume.attributes.get(READ_ONLY_ATTRIBUTE) == YES,
        "compression": compression_of(volume.attributes),
        "tier": str(tier_of(volume.attributes)),
        "serial": pool.public_identity(volume).hex(),
        "naa": naa_designator(pool.public_identity(volume)).hex(),
        "snapshots": len(volume.snapshots),
    }


def describe_snapshot(snapshot: Snapshot, volume_names: dict[bytes, str]) -> answers.Snapshot:
    """Describe a snapshot. `volume_names` maps the identity of each volume to its present name."""
    present = volume_names.get(snapshot.volume_identity)
    return {
        "volume": snapshot.volume_name if present is None else present,
        "name": snapshot.name,
        "guid": snapshot.guid.hex(),
        "created_s": snapshot.created_s,
        "size_bytes": snapshot_bytes(snapshot),
        "block_bytes": block_bytes_of(snapshot.attributes),
        "volume_is_deleted": present is None,
        "group": snapshot.group.hex() if any(snapshot.group) else None,
        "holds": list(snapshot.holds),
        "attributes": dict(snapshot.attributes),
    }


async def describe_snapshots(snapshots: Iterable[Snapshot], pool: Pool, turns: Turns) -> list[answers.Snapshot]:
    """Describe snapshots. After each snapshot, other tasks can run."""
    names = volume_names(pool)
    return await rows_in_turns(turns, snapshots, lambda each: describe_snapshot(each, names))


def snapshot_bytes(snapshot: Snapshot) -> int:
    """Return the size of the LUN at the time of the snapshot, in bytes."""
    return int(snapshot.attributes.get(SIZE_ATTRIBUTE, str(snapshot.size_blocks * BLOCK_BYTES)))


def volume_names(pool: Pool) -> dict[bytes, str]:
    """Return a dictionary from the identity of each volume to the volume's name."""
    return {volume.identity: volume.name for volume in pool.volumes.values()}
