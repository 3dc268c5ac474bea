"""The frames that a connection has to send. Urgent frames come first, then the frames of the channels in their order."""

from collections import deque
from collections.abc import Iterator

from odx_target.replica.link.channels import Channel
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.schedule import Schedule
from odx_target.replica.link.throttle import Throttle


class Outbox:
    """Waiting frames. `throttle` limits the frames of channels; all other frames are sent at once, but they count too.

    A peer can cause only a bounded number of urgent frames: at most one PONG waits, and one CREDIT for each channel.
    """

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._urgent: deque[Frame] = deque()
        self._pong: int | None = None
        self._grants: dict[int, int] = {}
        self._schedule = Schedule()

    def put_urgent(self, frame: Frame) -> None:
        self._urgent.append(frame)

    def put_pong(self, argument: int) -> None:
        """Answer the last PING. Earlier PINGs that have no PONG yet need none."""
        self._pong = argument

    def put(self, channel: Channel, frame: Frame) -> None:
        """Add a frame to the waiting frames of its channel."""
        channel.put(frame)
        self._schedule.note(channel)

    def note(self, channel: Channel) -> None:
        """Note that the credit or the waiting frames of a channel have changed."""
        self._schedule.note(channel)

    def grant(self, channel: Channel) -> None:
        """Grant new credit to the peer if it is worth a frame."""
        grant = channel.take_grant()
        if grant:
            self._grants[channel.number] = self._grants.get(channel.number, 0) + grant

    def drop_grant(self, number: int) -> None:
        """Drop the credit that was not sent yet, because the channel is closed."""
        self._grants.pop(number, None)

    def clear(self) -> None:
        """Drop all waiting frames."""
        self._urgent.clear()
        self._grants.clear()
        self._pong = None
        self._schedule = Schedule()

    @property
    def is_empty(self) -> bool:
        """True if no frame may be sent, even if the throttle allowed it."""
        return not (self._urgent or self._grants) and self._pong is None and self._schedule.is_empty()

    def take(self, size_bytes: int) -> Iterator[tuple[Frame, Channel | None]]:
        """Yield the next frames, with the channels of those that come from a channel, until their size is `size_bytes`."""
        while size_bytes > 0:
            found = self._next()
            if found is None:
                return
            size_bytes -= found[0].size_bytes
            self._throttle.spend(found[0].size_bytes)
            yield found

    def _next(self) -> tuple[Frame, Channel | None] | None:
        if self._urgent:
            return self._urgent.popleft(), None
        if self._pong is not None:
            argument, self._pong = self._pong, None
            return Frame(Kind.PONG, argument=argument), None
        if self._grants:
            number, grant = self._grants.popitem()
            return Frame(Kind.CREDIT, number, grant), None
        if not self._throttle.may_send and not self._schedule.has_urgent():
            return None
        found = self._schedule.take()
        return None if found is None else (found[1], found[0])
