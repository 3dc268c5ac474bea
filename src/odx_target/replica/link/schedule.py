"""The order in which the waiting frames of the channels are sent.

1. Frames of class SYNCHRONOUS are sent first.
2. The other classes share the link by deficit round robin. In each round, a class may send `WEIGHTS` quanta of 64 KiB. A class
   that has nothing to send does not save up its share.
3. The channels of a class take turns, one frame each.

A class with waiting frames gets at least its share of any rate: class RESYNC gets a quarter, and class SNAPSHOT a twelfth.
"""

from collections import deque

from odx_target.replica.link.channels import Channel, TrafficClass
from odx_target.replica.link.frame import Frame

QUANTUM_BYTES = 64 << 10

WEIGHTS: dict[TrafficClass, int] = {TrafficClass.TOKEN: 8, TrafficClass.RESYNC: 3, TrafficClass.SNAPSHOT: 1}
"""Quanta of each class in a round."""

_ROUND = tuple(WEIGHTS)


class Schedule:
    """The channels that have frames to send."""

    def __init__(self) -> None:
        self._queues: dict[TrafficClass, deque[Channel]] = {each: deque() for each in (TrafficClass.SYNCHRONOUS, *_ROUND)}
        self._deficits = dict.fromkeys(_ROUND, 0)
        self._turn = 0

    def note(self, channel: Channel) -> None:
        """Add a channel to the queue of its class if it has a frame that may be sent."""
        if not channel.is_scheduled and channel.may_send():
            channel.is_scheduled = True
            self._queues[channel.traffic_class].append(channel)

    def has_urgent(self) -> bool:
        """True if a frame of class SYNCHRONOUS may be sent."""
        return any(channel.may_send() for channel in self._queues[TrafficClass.SYNCHRONOUS])

    def is_empty(self) -> bool:
        """True if no frame may be sent."""
        return not any(channel.may_send() for queue in self._queues.values() for channel in queue)

    def take(self) -> tuple[Channel, Frame] | None:
        """Remove and return the next frame with its channel. Returns None if no frame may be sent."""
        channel = self._first(TrafficClass.SYNCHRONOUS)
        if channel is not None:
            return self._frame_of(channel)
        idle_classes = 0
        while idle_classes < len(_ROUND):
            traffic_class = _ROUND[self._turn]
            channel = self._first(traffic_class)
            if channel is None:
                self._deficits[traffic_class] = 0
                idle_classes += 1
            else:
                size_bytes = channel.waiting[0].size_bytes
                if size_bytes <= self._deficits[traffic_class]:
                    self._deficits[traffic_class] -= size_bytes
                    return self._frame_of(channel)
                idle_classes = 0
            self._next_turn()
        return None

    def _next_turn(self) -> None:
        self._turn = (self._turn + 1) % len(_ROUND)
        traffic_class = _ROUND[self._turn]
        self._deficits[traffic_class] += WEIGHTS[traffic_class] * QUANTUM_BYTES

    def _first(self, traffic_class: TrafficClass) -> Channel | None:
        """Return the channel of a class whose turn it is. Channels that have nothing to send leave the queue."""
        queue = self._queues[traffic_class]
        while queue:
            if queue[0].may_send():
                return queue[0]
            queue.popleft().is_scheduled = False
        return None

    def _frame_of(self, channel: Channel) -> tuple[Channel, Frame]:
        self._queues[channel.traffic_class].popleft()
        channel.is_scheduled = False
        frame = channel.take()
        self.note(channel)
        return channel, frame
