"""The departure of a volume from a group: it stays unavailable until no failover can bring it back."""

from odx_target.replica.sync.group_records import Departure, GroupRecords
from odx_target.replica.sync.group_volumes import GroupVolumes, volume_with
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.replica.sync.stream.outgoing_stream import OutgoingStream
from odx_target.store.api import Pool


class Departures:
    """The departures of volumes from one group, one at a time."""

    def __init__(
        self, pool: Pool, records: GroupRecords, volumes: GroupVolumes, driver: MemberDriver, outgoing: OutgoingStream
    ) -> None:
        self._pool = pool
        self._records = records
        self._volumes = volumes
        self._driver = driver
        self._outgoing = outgoing
        self._end_osn: int | None = None
        """All records of the last departure have a lower OSN. None if they may not be committed yet."""

    def begin(self, departure: Departure) -> None:
        """Take a volume out of the list, until `finish` forgets or deletes it. The caller commits the pool.

        Raises the exceptions of `Volume.write`.
        """
        self._end_osn = None
        self._records.keep_departure(departure)
        self._volumes.change([each for each in self._volumes.identities if each != departure.identity], deletes=False)

    def finish(self) -> None:
        """Forget that a volume has left the group, or delete it, as soon as no failover can bring it back.

        Raises the exceptions of `Volume.write`.
        """
        departure = self._records.departure
        if departure is None:
            return
        if departure.identity not in self._volumes.identities:
            if not self._is_final():
                return
            volume = volume_with(self._pool, departure.identity)
            if volume is not None:
                (self._volumes.delete if departure.deletes else self._volumes.release)(volume)
        self._records.keep_departure(None)
        self._volumes.changed()

    def _is_final(self) -> bool:
        """True if no failover can bring the volume back: the other member has the records or is not needed, or this member is a
        secondary in sync, which has the list of the primary.
        """
        if self._end_osn is None and not self._pool.has_uncommitted:
            self._end_osn = self._pool.committed_osn
        if self._end_osn is None:  # An open batch may have the records, and the other member gets only committed ones.
            return False
        member = self._driver.member
        is_known = not self._outgoing.needs_peer or self._outgoing.peer_osn >= self._end_osn - 1
        return (self._driver.serves and is_known) or (member.is_in_sync and member.is_proven and not member.is_primary)
