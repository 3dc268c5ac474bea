"""A copy of a virtual disk: the locks of its file, the heartbeat of the host, and the work of the data mover."""

from dataclasses import dataclass, field

from odx_target.initiator.copying.copy_plan import Span
from odx_target.initiator.esxi.data_mover import CopyReport, DataMover
from odx_target.initiator.esxi.disk import Place
from odx_target.initiator.esxi.host import EsxiHost
from odx_target.initiator.esxi.locked_block import RELEASE_LIMIT_S, LockedBlock
from odx_target.initiator.esxi.offload import CloneOffload
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.esxi.settings import DiskType
from odx_target.initiator.esxi.transfer_size import copy_size, receiver_of, why_not

LOCK_BLOCKS = 2
"""Number of blocks beside the virtual disk: the heartbeat of the host, and the lock of the file."""


@dataclass(slots=True)
class VirtualDiskCopy:
    """A copy between two virtual disks of the same size. Only the first `written_bytes` bytes of the source were ever written.

    `locks_lba` is the first of two blocks of the destination's disk for the heartbeat and the lock. If it is None, both are
    left out.
    """

    host: EsxiHost
    source: Place
    destination: Place
    size_bytes: int
    written_bytes: int
    locks_lba: int | None
    report: CopyReport = field(default_factory=CopyReport)

    async def run(self) -> CopyReport:
        """Copy the virtual disk. Raises InitiatorError. The locks are given back in every case."""
        if self.locks_lba is None:
            self.destination.disk.find(Rule.NO_ROOM_FOR_LOCKS)
            await self._move()
            return self.report
        heartbeat = LockedBlock(self.destination.disk, self.locks_lba, "heartbeat")
        lock = LockedBlock(self.destination.disk, self.locks_lba + 1, "file lock")

        async def move() -> None:
            await lock.take()
            await self._move()

        async def give_back() -> None:
            await lock.give_back()
            await heartbeat.give_back()

        try:
            await heartbeat.take()
            await self.host.runtime.beside(move, lambda: self._beat(heartbeat))
            await give_back()
        finally:
            await self.host.runtime.to_its_end(give_back, RELEASE_LIMIT_S)
            for block in (lock, heartbeat):
                if block.is_held:
                    self.destination.disk.find(Rule.LOCK_NOT_RELEASED, f"{block.what}, no answer in {RELEASE_LIMIT_S:g} s")
        return self.report

    async def _beat(self, heartbeat: LockedBlock) -> None:
        settings = self.host.settings
        while True:
            await self.host.runtime.sleep(settings.heartbeat_s)
            await heartbeat.change(by_ats=settings.row.beats_by_ats)

    async def _move(self) -> None:
        mover = self._mover()
        await mover.copy(Span(0, self.written_bytes))
        if self.host.settings.destination_type is DiskType.EAGER_ZEROED:
            await mover.zero(Span(self.written_bytes, self.size_bytes))

    def _mover(self) -> DataMover:
        settings, piece_bytes, clone = self.host.settings, self.host.settings.piece_bytes, None
        can_clone = not any(place.disk.clone.is_absent for place in (self.source, self.destination))
        if can_clone and why_not(self.source, self.destination, self.written_bytes, settings) is None:
            size = copy_size(receiver_of(self.source, self.destination, settings), settings)
            clone = CloneOffload(self.host, self.source, self.destination, size)
            piece_bytes = max(piece_bytes, size.command_bytes)
        return DataMover(self.host, self.source, self.destination, clone, piece_bytes, self.report)
