"""The volumes of a pool that is stored in a log."""

from collections.abc import Mapping
from functools import partial

from odx_target.store.api import Snapshot
from odx_target.store.errors import Absent, NameTaken, StoreError
from odx_target.store.ledger import Ledger
from odx_target.store.log.records import Freeze, Release, VolumeResized
from odx_target.store.log.snapshot_records import VolumeChanged, VolumeRestored
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.record_effects import VolumeContents
from odx_target.store.volumes.changeable_blocks import ChangeableBlocks
from odx_target.store.volumes.checks import check_attributes, check_name, check_volume_size
from odx_target.store.volumes.compression import compressor_of
from odx_target.store.volumes.compression_attribute import check_compression
from odx_target.store.volumes.snapshot import NO_GROUP, LogSnapshot, SnapshotsOfVolume, take_snapshots
from odx_target.store.volumes.sources import STEPS_OF_A_CHANGE, LogFrozenMap
from odx_target.store.volumes.tier_attribute import check_tier, tier_of

LINEAGE_BYTES = 16


class LogVolume(ChangeableBlocks):
    """A volume of a pool that is stored in a log. `Volume` in `store.api` describes its methods."""

    def __init__(self, ledger: Ledger, contents: VolumeContents) -> None:
        super().__init__(ledger, contents)
        self._contents = contents

    @property
    def name(self) -> str:
        return self._contents.name

    @property
    def number(self) -> int:
        return self._number

    @property
    def identity(self) -> bytes:
        return self._contents.identity

    @property
    def attributes(self) -> Mapping[str, str]:
        return self._contents.attributes

    @property
    def lineage(self) -> bytes:
        return self._contents.lineage

    @property
    def contents(self) -> VolumeContents:
        return self._contents

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        return SnapshotsOfVolume(self._ledger, self.identity)

    def freeze(self, *, durable: bool = False) -> LogFrozenMap:
        """Freeze the present content of the volume; see `Volume.freeze` in `store.api`.

        Raises PoolFailed if `durable` is True and the pool has failed. Raises Absent if the volume was deleted.
        """
        self._check_present()
        self._turns.take(STEPS_OF_A_CHANGE)
        ledger = self._ledger
        record = Freeze(ledger.contents.next_frozen, self._number, durable)
        if durable:
            ledger.health.check()
        ledger.record_or_defer(record, matters=durable)
        frozen = LogFrozenMap(ledger, ledger.contents.frozen_maps[record.frozen], self.name)
        ledger.frozen_maps[record.frozen] = frozen
        return frozen

    def snapshot(self, name: str, attributes: Mapping[str, str] | None = None) -> LogSnapshot:
        self._check_present()
        (snapshot,) = take_snapshots(self._ledger, [(self._contents, attributes or {})], name, NO_GROUP)
        return snapshot

    def restore(self, snapshot: object) -> None:
        """Replace the content and the size by those of a snapshot; see `Volume.restore` in `store.api`."""
        self._check_present()
        ledger = self._ledger
        if not isinstance(snapshot, LogSnapshot) or not snapshot.belongs_to(ledger):
            raise Absent("the snapshot was deleted, or belongs to another pool")
        self._turns.take(STEPS_OF_A_CHANGE)
        record = VolumeRestored(self._number, snapshot.identifier, ledger.environment.entropy(LINEAGE_BYTES))
        ledger.record(record, spare=True, announce=partial(self.announce, 0, self.size_blocks))
        ledger.note_sharing()

    def change_lineage(self, lineage: bytes) -> None:
        self._check_present()
        if lineage == self.lineage:
            return
        if len(lineage) != LINEAGE_BYTES:
            raise StoreError(f"a lineage has {LINEAGE_BYTES} bytes")
        ledger, number = self._ledger, self._number
        frozen = ledger.contents.next_frozen
        self._turns.take(STEPS_OF_A_CHANGE)
        # Only a restore changes the lineage. This one restores the present content.
        records = Freeze(frozen, number, durable=False), VolumeRestored(number, frozen, lineage), Release(frozen)
        ledger.record_all(records)

    def rename(self, name: str) -> None:
        self._check_present()
        former = self.name
        if name == former:
            return
        check_name("the name of a volume", name)
        volumes = self._ledger.volumes
        if name in volumes:
            raise NameTaken(f"there is a volume {name!r} already")
        self._ledger.record(VolumeChanged(self._number, name, self.attributes))
        del volumes[former]
        volumes[name] = self
        self._place = name, None

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        self._check_present()
        check_attributes("the attributes of a volume", attributes)
        check_compression(attributes)
        check_tier(attributes, has_capacity=self._ledger.supply.capacity.is_present)
        former = self.attributes
        self._ledger.record(VolumeChanged(self._number, self.name, dict(attributes)))
        self._compressor = compressor_of(attributes)
        if tier_of(former) is not tier_of(attributes):
            self._ledger.note_tier()

    def resize(self, size_blocks: int) -> None:
        """Change the size; see `Volume.resize` in `store.api`. Raises StoreError, PoolFull, PoolBusy, PoolFailed."""
        self._check_present()
        check_volume_size(size_blocks)
        cut_blocks = self.size_blocks - size_blocks
        if cut_blocks > 0:
            self._require_ends(size_blocks, cut_blocks)
        announce = partial(self.announce, size_blocks, cut_blocks) if cut_blocks > 0 else None
        self._ledger.record(VolumeResized(self._number, size_blocks), spare=cut_blocks > 0, announce=announce)

    def detach(self) -> None:
        """Replace the map by an empty map. Called after the volume was deleted."""
        self._map = self._live_map = BlockMap(0)
        self.native_reads = None

    def _check_present(self) -> None:
        if self._map.size_blocks == 0:
            raise Absent(f"the volume {self.name!r} was deleted")
