"""The compression codecs of the log. No other module of the store imports a library that compresses data."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

import lz4.block
import zstandard

from odx_target.environment import Buffer

ZSTANDARD_LEVEL = 3
"""Compression level of zstandard. Higher levels take several times as long, and save only a few per cent more."""


class Codec(IntEnum):
    """The codecs. The value of each codec is its number in the log."""

    LZ4 = 1
    """An LZ4 block without its size."""
    ZSTANDARD = 2
    """One zstandard frame whose header contains the size of the content."""


class InvalidData(Exception):
    """The compressed data is not valid, or its content does not have the expected size."""


class _Functions(NamedTuple):
    compress: Callable[[Buffer], bytes]
    decompress: Callable[[Buffer, int], bytes]


def compress(codec: Codec, data: Buffer) -> bytes:
    return _FUNCTIONS[codec].compress(data)


def decompress(codec: Codec, data: Buffer, size_bytes: int) -> bytes:
    """Decompress `data`, whose content must have exactly `size_bytes` bytes. Damaged data cannot make this function take more
    memory.

    Raises InvalidData.
    """
    content = _FUNCTIONS[codec].decompress(data, size_bytes)
    if len(content) != size_bytes:
        raise InvalidData(f"{len(content)} bytes instead of {size_bytes}")
    return content


def _compress_lz4(data: Buffer) -> bytes:
    return bytes(lz4.block.compress(data, store_size=False))


def _decompress_lz4(data: Buffer, size_bytes: int) -> bytes:
    try:
        return bytes(lz4.block.decompress(data, uncompressed_size=size_bytes))
    except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
        raise InvalidData(str(error)) from error


def _compress_zstandard(data: Buffer) -> bytes:
    return zstandard.ZstdCompressor(level=ZSTANDARD_LEVEL, write_content_size=True).compress(data)


def _decompress_zstandard(data: Buffer, size_bytes: int) -> bytes:
    try:
        # The library allocates the size that the frame announces, so this size must be checked first.
        announced_bytes = zstandard.frame_content_size(data)
        if announced_bytes != size_bytes:
            raise InvalidData(f"a frame of {announced_bytes} bytes instead of {size_bytes}")
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise InvalidData(str(error)) from error


_FUNCTIONS: Mapping[Codec, _Functions] = {
    Codec.LZ4: _Functions(_compress_lz4, _decompress_lz4),
    Codec.ZSTANDARD: _Functions(_compress_zstandard, _decompress_zstandard),
}
