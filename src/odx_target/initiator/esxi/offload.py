"""Offloaded work on pieces of a virtual disk: copies by EXTENDED COPY, and zeros by WRITE SAME.

If a command fails, the hardware acceleration state becomes "not supported", and the host does the rest of the piece. Later
pieces are not offloaded until the interval of the release has passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from odx_target.initiator import cdb
from odx_target.initiator.copying.copy_plan import Span
from odx_target.initiator.errors import CommandTimedOut
from odx_target.initiator.esxi.acceleration import Acceleration, State
from odx_target.initiator.esxi.disk import EsxiDisk, Place
from odx_target.initiator.esxi.extended_copy import CopySegment, copied_blocks, extended_copy_list
from odx_target.initiator.esxi.host import EsxiHost
from odx_target.initiator.esxi.parts import divided, until_failure
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.esxi.transfer_size import CopySize, receiver_of
from odx_target.initiator.result import Status
from odx_target.initiator.sense import describe_result


@dataclass(slots=True)
class CloneOffload:
    """Copies pieces by EXTENDED COPY. `commands` is the number of commands that were sent."""

    host: EsxiHost
    source: Place
    destination: Place
    size: CopySize
    commands: int = 0

    def may_try(self) -> bool:
        """True if the next piece is offloaded: both disks must support it."""
        return all(may_try(self.host, disk, disk.clone) for disk in self._disks)

    async def do(self, piece: Span) -> list[Span]:
        """Copy a piece, and return the spans that are not copied."""
        parts, settings = list(divided([piece], self.size.command_bytes)), self.host.settings
        remaining = await until_failure(parts, self._copy, settings.queue_depth, self.host.runtime.together)
        for disk in self._disks:
            note_end(self.host, disk.clone, is_good=not remaining)
        return remaining

    def note_piece_by_host(self) -> None:
        for disk in self._disks:
            disk.clone.note_piece_by_host()

    @property
    def _disks(self) -> list[EsxiDisk]:
        return list({id(place.disk): place.disk for place in (self.source, self.destination)}.values())

    async def _copy(self, part: Span) -> int:
        """Copy a part by one command, and return the number of bytes that were certainly copied."""
        receiver = receiver_of(self.source, self.destination, self.host.settings)
        segments = self._segments(part)
        identifier = None if receiver.parameters.no_list_identifier else self.host.list_identifiers.take()
        designators = (self.source.disk.designator, self.destination.disk.designator)
        data = extended_copy_list(*designators, receiver.block_bytes, segments, identifier)
        self.commands += 1
        try:
            result = await receiver.command(cdb.extended_copy(len(data)), data)
        except CommandTimedOut as late:
            receiver.find(Rule.COPY_LATE, str(late), part.start_bytes)
            return 0
        copied_bytes = copied_blocks(result, segments) * receiver.block_bytes
        if result.status != Status.GOOD:
            detail = f"{describe_result(result)}; {copied_bytes} of {part.size_bytes} bytes are copied"
            receiver.find(Rule.COPY_FAILED, detail, part.start_bytes)
        return copied_bytes

    def _segments(self, part: Span) -> Sequence[CopySegment]:
        block_bytes = self.source.disk.block_bytes
        return [
            CopySegment(
                self.source.lba_at(each.start_bytes),
                self.destination.lba_at(each.start_bytes),
                each.size_bytes // block_bytes,
            )
            for each in divided([part], self.size.segment_bytes)
        ]


@dataclass(slots=True)
class ZeroOffload:
    """Zeroes pieces by WRITE SAME. `commands` is the number of commands that were sent."""

    host: EsxiHost
    place: Place
    commands: int = 0

    def may_try(self) -> bool:
        """True if the next piece is offloaded."""
        return may_try(self.host, self.place.disk, self.place.disk.zero)

    async def do(self, piece: Span) -> list[Span]:
        """Zero a piece, and return the spans that may not be zeroed."""
        parts, settings = list(divided([piece], self._command_bytes())), self.host.settings
        remaining = await until_failure(parts, self._zero, settings.queue_depth, self.host.runtime.together)
        note_end(self.host, self.place.disk.zero, is_good=not remaining)
        return remaining

    def note_piece_by_host(self) -> None:
        self.place.disk.zero.note_piece_by_host()

    def _command_bytes(self) -> int:
        disk, wanted_bytes = self.place.disk, self.host.settings.zero_bytes
        max_blocks = disk.unit.block_limits.max_write_same_blocks
        return min(wanted_bytes, max_blocks * disk.block_bytes) if max_blocks else wanted_bytes

    async def _zero(self, part: Span) -> int:
        disk = self.place.disk
        command = cdb.write_same_16(self.place.lba_at(part.start_bytes), part.size_bytes // disk.block_bytes)
        self.commands += 1
        try:
            result = await disk.command(command, bytes(disk.block_bytes))
        except CommandTimedOut as late:
            disk.find(Rule.ZERO_FAILED, str(late), part.start_bytes)
            return 0
        if result.status == Status.GOOD:
            return part.size_bytes
        disk.find(Rule.ZERO_FAILED, describe_result(result), part.start_bytes)
        return 0


def may_try(host: EsxiHost, disk: EsxiDisk, acceleration: Acceleration) -> bool:
    """True if an operation is offloaded. Add a note if it is tried again after a failure."""
    if not acceleration.may_try(host.runtime.now()):
        return False
    if acceleration.state is State.NOT_SUPPORTED:
        acceleration.state = State.UNKNOWN
        disk.find(Rule.OFFLOAD_AGAIN)
    return True


def note_end(host: EsxiHost, acceleration: Acceleration, *, is_good: bool) -> None:
    """Set the hardware acceleration state after a piece."""
    if is_good:
        acceleration.note_success()
    else:
        acceleration.note_failure(host.runtime.now())
