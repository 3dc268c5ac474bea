"""Functions for lists of buffers that together contain the data of a command, and reads of bytes at any offset of a volume."""

from collections.abc import Sequence

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, BlockSource

ZERO_BLOCK = bytes(BLOCK_BYTES)


def buffers_bytes(data: Sequence[Buffer]) -> int:
    """Return the total length of the buffers in bytes."""
    return len(data[0]) if len(data) == 1 else sum(len(part) for part in data)


def slice_buffers(data: Sequence[Buffer], skip_bytes: int, size_bytes: int) -> list[Buffer]:
    """Return views of `size_bytes` bytes of the data, beginning at offset `skip_bytes`. The data is all buffers, one after the
    other.
    """
    if len(data) == 1 and skip_bytes < len(data[0]) and size_bytes > 0:
        return [memoryview(data[0])[skip_bytes : skip_bytes + size_bytes]]
    pieces: list[Buffer] = []
    for part in data:
        if skip_bytes >= len(part):
            skip_bytes -= len(part)
            continue
        if size_bytes <= 0:
            break
        piece = memoryview(part)[skip_bytes : skip_bytes + size_bytes]
        skip_bytes = 0
        size_bytes -= len(piece)
        pieces.append(piece)
    return pieces


def read_bytes_now(source: BlockSource, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:
    """Read bytes of `source`, beginning at any offset. Returns None if the disk must be read. Raises DamagedBlock."""
    block, skip_bytes = divmod(offset_bytes, BLOCK_BYTES)
    data = source.read_now(block, -(-(skip_bytes + size_bytes) // BLOCK_BYTES))
    return None if data is None else slice_buffers(data, skip_bytes, size_bytes)


async def read_bytes(source: BlockSource, offset_bytes: int, size_bytes: int) -> list[Buffer]:
    """Read as `read_bytes_now` does, but wait for the disk if necessary."""
    block, skip_bytes = divmod(offset_bytes, BLOCK_BYTES)
    data = await source.read(block, _blocks_for(skip_bytes + size_bytes))
    return slice_buffers(data, skip_bytes, size_bytes)


def _blocks_for(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES)
