"""The parameter lists of EXTENDED COPY(LID1) and EXTENDED COPY(LID4) (SPC-4 6.4 and 6.5).

Each format is declared as a `Layout`, which is used to describe parameter lists. The commands decode with the module `struct`,
because a list of 64 segments must be decoded in a fraction of a turn of the event loop. A test checks that the layouts and the
structs describe the same bytes.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from odx_target.copymgr.tokens.format import CSCD_IDENTIFICATION, CreatorDescriptor
from odx_target.scsi.layout import Layout, bits, flag, number


class ListIdUsage(IntEnum):
    """LIST ID USAGE: if the command has a list identifier, and if its result is kept."""

    KEPT = 0b00
    RESERVED = 0b01
    MAY_BE_DISCARDED = 0b10
    NO_IDENTIFIER = 0b11


class Lid1Header(Layout):
    """The header of a parameter list of EXTENDED COPY(LID1)."""

    size_bytes = 16
    list_identifier: int = number(0, 1)
    str: bool = flag(1, 5)
    list_id_usage: int = bits(1, 4, 2)
    priority: int = bits(1, 2, 3)
    cscd_descriptor_list_length: int = number(2, 2)
    segment_descriptor_list_length: int = number(8, 4)
    inline_data_length: int = number(12, 4)


class Lid4Header(Layout):
    """The header of a parameter list of EXTENDED COPY(LID4)."""

    size_bytes = 48
    parameter_list_format: int = number(0, 1)
    str: bool = flag(1, 5)
    list_id_usage: int = bits(1, 4, 2)
    priority: int = bits(1, 2, 3)
    header_cscd_descriptor_list_length: int = number(2, 2)
    g_sense: bool = flag(15, 1)
    immed: bool = flag(15, 0)
    header_cscd_descriptor_type_code: int = number(16, 1)
    list_identifier: int = number(20, 4)
    cscd_descriptor_list_length: int = number(42, 2)
    segment_descriptor_list_length: int = number(44, 2)
    inline_data_length: int = number(46, 2)


class IdentificationDescriptor(CreatorDescriptor):
    """The identification descriptor CSCD descriptor (type code E4h). The creator in a token has the same format without PAD."""

    pad: bool = flag(28, 2)


class BlockToBlock(Layout):
    """The segment descriptor with type code 02h: copy blocks to blocks."""

    descriptor_type_code: int = number(0, 1)
    dc: bool = flag(1, 1)
    cat: bool = flag(1, 0)
    descriptor_length: int = number(2, 2)
    source_cscd_descriptor_id: int = number(4, 2)
    destination_cscd_descriptor_id: int = number(6, 2)
    block_device_number_of_blocks: int = number(10, 2)
    source_block_device_logical_block_address: int = number(12, 8)
    destination_block_device_logical_block_address: int = number(20, 8)


class BlockToBlockWithOffsets(Layout):
    """The segment descriptor with type code 0Ah: copy bytes, beginning at byte offsets in blocks, to blocks."""

    descriptor_type_code: int = number(0, 1)
    cat: bool = flag(1, 0)
    descriptor_length: int = number(2, 2)
    source_cscd_descriptor_id: int = number(4, 2)
    destination_cscd_descriptor_id: int = number(6, 2)
    number_of_bytes: int = number(8, 4)
    source_block_device_logical_block_address: int = number(12, 8)
    destination_block_device_logical_block_address: int = number(20, 8)
    source_block_device_byte_offset: int = number(28, 2)
    destination_block_device_byte_offset: int = number(30, 2)


BLOCKS_TO_BLOCKS = 0x02
BLOCKS_TO_BLOCKS_WITH_OFFSETS = 0x0A

CSCD_TYPES: dict[int, type[Layout]] = {CSCD_IDENTIFICATION: IdentificationDescriptor}
"""The supported types of CSCD descriptors."""
SEGMENT_TYPES: dict[int, type[Layout]] = {
    BLOCKS_TO_BLOCKS: BlockToBlock,
    BLOCKS_TO_BLOCKS_WITH_OFFSETS: BlockToBlockWithOffsets,
}
"""The supported types of segment descriptors."""

THIS_LOGICAL_UNIT = 0xFFFF
"""The CSCD descriptor ID of the logical unit that received the command."""
CSCD_DESCRIPTOR_BYTES = 32
LIST_FORMAT_LID4 = 0x01
HEADER_CSCD_LIST_LENGTH = 0x0020
HEADER_CSCD_TYPE = 0xFF

_SEGMENT_HEADER = struct.Struct(">BxH")
_LID1_HEADER = struct.Struct(">BBH4xII")
_IDENTIFICATION = struct.Struct(">xBxxBBxB20sI")
_BLOCKS_TO_BLOCKS = struct.Struct(">xBxxHHxxHQQ")
_BLOCKS_TO_BLOCKS_WITH_OFFSETS = struct.Struct(">xxxxHHIQQHH")
_LIST_ID_USAGE_SHIFT = 3
_DC, _CAT, _PAD = 0x02, 0x01, 0x04
_BLOCK_LENGTH_MASK = 0xFF_FFFF


class ListHeader(NamedTuple):
    """The header fields that both forms of the command have."""

    list_identifier: int
    list_id_usage: int
    cscd_descriptor_list_length: int
    segment_descriptor_list_length: int
    inline_data_length: int


class Cscd(NamedTuple):
    """The fields of an identification descriptor."""

    peripheral_device_type: int
    code_set: int
    association: int
    designator_type: int
    designator: bytes
    pad: bool
    disk_block_length: int


class SegmentFields(NamedTuple):
    """The fields of a segment descriptor. `amount` is a number of blocks for the type 02h, and a number of bytes for the type
    0Ah. The type 02h has no byte offsets, and the type 0Ah has no flags.
    """

    source_id: int
    destination_id: int
    amount: int
    source_lba: int
    destination_lba: int
    source_offset: int = 0
    destination_offset: int = 0
    dc: bool = False
    cat: bool = False


def decode_cscd(data: bytes) -> Cscd:
    """Decode an identification descriptor of 32 bytes."""
    device, code_set, kind, length, designator, parameters = _IDENTIFICATION.unpack(data)
    pad = bool(parameters >> 24 & _PAD)
    return Cscd(
        device & 0x1F,
        code_set & 0x0F,
        kind >> 4 & 0x3,
        kind & 0x0F,
        designator[:length],
        pad,
        parameters & _BLOCK_LENGTH_MASK,
    )


def decode_segment(data: bytes) -> SegmentFields:
    """Decode a segment descriptor of a supported type, which must have the length of its type."""
    if data[0] == BLOCKS_TO_BLOCKS_WITH_OFFSETS:
        return SegmentFields(*_BLOCKS_TO_BLOCKS_WITH_OFFSETS.unpack(data))
    flags, source_id, destination_id, count_blocks, source_lba, destination_lba = _BLOCKS_TO_BLOCKS.unpack(data)
    dc, cat = bool(flags & _DC), bool(flags & _CAT)
    return SegmentFields(source_id, destination_id, count_blocks, source_lba, destination_lba, dc=dc, cat=cat)


class HeaderFields(NamedTuple):
    """The byte offsets of the header fields to which sense data may point."""

    size_bytes: int
    list_identifier: int
    cscd_length: int
    inline_length: int


LID1_FIELDS = HeaderFields(16, 0, 2, 12)
LID4_FIELDS = HeaderFields(48, 20, 42, 46)


class RawDescriptor(NamedTuple):
    """A descriptor and its byte offset in the parameter list."""

    offset: int
    data: bytes

    @property
    def type_code(self) -> int:
        return self.data[0]


class ExtendedCopyList(NamedTuple):
    """A decoded parameter list. A descriptor may have an unsupported type.

    `is_cut` is True if the list ends inside its descriptors or inline data.
    """

    header: ListHeader
    lid4_header: Lid4Header | None
    fields: HeaderFields
    cscds: list[RawDescriptor]
    segments: list[RawDescriptor]
    is_cut: bool

    @property
    def descriptors_bytes(self) -> int:
        return self.header.cscd_descriptor_list_length + self.header.segment_descriptor_list_length


def decode_list(data: bytes, *, is_lid4: bool, max_descriptors: int) -> ExtendedCopyList:
    """Decode a parameter list, which must have at least the bytes of its header. Of each kind of descriptors, at most
    `max_descriptors` are decoded.
    """
    fields = LID4_FIELDS if is_lid4 else LID1_FIELDS
    lid4_header = Lid4Header.parse(data) if is_lid4 else None
    header = _lid1_header(data) if lid4_header is None else _common_header(lid4_header)
    segments_at = fields.size_bytes + header.cscd_descriptor_list_length
    end = segments_at + header.segment_descriptor_list_length
    cscds = [
        RawDescriptor(offset, data[offset : offset + CSCD_DESCRIPTOR_BYTES])
        for offset in range(fields.size_bytes, segments_at, CSCD_DESCRIPTOR_BYTES)[:max_descriptors]
    ]
    segments, is_cut = _segments(data[:end], segments_at, max_descriptors)
    is_cut = is_cut or len(data) < end + header.inline_data_length
    return ExtendedCopyList(header, lid4_header, fields, cscds, segments, is_cut)


def _lid1_header(data: bytes) -> ListHeader:
    list_identifier, flags, *lengths = _LID1_HEADER.unpack_from(data)
    return ListHeader(list_identifier, flags >> _LIST_ID_USAGE_SHIFT & 0x3, *lengths)


def _common_header(header: Lid4Header) -> ListHeader:
    return ListHeader(
        header.list_identifier,
        header.list_id_usage,
        header.cscd_descriptor_list_length,
        header.segment_descriptor_list_length,
        header.inline_data_length,
    )


def _segments(data: bytes, start: int, max_descriptors: int) -> tuple[list[RawDescriptor], bool]:
    """Return the segment descriptors from `start` on, and True if the last one is incomplete."""
    segments: list[RawDescriptor] = []
    while start < len(data) and len(segments) < max_descriptors:
        if len(data) < start + _SEGMENT_HEADER.size:
            return segments, True
        _, length = _SEGMENT_HEADER.unpack_from(data, start)
        end = start + _SEGMENT_HEADER.size + length
        if len(data) < end:
            return segments, True
        segments.append(RawDescriptor(start, data[start:end]))
        start = end
    return segments, False
