"""The cost of the stream of a primary: the time of a change on its way to the other member, and the progress of a resync."""

import struct
from collections import deque

from odx_target.environment import Buffer
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.snapshots.estimate import Estimate, Samples

MAX_MEASURED_CHANGES = 4096
"""Maximum number of commits under way whose time is measured. Others are shipped without being measured."""

SAMPLE_S = 0.5
"""Least time between two samples of the progress of a resync."""

FORMATS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "SHIPPED": (("u32", "time", "microseconds that the sender has needed for the changes"),)
}
"""The parts of a body, as (type, name, meaning), for the documentation."""

_PEER_TIME = struct.Struct("<I")
_MICROSECONDS = 1e6


def encode_peer_time(seconds: float) -> bytes:
    """Encode the time that this member has needed for the changes of the primary which it acknowledges."""
    return _PEER_TIME.pack(min(max(0, round(seconds * _MICROSECONDS)), (1 << 32) - 1))


def decode_peer_time(body: Buffer) -> float:
    """Decode the body of a SHIPPED. Raises PeerFault."""
    if len(body) != _PEER_TIME.size:
        raise PeerFault("a SHIPPED has an impossible length")
    (microseconds,) = _PEER_TIME.unpack(body)
    return float(microseconds / _MICROSECONDS)


class StreamMeter:
    """Measures the streams of one primary, one after the other. Times are monotonic."""

    def __init__(self) -> None:
        self.answers = 0
        """Number of commits whose way was measured."""
        self.round_trip_sum_s = 0.0
        """Sum of the times from the shipping of a commit to its acknowledgement."""
        self.peer_sum_s = 0.0
        """Sum of those parts of these times that the other member has needed itself."""
        self.resynced_bytes = 0
        """Data that the present resync has shipped."""
        self.resync_total_bytes: int | None = None
        """Estimate of all data that it ships. None if it is not known."""
        self._sent: deque[tuple[int, float]] = deque()
        self._samples = Samples()
        self._sampled_at_s = float("-inf")

    def begin(self, resync_total_bytes: int | None = None) -> None:
        """Begin a new stream. `resync_total_bytes` is the estimate of the data of its resync, if it begins with one."""
        self._sent.clear()
        self._samples = Samples()
        self._sampled_at_s = float("-inf")
        self.resynced_bytes = 0
        self.resync_total_bytes = resync_total_bytes

    def shipped(self, osn: int, now_s: float) -> None:
        """Note that a commit was shipped, which ends at `osn`."""
        if len(self._sent) < MAX_MEASURED_CHANGES:
            self._sent.append((osn, now_s))

    def acknowledged(self, osn: int, peer_s: float, now_s: float) -> None:
        """Note that the other member has all commits up to `osn`, for which it has needed `peer_s`."""
        while self._sent and self._sent[0][0] <= osn:
            _, sent_s = self._sent.popleft()
            way_s = max(0.0, now_s - sent_s)
            self.answers += 1
            self.round_trip_sum_s += way_s
            self.peer_sum_s += min(peer_s, way_s)  # No peer can make the link look faster than it is.

    def resynced(self, size_bytes: int, now_s: float) -> None:
        """Note that a resync ships some data."""
        self.resynced_bytes += size_bytes
        if now_s - self._sampled_at_s >= SAMPLE_S:
            self._sampled_at_s = now_s
            self._samples.add(now_s, self.resynced_bytes, self.resynced_bytes)

    def estimate(self) -> Estimate:
        """Return the present rate of the resync, and the time that remains."""
        total = self.resync_total_bytes
        remaining = 0 if total is None else max(0, total - self.resynced_bytes)
        found = self._samples.estimate(remaining, None, 0.0)
        return found if total is not None else found._replace(seconds_until_synced=None)
