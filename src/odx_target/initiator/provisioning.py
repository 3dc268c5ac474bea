"""Unused blocks that a logical unit reports: READ CAPACITY (16) and GET LBA STATUS (SBC-3 5.16, 5.6)."""

from odx_target.environment import Buffer
from odx_target.initiator.errors import BadAnswer

DEALLOCATED = 1
"""Provisioning status of blocks that the logical unit does not store (SBC-3 table 37)."""


def read_thin_provisioning(data: Buffer) -> bool:
    """True if READ CAPACITY (16) data has the bits LBPME and LBPRZ: the logical unit may have deallocated blocks, and they read
    as zeros. Raises BadAnswer.
    """
    if len(data) < 15:
        raise BadAnswer(f"READ CAPACITY (16) data of {len(data)} bytes")
    return data[14] & 0xC0 == 0xC0


def read_provisioning_status(data: Buffer, lba: int) -> tuple[int, bool]:
    """Read the first descriptor of GET LBA STATUS data, which must contain `lba`.

    Returns the number of blocks from `lba` on with the same status, and True if they are deallocated. Raises BadAnswer.
    """
    body = bytes(data)
    if len(body) < 24:
        raise BadAnswer(f"GET LBA STATUS data of {len(body)} bytes")
    first, count_blocks = int.from_bytes(body[8:16], "big"), int.from_bytes(body[16:20], "big")
    if not first <= lba < first + count_blocks:
        raise BadAnswer(f"GET LBA STATUS for block {lba} gave {count_blocks} blocks from {first} on")
    return first + count_blocks - lba, body[20] & 0xF == DEALLOCATED
