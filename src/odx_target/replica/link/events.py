"""The events of a session, in the order in which they happened."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.hello import Farewell, Hello


class Opened(NamedTuple):
    """Both sides have agreed on a version. Channels may be opened from now on."""

    peer: Hello
    version: int


class Requested(NamedTuple):
    """The peer has opened a channel. The owner calls `Session.answer` or `Session.refuse`."""

    channel: int
    traffic_class: TrafficClass
    document: Mapping[str, Json]


class Answered(NamedTuple):
    """The peer has answered the request that opened the channel."""

    channel: int
    document: Mapping[str, Json]


class RequestRefused(NamedTuple):
    """The peer has refused the request that opened the channel, perhaps after an answer. `Closed` follows."""

    channel: int
    code: str
    text: str


class Received(NamedTuple):
    """A frame of an exchange. When its memory is free again, the owner calls `Session.consumed` with its size."""

    frame: Frame


class Closed(NamedTuple):
    """The peer has closed the channel. Nothing can be sent or received on it any more."""

    channel: int


class Ended(NamedTuple):
    """The connection has ended, or must end after its last bytes were sent. All its channels have ended too.

    `is_ours` is True if this side has ended it. `text` is one line for a person.
    """

    code: Farewell
    text: str
    is_ours: bool


Event: TypeAlias = Opened | Requested | Answered | RequestRefused | Received | Closed | Ended
