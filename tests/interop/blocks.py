"""Reading and writing of logical blocks through libiscsi, with data that identifies its block."""

import struct

from tests.interop.libiscsi import Initiator

CHUNK_BYTES = 262_144
"""Bytes of data in one command, as Windows uses."""


def pattern(seed: int, lba: int, count_blocks: int, block_bytes: int = 512) -> bytes:
    """Make data of which every 16 bytes contain the seed and the address of the block, so misplaced blocks are detected."""
    return b"".join(struct.pack(">QQ", seed, block) * (block_bytes // 16) for block in range(lba, lba + count_blocks))


def write_blocks(session: Initiator, lun: int, lba: int, data: bytes, block_bytes: int = 512, *, fua: bool = False) -> None:
    """Write in chunks with WRITE(16); asserts that each ends with GOOD."""
    for start in range(0, len(data), CHUNK_BYTES):
        part = data[start : start + CHUNK_BYTES]
        cdb = struct.pack(">BBQIBB", 0x8A, 0x08 * fua, lba + start // block_bytes, len(part) // block_bytes, 0, 0)
        assert session.execute(lun, cdb, data_out=part).outcome == "good"


def read_blocks(session: Initiator, lun: int, lba: int, count_blocks: int, block_bytes: int = 512) -> bytes:
    """Read in chunks with READ(16); asserts that no chunk has a residual count."""
    parts = []
    for start in range(0, count_blocks, CHUNK_BYTES // block_bytes):
        count = min(CHUNK_BYTES // block_bytes, count_blocks - start)
        cdb = struct.pack(">BBQIBB", 0x88, 0, lba + start, count, 0, 0)
        result = session.execute(lun, cdb, data_in_bytes=count * block_bytes)
        assert (result.outcome, result.residual_bytes) == ("good", 0)
        parts.append(result.data_in)
    return b"".join(parts)


def synchronize_cache(session: Initiator, lun: int) -> None:
    """Send SYNCHRONIZE CACHE(10) for the whole unit."""
    assert session.execute(lun, bytes.fromhex("35000000000000000000")).outcome == "good"
