"""The exceptions of the link. Each message is one line of text for a person, and contains no secret."""


class LinkError(Exception):
    """The link cannot do what was requested."""


class PeerFault(LinkError):
    """The peer has violated the protocol. The connection must end."""


class ConnectionEnded(LinkError):
    """The connection to the peer has ended, or has not opened yet."""


class ChannelEnded(LinkError):
    """The peer has closed the channel, or the connection of the channel has ended."""


class TooManyChannels(LinkError):
    """As many channels are open as one side of a connection may open. One of them must be closed first."""
