"""The places of fields in PDU headers (RFC 7143 11), and the codec that is made from them.

Each field of a header class is annotated with its place: `octets` for whole bytes, `bits` for a part of a byte.

    lun: Annotated[int, octets(8, 8)] = 0
    final: Annotated[bool, bits(1, 0)] = True
"""

from odx_target.binary_layout import Place

HEADER_BYTES = 48


def bits(byte: int, bit: int, count: int = 1) -> Place:
    """Return the place of `count` bits of a byte. Bit 0 is the most significant bit, as in the RFC."""
    return Place(byte * 8 + bit, count)


def octets(start: int, count: int) -> Place:
    """Return the place of whole bytes, counted from the first byte of the header."""
    return Place(start * 8, count * 8)
