"""The files of `odx-target windows-copy`: their place on the disks, their content, and the comparison."""

from functools import partial

from odx_target.cli.failure import CommandFailure
from odx_target.cli.text.pattern import pattern
from odx_target.cli.text.progress_bar import bar
from odx_target.cli.text.sizes import size
from odx_target.initiator.copying.token_commands import BlockRange
from odx_target.initiator.result import Job
from odx_target.initiator.session.together import run_together
from odx_target.initiator.windows.copying.copy_engine import Metadata, WindowsFile
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost

CLUSTER_BYTES = 4096
"""The unit in which NTFS allocates. A cluster is a whole number of blocks of 512 or 4096 bytes."""
COMPARED_TOGETHER = 8
"""Maximum number of reads at the same time when the files are compared after the copy."""


def fragmented(disk: WindowsDisk, lba: int, size_bytes: int, count: int, what: str) -> FileLayout:
    """Return the layout of a file with `count` extents of whole clusters. The distance between two extents is one cluster.
    Raises CommandFailure if the disk has no room.
    """
    clusters = size_bytes // CLUSTER_BYTES
    count, unit = min(count, clusters), CLUSTER_BYTES // disk.block_bytes
    sizes = [clusters // count + (number < clusters % count) for number in range(count)]
    extents, at = [], lba
    for number in sizes:
        extents.append(BlockRange(at, number * unit))
        at += (number + 1) * unit
    end = extents[-1].lba + extents[-1].count_blocks
    if end > disk.capacity_blocks:
        room = size(disk.capacity_blocks * disk.block_bytes)
        raise CommandFailure(f"the {what} ({disk.name}, {room}) has no room for the file up to block {end}")
    return FileLayout(tuple(extents), disk.block_bytes)


def overlap(one: FileLayout, other: FileLayout) -> bool:
    return any(a.lba < b.lba + b.count_blocks and b.lba < a.lba + a.count_blocks for a in one.extents for b in other.extents)


async def metadata_beside(files: list[WindowsFile], destination: WindowsFile) -> Metadata | None:
    """Return a cluster of the destination's disk and the data of the cluster. No file contains this cluster. Return None if
    there is no room.

    During a copy, Windows also writes blocks of the file system, but the command does not know these blocks. The command writes
    this cluster instead, and does not change its data.
    """
    disk, extents = destination.disk, destination.layout.extents
    unit = CLUSTER_BYTES // disk.block_bytes
    taken = [extent for file in files if file.disk is disk for extent in file.layout.extents]
    for lba in (extents[-1].lba + extents[-1].count_blocks, extents[0].lba - unit):
        is_free = all(lba + unit <= each.lba or each.lba + each.count_blocks <= lba for each in taken)
        if is_free and 0 <= lba <= disk.capacity_blocks - unit:
            return Metadata(lba, await disk.read(lba, unit))
    return None


async def fill(windows: WindowsHost, file: WindowsFile, size_bytes: int) -> None:
    """Write a pattern to a file by ordinary writes, as an application would. The pattern is different at each position."""
    step = windows.settings.adapter_transfer_bytes
    with bar("fill", size_bytes) as show:
        for position in range(0, size_bytes, step):
            count = min(step, size_bytes - position)
            await file.disk.write_file(file.layout, position, pattern(position, count))
            show(count)


async def differs_at(source: WindowsFile | None, destination: WindowsFile) -> int | None:
    """Return the position of the first read that finds a difference between two files. Return None if the files are equal."""
    step = destination.disk.host.settings.adapter_transfer_bytes
    differing: list[int] = []

    async def one(position: int, count: int) -> None:
        written = 0 if source is None else min(max(source.written_bytes - position, 0), count)
        wanted = bytes(count - written)
        if source is not None and written:
            wanted = await source.disk.read_file(source.layout, position, written) + wanted
        if await destination.disk.read_file(destination.layout, position, count) != wanted:
            differing.append(position)

    size_bytes = destination.layout.size_bytes
    with bar("compare", size_bytes) as show:
        for first in range(0, size_bytes, COMPARED_TOGETHER * step):
            end = min(first + COMPARED_TOGETHER * step, size_bytes)
            jobs: list[Job] = [partial(one, place, min(step, size_bytes - place)) for place in range(first, end, step)]
            await run_together(jobs)
            show(end - first)
    return min(differing, default=None)
