"""The chain of batches: each header contains the checksum of the header before it."""

from collections.abc import Sequence

from odx_target.environment import Buffer
from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import CONTINUED, SHARED, Position, encode_header
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.open_batch import Part

_encode = encode_header if NATIVE is None else NATIVE.encode_header


class Chain:
    """Writes batches to their segments, and links each header to the header before it. The first batch follows the position
    `start`.
    """

    def __init__(self, pool_identity: bytes, epoch: int, flusher: Flusher, start: Position) -> None:
        self._pool_identity = pool_identity
        self._epoch = epoch
        self._flusher = flusher
        self._start = start
        self._last: Part | None = None
        self._checksum = start.checksum

    @property
    def position(self) -> Position:
        """Position in the log after the last batch whose header has been made."""
        part = self._last
        if part is None:
            return self._start
        end = part.block + part.header_blocks + part.count_blocks
        osn = part.first_osn + len(part.records)
        return Position(part.segment.number, end, osn, self._checksum, self._epoch, part.next_slot)

    def write(self, parts: Sequence[Part]) -> None:
        """Write the batches of one commit. All batches in one segment are written with one call. A shared header is written
        after them, because the commit is then in the log. Raises OSError.
        """
        first = start = parts[0]
        if len(parts) == 1:
            header = self._header(first)
            if first.slot:
                first.segment.write(first.block, first.data)
                first.segment.write_at(first.slot, [header])
            else:
                first.segment.write(first.block, [header, *first.data])
            self._flusher.dirty.add(first.segment)
            return
        run: list[Buffer] = []
        for part in parts:
            header = self._header(part, CONTINUED if part is not parts[-1] else 0)
            if part.segment is not start.segment:
                start.segment.write(start.block, run)
                self._flusher.dirty.add(start.segment)
                start, run = part, []
            run += part.data if part.slot else [header, *part.data]
        start.segment.write(start.block, run)
        self._flusher.dirty.add(start.segment)
        if first.slot:
            first.segment.write_at(first.slot, [self._header(first)])

    def _header(self, part: Part, flags: int = 0) -> bytearray:
        """Return the header of a batch. If a write of the batch has failed before, return the header that was made then."""
        if part.header is not None:
            return part.header
        header_block, blocks = part.block, part.header_blocks
        if part.slot:
            header_block = part.slot // BLOCK_BYTES
            blocks, flags = part.block - header_block, flags | SHARED
        header, self._checksum = _encode(
            self._pool_identity,
            self._epoch,
            part.segment.number,
            header_block,
            part.first_osn,
            self._flusher.durable_osn,
            self._checksum,
            flags,
            part.records,
            part.checksums,
            blocks,
        )
        self._last = part
        part.header = header
        return header
