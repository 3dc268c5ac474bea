"""The sizes that a repair does not know, because the row of a volume in the catalogue, or the record of its creation, is lost.

A volume of unknown size gets the blocks up to the last block that a later record names. A snapshot of such a volume, and a
clone of such a snapshot, have no known size either. A record that sets the size of a volume makes the size known again.
"""

from dataclasses import dataclass, field

from odx_target.store.log.records import Freeze, Record, VolumeCreated, VolumeResized
from odx_target.store.log.snapshot_records import SnapshotCreated, VolumeCloned, VolumeRestored
from odx_target.store.record_effects import Contents


@dataclass(slots=True)
class UnknownSizes:
    """The numbers of the volumes, and of the frozen maps, whose size is unknown."""

    volumes: set[int] = field(default_factory=set)
    frozen_maps: set[int] = field(default_factory=set)

    def follow(self, record: Record) -> None:
        """Note the effect of a record that was applied."""
        if isinstance(record, VolumeCreated | VolumeResized):
            self.volumes.discard(record.volume)
        elif isinstance(record, VolumeCloned):
            is_unknown = record.frozen in self.frozen_maps if record.frozen else record.source in self.volumes
            _note(self.volumes, record.volume, is_unknown)
        elif isinstance(record, VolumeRestored):
            _note(self.volumes, record.volume, record.frozen in self.frozen_maps)
        elif isinstance(record, Freeze | SnapshotCreated):
            _note(self.frozen_maps, record.frozen, record.volume in self.volumes)

    def named(self, contents: Contents) -> dict[str, int]:
        """Return the names of the volumes and snapshots, with the sizes that they get, in blocks. The name of a snapshot is
        `VOLUME@SNAPSHOT`.
        """
        volumes = [contents.volumes[number] for number in sorted(self.volumes & contents.volumes.keys())]
        snapshots = [each for each in contents.snapshots.values() if each.frozen in self.frozen_maps]
        return {
            **{volume.name: volume.map.size_blocks for volume in volumes},
            **{f"{each.volume_name}@{each.name}": contents.frozen_maps[each.frozen].root.size_blocks for each in snapshots},
        }


def _note(unknown: set[int], number: int, is_unknown: bool) -> None:
    if is_unknown:
        unknown.add(number)
    else:
        unknown.discard(number)
