"""A channel of a connection: its life, its waiting frames, and the credit of both sides.

One side opens a channel with REQUEST, and the other side sends one ANSWER or REFUSAL. After ANSWER, both sides may send the
frames of the exchange, which use up credit, and the other side may still send REFUSAL if it cannot go on. A receiver grants new
credit when it has dealt with the frames. The channel ends when both sides have sent CLOSE. A side that receives CLOSE sends
CLOSE too.
"""

from collections import deque
from enum import IntEnum

from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import BY_NUMBER, Kind
from odx_target.replica.link.limits import GRANT_STEP_BYTES, INITIAL_CREDIT_BYTES, MAX_CREDIT_BYTES, MAX_UNSENT_BYTES


class TrafficClass(IntEnum):
    """Class of a channel. Frames of the classes are sent in an order that the module `schedule` describes."""

    CONTROL = 0
    """Frames that are not on a channel of their own."""
    SYNCHRONOUS = 1
    """Messages of synchronous replication."""
    TOKEN = 2
    """Data of tokens, for which a host waits."""
    RESYNC = 3
    """Data that a synchronous replica must still get."""
    SNAPSHOT = 4
    """Data of snapshots."""


class Channel:
    """One side of a channel. `is_ours` is True if this side has opened the channel."""

    def __init__(self, number: int, traffic_class: TrafficClass, *, is_ours: bool) -> None:
        self.number = number
        self.traffic_class = traffic_class
        self.is_ours = is_ours
        self.is_answered = False
        self.is_refused = False
        """True if the peer has refused the request of this side, at once or after an answer. CLOSE follows."""
        self.has_sent_close = False
        """True if this side sends nothing more after the waiting frames."""
        self.has_received_close = False
        self.is_scheduled = False
        """True if the channel is in the queue of its class."""
        self.waiting: deque[Frame] = deque()
        self.waiting_bytes = 0
        self.send_credit = INITIAL_CREDIT_BYTES
        self.receive_credit = INITIAL_CREDIT_BYTES
        self.extension_bytes = 0
        """Credit that was granted beyond the initial credit."""
        self._ungranted_bytes = 0

    @property
    def has_room(self) -> bool:
        """True if the owner may send another frame now."""
        return self.waiting_bytes < MAX_UNSENT_BYTES

    @property
    def has_ended(self) -> bool:
        return self.has_sent_close and self.has_received_close and not self.waiting

    def put(self, frame: Frame) -> None:
        self.waiting.append(frame)
        self.waiting_bytes += frame.size_bytes

    def may_send(self) -> bool:
        """True if a frame waits, and the credit suffices for it."""
        return bool(self.waiting) and (not is_credited(self.waiting[0]) or self.waiting[0].size_bytes <= self.send_credit)

    def take(self) -> Frame:
        """Remove the first waiting frame. The caller must have checked `may_send`."""
        frame = self.waiting.popleft()
        self.waiting_bytes -= frame.size_bytes
        if is_credited(frame):
            self.send_credit -= frame.size_bytes
        return frame

    def drop_waiting(self) -> None:
        """Drop the waiting frames of the exchange, because they are no longer wanted."""
        self.waiting = deque(frame for frame in self.waiting if not is_credited(frame))
        self.waiting_bytes = sum(frame.size_bytes for frame in self.waiting)

    def add_credit(self, size_bytes: int) -> None:
        """Take new credit from the peer. Raises PeerFault if it is more than a channel can have."""
        if not 0 < size_bytes <= MAX_CREDIT_BYTES - self.send_credit:
            raise PeerFault(f"a credit of {size_bytes} bytes more exceeds {MAX_CREDIT_BYTES} bytes of one channel")
        self.send_credit += size_bytes

    def charge(self, frame: Frame) -> None:
        """Charge a received frame. Raises PeerFault if the peer has not enough credit."""
        if is_credited(frame):
            if frame.size_bytes > self.receive_credit:
                raise PeerFault(f"a frame of {frame.size_bytes} bytes exceeds the credit of {self.receive_credit} bytes")
            self.receive_credit -= frame.size_bytes

    def widen(self, size_bytes: int) -> None:
        """Grant credit beyond the initial credit."""
        self.extension_bytes += size_bytes
        self._ungranted_bytes += size_bytes

    def consumed(self, size_bytes: int) -> None:
        """Note that received frames need no more memory, so that new credit can be granted for them."""
        self._ungranted_bytes += size_bytes

    def take_grant(self) -> int:
        """Return the credit to grant now, or 0 if it is not worth a frame yet."""
        if self._ungranted_bytes < GRANT_STEP_BYTES:
            return 0
        grant, self._ungranted_bytes = self._ungranted_bytes, 0
        self.receive_credit += grant
        return grant


def is_credited(frame: Frame) -> bool:
    """True if a frame uses up credit."""
    return _IS_CREDITED[frame.kind]


_IS_CREDITED: dict[Kind, bool] = {row.kind: row.is_credited for row in BY_NUMBER.values()}
