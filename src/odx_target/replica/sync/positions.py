"""Positions of a stream, and how far the streams of two members reach.

A position is an OSN (operation sequence number) in the log of the member that was the primary when the change was made. So the
positions of one primary can be compared. When the primary changes, the new one notes where its own part of the stream begins,
and where the part of the former primary ended.
"""

import struct
from dataclasses import dataclass, replace

_RECORD = struct.Struct("<16sQQ16sQQ")

NO_LOG = bytes(16)
"""Stands for the log of a member that has no stream: it is new, or a resync of it has begun."""

OPEN = (1 << 64) - 1
"""Stands for the end of the own log: the member is the primary, and each change of the group makes its stream longer."""


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """How far the stream of a member reaches.

    The member has all changes up to `osn` of the log `log`, which is named by the identity of its pool. It may have effects of
    changes up to `reach_osn`, because it was interrupted while it took them. The part before begins at `begin_osn` of the same
    log, where the stream was equal to that up to `base_osn` of the log `base_log`.
    """

    log: bytes = NO_LOG
    osn: int = 0
    reach_osn: int = 0
    base_log: bytes = NO_LOG
    base_osn: int = 0
    begin_osn: int = 0

    @property
    def is_open(self) -> bool:
        """True if the stream grows with the own log."""
        return self.osn == OPEN

    def encode(self) -> bytes:
        return _RECORD.pack(self.log, self.osn, self.reach_osn, self.base_log, self.base_osn, self.begin_osn)

    def at(self, osn: int, reach_osn: int) -> "StreamPosition":
        """Return the position after more changes of the same log."""
        return replace(self, osn=osn, reach_osn=reach_osn)

    def closed(self, osn: int) -> "StreamPosition":
        """Return the position of a member whose own log has ended, or has lost its end, at `osn`. Others stay as they are."""
        return replace(self, osn=osn, reach_osn=osn) if self.is_open else self


NO_POSITION = StreamPosition()


def decode_position(value: bytes | None) -> StreamPosition:
    """Decode the record of a position. A missing or damaged record means that there is no stream."""
    if value is None or len(value) != _RECORD.size:
        return NO_POSITION
    return StreamPosition(*_RECORD.unpack(value))


def opened(log: bytes, former: StreamPosition, begin_osn: int) -> StreamPosition:
    """Return the position of a member that becomes the primary. Its next change has the OSN `begin_osn` or a higher one."""
    if former.log == log:
        return replace(former, osn=OPEN, reach_osn=OPEN)
    return StreamPosition(log, OPEN, OPEN, former.log, former.osn, begin_osn)


def reached(secondary: StreamPosition, primary: StreamPosition) -> tuple[int, int] | None:
    """Return the position of the secondary in the log of the primary: its `osn` and `reach_osn`.

    Returns None if the streams cannot be compared, so that only a resync makes them equal.
    """
    if secondary.log == NO_LOG:
        return None
    if secondary.log == primary.log:
        return secondary.osn, secondary.reach_osn
    if secondary.log == primary.base_log and secondary.osn == secondary.reach_osn == primary.base_osn:
        # The former primary has handed over. If it has more, the new one has lost its power since.
        return primary.begin_osn - 1, primary.begin_osn - 1
    return None


def contains(primary: StreamPosition, secondary: StreamPosition) -> bool:
    """True if a primary has everything that the former primary has, which has lost the end of its own part of the stream.

    The former one can then only be resynchronised, but the primary is proven.
    """
    is_former = secondary.log == primary.base_log and secondary.log != NO_LOG
    return is_former and max(secondary.osn, secondary.reach_osn) <= primary.base_osn
