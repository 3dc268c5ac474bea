"""The limits for token copy that a logical unit reports in VPD page 8Fh (SPC-4 7.8.17, SBC-3 6.5.6). A host derives the sizes
of its commands from these limits.
"""

from dataclasses import dataclass, replace

from odx_target.initiator.cdb import POPULATE_TOKEN, THIRD_PARTY_COPY_OUT, WRITE_USING_TOKEN

ROD_TOKEN_LIMITS = 0x0000
SUPPORTED_COMMANDS = 0x0001
ROD_TOKEN_FEATURES = 0x0106
ROD_TOKEN_LIMITS_BYTES = 0x20
NO_LIMIT = 0xFFFFFFFFFFFFFFFF

MAX_HOST_RANGES = 64
"""Maximum number of range descriptors in a command. The class driver of Windows never sends more descriptors. Therefore most
targets were never tested with more.
"""
MAX_RANGE_BLOCKS = 0xFFFFFFFF
"""Maximum number of blocks in a range descriptor: NUMBER OF LOGICAL BLOCKS is a 32-bit field."""
MAX_WRITE_BYTES = 256 << 20
"""Size of the largest WRITE USING TOKEN. Windows uses the same size, so that each command ends within 4 s."""
DEFAULT_WRITE_BYTES = 64 << 20
"""Size of the largest WRITE USING TOKEN for a target that reports no OPTIMAL TRANSFER COUNT."""
DEFAULT_TOKEN_BYTES = 256 << 20
"""Size that the host requests for one token if the target reports no limit. The copy engine of Windows requests the same size.
"""


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """The limits that page 8Fh reports. A value of 0 means that the limit is not reported.

    Windows ignores the limits if `is_first` is False. `is_first` is True only if both conditions hold: the limits are in the
    first descriptor of the page, and this descriptor has the length that SBC-3 specifies.
    """

    max_range_descriptors: int = 0
    max_inactivity_timeout_s: int = 0
    default_inactivity_timeout_s: int = 0
    max_token_transfer_blocks: int = 0
    optimal_transfer_blocks: int = 0
    max_rod_bytes: int = 0
    remote_tokens: int = 0
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, and the reason for it."""

    value: int
    because: str


def descriptors(page: bytes) -> list[tuple[int, bytes]]:
    """Return the type and the content of each third-party copy descriptor in the body of page 8Fh."""
    found, position = [], 0
    while position + 4 <= len(page):
        kind = int.from_bytes(page[position : position + 2], "big")
        length = int.from_bytes(page[position + 2 : position + 4], "big")
        found.append((kind, page[position + 4 : position + 4 + length]))
        position += 4 + length
    return found


def read_copy_limits(page: bytes) -> tuple[CopyLimits | None, str]:
    """Read the body of page 8Fh.

    Returns the limits and an empty text. If the logical unit cannot copy by token, returns None and a short reason.
    """
    found = descriptors(page)
    by_type = dict(reversed(found))
    limits = by_type.get(ROD_TOKEN_LIMITS)
    if limits is None:
        return None, "VPD page 8Fh has no block device ROD token limits"
    if len(limits) < ROD_TOKEN_LIMITS_BYTES:
        return None, "the block device ROD token limits in VPD page 8Fh are cut short"
    if not _lists_token_commands(by_type.get(SUPPORTED_COMMANDS)):
        return None, "VPD page 8Fh does not list POPULATE TOKEN and WRITE USING TOKEN"
    is_first = found[0] == (ROD_TOKEN_LIMITS, limits) and len(limits) == ROD_TOKEN_LIMITS_BYTES
    return _with_features(_read_limits(limits, is_first=is_first), by_type.get(ROD_TOKEN_FEATURES, b"")), ""


def _read_limits(body: bytes, *, is_first: bool) -> CopyLimits:
    return CopyLimits(
        max_range_descriptors=int.from_bytes(body[6:8], "big"),
        max_inactivity_timeout_s=int.from_bytes(body[8:12], "big"),
        default_inactivity_timeout_s=int.from_bytes(body[12:16], "big"),
        max_token_transfer_blocks=int.from_bytes(body[16:24], "big"),
        optimal_transfer_blocks=int.from_bytes(body[24:32], "big"),
        is_first=is_first,
    )


def _lists_token_commands(body: bytes | None) -> bool:
    """True if the supported commands descriptor lists POPULATE TOKEN and WRITE USING TOKEN. If `body` is None, the page has no
    such descriptor, and the result is True.
    """
    if body is None:
        return True
    entries, position = body[1 : 1 + body[0]] if body else b"", 0
    listed: set[tuple[int, int]] = set()
    while position + 2 <= len(entries):
        count = entries[position + 1]
        listed.update((entries[position], action) for action in entries[position + 2 : position + 2 + count])
        position += 2 + count
    return {(THIRD_PARTY_COPY_OUT, POPULATE_TOKEN), (THIRD_PARTY_COPY_OUT, WRITE_USING_TOKEN)} <= listed


def _with_features(limits: CopyLimits, body: bytes) -> CopyLimits:
    """Add two values of the ROD token features descriptor to the limits: support of remote tokens, and maximum size of a block
    ROD.
    """
    if not body:
        return limits
    limits, position = replace(limits, remote_tokens=body[0] & 0xF), 44
    while position + 4 <= len(body):
        length = int.from_bytes(body[position + 2 : position + 4], "big")
        entry = body[position : position + 4 + length]
        if entry[0] & 0x1F == 0 and len(entry) >= 16:
            max_bytes = int.from_bytes(entry[8:16], "big")
            return replace(limits, max_rod_bytes=0 if max_bytes == NO_LIMIT else max_bytes)
        position += 4 + length
    return limits


def range_count_limit(limits: CopyLimits) -> Limit:
    """Return the limit for the number of range descriptors in a command."""
    if 0 < limits.max_range_descriptors < MAX_HOST_RANGES:
        return Limit(limits.max_range_descriptors, "MAXIMUM RANGE DESCRIPTORS")
    return Limit(MAX_HOST_RANGES, "no host sends more range descriptors")


def range_length_limit(limits: CopyLimits, block_bytes: int, max_transfer_blocks: int) -> Limit:
    """Return the limit for the number of blocks in one range descriptor.

    MAXIMUM TRANSFER LENGTH of the Block Limits page applies only if the ROD token features descriptor reports no limit (SBC-3
    5.12.2).
    """
    if limits.max_rod_bytes:
        rod_blocks = limits.max_rod_bytes // block_bytes
        return min(Limit(rod_blocks, "MAXIMUM BYTES IN BLOCK ROD"), _FIELD, key=_value)
    if max_transfer_blocks:
        return Limit(max_transfer_blocks, "MAXIMUM TRANSFER LENGTH of VPD page B0h")
    return _FIELD


def token_limit(limits: CopyLimits, block_bytes: int, *, inactivity_timeout_s: int = 0) -> Limit:
    """Return the limit in blocks for one POPULATE TOKEN. As in Windows, OPTIMAL TRANSFER COUNT is ignored if an inactivity
    timeout is requested.
    """
    found = _command_limits(limits, block_bytes)
    if limits.optimal_transfer_blocks and not inactivity_timeout_s:
        found.append(Limit(limits.optimal_transfer_blocks, "OPTIMAL TRANSFER COUNT"))
    return min(found or [Limit(DEFAULT_TOKEN_BYTES // block_bytes, "no limit reported")], key=_value)


def write_limit(limits: CopyLimits, block_bytes: int) -> Limit:
    """Return the limit in blocks for one WRITE USING TOKEN."""
    found = _command_limits(limits, block_bytes)
    if limits.optimal_transfer_blocks:
        found.append(Limit(limits.optimal_transfer_blocks, "OPTIMAL TRANSFER COUNT"))
        found.append(Limit(MAX_WRITE_BYTES // block_bytes, "256 MiB for each command"))
    else:
        found.append(Limit(DEFAULT_WRITE_BYTES // block_bytes, "64 MiB for each command if no optimum is reported"))
    return min(found, key=_value)


def _command_limits(limits: CopyLimits, block_bytes: int) -> list[Limit]:
    found = []
    if limits.max_token_transfer_blocks:
        found.append(Limit(limits.max_token_transfer_blocks, "MAXIMUM TOKEN TRANSFER SIZE"))
    if limits.max_rod_bytes:
        found.append(Limit(limits.max_rod_bytes // block_bytes, "MAXIMUM BYTES IN BLOCK ROD"))
    return found


def _value(limit: Limit) -> int:
    return limit.value


_FIELD = Limit(MAX_RANGE_BLOCKS, "a range descriptor counts in 32 bits")
