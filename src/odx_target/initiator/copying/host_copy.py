"""Copying by the host's reads and writes, with several pieces under way at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from odx_target.environment import Buffer
from odx_target.initiator.copying.copy_plan import CopyPlan, Span
from odx_target.initiator.disk import Disk
from odx_target.initiator.result import Job, Together

DEPTH = 8
"""Number of pieces under way at once. With this number, reads continue while writes wait for the network, and writes continue
while reads wait."""
MAX_PIECE_BYTES = 1 << 20
MIN_PIECE_BYTES = 256 << 10
"""Smallest size of a piece. With smaller pieces the cost of each command would be noticeable. Pieces are smaller only if the
limits of a target require it."""
DEFAULT_PIECE_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class HostCopy:
    """A copy by the host's reads and writes.

    `on_progress` is called with the size in bytes of each piece that has been written. `together` runs jobs concurrently.
    """

    source: Disk
    destination: Disk
    plan: CopyPlan
    together: Together
    on_progress: Callable[[int], None]
    depth: int = DEPTH

    async def run(self, spans: Sequence[Span]) -> None:
        """Copy the spans. If source and destination overlap, the data is copied in the order that the plan defines. Raises
        InitiatorError. After an error, any part of the copy may have been written.
        """
        pieces = (piece for span in spans for piece in self._pieces(span))
        if self.plan.distance_bytes:
            await self._run_in_steps(pieces)
        else:
            await self.together([lambda: self._work(pieces)] * self.depth)

    async def _work(self, pieces: Iterator[Span]) -> None:
        """Copy pieces until there are no more. All workers share one iterator."""
        for piece in pieces:
            await self._write(piece, await self._read(piece))

    async def _run_in_steps(self, pieces: Iterator[Span]) -> None:
        """Copy between overlapping ranges: read several pieces completely before any of these pieces is written."""
        while batch := [piece for _, piece in zip(range(self.depth), pieces, strict=False)]:
            held: dict[Span, Buffer] = {}

            def reading(piece: Span, held: dict[Span, Buffer] = held) -> Job:
                async def read() -> None:
                    held[piece] = await self._read(piece)

                return read

            await self.together([reading(piece) for piece in batch])
            await self.together([self._writing(piece, held[piece]) for piece in batch])

    def _writing(self, piece: Span, data: Buffer) -> Job:
        return lambda: self._write(piece, data)

    async def _read(self, piece: Span) -> Buffer:
        block_bytes = self.source.block_bytes
        lba = self.plan.source_lba + piece.start_bytes // block_bytes
        return await self.source.read_blocks(lba, piece.size_bytes // block_bytes)

    async def _write(self, piece: Span, data: Buffer) -> None:
        await self.destination.write_blocks(self.plan.destination_lba + piece.start_bytes // self.destination.block_bytes, data)
        self.on_progress(piece.size_bytes)

    def _pieces(self, span: Span) -> Iterator[Span]:
        size_bytes = piece_bytes(self.source, self.destination, self.plan)
        starts = range(span.start_bytes, span.end_bytes, size_bytes)
        for start in reversed(starts) if self.plan.backwards else starts:
            yield Span(start, min(start + size_bytes, span.end_bytes))


def piece_bytes(source: Disk, destination: Disk, plan: CopyPlan) -> int:
    """Return the size in bytes of one READ and one WRITE. The size is the optimal transfer length of the destination. If this
    length is not suitable, the size is the optimal transfer length of the source, or else `DEFAULT_PIECE_BYTES`. The limits of
    both disks may make the size smaller.
    """
    wanted = DEFAULT_PIECE_BYTES
    maxima = [MAX_PIECE_BYTES]
    for disk in (source, destination):
        optimal_bytes = disk.block_limits.optimal_transfer_blocks * disk.block_bytes
        if MIN_PIECE_BYTES <= optimal_bytes <= MAX_PIECE_BYTES:
            wanted = optimal_bytes
        if disk.block_limits.max_transfer_blocks:
            maxima.append(disk.block_limits.max_transfer_blocks * disk.block_bytes)
    return max(plan.aligned(min(wanted, *maxima)), plan.unit_bytes)
