"""Functions that decode the properties of a logical unit: capacity, identity, block limits (SPC-4 7.8, SBC-3 5.16, 6.5.3)."""

from dataclasses import dataclass

from odx_target.environment import Buffer
from odx_target.initiator.errors import BadAnswer

SUPPORTED_PAGES = 0x00
DEVICE_IDENTIFICATION = 0x83
THIRD_PARTY_COPY = 0x8F
BLOCK_LIMITS = 0xB0

ALLOCATION_BYTES = 0xFFFF
"""Allocation length for every page: the largest value of the field in INQUIRY."""

DIRECT_ACCESS = 0x00
SUPPORTED_BLOCK_BYTES = (512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class StandardInquiry:
    """Standard INQUIRY data (SPC-4 6.6.2)."""

    device_type: int
    qualifier: int
    third_party_copy: bool
    vendor: str
    product: str


@dataclass(frozen=True, slots=True)
class Capacity:
    capacity_blocks: int
    block_bytes: int


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """The Block Limits page (SBC-3 6.5.3). A value of 0 means that the limit is not reported."""

    max_transfer_blocks: int = 0
    optimal_transfer_blocks: int = 0
    max_compare_and_write_blocks: int = 0
    """MAXIMUM COMPARE AND WRITE LENGTH. A value of 0 means that COMPARE AND WRITE is not supported."""
    max_write_same_blocks: int = 0


def read_standard_inquiry(data: Buffer) -> StandardInquiry:
    """Read standard INQUIRY data. Raises BadAnswer."""
    body = bytes(data)
    if len(body) < 5:
        raise BadAnswer(f"standard INQUIRY data of {len(body)} bytes")
    text = body.ljust(36, b"\0")
    return StandardInquiry(
        device_type=text[0] & 0x1F,
        qualifier=text[0] >> 5,
        third_party_copy=bool(text[5] & 0x08),
        vendor=_ascii(text[8:16]),
        product=_ascii(text[16:32]),
    )


def read_page(data: Buffer, page: int) -> bytes:
    """Return the body of a vital product data page, without its 4-byte header. Raises BadAnswer."""
    body = bytes(data)
    if len(body) < 4 or body[1] != page:
        raise BadAnswer(f"not the VPD page {page:02X}h that was asked for")
    return body[4 : 4 + int.from_bytes(body[2:4], "big")]


def read_capacity_10(data: Buffer) -> Capacity:
    """Read the data of READ CAPACITY (10) (SBC-3 5.15). Raises BadAnswer."""
    return _capacity("READ CAPACITY (10)", bytes(data), 4)


def read_capacity_16(data: Buffer) -> Capacity:
    """Read the data of READ CAPACITY (16) (SBC-3 5.16.2). Raises BadAnswer."""
    return _capacity("READ CAPACITY (16)", bytes(data), 8)


def _capacity(command: str, body: bytes, lba_bytes: int) -> Capacity:
    if len(body) < lba_bytes + 4:
        raise BadAnswer(f"{command} data of {len(body)} bytes")
    last_lba = int.from_bytes(body[:lba_bytes], "big")
    block_bytes = int.from_bytes(body[lba_bytes : lba_bytes + 4], "big")
    if block_bytes not in SUPPORTED_BLOCK_BYTES:
        raise BadAnswer(f"{command} reports blocks of {block_bytes} bytes")
    return Capacity(last_lba + 1, block_bytes)


def read_block_limits(page: bytes) -> BlockLimits:
    """Decode the body of page B0h. If the page is short, the missing fields count as not reported."""
    body = page.ljust(40, b"\0")
    return BlockLimits(
        max_transfer_blocks=int.from_bytes(body[4:8], "big"),
        optimal_transfer_blocks=int.from_bytes(body[8:12], "big"),
        max_compare_and_write_blocks=body[1],
        max_write_same_blocks=int.from_bytes(body[32:40], "big"),
    )


def read_identity(page: bytes) -> bytes:
    """Return the designator of the logical unit in page 83h; b"" if there is no designator. NAA is preferred to EUI-64, and
    EUI-64 to T10 (SPC-4 7.8.6).
    """
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(page):
        length = page[position + 3]
        association, kind = page[position + 1] >> 4 & 0x3, page[position + 1] & 0xF
        if association == 0:
            found.setdefault(kind, page[position : position + 4 + length])
        position += 4 + length
    return next((found[kind] for kind in (3, 2, 1) if kind in found), b"")


def _ascii(field: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in field.rstrip(b" \0"))
