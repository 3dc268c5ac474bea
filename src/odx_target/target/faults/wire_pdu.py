"""PDUs in a stream of bytes: the cutting of whole PDUs, and the faults that change the bytes of one PDU."""

import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from odx_target.environment import Buffer
from odx_target.iscsi.limits import MAX_RECV_DATA_SEGMENT_BYTES
from odx_target.iscsi.pdu.framing import DIGEST_BYTES, append_pdu
from odx_target.iscsi.pdu.headers import PDU_CLASSES
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import Opcode
from odx_target.target.faults.actions import Digest

_LENGTHS = struct.Struct(">I")
_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)
"""PDUs that never have digests, because digests are negotiated in them (RFC 7143 6.2)."""
_INVERTED = 0xFF


class Digests(NamedTuple):
    """The digests that a connection uses."""

    header: bool = False
    data: bool = False


class WirePdu(NamedTuple):
    """The bytes of one PDU, and the digests among them."""

    content: bytes
    digests: Digests

    @property
    def opcode(self) -> int:
        return self.content[0] & 0x3F

    @property
    def header_end(self) -> int:
        """Position after the header and its additional segments."""
        return HEADER_BYTES + self.content[4] * 4

    @property
    def data(self) -> bytes:
        start = self.header_end + DIGEST_BYTES * self.digests.header
        return self.content[start : start + int.from_bytes(self.content[5:8], "big")]


def cut_pdus(stream: Buffer, digests: Digests) -> Iterator[WirePdu]:
    """Cut the whole PDUs at the start of a stream. An incomplete PDU at its end is left out.

    The rest of a stream that has a longer data segment than any receiver declares is one piece, because it cannot be cut.
    """
    view = memoryview(stream)
    at = 0
    while len(view) - at >= HEADER_BYTES:
        (lengths,) = _LENGTHS.unpack_from(view, at + 4)
        data_bytes = lengths & 0xFFFFFF
        if data_bytes > MAX_RECV_DATA_SEGMENT_BYTES and data_bytes > len(view):
            yield WirePdu(bytes(view[at:]), Digests())
            return
        here = Digests() if view[at] & 0x3F in _LOGIN else digests
        end = at + HEADER_BYTES + (lengths >> 24) * 4 + DIGEST_BYTES * here.header
        end += data_bytes + (-data_bytes & 3) + DIGEST_BYTES * (here.data and data_bytes > 0)
        if end > len(view):
            return
        yield WirePdu(bytes(view[at:end]), here)
        at = end


def changed(pdu: WirePdu, faults: Mapping[str, Any]) -> bytes:
    """Return the bytes of a PDU after the faults `set`, `text`, `digest`, `corrupt` and `truncate`, in this order."""
    content = bytearray(_rebuilt(pdu, faults) if "set" in faults or "text" in faults else pdu.content)
    if "digest" in faults:
        _spoil_digest(content, pdu.digests, faults["digest"])
    position = faults.get("corrupt", len(content))
    if position < len(content):
        content[position] ^= _INVERTED
    return bytes(content[: faults.get("truncate", len(content))])


def _rebuilt(pdu: WirePdu, faults: Mapping[str, Any]) -> bytes:
    """Return a PDU with other fields or other data, with right digests."""
    kind = PDU_CLASSES.get(pdu.opcode)
    if kind is None:
        return pdu.content
    header = kind.decode(pdu.content[:HEADER_BYTES])
    data = pdu.data
    if "text" in faults:
        data = faults["text"].encode("latin-1", errors="replace")
        header.data_segment_length = len(data) & 0xFFFFFF
    for name, value in faults.get("set", {}).items():
        if hasattr(header, name):
            setattr(header, name, value)
    output: list[Buffer] = []
    additional = pdu.content[HEADER_BYTES : pdu.header_end]
    append_pdu(
        output,
        header.encode_header(),
        [data] if data else [],
        additional_header=additional,
        header_digest=pdu.digests.header,
        data_digest=pdu.digests.data,
    )
    return b"".join(output)


def _spoil_digest(content: bytearray, digests: Digests, which: Digest) -> None:
    """Invert a digest of a PDU. Does nothing if the PDU does not have this digest."""
    end = HEADER_BYTES + content[4] * 4
    if which is Digest.HEADER and digests.header:
        content[end] ^= _INVERTED
    elif which is Digest.DATA and digests.data and content[5:8] != bytes(3):
        content[-1] ^= _INVERTED


def fitting_fault(name: str, value: int, opcodes: frozenset[Opcode] | None) -> str | None:
    """Return the reason why no PDU of these types can have a value in a field. Return None if one can."""
    kinds = [kind for opcode, kind in PDU_CLASSES.items() if opcodes is None or opcode in opcodes]
    having = [kind for kind in kinds if name in kind.__dataclass_fields__]
    if not having:
        return f"none of these PDUs has a field {name}"
    for kind in having:
        header = kind()
        try:
            setattr(header, name, value)
            header.encode_header()
        except Exception as error:  # each codec has exceptions of its own for values that do not fit
            return f"{value} does not fit into {name} ({type(error).__name__})"
    return None


def header_fields() -> list[str]:
    """Return the names of the fields of all headers."""
    return sorted({name for kind in PDU_CLASSES.values() for name in kind.__dataclass_fields__})
