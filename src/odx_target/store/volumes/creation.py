"""Creation of volumes. A new volume is either empty or a clone."""

from collections.abc import Mapping
from typing import TypeAlias

from odx_target.store.errors import NameTaken, WrongSize
from odx_target.store.ledger import Ledger
from odx_target.store.log.records import VolumeCreated
from odx_target.store.log.snapshot_records import VolumeCloned
from odx_target.store.volumes.checks import check_attributes, check_name, check_volume_size
from odx_target.store.volumes.compression_attribute import check_compression
from odx_target.store.volumes.snapshot import LogSnapshot
from odx_target.store.volumes.sources import STEPS_OF_A_CHANGE, Frozen, LogFrozenMap, map_of
from odx_target.store.volumes.tier_attribute import check_tier
from odx_target.store.volumes.volume import LogVolume

VOLUME_IDENTITY_BYTES = 16

Origin: TypeAlias = object
"""Origin of a clone: a snapshot, a frozen map or a volume. An object of another type is refused."""


def create_volume(
    ledger: Ledger,
    name: str,
    size_blocks: int,
    attributes: Mapping[str, str],
    origin: Origin | None,
    identity: bytes | None = None,
) -> LogVolume:
    """Create a volume; see `Pool.create_volume` in `store.api`."""
    check_volume_size(size_blocks)
    check_new_volume_name(ledger, name)
    check_attributes("the attributes of a volume", attributes)
    check_compression(attributes)
    check_tier(attributes, has_capacity=ledger.supply.capacity.is_present)
    contents = ledger.contents
    if identity is None:
        identity = ledger.environment.entropy(VOLUME_IDENTITY_BYTES)
    else:
        _check_identity(ledger, identity)
    ledger.turns.take(STEPS_OF_A_CHANGE)
    number = contents.next_volume
    if origin is None:
        ledger.record(VolumeCreated(number, size_blocks, identity, name, dict(attributes)))
    else:
        frozen, source, lineage = _origin(ledger, origin, size_blocks)
        ledger.record(VolumeCloned(number, frozen, source, identity, lineage or identity, name, dict(attributes)))
        ledger.note_sharing()
    volume = LogVolume(ledger, contents.volumes[number])
    ledger.volumes[name] = volume
    return volume


def make_recovered(ledger: Ledger) -> None:
    """Make the Python objects of all volumes, snapshots and frozen maps that recovery found in the pool."""
    contents = ledger.contents
    ledger.volumes.update((each.name, LogVolume(ledger, each)) for each in contents.volumes.values())
    ledger.snapshots.update((each.guid, LogSnapshot(ledger, each)) for each in contents.snapshots.values())
    named = {each.frozen for each in contents.snapshots.values()}
    for each in contents.frozen_maps.values():
        if each.identifier not in named:
            ledger.frozen_maps[each.identifier] = LogFrozenMap(ledger, each)


def check_new_volume_name(ledger: Ledger, name: str) -> None:
    """Raise StoreError if no new volume can have this name."""
    if name in ledger.volumes:
        raise NameTaken(f"there is a volume {name!r} already")
    check_name("the name of a volume", name)


def _check_identity(ledger: Ledger, identity: bytes) -> None:
    """Raise NameTaken if a volume has an identity that was chosen for a new volume."""
    if len(identity) != VOLUME_IDENTITY_BYTES:
        raise ValueError(f"the identity of a volume has {VOLUME_IDENTITY_BYTES} bytes, not {len(identity)}")
    taken = next((each.name for each in ledger.volumes.values() if each.identity == identity), None)
    if taken is not None:
        raise NameTaken(f"the volume {taken!r} has the identity of the new one already")


def _origin(ledger: Ledger, origin: Origin, size_blocks: int) -> tuple[int, int, bytes]:
    """Return the fields (frozen map, source volume, lineage) of the log record of a clone. A field that the origin does not
    have is 0 or empty.
    """
    origin_blocks = map_of(ledger, origin).size_blocks
    if origin_blocks != size_blocks:
        raise WrongSize(f"a clone has the size of its origin, {origin_blocks} blocks, not {size_blocks}")
    if isinstance(origin, Frozen):
        return origin.identifier, 0, origin.lineage if isinstance(origin, LogSnapshot) else b""
    assert isinstance(origin, LogVolume)
    return 0, origin.number, origin.lineage
