"""The frames of the peer on the channels of a connection: which are allowed, and what they change."""

from odx_target.replica.link.bounded_json import decode_object
from odx_target.replica.link.channel_table import ChannelTable
from odx_target.replica.link.channels import Channel
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.events import Answered, Closed, Event, Received, Requested, RequestRefused
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.outbox import Outbox
from odx_target.replica.link.refusals import decode_refusal


class ChannelFrames:
    """Applies the frames of the peer to `channels`. All methods with a frame raise PeerFault if the peer may not send it."""

    def __init__(self, channels: ChannelTable, outbox: Outbox) -> None:
        self._channels = channels
        self._outbox = outbox

    def handle(self, frame: Frame) -> list[Event]:
        """Apply a frame, and return what has happened."""
        if frame.kind is Kind.REQUEST:
            document = decode_object(frame.body)
            opened = self._channels.opened_by_peer(frame)
            return [Requested(opened.number, opened.traffic_class, document)]
        channel = self._channels.of_peer(frame)
        match frame.kind:
            case Kind.CREDIT:
                channel.add_credit(frame.argument)
                self._outbox.note(channel)
                return []
            case Kind.CLOSE:
                return self._closed(channel)
            case Kind.ANSWER | Kind.REFUSAL:
                return self._answered(channel, frame)
        if not channel.is_answered or channel.is_refused:
            raise PeerFault(f"{frame.kind.name} is on channel {frame.channel}, whose request has no answer yet, or was refused")
        channel.charge(frame)
        return [] if channel.has_sent_close else [Received(frame)]

    def _answered(self, channel: Channel, frame: Frame) -> list[Event]:
        is_open = not channel.is_answered if frame.kind is Kind.ANSWER else not channel.is_refused
        if not channel.is_ours or not is_open:
            raise PeerFault(f"{frame.kind.name} is on channel {channel.number}, which has no open request")
        if frame.kind is Kind.ANSWER:
            event: Event = Answered(channel.number, decode_object(frame.body))
        else:
            event = RequestRefused(channel.number, *decode_refusal(frame.body))
            channel.is_refused = True
        channel.is_answered = True
        return [] if channel.has_sent_close else [event]

    def _closed(self, channel: Channel) -> list[Event]:
        channel.has_received_close = True
        channel.drop_waiting()
        if channel.has_sent_close:
            self._outbox.note(channel)
            self._channels.forget_if_ended(channel)
            return []
        self.put_close(channel)
        return [Closed(channel.number)]

    def put_close(self, channel: Channel) -> None:
        """Close a channel from this side after its waiting frames."""
        channel.has_sent_close = True
        self._outbox.drop_grant(channel.number)
        self._outbox.put(channel, Frame(Kind.CLOSE, channel.number))
