"""The open channels of one connection: their numbers, their limit, and the credit that they share."""

from odx_target.replica.link.channels import Channel, TrafficClass
from odx_target.replica.link.errors import ChannelEnded, PeerFault, TooManyChannels
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.hello import Side
from odx_target.replica.link.limits import (
    INITIAL_CREDIT_BYTES,
    MAX_BUFFERED_BYTES,
    MAX_CREDIT_BYTES,
    MAX_OPENED_CHANNELS,
)

EXTENSION_BYTES = MAX_BUFFERED_BYTES - 2 * MAX_OPENED_CHANNELS * INITIAL_CREDIT_BYTES
"""Credit beyond the initial credit that all channels of a connection can have together."""

MAX_CHANNEL = 0xFFFF
"""Largest number of a channel, which has 16 bits in the header of a frame."""

_CHANNEL_CLASSES = frozenset(each.value for each in TrafficClass if each is not TrafficClass.CONTROL)


class ChannelTable:
    """The channels of one connection. The dialler opens even channels, and the acceptor opens odd channels."""

    def __init__(self, side: Side) -> None:
        self._parity = 0 if side is Side.DIALLER else 1
        self._next = 2 - self._parity
        self._channels: dict[int, Channel] = {}
        self._extension_bytes = EXTENSION_BYTES

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def granted_bytes(self) -> int:
        """Memory that received frames of all channels may take."""
        return sum(INITIAL_CREDIT_BYTES + channel.extension_bytes for channel in self._channels.values())

    def get(self, number: int) -> Channel | None:
        return self._channels.get(number)

    def usable(self, number: int) -> Channel:
        """Return a channel on which this side may send. Raises ChannelEnded if there is none."""
        channel = self._channels.get(number)
        if channel is None or channel.has_sent_close:
            raise ChannelEnded(f"channel {number} of the connection has ended")
        return channel

    def of_peer(self, frame: Frame) -> Channel:
        """Return the channel of a frame from the peer. Raises PeerFault if the peer may not send on this channel."""
        channel = self._channels.get(frame.channel)
        if channel is None or channel.has_received_close:
            raise PeerFault(f"{frame.kind.name} is on channel {frame.channel}, which is not open")
        return channel

    def open(self, traffic_class: TrafficClass) -> Channel:
        """Open a channel of this side. Raises TooManyChannels."""
        if self._count(ours=True) >= MAX_OPENED_CHANNELS:
            raise TooManyChannels(f"{MAX_OPENED_CHANNELS} channels to the peer are open")
        number = self._free_number()
        channel = self._channels[number] = Channel(number, traffic_class, is_ours=True)
        return channel

    def opened_by_peer(self, frame: Frame) -> Channel:
        """Add the channel that a REQUEST of the peer opens. Raises PeerFault."""
        number = frame.channel
        if number in self._channels or number % 2 == self._parity:
            raise PeerFault(f"REQUEST is on channel {number}, which the peer cannot open")
        if self._count(ours=False) >= MAX_OPENED_CHANNELS:
            raise PeerFault(f"the peer opens more than {MAX_OPENED_CHANNELS} channels")
        if frame.argument not in _CHANNEL_CLASSES:
            raise PeerFault(f"the class of channel {number} is {frame.argument}, which is unknown")
        channel = self._channels[number] = Channel(number, TrafficClass(frame.argument), is_ours=False)
        return channel

    def widen(self, channel: Channel, size_bytes: int) -> int:
        """Raise the credit of a channel to `size_bytes`, or as far as the limits allow. Returns the new credit."""
        present_bytes = INITIAL_CREDIT_BYTES + channel.extension_bytes
        more_bytes = min(min(size_bytes, MAX_CREDIT_BYTES) - present_bytes, self._extension_bytes)
        if more_bytes > 0:
            self._extension_bytes -= more_bytes
            channel.widen(more_bytes)
        return present_bytes + max(0, more_bytes)

    def forget_if_ended(self, channel: Channel) -> None:
        """Remove a channel if both sides have closed it."""
        if channel.has_ended and self._channels.pop(channel.number, None) is not None:
            self._extension_bytes += channel.extension_bytes

    def clear(self) -> None:
        self._channels.clear()

    def _count(self, *, ours: bool) -> int:
        return sum(channel.is_ours is ours for channel in self._channels.values())

    def _free_number(self) -> int:
        while True:
            number = self._next
            self._next = number + 2 if number + 2 <= MAX_CHANNEL else 2 - self._parity
            if number not in self._channels:
                return number
