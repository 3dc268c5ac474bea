"""The content of the virtual disks of `odx-target esxi-copy`: their place on the disks, the pattern, and the comparison."""

from odx_target.cli.failure import CommandFailure
from odx_target.cli.text.pattern import pattern
from odx_target.cli.text.progress_bar import bar
from odx_target.cli.text.sizes import size
from odx_target.initiator.copying.copy_plan import Span
from odx_target.initiator.esxi.disk import Place
from odx_target.initiator.esxi.parts import divided, each_part
from odx_target.initiator.esxi.virtual_disk_copy import LOCK_BLOCKS
from odx_target.initiator.session.together import run_together

IO_BYTES = 256 << 10
"""Size of a read or write for the pattern and for the comparison."""
DEPTH = 8
"""Number of reads or writes that are under way at once."""


def check_room(place: Place, size_bytes: int) -> None:
    """Raise CommandFailure if the disk has no room for a virtual disk of this size."""
    end, capacity = place.lba_at(size_bytes), place.disk.unit.capacity_blocks
    if end > capacity:
        room = size(capacity * place.disk.block_bytes)
        raise CommandFailure(f"{place.disk.name} ({room}) has no room for the virtual disk up to block {end}")


def overlap(source: Place, destination: Place, size_bytes: int) -> bool:
    """True if both virtual disks have a block in common."""
    if source.disk is not destination.disk:
        return False
    return abs(source.lba - destination.lba) * source.disk.block_bytes < size_bytes


def locks_beside(source: Place, destination: Place, size_bytes: int) -> int | None:
    """Return the first of two consecutive blocks that belong to neither virtual disk; None if there is no room."""
    disk = destination.disk
    taken = [range(place.lba, place.lba_at(size_bytes)) for place in (source, destination) if place.disk is disk]
    for lba in [blocks.stop for blocks in taken] + [blocks.start - LOCK_BLOCKS for blocks in taken]:
        is_free = all(lba + LOCK_BLOCKS <= blocks.start or blocks.stop <= lba for blocks in taken)
        if is_free and 0 <= lba <= disk.unit.capacity_blocks - LOCK_BLOCKS:
            return lba
    return None


async def fill(place: Place, size_bytes: int) -> None:
    """Write the pattern to a virtual disk. Raises InitiatorError."""
    with bar("fill", size_bytes) as show:

        async def write(part: Span) -> None:
            await place.disk.write(place.lba_at(part.start_bytes), pattern(part.start_bytes, part.size_bytes))
            show(part.size_bytes)

        await each_part(divided([Span(0, size_bytes)], IO_BYTES), write, DEPTH, run_together)


async def differs_at(source: Place, destination: Place, written_bytes: int, size_bytes: int) -> int | None:
    """Return the position of the first read that finds a difference; None if the copy is right. Raises InitiatorError.

    The first `written_bytes` bytes must be equal to the source, and the bytes after them up to `size_bytes` must be zeros.
    """
    differing: list[int] = []
    with bar("compare", size_bytes) as show:

        async def compare(part: Span) -> None:
            count_blocks = part.size_bytes // destination.disk.block_bytes
            found = bytes(await destination.disk.read(destination.lba_at(part.start_bytes), count_blocks))
            wanted = bytes(part.size_bytes)
            if part.start_bytes < written_bytes:
                count_blocks = part.size_bytes // source.disk.block_bytes
                wanted = bytes(await source.disk.read(source.lba_at(part.start_bytes), count_blocks))
            if found != wanted:
                differing.append(part.start_bytes)
            show(part.size_bytes)

        spans = [Span(0, written_bytes), Span(written_bytes, size_bytes)]
        await each_part(divided(spans, IO_BYTES), compare, DEPTH, run_together)
    return min(differing, default=None)
