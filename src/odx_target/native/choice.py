"""The choice between the native module and the Python code that defines its behaviour.

`NATIVE` is None if the installation has no native module, if the module lacks a part or is older than the sources beside it,
or if the environment variable `ODX_NATIVE` is `0`. Python code then does all the work.
"""

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from odx_target.environment import Buffer


class BlockReader(Protocol):
    """Reads blocks without waiting, if they are usual. See `block_reader.c`."""

    def read_now(self, block_map: object, block: int, count_blocks: int, /) -> bytearray | None:
        """Return the content of blocks of a map, or None if some blocks are not usual or not in the map."""

    def view_now(self, block_map: object, offset_bytes: int, size_bytes: int, /) -> list[memoryview] | None:
        """Return views of mapped segments with the bytes of a range, or None if `read_now` must be used. The views must only be
        passed to a socket, or to `Native.copy_if_view`.
        """

    def gather_now(self, segment: int, runs: Sequence[tuple[int, ...]], /) -> bytearray | None:
        """Return the blocks of some runs (block, count_blocks, ...) of a segment, one run after the other. Return None if some
        blocks are not usual.
        """


class BlockWriter(Protocol):
    """Writes blocks into the open batch of a log, if the write is usual. See `writes/block_writer.c`."""

    def write_now(self, block_map: object, volume: int, block: int, data: Buffer, /) -> bool:
        """Write whole blocks of the volume with a map. Return False if the write is not usual or must wait; nothing has changed
        then. Raises what the check for room raises, except that a write must wait.
        """

    def write_bytes_now(self, reader: BlockReader, block_map: object, volume: int, offset_bytes: int, data: Buffer, /) -> bool:
        """Write bytes at any offset, as `write_now` writes blocks. The reader reads the rest of the first and last block."""


class BatchWriter(Protocol):
    """Commits the open batch of a log, if it is usual. See `writes/batch_writer.c`."""

    def commit_now(self) -> bool:
        """Write the open batch. Return False if it is not usual, and must be written in Python."""


class SegmentMapping(Protocol):
    """The mapped file of a segment. See `segment_mapping.c`."""

    @property
    def has_views(self) -> bool:
        """True while there are views of the mapping, which are being sent."""

    @property
    def is_writable(self) -> bool:
        """True if `write_now` may succeed."""

    @property
    def size_bytes(self) -> int: ...

    def populate(self) -> None:
        """Map all pages of the file for writes, so that the first write to each page is fast. No other thread may use the
        mapping meanwhile.
        """

    def write_now(self, offset_bytes: int, buffers: list[Buffer], /) -> bool:
        """Copy buffers to the file, one after the other. Return False if a page is missing, or if the mapping is too short,
        not writable or closed. Some buffers may have been copied then.
        """

    def close(self) -> None:
        """Unmap the file when there is no view of it. Later reads do not use the mapping. A second call does nothing."""


class DirectMember(Protocol):
    """A connection as the hub serves it. See `passes/direct_member.c`."""

    def receive_now(self) -> bool: ...

    def send_now(self) -> None: ...

    def fail(self, error: Exception, /) -> None: ...


class Crc32c(Protocol):
    """A function that returns a CRC32C."""

    def __call__(self, data: Buffer, checksum: int = 0, /) -> int:
        """Return the CRC32C of the bytes that have the CRC32C `checksum`, or 0 if there are none, together with `data`."""


@dataclass(frozen=True)
class Native:
    """The functions of the native module.

    `block_reader` makes a reader of the segments with the given type, `block_writer` a writer into the open batch, and
    `batch_writer` a writer of the open batch of a `Log`. The last argument of the first two is the number of bits of a block
    number in a leaf. `block_checksums` returns the CRC32C of each block of a buffer. `copy_if_view` returns a copy of a view of
    a mapped segment, and any other buffer itself; it raises OSError if the file has been cut. `direct_member` makes a member of
    the hub from the parts of a connection (see `ReceiveLoop._direct_member`), and `end_batch` is `BatchTally.end`.
    `encode_header` is the function in `store/log/batch.py`, and `execute_usual` is `ShortLane.execute_usual`. `place_runs`
    stores consecutive places, from a given one on, in the cells of the blocks of runs (block, count_blocks, ...), and returns
    the number of blocks. `segment_mapping` maps the first bytes of the file of a descriptor, if its last argument is True also
    for writes, and raises OSError.
    """

    block_reader: Callable[[Mapping[int, object], Mapping[int, object], object, type, int], BlockReader]
    block_writer: Callable[[object, Callable[[int], None], type[Exception], object, int], BlockWriter]
    batch_writer: Callable[[object], BatchWriter]
    block_checksums: Callable[[Buffer], list[int]]
    crc32c: Crc32c
    encode_header: Callable[[bytes, int, int, int, int, int, int, int, list[bytes], "array[int]", int], tuple[bytearray, int]]
    copy_if_view: Callable[[Buffer], Buffer]
    execute_usual: Callable[[object, memoryview, int, int], tuple[int, int]]
    direct_member: Callable[..., DirectMember]
    place_runs: Callable[[object, Sequence[tuple[int, ...]], int], int]
    end_batch: Callable[[object], None]
    segment_mapping: Callable[[int, int, bool], SegmentMapping]


def _load() -> Native | None:
    if os.environ.get("ODX_NATIVE") == "0":
        return None
    try:
        from odx_target.native import compiled
        from odx_target.native.compiled import (
            BatchWriter,
            BlockReader,
            BlockWriter,
            DirectMember,
            SegmentMapping,
            block_checksums,
            copy_if_view,
            crc32c,
            encode_header,
            end_batch,
            execute_usual,
            place_runs,
        )
    except ImportError:  # There is no module, or it was built from older sources and has fewer parts.
        return None
    if _is_outdated(Path(compiled.__file__)):
        return None
    return Native(
        block_reader=BlockReader,
        block_writer=BlockWriter,
        batch_writer=BatchWriter,
        block_checksums=block_checksums,
        crc32c=crc32c,
        encode_header=encode_header,
        copy_if_view=copy_if_view,
        execute_usual=execute_usual,
        direct_member=DirectMember,
        place_runs=place_runs,
        end_batch=end_batch,
        segment_mapping=SegmentMapping,
    )


def _is_outdated(module: Path) -> bool:
    """True if a source beside the module has changed since the module was built. A wheel contains no sources."""
    built_s = module.stat().st_mtime
    return any(source.stat().st_mtime > built_s for source in module.parent.rglob("*.[ch]"))


NATIVE = _load()
