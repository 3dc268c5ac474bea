"""Changes of the list of volumes that the primary ships, at the other member. The primary can name no volumes of others."""

from collections.abc import Mapping, Sequence

from odx_target.replica.link.errors import PeerFault
from odx_target.replica.sync.group_records import GroupRecords
from odx_target.replica.sync.group_volumes import GroupVolumes, volume_with
from odx_target.store.api import NameTaken, Pool, Volume


class ShippedVolumes:
    """Makes the volumes that come to the group, and deletes those that leave it. The caller may repeat each call."""

    def __init__(self, pool: Pool, records: GroupRecords, volumes: GroupVolumes) -> None:
        self._pool = pool
        self._records = records
        self._volumes = volumes

    def add(self, identity: bytes, name: str, size_blocks: int, attributes: Mapping[str, str]) -> None:
        """Make a volume that comes to the group, empty at first, unless it was prepared, or has left the group only here.

        Raises NameTaken if the array has a volume with this name or identity that does not belong to the group. May raise the
        exceptions of `Volume.write`.
        """
        if volume_with(self._pool, identity) is None:
            self._records.keep_prepared(self._records.prepared | {identity})
            own = self._volumes.attributes_here(attributes)
            self._pool.create_volume(name, size_blocks, own, identity=identity)
        elif identity not in self._known():
            raise NameTaken(f"the array has the volume {name!r} already, and not in the group")

    def change(self, identities: Sequence[bytes]) -> Sequence[Volume]:
        """Give the group other volumes, as the primary has them, and return them. Those that have left it are deleted here: the
        primary decides what happens to its own. Raises PeerFault. May raise the exceptions of `Volume.write`.
        """
        if not self._known().issuperset(identities) or len(set(identities)) < len(identities):
            raise PeerFault("the list of the volumes of a group names others, or one of them twice")
        self._volumes.change(identities, deletes=True)
        self._records.keep_prepared(frozenset())
        departure = self._records.departure
        if departure is not None and departure.identity in identities:
            self._records.keep_departure(None)
        return self._volumes.present()

    def note_size(self, volume: Volume) -> None:
        """Note that the primary has changed the size of a volume, or of its LUN."""
        self._volumes.resized(volume)

    def _known(self) -> set[bytes]:
        """Return the identities of the volumes that are in the group, are prepared for it, or have left it only here."""
        departure = self._records.departure
        left = () if departure is None else (departure.identity,)
        return {*self._volumes.identities, *self._records.prepared, *left}
