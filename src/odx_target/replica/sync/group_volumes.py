"""The volumes of a group at one member: which they are, and changes of the list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE, member_attribute
from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.group_records import GroupRecords, GroupSettings
from odx_target.store.api import Absent, Pool, StoreError, Volume


class GroupVolumes:
    """The list of the volumes in `settings`. Both members have it in the same order, with the same identities."""

    def __init__(self, pool: Pool, records: GroupRecords, anchors: Anchors, settings: GroupSettings) -> None:
        self.settings = settings
        self.on_change: list[Callable[[], None]] = []
        """Functions that are called after the list has changed. They must not use the pool."""
        self.on_resize: list[Callable[[Volume], None]] = []
        """Functions that are called after the primary has changed the size of a volume or of its LUN. They must not change the
        pool."""
        self.on_delete: list[Callable[[Volume], None]] = []
        """Functions that are called after a volume that has left the group was deleted. They must not use the pool."""
        self._pool = pool
        self._records = records
        self._anchors = anchors

    @property
    def identities(self) -> tuple[bytes, ...]:
        """The identities of the volumes, in the order of the group."""
        return self.settings.volumes

    def present(self) -> list[Volume]:
        """Return the volumes in the order of the group. Raises StoreError if one of them was deleted."""
        found = self.remaining()
        if len(found) < len(self.identities):
            left = {volume.identity for volume in found}
            missing = next(each.hex() for each in self.identities if each not in left)
            raise StoreError(f"the volume {missing} of the group {self.settings.name} was deleted")
        return found

    def remaining(self) -> list[Volume]:
        """Return those volumes that were not deleted, in the order of the group."""
        by_identity = {volume.identity: volume for volume in self._pool.volumes.values()}
        return [by_identity[each] for each in self.identities if each in by_identity]

    def change(self, identities: Sequence[bytes], *, deletes: bool) -> None:
        """Change the list. If `deletes` is True, the volumes that are no longer in it are deleted, and those of their snapshots
        that nobody holds.

        If a volume has left, all anchors end, because they have the maps of the former list. The caller may repeat the call
        after any exception. Raises Absent if a new volume does not exist. Raises the exceptions of `Volume.write`.
        """
        left = [each for each in self.identities if each not in identities]
        settings = replace(self.settings, volumes=tuple(identities))
        if any(volume_with(self._pool, each) is None for each in identities):
            raise Absent(f"a volume of the group {settings.name} does not exist here")
        self._records.keep_settings(settings)
        if left:
            self._anchors.keep_only([])
        for each in left if deletes else ():
            volume = volume_with(self._pool, each)
            if volume is not None:
                self._delete_with_snapshots(volume)
        self.settings = settings
        self.changed()

    def change_witness(self, witness_pool: bytes) -> None:
        """Use another witness. The caller commits the pool. May raise the exceptions of `Volume.write`."""
        settings = replace(self.settings, witness_pool=witness_pool)
        self._records.keep_settings(settings)
        self.settings = settings

    def attributes_here(self, attributes: Mapping[str, str]) -> dict[str, str]:
        """Return the attributes of a volume that this array makes for the group, from those that the primary gives it."""
        own = {name: value for name, value in attributes.items() if name != GROUP_ATTRIBUTE}
        return own | member_attribute(self.settings.name, self.settings.peer_pool)

    def changed(self) -> None:
        """Note that the list has changed, or that a volume has left it for good."""
        for function in self.on_change:
            function()

    def resized(self, volume: Volume) -> None:
        """Note that the primary has changed the size of a volume, or of its LUN."""
        for function in self.on_resize:
            function(volume)

    def release(self, volume: Volume) -> None:
        """Make a volume that has left the group one of this array alone. May raise the exceptions of `Volume.write`."""
        if GROUP_ATTRIBUTE in volume.attributes:
            volume.change_attributes({name: value for name, value in volume.attributes.items() if name != GROUP_ATTRIBUTE})

    def delete(self, volume: Volume) -> None:
        """Delete a volume that has left the group. May raise the exceptions of `Volume.write`."""
        self._pool.delete_volume(volume.name)
        for function in self.on_delete:
            function(volume)

    def _delete_with_snapshots(self, volume: Volume) -> None:
        for snapshot in list(volume.snapshots.values()):
            if not snapshot.holds and KEPT_ATTRIBUTE not in snapshot.attributes:
                snapshot.delete()
        self.delete(volume)


def volume_with(pool: Pool, identity: bytes) -> Volume | None:
    """Return the volume with an identity."""
    return next((volume for volume in pool.volumes.values() if volume.identity == identity), None)
