"""Reads and writes of the content of a LUN from inside the array. No host sees them as commands."""

import random
from collections.abc import Iterator

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, Volume
from odx_target.target.array import Array
from odx_target.target.groups.grouped_luns import Change, check_not_in_group

PIECE_BYTES = 1 << 20
"""Number of bytes that are read or written at once, so that the array serves its hosts in between."""

MAX_CHANGE_BYTES = 16 << 20
"""Maximum number of bytes that are one input of a recorded array. More bytes are several inputs."""


async def read(array: Array, lun: str, offset: int, size_bytes: int | None) -> bytes:
    """Return the bytes of a LUN from `offset` on, up to the end of the LUN if `size_bytes` is None. Raises ValueError."""
    parts = [
        await _read_piece(_volume(array, lun), start, count_bytes)
        for start, count_bytes in _pieces(*_range(array, lun, offset, size_bytes))
    ]
    return b"".join(parts)


async def write(array: Array, lun: str, offset: int, data: Buffer) -> None:
    """Replace bytes of a LUN, and commit the change. Raises ValueError for a range that is not inside the LUN."""
    view = memoryview(data).cast("B")
    _range(array, lun, offset, len(view))
    for begin in range(0, len(view), MAX_CHANGE_BYTES):
        part, at = view[begin : begin + MAX_CHANGE_BYTES], offset + begin
        if array.edge is not None:
            await array.edge.content({"change": "write", "lun": lun, "offset": at}, part)
        for start, count_bytes in _pieces(*_range(array, lun, at, len(part))):
            await _write_piece(array, lun, start, bytes(part[start - at :][:count_bytes]))


async def fill(array: Array, lun: str, pattern: bytes | None, seed: int, offset: int, size_bytes: int | None) -> None:
    """Fill a range of a LUN with a repeated pattern that begins at `offset`. If `pattern` is None, fill it with random bytes
    that depend only on the seed. Raises ValueError.
    """
    if pattern is not None and not pattern:
        raise ValueError("a pattern has at least one byte")
    if pattern is not None and len(pattern) > MAX_CHANGE_BYTES:
        raise ValueError(f"a pattern has at most {MAX_CHANGE_BYTES} bytes, not {len(pattern)}")
    if array.edge is not None:
        values = {
            "change": "fill",
            "lun": lun,
            "seed": seed,
            "offset": offset,
            "size": size_bytes,
            "is_random": pattern is None,
        }
        await array.edge.content(values, pattern or b"")
    source = random.Random(seed)  # noqa: S311 - reproducible data, not a secret
    for start, count_bytes in _pieces(*_range(array, lun, offset, size_bytes)):
        data = source.randbytes(count_bytes) if pattern is None else _repeated(pattern, start - offset, count_bytes)
        await _write_piece(array, lun, start, data)


async def digest(array: Array, lun: str) -> str:
    """Return the digest of the content of a LUN, in hexadecimal."""
    frozen = _volume(array, lun).freeze()
    try:
        return (await frozen.digest()).hex()
    finally:
        frozen.release()


def _repeated(pattern: bytes, begin: int, count_bytes: int) -> bytes:
    """Return bytes of the repeated pattern, from the position `begin` on."""
    phase = begin % len(pattern)
    return (pattern * (-(-(phase + count_bytes) // len(pattern))))[phase : phase + count_bytes]


def _volume(array: Array, lun: str) -> Volume:
    return array.logical_unit_named(lun).volume


def _range(array: Array, lun: str, offset: int, size_bytes: int | None) -> tuple[int, int]:
    """Return the first byte and the number of bytes of a range. Raises ValueError if the range is not inside the LUN."""
    unit = array.logical_unit_named(lun)
    capacity_bytes = unit.capacity_blocks * unit.block_bytes
    size_bytes = capacity_bytes - offset if size_bytes is None else size_bytes
    if offset < 0 or size_bytes < 0 or offset + size_bytes > capacity_bytes:
        raise ValueError(
            f"LUN {lun} has {capacity_bytes} bytes, so bytes {offset} to {offset + size_bytes} are not all inside it"
        )
    return offset, size_bytes


def _pieces(offset: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the first byte and the number of bytes of each piece. All pieces but the first begin at a multiple of the size."""
    end = offset + size_bytes
    while offset < end:
        count_bytes = min(PIECE_BYTES - offset % PIECE_BYTES, end - offset)
        yield offset, count_bytes
        offset += count_bytes


async def _read_piece(volume: Volume, offset: int, count_bytes: int) -> bytes:
    block, before = divmod(offset, BLOCK_BYTES)
    buffers = await volume.read(block, -(-(before + count_bytes) // BLOCK_BYTES))
    return b"".join(buffers)[before : before + count_bytes]


async def _write_piece(array: Array, lun: str, offset: int, data: bytes) -> None:
    """Write bytes. Logical blocks that are only written in part keep their other bytes."""
    unit = array.logical_unit_named(lun)
    check_not_in_group(unit, Change.WRITE)
    lba, before = divmod(offset, unit.block_bytes)
    if before or len(data) % unit.block_bytes:
        count_blocks = -(-(before + len(data)) // unit.block_bytes)
        end = before + len(data)
        await unit.blocks.replace(lba, count_blocks, lambda present: [present[:before], data, present[end:]])
    else:
        await unit.blocks.write(lba, [data])
    await array.pool.committed()
