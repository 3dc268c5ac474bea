"""CRC32C of a buffer: by the native module, or else by the library `crc32c`, which takes longer to load and to call."""

from odx_target.environment import Buffer
from odx_target.native.choice import NATIVE, Crc32c

NATIVE_BLOCK_BYTES = 4096


def _of_library() -> Crc32c:
    from crc32c import crc32c

    return crc32c


crc32c = _of_library() if NATIVE is None else NATIVE.crc32c


def checksums_of_blocks(data: Buffer, block_bytes: int) -> list[int]:
    """Return the CRC32C of each block of a buffer that has whole blocks. The native module has blocks of 4096 bytes."""
    if NATIVE is not None and block_bytes == NATIVE_BLOCK_BYTES:
        return NATIVE.block_checksums(data)
    view = memoryview(data)
    return [crc32c(view[at : at + block_bytes]) for at in range(0, len(view), block_bytes)]
