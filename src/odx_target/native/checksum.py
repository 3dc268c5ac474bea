"""CRC32C of a buffer: by the native module, or else by the library `crc32c`, which takes longer to load and to call."""

from odx_target.native.choice import NATIVE, Crc32c


def _of_library() -> Crc32c:
    from crc32c import crc32c

    return crc32c


crc32c = _of_library() if NATIVE is None else NATIVE.crc32c
