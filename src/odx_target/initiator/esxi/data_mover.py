"""The data mover: it copies and zeroes a virtual disk in pieces. Each piece is offloaded, or done by reads and writes of the
host. If an offload fails in the middle of a piece, the host continues where it ended.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from odx_target.initiator.copying.copy_plan import Span
from odx_target.initiator.esxi.disk import EsxiDisk, Place
from odx_target.initiator.esxi.host import EsxiHost, PieceDone, Work
from odx_target.initiator.esxi.offload import CloneOffload, ZeroOffload
from odx_target.initiator.esxi.parts import divided, each_part


@dataclass(slots=True)
class CopyReport:
    """The number of bytes done in each way, and the numbers of commands of the pieces. `pieces` counts whole pieces of the same
    size and work.
    """

    cloned_bytes: int = 0
    copied_bytes: int = 0
    zeroed_bytes: int = 0
    zeroed_by_writes_bytes: int = 0
    pieces: Counter[tuple[int, Work]] = field(default_factory=Counter)

    @property
    def total_bytes(self) -> int:
        return self.cloned_bytes + self.copied_bytes + self.zeroed_bytes + self.zeroed_by_writes_bytes


@dataclass(slots=True)
class DataMover:
    """Moves the data of one virtual disk. If `clone` is None, nothing is copied by EXTENDED COPY."""

    host: EsxiHost
    source: Place
    destination: Place
    clone: CloneOffload | None
    piece_bytes: int
    report: CopyReport
    _reads: int = 0
    _writes: int = 0
    _number: int = 0

    async def copy(self, span: Span) -> None:
        """Copy a span of the virtual disk. Raises InitiatorError."""
        for piece in divided([span], self.piece_bytes):
            await self._do_piece(piece, self.clone, self._copy_by_host)

    async def zero(self, span: Span) -> None:
        """Zero a span of the destination. Raises InitiatorError."""
        offload = ZeroOffload(self.host, self.destination)
        for piece in divided([span], self.piece_bytes):
            await self._do_piece(piece, offload, self._zero_by_host)

    async def _do_piece(
        self, piece: Span, offload: CloneOffload | ZeroOffload | None, by_host: Callable[[Sequence[Span]], Awaitable[None]]
    ) -> None:
        sent_before, self._reads, self._writes = offload.commands if offload else 0, 0, 0
        remaining = [piece]
        if offload is not None and offload.may_try():
            remaining = await offload.do(piece)
        left_bytes = sum(span.size_bytes for span in remaining)
        self._count(offload, piece.size_bytes - left_bytes)
        if remaining:
            await by_host(remaining)
            if offload is not None:
                offload.note_piece_by_host()
        sent = offload.commands - sent_before if offload else 0
        is_zero = isinstance(offload, ZeroOffload)
        work = Work(0 if is_zero else sent, self._reads, self._writes, sent if is_zero else 0)
        self.report.pieces[piece.size_bytes, work] += 1
        self.host.tell(PieceDone(self.host.runtime.now(), self._number, piece.size_bytes, work))
        self._number += 1

    def _count(self, offload: CloneOffload | ZeroOffload | None, done_bytes: int) -> None:
        if isinstance(offload, ZeroOffload):
            self.report.zeroed_bytes += done_bytes
        else:
            self.report.cloned_bytes += done_bytes

    async def _copy_by_host(self, spans: Sequence[Span]) -> None:
        disks = [self.source.disk, self.destination.disk]
        await self._each_io(spans, disks, self._copy_one)

    async def _zero_by_host(self, spans: Sequence[Span]) -> None:
        await self._each_io(spans, [self.destination.disk], self._zero_one)

    async def _each_io(self, spans: Sequence[Span], disks: Sequence[EsxiDisk], one: Callable[[Span], Awaitable[None]]) -> None:
        settings, runtime = self.host.settings, self.host.runtime
        await each_part(divided(spans, _io_bytes(disks, settings.io_bytes)), one, settings.queue_depth, runtime.together)

    async def _copy_one(self, part: Span) -> None:
        source = self.source.disk
        self._reads += 1
        data = await source.read(self.source.lba_at(part.start_bytes), part.size_bytes // source.block_bytes)
        self._writes += 1
        await self.destination.disk.write(self.destination.lba_at(part.start_bytes), data)
        self.report.copied_bytes += part.size_bytes

    async def _zero_one(self, part: Span) -> None:
        self._writes += 1
        await self.destination.disk.write(self.destination.lba_at(part.start_bytes), bytes(part.size_bytes))
        self.report.zeroed_by_writes_bytes += part.size_bytes


def _io_bytes(disks: Sequence[EsxiDisk], wanted_bytes: int) -> int:
    """Return the size of one read or write: `wanted_bytes`, or less if a disk accepts only shorter transfers."""
    limits = [disk.unit.block_limits.max_transfer_blocks * disk.block_bytes for disk in disks]
    unit_bytes = max(disk.block_bytes for disk in disks)
    shortest = min([wanted_bytes, *(limit for limit in limits if limit)])
    return max(shortest // unit_bytes * unit_bytes, unit_bytes)
