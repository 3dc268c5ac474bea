"""The interface of volumes, re-exported by `store.api`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.native.choice import BlockReader, BlockWriter
from odx_target.store.volumes.changes import ChangedRanges
from odx_target.store.volumes.link_interface import LinkTarget
from odx_target.store.volumes.source_interface import BlockSource, FrozenMap, Snapshot
from odx_target.turns import Steps


class Volume(BlockSource, LinkTarget, Protocol):
    """A sequence of blocks that can be read and changed."""

    on_change: list[Callable[[int, int], None]]
    """Functions that the volume calls before a write, unmap, copy, restore or resize changes blocks. The arguments are `block`
    and `count_blocks`."""

    @property
    def name(self) -> str: ...

    @property
    def number(self) -> int:
        """Number of the volume in the records of the log. No other volume of the pool ever gets the same number."""
        ...

    @property
    def identity(self) -> bytes:
        """16 bytes that no other volume has and that never change."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """Attributes that the creator gave to the volume, such as its LUN and logical block size."""
        ...

    @property
    def lineage(self) -> bytes:
        """16 bytes that identify the history of the volume.

        A clone has the lineage of its origin. A volume gets a new lineage when it is made without an origin, and at each
        restore.
        """
        ...

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """The snapshots that the volume has now, by name."""
        ...

    def allocated_now(self, block: int, steps: Steps) -> ChangedRanges | None:
        """Return the ranges that are no holes, from a block inside the volume on. The ranges are those from an empty source.

        They reach up to `end` in the result, which is after `block`: the end of the volume, a part of the map that is not in
        memory, or the block at which no steps of the budget `steps` remain (see `turns`). Returns None if the part of the map
        at `block` is not in memory. The caller then awaits `allocated`.
        """
        ...

    async def allocated(self, block: int, count_blocks: int) -> ChangedRanges:
        """Return the ranges that are no holes, as `allocated_now` does, and read the map from the disk if necessary. What was
        read does not stay in memory. The result may end after or before `count_blocks` (at least 1) blocks.

        Raises DamagedBlock, Unreadable or OutOfResources if the part of the map at `block` cannot be read.
        """
        ...

    def present_block(self, block: int) -> Buffer | None:
        """Read one block without waiting, as `read_now` does. If the block has not been committed, its data is copied from the
        open batch, which is not committed. So a write can change a part of a block that an earlier write of the batch changed.

        Returns None if the disk must be read.
        """
        ...

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        """Replace the blocks from `block` on with the joined `data`. The total size of `data` must be a whole number of blocks.

        The caller must not change the buffers before `Pool.commit` has returned.

        Every change of a pool may raise PoolFull, PoolBusy, OutOfResources, Refused, Unwritable or PoolFailed. A write, unmap,
        copy or resize may also raise DamagedBlock or Unreadable, if a part of the map that the change needs cannot be loaded.
        If a change raises an exception, nothing has changed.
        """
        ...

    @property
    def native_reads(self) -> tuple[BlockReader, object] | None:
        """A reader for usual blocks of the volume, and the map for its calls. None if the native module is not in use."""
        ...

    @property
    def native_writes(self) -> tuple[BlockWriter, object, int] | None:
        """A writer of usual blocks of the volume, with the first two arguments of its calls: the map, and the number of the
        volume.

        None if the native module is not in use, or if each write needs more, such as a compression. This may change whenever
        another task runs.
        """
        ...

    def must_prepare(self, data: Sequence[Buffer]) -> bool:
        """True if the caller should await `prepare` before it writes `data`, because the event loop cannot compress so much
        data in this turn.

        Call this method at most once for each write. If the data is written without `prepare`, it may be stored uncompressed.
        """
        ...

    async def prepare(self, block: int, data: Sequence[Buffer]) -> Sequence[Buffer]:
        """Compress the data of a write that begins at `block`. Pass the result to `write` as `data`, with the same `block`.

        The caller must not change the buffers before the write.
        """
        ...

    async def room_made(self) -> None:
        """Call this method after a change has raised PoolBusy. Then repeat the change.

        Returns when the pool has made room, or has loaded the part of the map that the change needs. Returns too if this has
        failed. The repeated change then raises the error.
        """
        ...

    def unmap(self, block: int, count_blocks: int) -> None:
        """Turn blocks into holes. May raise the exceptions of `write`."""
        ...

    def copy_from(self, source: FrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        """Copy blocks from a frozen map of the same pool. The volume and the frozen map then share the data.

        No data is read or written. If `source_block` and `block` are equal modulo 1,024 (4 MiB), one call copies all blocks.
        Otherwise one call copies blocks from the start of the range, as many as one turn of the event loop allows (see
        `turns`). Returns the number of copied blocks. May raise the exceptions of `write`.
        """
        ...

    def freeze(self, *, durable: bool = False) -> FrozenMap:
        """Freeze the present content of the volume. The cost does not depend on the size of the volume. A durable frozen map
        survives a restart of the array.
        """
        ...

    def snapshot(self, name: str, attributes: Mapping[str, str] | None = None) -> Snapshot:
        """Take a snapshot of the present content. The cost does not depend on the size of the volume. Raises NameTaken,
        OverLimit.
        """
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the content and the size of the volume by those of a snapshot. No data is copied.

        The former content is lost, unless a snapshot or clone has it. The functions in `on_change` are called for the whole
        volume. Raises Absent if the snapshot was deleted. May raise the exceptions of `write`.
        """
        ...

    def change_lineage(self, lineage: bytes) -> None:
        """Give the volume the lineage of a volume of another pool whose content it receives. The content stays.

        May raise the exceptions of `write`.
        """
        ...

    def rename(self, name: str) -> None:
        """Change the name of the volume.

        The `volume_name` of existing snapshots does not change. Raises NameTaken, OverLimit.
        """
        ...

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        """Replace the attributes. Raises OverLimit."""
        ...

    def resize(self, size_blocks: int) -> None:
        """Change the size. Holes are added at the end of the volume, or blocks are removed from its end. May raise the
        exceptions of `write`.
        """
        ...
