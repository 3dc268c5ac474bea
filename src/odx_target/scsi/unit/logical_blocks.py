"""The logical blocks of a volume, whose store blocks have 4 KiB.

Data of whole store blocks is not copied. A write that begins or ends within a store block reads this store block, changes a
part of it and writes it back. The native module does the same for usual blocks (`native/writes/partial_blocks.c`). If the
store block must be read from the disk, other tasks may change it during the read. The write then detects the change, and reads
the store block again.

The methods whose names end in `_now` never wait. If a block is not in the page cache, or if the pool is still making room,
these methods return None or False. The coroutines of the same names without `_now` wait.

All changes of the volume of a logical unit must use this module. Otherwise a change could be lost: a write to another part of
the same store block could write the old content back.
"""

from collections.abc import Awaitable, Callable, Sequence

from odx_target.environment import Buffer
from odx_target.native.choice import BlockWriter
from odx_target.scsi.buffers import ZERO_BLOCK, buffers_bytes, read_bytes, read_bytes_now
from odx_target.scsi.limits import STEP_BYTES
from odx_target.store.api import BLOCK_BYTES, FrozenMap, PoolBusy, Snapshot, Volume

LONG_WRITE_BYTES = 16 << 10
"""Smallest size of a write for which `Volume.must_prepare` is called. The store does not compress smaller writes."""

Replacement = Callable[[bytes], Sequence[Buffer]]
"""Function that takes the present content of blocks and returns their new content."""


class _AwaitedBlocks:
    """Store blocks that a task is reading, because it will change a part of them.

    `stale` is True if another task has changed one of these blocks during the read.
    """

    __slots__ = ("blocks", "stale")

    def __init__(self, blocks: Sequence[int]) -> None:
        self.blocks = blocks
        self.stale = False


class LogicalBlocks:
    """The logical blocks of `volume`, each of `block_bytes` bytes (512 or 4096; 1 in a view from `in_bytes`). The caller must
    check that ranges lie within the capacity.
    """

    def __init__(self, volume: Volume, block_bytes: int) -> None:
        self.volume = volume
        self.block_bytes = block_bytes
        self._blocks_per_store_block = BLOCK_BYTES // block_bytes
        self._inside = self._blocks_per_store_block - 1
        self._shift = self._inside.bit_length()
        self._awaited: list[_AwaitedBlocks] = []

    def in_bytes(self) -> "LogicalBlocks":
        """Return a view of the same volume with blocks of one byte, for copies that begin or end inside a logical block."""
        view = LogicalBlocks(self.volume, 1)
        view._awaited = self._awaited  # so that each of the two notices changes by the other
        return view

    @property
    def native_writes(self) -> tuple[BlockWriter, object, int] | None:
        """`Volume.native_writes`. None if a write must notify tasks that will change a part of a store block."""
        return None if self._awaited else self.volume.native_writes

    def read_now(self, lba: int, count_blocks: int) -> list[Buffer] | None:
        """Read `count_blocks` logical blocks. Returns None if the disk must be read. Raises DamagedBlock."""
        if not (lba | count_blocks) & self._inside:
            return self.volume.read_now(lba >> self._shift, count_blocks >> self._shift)
        return read_bytes_now(self.volume, lba * self.block_bytes, count_blocks * self.block_bytes)

    async def read(self, lba: int, count_blocks: int) -> list[Buffer]:
        """Read logical blocks, and wait for the disk if necessary. Writes after the call do not change the result."""
        return await read_bytes(self.volume, lba * self.block_bytes, count_blocks * self.block_bytes)

    def write_now(self, lba: int, data: Sequence[Buffer]) -> bool:
        """Write whole logical blocks from `lba` on. If the write would have to wait, change nothing and return False.

        The caller must not change the buffers before the next commit of the pool. Raises PoolFull, PoolFailed, DamagedBlock.
        """
        inside = self._inside
        try:
            if inside and (lba | buffers_bytes(data) // self.block_bytes) & inside:
                return self._write_with_edges_now(lba, data)
            block = lba >> self._shift
            is_long = len(data) != 1 or len(data[0]) >= LONG_WRITE_BYTES
            if is_long and self.volume.must_prepare(data):
                return False
            if self._awaited:
                self.changing(block, buffers_bytes(data) // BLOCK_BYTES)
            self.volume.write(block, data)
        except PoolBusy:
            return False
        return True

    async def write(self, lba: int, data: Sequence[Buffer], before_change: Callable[[], None] | None = None) -> None:
        """Write as `write_now` does, but wait if necessary.

        `before_change` is called just before the change. If it raises an exception, nothing is changed.
        """
        edges = self._edges(lba, buffers_bytes(data))
        if not edges:
            data = await self.volume.prepare(lba >> self._shift, data)
        awaited: _AwaitedBlocks | None = None
        contents: list[bytes] = []
        while True:
            if before_change is not None:
                before_change()
            try:
                if self.write_now(lba, data):  # after the wait, the blocks are usually in the page cache
                    return
                if awaited is not None and not awaited.stale:
                    self._write_with_edges(lba, data, contents)
                    return
            except PoolBusy:
                pass
            await self.volume.room_made()
            awaited = _AwaitedBlocks(edges)
            self._awaited.append(awaited)
            try:
                contents = [b"".join(await self.volume.read(block, 1)) for block in edges]
            finally:
                self._awaited.remove(awaited)

    def replace_now(self, lba: int, count_blocks: int, replacement: Replacement) -> bool:
        """Replace the content of logical blocks. If the method would have to wait, it changes nothing and returns False.

        `replacement` takes the present content, and returns the new content of the same size. If `replacement` raises an
        exception, the blocks stay unchanged. Raises PoolFull, PoolFailed, DamagedBlock.
        """
        block, count_store_blocks = self._covering(lba, count_blocks)
        present = self.volume.read_now(block, count_store_blocks)
        if present is None:
            return False
        try:
            self._replace(lba, count_blocks, present, replacement)
        except PoolBusy:
            return False
        return True

    async def replace(
        self, lba: int, count_blocks: int, replacement: Replacement, before_change: Callable[[], None] | None = None
    ) -> None:
        """Replace as `replace_now` does, but wait if necessary. `replacement` takes the content at the moment of the change."""
        block, count_store_blocks = self._covering(lba, count_blocks)
        present: list[Buffer] | None = None
        awaited: _AwaitedBlocks | None = None
        while True:
            if before_change is not None:
                before_change()
            try:
                if self.replace_now(lba, count_blocks, replacement):
                    return
                if present is not None and awaited is not None and not awaited.stale:
                    self._replace(lba, count_blocks, present, replacement)
                    return
            except PoolBusy:
                pass
            await self.volume.room_made()
            awaited = _AwaitedBlocks(range(block, block + count_store_blocks))
            self._awaited.append(awaited)
            try:
                present = await self.volume.read(block, count_store_blocks)
            finally:
                self._awaited.remove(awaited)

    def unmap_now(self, lba: int, count_blocks: int) -> bool:
        """Unmap whole store blocks of a range, and write zeros to the other blocks of the range.

        Return False if the method would have to wait.
        """
        edges, block, count_store_blocks = self._split(lba, count_blocks)
        if not all(self._zero_part_now(part_lba, part_blocks) for part_lba, part_blocks in edges):
            return False
        return self._unmap_store_blocks_now(block, count_store_blocks)

    async def unmap(self, lba: int, count_blocks: int, before_change: Callable[[], None] | None = None) -> None:
        """Unmap as `unmap_now` does, but wait if necessary. `before_change` is called just before each change, and may raise an
        exception to prevent it.
        """
        edges, block, count_store_blocks = self._split(lba, count_blocks)
        for part_lba, part_blocks in edges:
            if before_change is not None:
                before_change()
            if not self._zero_part_now(part_lba, part_blocks):
                await self.write(part_lba, [bytes(part_blocks * self.block_bytes)], before_change)
        while True:
            if before_change is not None:
                before_change()
            if self._unmap_store_blocks_now(block, count_store_blocks):
                return
            await self.volume.room_made()

    async def write_same(
        self,
        lba: int,
        count_blocks: int,
        logical_block: bytes,
        pause: Callable[[], Awaitable[None]],
        before_change: Callable[[], None] | None = None,
    ) -> None:
        """Write one logical block `count_blocks` times, in pieces of STEP_BYTES. `pause` is awaited between two pieces."""
        step_blocks = STEP_BYTES // self.block_bytes
        pattern = memoryview(logical_block * min(step_blocks, count_blocks))
        end = lba + count_blocks
        while lba < end:
            # the first step ends on a step boundary, so that all store blocks are whole except the first and the last of the
            # range
            step = min(step_blocks - lba % step_blocks, end - lba)
            await self.write(lba, [pattern[: step * self.block_bytes]], before_change)
            lba += step
            if lba < end:
                await pause()

    def copy_from_now(self, source: FrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        """Copy blocks of `source` with `Volume.copy_from`. All arguments and the result are in store blocks.

        Returns the number of copied blocks, which is 0 if the copy would have to wait. Raises PoolFull, PoolFailed.
        """
        if self._awaited:
            self.changing(block, count_blocks)
        try:
            return self.volume.copy_from(source, source_block, block, count_blocks)
        except PoolBusy:
            return 0

    def cut_off(self, size_blocks: int) -> None:
        """Shrink the volume to `size_blocks` store blocks. Raises PoolFull, PoolBusy, PoolFailed."""
        if self._awaited:
            self.changing(size_blocks, self.volume.size_blocks - size_blocks)
        self.volume.resize(size_blocks)

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the content of the volume by that of a snapshot. Raises PoolFull, PoolBusy, PoolFailed."""
        if self._awaited:
            self.changing(0, self.volume.size_blocks)
        self.volume.restore(snapshot)

    def changing(self, block: int, count_blocks: int) -> None:
        """Notify tasks of a change of these store blocks. If a task is reading one of the blocks to change a part of it, the
        task then reads the block again.
        """
        for awaited in self._awaited:
            awaited.stale = awaited.stale or any(block <= each < block + count_blocks for each in awaited.blocks)

    def _covering(self, lba: int, count_blocks: int) -> tuple[int, int]:
        """Return the store blocks (first, count) that contain a range of logical blocks."""
        block = lba >> self._shift
        return block, -(-(lba + count_blocks) // self._blocks_per_store_block) - block

    def _replace(self, lba: int, count_blocks: int, present: Sequence[Buffer], replacement: Replacement) -> None:
        """Replace logical blocks by writing the store blocks that contain them. `present` is the present content of these store
        blocks.
        """
        content = b"".join(present)
        block, before_bytes = divmod(lba * self.block_bytes, BLOCK_BYTES)
        end_bytes = before_bytes + count_blocks * self.block_bytes
        whole = [content[:before_bytes], *replacement(content[before_bytes:end_bytes]), content[end_bytes:]]
        if self._awaited:
            self.changing(block, len(content) // BLOCK_BYTES)
        self.volume.write(block, [part for part in whole if part])

    def _edges(self, lba: int, size_bytes: int) -> tuple[int, ...]:
        """Return the store blocks that the range covers only in part. There are at most two such blocks."""
        offset_bytes = lba * self.block_bytes
        end_bytes = offset_bytes + size_bytes
        edges = {position // BLOCK_BYTES for position in (offset_bytes, end_bytes) if position % BLOCK_BYTES}
        return tuple(sorted(edges))

    def _write_with_edges_now(self, lba: int, data: Sequence[Buffer]) -> bool:
        native, reads = self.native_writes, self.volume.native_reads
        if native is not None and reads is not None and len(data) == 1:
            writer, block_map, number = native
            if writer.write_bytes_now(reads[0], block_map, number, lba * self.block_bytes, data[0]):
                return True
        contents = []
        for block in self._edges(lba, buffers_bytes(data)):
            content = self.volume.present_block(block)
            if content is None:
                return False
            contents.append(content)
        self._write_with_edges(lba, data, contents)
        return True

    def _write_with_edges(self, lba: int, data: Sequence[Buffer], contents: Sequence[Buffer]) -> None:
        """Write whole store blocks that contain `data`. `contents` is the present content of the store blocks that `data`
        covers only in part.
        """
        if not data:
            return
        block, before_bytes = divmod(lba * self.block_bytes, BLOCK_BYTES)
        after_bytes = -(before_bytes + buffers_bytes(data)) % BLOCK_BYTES
        whole = list(data)
        if before_bytes:
            whole.insert(0, contents[0][:before_bytes])
        if after_bytes:
            whole.append(contents[-1][-after_bytes:])
        if self._awaited:
            self.changing(block, buffers_bytes(whole) // BLOCK_BYTES)
        self.volume.write(block, whole)

    def _split(self, lba: int, count_blocks: int) -> tuple[list[tuple[int, int]], int, int]:
        """Split a range of logical blocks at the boundaries of store blocks. Returns three values.

        The first value lists the parts of the range that do not cover a whole store block, as (lba, count). The second value is
        the first whole store block. The third value is the number of whole store blocks.
        """
        per_block = self._blocks_per_store_block
        end = lba + count_blocks
        first_whole = -(-lba // per_block) * per_block
        last_whole = end // per_block * per_block
        if first_whole >= last_whole:
            inner = min(first_whole, end)
            parts = [(lba, inner - lba), (inner, end - inner)]
            return [part for part in parts if part[1]], 0, 0
        parts = [(lba, first_whole - lba), (last_whole, end - last_whole)]
        return [part for part in parts if part[1]], first_whole // per_block, (last_whole - first_whole) // per_block

    def _zero_part_now(self, lba: int, count_blocks: int) -> bool:
        """Write zeros to logical blocks within one store block, unless the blocks are zeros already.

        Return False if the method would have to wait.
        """
        present = self.read_now(lba, count_blocks)
        if present is None:
            return False
        zeros = ZERO_BLOCK[: count_blocks * self.block_bytes]
        return b"".join(present) == zeros or self.write_now(lba, [zeros])

    def _unmap_store_blocks_now(self, block: int, count_blocks: int) -> bool:
        if not count_blocks:
            return True
        if self._awaited:
            self.changing(block, count_blocks)
        try:
            self.volume.unmap(block, count_blocks)
        except PoolBusy:
            return False
        return True
