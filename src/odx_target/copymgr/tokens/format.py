"""The 512 bytes of a ROD token (SPC-4 6.18.4, SBC-4 4.28). This copy manager uses the vendor specific bytes as follows:

256-271  maker: identifies the copy manager that made the token, even if the token is corrupt
272-303  256 random bits
304-479  zeros
480-511  HMAC-SHA256 of bytes 0 to 479, with the secret of the pool as its key
"""

import struct
from typing import NamedTuple

from odx_target.scsi.layout import Layout, bits, flag, number, octets

TOKEN_BYTES = 512
ROD_TOKEN_LENGTH = TOKEN_BYTES - 8
MANAGEMENT_TOKEN_BYTES = 96
"""Length of the part of a token that REPORT ALL ROD TOKENS reports. This part is too short to be used as a token."""

MAKER_BYTES = 16
RANDOM_BYTES = 32
MAC_BYTES = 32
SIGNED_BYTES = TOKEN_BYTES - MAC_BYTES


class Token(Layout):
    """The 512 bytes of a ROD token."""

    rod_type: int = number(0, 4)
    rod_token_length: int = number(6, 2)
    copy_manager_rod_token_identifier: int = number(8, 8)
    creator_logical_unit_descriptor: bytes = octets(16, 32)
    number_of_bytes_represented: int = number(48, 16)
    logical_block_length: int = number(96, 4)
    p_type: int = bits(100, 3, 3)
    prot_en: bool = flag(100, 0)
    p_i_exponent: int = bits(101, 7, 4)
    logical_blocks_per_physical_block_exponent: int = bits(101, 3, 4)
    lbpme: bool = flag(102, 7)
    lbprz: bool = flag(102, 6)
    lowest_aligned_logical_block_address: int = bits(102, 5, 14)
    target_device_descriptor: bytes = octets(128, 128)
    extended_rod_token_data: bytes = octets(256, 256)


class CreatorDescriptor(Layout):
    """The creator logical unit descriptor of a token."""

    descriptor_type_code: int = number(0, 1)
    lu_id_type: int = bits(1, 7, 2)
    peripheral_device_type: int = bits(1, 4, 5)
    relative_initiator_port_identifier: int = number(2, 2)
    code_set: int = bits(4, 3, 4)
    association: int = bits(5, 5, 2)
    designator_type: int = bits(5, 3, 4)
    designator_length: int = number(7, 1)
    designator: bytes = octets(8, 20)
    disk_block_length: int = number(29, 3)


_TOKEN = struct.Struct(">I2xHQ32s16s32xIBBH24x128s16s32s176x32s")
_HEAD = struct.Struct(">I2xHQ32s")
_CREATOR = struct.Struct(">BBHBBxB20sI")
_TARGET_HEADER = struct.Struct(">BBxB")

CSCD_IDENTIFICATION = 0xE4
"""DESCRIPTOR TYPE CODE of an identification descriptor."""
_CODE_SET_BINARY, _CODE_SET_UTF_8 = 1, 3
_TYPE_EUI_64, _TYPE_NAA, _TYPE_NAME_STRING = 2, 3, 8
_PROTOCOL_ISCSI = 0x50
# PIV is 1, and the association is with the target device (SPC-4 7.8.6.2.1).
_OF_TARGET_DEVICE = 0xA0
_TARGET_DEVICE_BYTES = 128
_LBPME_LBPRZ = 0xC000
_DESIGNATOR_LENGTHS = {_TYPE_EUI_64: (8, 12, 16), _TYPE_NAA: (8, 16)}


class TokenHead(NamedTuple):
    """The fields of a token that are checked when an initiator presents the token."""

    rod_type: int
    rod_token_length: int
    identifier: int
    creator: bytes


def decode_head(token: bytes) -> TokenHead:
    """Decode the first fields of a token of 512 bytes."""
    return TokenHead._make(_HEAD.unpack_from(token))


def decode_block_bytes(token: bytes) -> int:
    """Return the logical block length in a token of 512 bytes."""
    block_bytes: int = _TOKEN.unpack_from(token)[5]
    return block_bytes


def maker_of(token: bytes) -> bytes:
    """Return the maker field of a token. The bytes have no meaning if another copy manager made the token."""
    return token[256 : 256 + MAKER_BYTES]


def creator_identity(creator: bytes) -> bytes | None:
    """Return the NAA or EUI-64 designator of a creator logical unit descriptor. Return None if the descriptor is invalid."""
    code, _, _, code_set, kind, length, designator, _ = _CREATOR.unpack(creator)
    well_formed = code == CSCD_IDENTIFICATION and code_set & 0x0F == _CODE_SET_BINARY
    if not well_formed or length not in _DESIGNATOR_LENGTHS.get(kind & 0x3F, ()):
        return None
    identity: bytes = designator[:length]
    return identity


def unsigned_token(
    rod_type: int,
    identifier: int,
    identity: bytes,
    size_bytes: int,
    block_bytes: int,
    target_device: bytes,
    maker: bytes,
    random_bits: bytes,
) -> bytes:
    """Build bytes 0 to 479 of a token that represents `size_bytes` bytes.

    `identity` is the NAA designator of the logical unit.
    """
    creator = _CREATOR.pack(CSCD_IDENTIFICATION, 0, 0, _CODE_SET_BINARY, _TYPE_NAA, len(identity), identity, block_bytes)
    exponent = (4096 // block_bytes).bit_length() - 1
    token = _TOKEN.pack(
        rod_type,
        ROD_TOKEN_LENGTH,
        identifier,
        creator,
        size_bytes.to_bytes(16, "big"),
        block_bytes,
        0,
        exponent,
        _LBPME_LBPRZ,
        target_device,
        maker,
        random_bits,
        b"",
    )
    return token[:SIGNED_BYTES]


def target_device_descriptor(target_name: str, fallback_identity: bytes) -> bytes:
    """Build a designation descriptor of the target device: its iSCSI name, or an NAA designator if the name is too long."""
    name = target_name.encode("utf-8") + b"\0"
    name = name.ljust(-(-len(name) // 4) * 4, b"\0")
    code_set, kind = _CODE_SET_UTF_8, _TYPE_NAME_STRING
    if len(name) > _TARGET_DEVICE_BYTES - _TARGET_HEADER.size:
        name, code_set, kind = fallback_identity, _CODE_SET_BINARY, _TYPE_NAA
    return _TARGET_HEADER.pack(_PROTOCOL_ISCSI | code_set, _OF_TARGET_DEVICE | kind, len(name)) + name
