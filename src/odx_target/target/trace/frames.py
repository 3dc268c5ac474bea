"""Division of the bytes of a connection into PDUs.

The text of the login shows whether PDUs have digests (RFC 7143 13.1). The last values that the target sends during the login
apply after the login.
"""

from collections.abc import Iterator
from typing import NamedTuple

from odx_target.iscsi.pdu.framing import FrameReader, FramingError
from odx_target.iscsi.pdu.headers import HEADER_BYTES, LoginResponse, Pdu, UnknownOpcode, decode_header
from odx_target.iscsi.pdu.opcodes import Stage

MAX_DATA_SEGMENT_BYTES = (1 << 24) - 1
"""The largest DataSegmentLength that the field can express.

A trace shows PDUs even if the receiver rejects them as too long.
"""
CUT_PDU = "a part of a PDU"
"""The fault of bytes that end inside a PDU."""
MAX_LOGIN_TEXT_BYTES = 1 << 16
"""Maximum size of the text in one negotiation step. The protocol has the same limit. Further text is ignored."""


class Piece(NamedTuple):
    """The bytes of one PDU, or bytes that are not a PDU.

    `raw` is the whole PDU with digests and padding. `data` is only the data segment. `fault` describes an error, and is empty
    if there is no error. `pdu` is None if the bytes cannot be a PDU.
    """

    raw: memoryview
    pdu: Pdu | None
    additional_header: memoryview
    data: memoryview
    fault: str = ""


class Frames:
    """Divides the bytes that the two ends of one connection send into PDUs. `cut` takes one or more whole PDUs at a time."""

    def __init__(self) -> None:
        self._reader = FrameReader(MAX_DATA_SEGMENT_BYTES)
        self._login_text = bytearray()
        self.in_full_feature_phase = False

    @property
    def digests(self) -> tuple[bool, bool]:
        """True for each digest of the PDUs, of headers and of data, that is in use."""
        return self._reader.header_digest, self._reader.data_digest

    def cut(self, view: memoryview) -> Iterator[Piece]:
        """Yield every PDU in `view`, in order. Bytes that cannot be divided into PDUs are yielded as one piece with a fault."""
        at = 0
        while at < len(view):
            try:
                frame = self._reader.cut(view, at)
            except FramingError as error:
                yield _no_pdu(view[at:], str(error))
                return
            if frame is None:
                yield _no_pdu(view[at:], CUT_PDU)
                return
            end, additional_header, data, good = frame
            yield self._piece(view[at:end], additional_header, data, good)
            at = end

    def _piece(self, raw: memoryview, additional_header: memoryview, data: memoryview, good: bool) -> Piece:
        try:
            pdu = decode_header(raw[:HEADER_BYTES])
        except UnknownOpcode as error:
            return Piece(raw, None, additional_header, data, str(error))
        if isinstance(pdu, LoginResponse):
            self._follow_login(pdu, data)
        return Piece(raw, pdu, additional_header, data, "" if good else "data digest does not match")

    def _follow_login(self, response: LoginResponse, data: memoryview) -> None:
        if len(self._login_text) + len(data) <= MAX_LOGIN_TEXT_BYTES:
            self._login_text += data
        if response.status or not response.transit or response.next_stage != Stage.FULL_FEATURE_PHASE:
            return
        pairs = dict(part.partition(b"=")[::2] for part in bytes(self._login_text).split(b"\0"))
        self._reader.header_digest = pairs.get(b"HeaderDigest") == b"CRC32C"
        self._reader.data_digest = pairs.get(b"DataDigest") == b"CRC32C"
        self._login_text.clear()
        self.in_full_feature_phase = True


def _no_pdu(raw: memoryview, fault: str) -> Piece:
    return Piece(raw, None, raw[:0], raw, fault)
