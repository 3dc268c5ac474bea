"""Compression of the data of DATA frames, and its decompression to a size that was announced before."""

from collections.abc import Callable
from enum import StrEnum

import lz4.block
import zstandard

from odx_target.environment import Buffer
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.kinds import NO_FLAGS, Flag
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import CompressionChoice

ZSTANDARD_LEVEL = 1
"""Level of zstandard for links. Higher levels take longer than a link of 1 Gbit/s saves."""

MIN_SAVED_PART = 8
"""Data is sent compressed if this saves at least one of this number of parts."""


class LinkCompression(StrEnum):
    """How a path compresses data."""

    OFF = "off"
    LAN = "lan"
    """LZ4, for links that are faster than zstandard."""
    WAN = "wan"
    """zstandard, for slow links."""


class PathCompression:
    """How the data of a path is compressed now. With `auto`, the path tries both ways, and the faster one is used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def present(self) -> LinkCompression:
        """The compression of the next data."""
        choice = self._path.settings.compression
        if choice is not CompressionChoice.AUTO:
            return LinkCompression(choice.value)
        return LinkCompression.WAN if self._path.trial.uses_other else LinkCompression.LAN

    def note(self, compression: LinkCompression, size_bytes: int, elapsed_s: float) -> None:
        """Note how long it took to compress data, and to wait for the line. `size_bytes` is the size before."""
        if self._path.settings.compression is CompressionChoice.AUTO:
            self._path.trial.note(size_bytes, elapsed_s, is_other=compression is LinkCompression.WAN)


def compress(compression: LinkCompression, content: Buffer) -> tuple[Buffer, Flag]:
    """Compress the blocks of a DATA frame. Returns `content` itself if compression is off, or not worth it."""
    if compression is LinkCompression.OFF:
        return content, NO_FLAGS
    flag, function = _COMPRESS[compression]
    compressed = function(content)  # No part of it is tried first, because random data takes a seventh of the time of a text.
    worth_bytes = len(content) - len(content) // MIN_SAVED_PART
    return (compressed, flag) if len(compressed) <= worth_bytes else (content, NO_FLAGS)


def decompress(flags: Flag, content: Buffer, size_bytes: int) -> Buffer:
    """Return the data of a DATA frame, which must have `size_bytes`. No content can make this function take more memory.

    Raises PeerFault.
    """
    if flags & (Flag.LZ4 | Flag.ZSTANDARD) == Flag.LZ4 | Flag.ZSTANDARD:
        raise PeerFault("the data of a DATA cannot be compressed in two ways")
    try:
        if flags & Flag.LZ4:
            found: Buffer = lz4.block.decompress(content, uncompressed_size=size_bytes)
        elif flags & Flag.ZSTANDARD:
            # The library allocates the size that the frame announces, so this size is checked first.
            if zstandard.frame_content_size(content) != size_bytes:
                raise PeerFault("the compressed data of a DATA announces another size than its blocks have")
            found = zstandard.ZstdDecompressor().decompress(content, allow_extra_data=False)
        else:
            found = content
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError, OverflowError) as error:
        raise PeerFault("the compressed data of a DATA is not valid") from error
    if len(found) != size_bytes:
        raise PeerFault(f"the data of a DATA has {len(found)} bytes instead of {size_bytes}")
    return found


def _lz4(content: Buffer) -> bytes:
    return bytes(lz4.block.compress(content, store_size=False))


def _zstandard(content: Buffer) -> bytes:
    return zstandard.ZstdCompressor(level=ZSTANDARD_LEVEL, write_content_size=True).compress(content)


_COMPRESS: dict[LinkCompression, tuple[Flag, Callable[[Buffer], bytes]]] = {
    LinkCompression.LAN: (Flag.LZ4, _lz4),
    LinkCompression.WAN: (Flag.ZSTANDARD, _zstandard),
}
