"""The bytes of one recorded connection as PDUs, with a line of text for each."""

from collections.abc import Iterator
from typing import NamedTuple

from odx_target.target.trace.conversation import Conversation
from odx_target.target.trace.frames import CUT_PDU, Frames, Piece
from odx_target.target.trace.parameter_list_text import parameter_list_bytes, wants_answer
from odx_target.target.trace.pdu_line import describe_fault, describe_pdu


class DecodedPdu(NamedTuple):
    """A PDU, or bytes that are none, and the line of text that describes it."""

    piece: Piece
    text: str


class DecodedConnection:
    """Decodes the bytes of both ends of a connection, in the order in which they were received and sent."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._conversation = Conversation(parameter_list_bytes, wants_answer)
        self._rest = {True: b"", False: b""}

    def decode(self, data: bytes, *, is_received: bool) -> list[DecodedPdu]:
        """Return the PDUs that are whole with these bytes. The array received or sent them."""
        whole = self._rest[is_received] + data
        self._rest[is_received] = b""
        found = []
        for piece in self._frames.cut(memoryview(whole)):
            if piece.pdu is None and piece.fault == CUT_PDU:
                self._rest[is_received] = bytes(piece.raw)
            else:
                found.append(DecodedPdu(piece, self._text(piece)))
        return found

    def rest(self, *, is_received: bool) -> bytes:
        """Return the bytes of the last PDU, if it is incomplete."""
        return self._rest[is_received]

    def _text(self, piece: Piece) -> str:
        if piece.pdu is None:
            return describe_fault(piece)
        words = describe_pdu(self._conversation.see(piece.pdu, piece))
        return f"{words} | {piece.fault}" if piece.fault else words


def decoded_pieces(connection: DecodedConnection, data: bytes, *, is_received: bool) -> Iterator[DecodedPdu]:
    """Yield the PDUs of bytes that end a stream. An incomplete PDU at the end is yielded too."""
    yield from connection.decode(data, is_received=is_received)
    if rest := connection.rest(is_received=is_received):
        piece = Piece(memoryview(rest), None, memoryview(b""), memoryview(rest), CUT_PDU)
        yield DecodedPdu(piece, describe_fault(piece))
