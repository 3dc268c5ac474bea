"""Windows' interpretation of VPD pages 00h and 8Fh, and the sizes of commands that Windows derives from these pages."""

from dataclasses import dataclass
from itertools import pairwise

from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import WindowsSettings

PAGE_HEADER_BYTES = 4
LISTED_PAGES_SEEN = 251
COPY_PAGE = 0x8F
MIN_PAGE_LENGTH = 0x24
ROD_TOKEN_LIMITS = 0x0000
ROD_TOKEN_LIMITS_BYTES = 0x20
MAX_PARAMETER_LIST_BYTES = 65_535
POPULATE_HEADER_BYTES = 16
WRITE_HEADER_BYTES = 536
RANGE_DESCRIPTOR_BYTES = 16
UNLIMITED_BLOCKS = (1 << 64) - 1
LARGE_OPTIMUM_BYTES = 256 << 20
INFORMATION_AFTER_POPULATE_BYTES = 0x325
MIN_INFORMATION_AFTER_WRITE_BYTES = 287


class Declined(Exception):
    """Windows does not accept a page."""

    def __init__(self, rule: Rule, detail: str = "") -> None:
        super().__init__(rule.reason)
        self.rule, self.detail = rule, detail


@dataclass(frozen=True, slots=True)
class Capability:
    """The block device ROD token limits of VPD page 8Fh. A value of 0 means that the limit is not reported."""

    max_range_descriptors: int
    max_inactivity_timeout_s: int
    default_inactivity_timeout_s: int
    max_token_transfer_blocks: int
    optimal_transfer_blocks: int


@dataclass(frozen=True, slots=True)
class Size:
    """The largest size of one command, and the limit that determines this size."""

    descriptors: int
    blocks: int
    because: str


def read_page_list(reply: bytes) -> list[int]:
    """Return the pages listed in the first 255 bytes of VPD page 00h. Raises Declined."""
    if len(reply) < PAGE_HEADER_BYTES:
        raise Declined(Rule.NO_PAGE_LIST, f"{len(reply)} bytes")
    length = int.from_bytes(reply[2:4], "big")
    listed = list(reply[PAGE_HEADER_BYTES : PAGE_HEADER_BYTES + min(length, LISTED_PAGES_SEEN)])
    if not listed or listed[0] != 0 or any(one >= two for one, two in pairwise(listed)):
        raise Declined(Rule.PAGE_LIST_ORDER, bytes(listed).hex(" "))
    return listed


def read_capability(reply: bytes) -> Capability:
    """Read VPD page 8Fh. Windows uses only the first descriptor of this page. Raises Declined."""
    if len(reply) < PAGE_HEADER_BYTES:
        raise Declined(Rule.NO_COPY_PAGE, f"{len(reply)} bytes")
    if int.from_bytes(reply[2:4], "big") < MIN_PAGE_LENGTH or len(reply) < PAGE_HEADER_BYTES + MIN_PAGE_LENGTH:
        raise Declined(Rule.COPY_PAGE_LENGTH, f"page length {int.from_bytes(reply[2:4], 'big'):02X}h, {len(reply)} bytes")
    first = reply[PAGE_HEADER_BYTES:]
    kind, length = int.from_bytes(first[:2], "big"), int.from_bytes(first[2:4], "big")
    if kind != ROD_TOKEN_LIMITS:
        raise Declined(Rule.FIRST_DESCRIPTOR_TYPE, f"type {kind:04X}h")
    if length != ROD_TOKEN_LIMITS_BYTES:
        raise Declined(Rule.FIRST_DESCRIPTOR_LENGTH, f"{length:02X}h")
    return Capability(
        max_range_descriptors=int.from_bytes(first[10:12], "big"),
        max_inactivity_timeout_s=int.from_bytes(first[12:16], "big"),
        default_inactivity_timeout_s=int.from_bytes(first[16:20], "big"),
        max_token_transfer_blocks=int.from_bytes(first[20:28], "big"),
        optimal_transfer_blocks=int.from_bytes(first[28:36], "big"),
    )


def populate_size(capability: Capability, settings: WindowsSettings) -> Size:
    """Return the size of the largest POPULATE TOKEN. OPTIMAL TRANSFER COUNT is ignored if a token lifetime is requested."""
    limits = _maximum(capability)
    if capability.optimal_transfer_blocks and not settings.token_lifetime_s:
        limits.append((capability.optimal_transfer_blocks, "OPTIMAL TRANSFER COUNT"))
    blocks, because = min(limits)
    return Size(_descriptors(capability, POPULATE_HEADER_BYTES, settings), blocks, because)


def write_size(capability: Capability, block_bytes: int, settings: WindowsSettings) -> Size:
    """Return the size of the largest WRITE USING TOKEN."""
    limits = _maximum(capability)
    optimum_blocks = capability.optimal_transfer_blocks
    if not optimum_blocks:
        limits.append((settings.write_bytes_without_optimum // block_bytes, "no OPTIMAL TRANSFER COUNT"))
    elif optimum_blocks < LARGE_OPTIMUM_BYTES // block_bytes:
        limits.append((optimum_blocks, "OPTIMAL TRANSFER COUNT"))
    else:
        limits.append((settings.max_write_bytes // block_bytes, "the largest WRITE USING TOKEN"))
    blocks, because = min(limits)
    return Size(_descriptors(capability, WRITE_HEADER_BYTES, settings), blocks, because)


def information_after_write_bytes(capability: Capability, settings: WindowsSettings) -> int:
    """Return the ALLOCATION LENGTH of RECEIVE ROD TOKEN INFORMATION after WRITE USING TOKEN. Windows uses the size of its whole
    buffer for token commands.
    """
    wanted = WRITE_HEADER_BYTES + RANGE_DESCRIPTOR_BYTES * capability.max_range_descriptors
    if not capability.max_range_descriptors:
        wanted = MAX_PARAMETER_LIST_BYTES
    return min(max(wanted, MIN_INFORMATION_AFTER_WRITE_BYTES), MAX_PARAMETER_LIST_BYTES, settings.adapter_transfer_bytes)


def _maximum(capability: Capability) -> list[tuple[int, str]]:
    if capability.max_token_transfer_blocks:
        return [(capability.max_token_transfer_blocks, "MAXIMUM TOKEN TRANSFER SIZE")]
    return [(UNLIMITED_BLOCKS, "no limit reported")]


def _descriptors(capability: Capability, header_bytes: int, settings: WindowsSettings) -> int:
    buffer_bytes = min(MAX_PARAMETER_LIST_BYTES, settings.adapter_transfer_bytes)
    limits = [settings.max_descriptors, (buffer_bytes - header_bytes) // RANGE_DESCRIPTOR_BYTES]
    if capability.max_range_descriptors:
        limits.append(capability.max_range_descriptors)
    return min(limits)
