"""The recorded and the replayed answers of all connections, compared as they come."""

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import zip_longest
from typing import NamedTuple

from odx_target.replay.decoded_connection import DecodedConnection, DecodedPdu, decoded_pieces
from odx_target.replay.pdu_difference import PduDifference, difference_of
from odx_target.target.session_file.frames import FrameFlag

_NONE = "no PDU"


class StreamEnd(IntEnum):
    """How far a connection has ended, from the side of the array."""

    OPEN = 0
    LAST_OUTPUT = 1
    CLOSED = 2

    @classmethod
    def of(cls, flags: FrameFlag) -> "StreamEnd":
        """Return the end that the flags of an output announce."""
        return cls.LAST_OUTPUT if flags & FrameFlag.END_OF_OUTPUT else cls.OPEN

    @property
    def words(self) -> str:
        """The state in words."""
        return ("open", "open, without further output", "closed")[self]


class AnswerDifference(NamedTuple):
    """The first difference of the answers of a connection: the number of the PDU in its output, and what differs.

    `pdu` counts from 1 on.
    """

    connection: int
    pdu: int
    difference: PduDifference

    def lines(self) -> list[str]:
        """Return the difference as lines of text."""
        return [f"connection {self.connection}, PDU {self.pdu} of the array:", *self.difference.lines()]


@dataclass(slots=True)
class _Stream:
    """The answers of one connection. `compared_bytes` of them are equal."""

    received: list[tuple[int, bytes]] = field(default_factory=list)
    recorded: bytearray = field(default_factory=bytearray)
    replayed: bytearray = field(default_factory=bytearray)
    compared_bytes: int = 0
    recorded_end: StreamEnd = StreamEnd.OPEN
    replayed_end: StreamEnd = StreamEnd.OPEN


class AnswerStreams:
    """Compares the answers of all connections byte for byte."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}

    def received(self, connection: int, data: bytes) -> None:
        """Note bytes of a host. They explain the answers that follow."""
        stream = self._of(connection)
        stream.received.append((len(stream.recorded), data))

    def recorded(self, connection: int, data: bytes, end: StreamEnd = StreamEnd.OPEN) -> None:
        """Note recorded bytes of the array, or the recorded end of its output or of a connection."""
        stream = self._of(connection)
        stream.recorded += data
        stream.recorded_end = max(stream.recorded_end, end)

    def replayed(self, connection: int, data: bytes, end: StreamEnd = StreamEnd.OPEN) -> None:
        """Note bytes that the array sends now, or the end of its output or of a connection now."""
        stream = self._of(connection)
        stream.replayed += data
        stream.replayed_end = max(stream.replayed_end, end)

    def compare(self, *, recorded_may_lag: bool = False, replayed_may_lag: bool = False) -> AnswerDifference | None:
        """Return the first difference of all answers so far, or None.

        Bytes that one side does not have yet are no difference if this side may lag.
        """
        for connection, stream in self._streams.items():
            common = min(len(stream.recorded), len(stream.replayed))
            start = stream.compared_bytes
            is_equal = stream.recorded[start:common] == stream.replayed[start:common]
            recorded_lags, replayed_lags = len(stream.replayed) > common, len(stream.recorded) > common
            if not is_equal or (recorded_lags and not recorded_may_lag) or (replayed_lags and not replayed_may_lag):
                return _explained(connection, stream)
            stream.compared_bytes = common
            lags = replayed_may_lag if stream.recorded_end > stream.replayed_end else recorded_may_lag
            if stream.recorded_end is not stream.replayed_end and not lags:
                difference = PduDifference("connection", stream.recorded_end.words, stream.replayed_end.words)
                return AnswerDifference(connection, 0, difference)
        return None

    def _of(self, connection: int) -> _Stream:
        return self._streams.setdefault(connection, _Stream())


def _explained(connection: int, stream: _Stream) -> AnswerDifference:
    """Name the first PDU and field that differ."""
    recorded, replayed = _decoded(stream, stream.recorded), _decoded(stream, stream.replayed)
    for number, (before, after) in enumerate(zip_longest(recorded, replayed), 1):
        if before is None or after is None:
            texts = ["" if each is None else each.text for each in (before, after)]
            difference = PduDifference("answer", *(_NONE if each is None else "a PDU" for each in (before, after)), *texts)
            return AnswerDifference(connection, number, difference)
        found = difference_of(before, after)
        if found is not None:
            return AnswerDifference(connection, number, found)
    raise AssertionError("the bytes differ, so a PDU differs")


def _decoded(stream: _Stream, sent: bytearray) -> list[DecodedPdu]:
    """Return the PDUs of the array. The PDUs of the host before them show which commands they answer."""
    connection, at = DecodedConnection(), 0
    found: list[DecodedPdu] = []
    for position, data in [*stream.received, (len(sent), b"")]:
        until = min(position, len(sent))
        found += connection.decode(bytes(sent[at:until]), is_received=False)
        at = max(at, until)
        connection.decode(data, is_received=True)
    return [*found, *decoded_pieces(connection, b"", is_received=False)]
