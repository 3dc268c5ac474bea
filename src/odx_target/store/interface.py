"""The interfaces of a pool and of its scrubs, re-exported by `store.api`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.store.bases.interface import Bases
from odx_target.store.changeable_options import ChangeableOptions
from odx_target.store.log.followed import Followed, Following, Prepare
from odx_target.store.segments.watch import BeforeCall
from odx_target.store.status import PoolSpace, PoolStatus, ScrubProgress, Space, Trouble, Usage
from odx_target.store.volumes.changes import Change, RangeStream
from odx_target.store.volumes.interface import Volume
from odx_target.store.volumes.source_interface import AdoptedSnapshot, BlockSource, FrozenMap, Snapshot
from odx_target.turns import Steps, Turns


class Scrubber(Protocol):
    """Starts and stops the scrubs of one pool. A scrub checks all data that the pool has on the disk. Only one scrub can run at
    a time.
    """

    @property
    def progress(self) -> ScrubProgress | None:
        """Progress of the running scrub or of the last scrub. None before the first scrub."""
        ...

    def start(self, rate_bytes: int) -> ScrubProgress:
        """Begin a scrub that reads at most `rate_bytes` per second. Raises StoreError if a scrub is running."""
        ...

    async def stop(self) -> None:
        """Stop the running scrub, and wait until it has ended. Does nothing if no scrub is running."""
        ...


class Pool(Protocol):
    """A pool: volumes that share one log."""

    @property
    def scrubber(self) -> Scrubber: ...

    @property
    def on_trouble(self) -> list[Callable[[Trouble], None]]:
        """Functions that are called when the pool has a new fault that needs the attention of an operator."""
        ...

    @property
    def on_usage_change(self) -> list[Callable[[], None]]:
        """Functions that are called when the pool uses more or fewer segments than before, or when the free room of the disk
        has changed. The functions must not use the pool.
        """
        ...

    @property
    def bases(self) -> Bases: ...

    def status(self) -> PoolStatus: ...

    @property
    def volumes(self) -> Mapping[str, Volume]: ...

    @property
    def frozen_maps(self) -> Mapping[int, FrozenMap]:
        """The frozen maps that have not been released, by identifier."""
        ...

    @property
    def turns(self) -> Turns:
        """The budget of steps of each turn, which the pool shares with all other tasks of the event loop; see `turns`."""
        ...

    @property
    def identity(self) -> bytes:
        """16 bytes that identify the pool to hosts and in tokens.

        If the directory of a pool is copied, the copy has the same bytes until its identity is renewed.
        """
        ...

    @property
    def names_identity(self) -> bytes:
        """16 bytes from which `public_identity` is made. If a pool and its copy have the same bytes, their volumes have the
        same public identities.
        """
        ...

    def public_identity(self, volume: Volume) -> bytes:
        """Return the 16 bytes by which hosts know a volume.

        Usually, these bytes are equal to `Volume.identity`. They are other bytes if the pool is a copy whose identities were
        renewed.
        """
        ...

    @property
    def snapshots(self) -> Mapping[bytes, Snapshot]:
        """The snapshots of all volumes, including deleted volumes, by GUID."""
        ...

    def create_volume(
        self,
        name: str,
        size_blocks: int,
        attributes: Mapping[str, str],
        origin: BlockSource | None = None,
        *,
        identity: bytes | None = None,
    ) -> Volume:
        """Create a volume of holes. If `origin` is given, create a clone of this snapshot, frozen map or volume.

        A clone has the present content of its origin. Later changes of the origin do not change the clone. The cost of a clone
        does not depend on its size. The volume has a random identity, unless `identity` is given, which are the 16 bytes of a
        volume of another pool that hosts take for the same disk. Raises NameTaken, also if a volume has this identity. Raises
        OverLimit, WrongSize. Raises Absent if the origin was deleted. May raise the exceptions of `Volume.write`.
        """
        ...

    def delete_volume(self, name: str) -> None:
        """Delete a volume but keep its snapshots and frozen maps. Raises Absent. May raise the exceptions of `Volume.write`."""
        ...

    def snapshot_volumes(self, volumes: Mapping[str, Mapping[str, str]], name: str) -> Sequence[Snapshot]:
        """Take a snapshot of each volume at one moment. All snapshots get the same name.

        `volumes` maps the name of each volume to the attributes of its snapshot. After a crash, either all of these snapshots
        exist or none. Raises NameTaken, OverLimit, Absent. May raise the exceptions of `Volume.write`. After an exception,
        nothing has changed.
        """
        ...

    def adopt_snapshots(self, snapshots: Sequence[AdoptedSnapshot]) -> Sequence[Snapshot]:
        """Take a snapshot of each of these volumes, with the identity of an equal snapshot of another pool.

        The caller must be sure that the contents are equal. After a crash, either all of these snapshots exist or none. Raises
        NameTaken if a volume has a snapshot of this name, or if the pool has a snapshot with this GUID. Raises OverLimit,
        Absent. May raise the exceptions of `Volume.write`. After an exception, nothing has changed.
        """
        ...

    @property
    def on_snapshot(self) -> list[Callable[[], None]]:
        """Functions that are called after snapshots were taken. The functions must not use the pool."""
        ...

    def differences(
        self, older: BlockSource, newer: BlockSource, block: int = 0, steps: Steps | None = None
    ) -> Iterator[tuple[int, int, Change]]:
        """Compare two volumes, frozen maps or snapshots. Yields runs (block, count_blocks, change) from `block` on.

        Adjacent runs differ in `change`. The runs end at the last block of the larger source, or when no steps of the budget
        `steps` remain (see `turns`). At least one run is yielded. The last run may end although the next blocks have the same
        change; a later call can continue from its end. A part that both maps share takes one step. Equal data that was written
        twice counts as different. Raises Absent.

        The runs also end before a part of a map that is not in memory. If the part at `block` is not in memory, raises
        PoolBusy. The caller then awaits `BlockSource.map_loaded` and repeats the call. Raises DamagedBlock, Unreadable or
        OutOfResources if a part cannot be loaded.
        """
        ...

    def changed_ranges(self, older: BlockSource | None, newer: BlockSource, block: int = 0) -> RangeStream:
        """Stream the ranges in which two volumes, frozen maps or snapshots differ, from `block` on. If `older` is None, stream
        the ranges of `newer` that have data.

        The parts of maps that are not in memory are read in a thread and are not kept. So the stream is faster than
        `differences` for large maps, and takes little memory. A changed range may be divided between two parts of the stream.
        The last part ends at the last block of the larger source. A volume is compared part by part in its present state. Equal
        data that was written twice counts as different. Raises Absent. Raises DamagedBlock or Unreadable if a part of a map
        cannot be read; the stream may then be continued after this block. Raises OutOfResources.
        """
        ...

    async def space_of(self, source: BlockSource) -> Space:
        """Count the data of a volume, frozen map or snapshot at the moment of the call.

        Raises Absent.
        """
        ...

    @property
    def space(self) -> PoolSpace | None:
        """The result of the last count (`count_space`). None if no count has ended since the pool was opened."""
        ...

    async def count_space(self) -> PoolSpace:
        """Count the data of all volumes and frozen maps, and store the result in `space`.

        The count reads all maps of the pool in turns of the event loop (see `turns`). For a pool with 1 TiB of scattered
        blocks, it takes minutes.
        """
        ...

    @property
    def has_uncommitted(self) -> bool:
        """True if `commit` has anything to do: a batch is open, a flush is due, or a loss is not reported. Otherwise all
        changes that a read may return are committed.
        """
        ...

    def commit(self) -> int:
        """Write the open batch to the operating system. Does nothing if no batch is open.

        Returns the OSN (operation sequence number) after the last committed record. All records with a lower OSN survive the
        end of the process.

        Raises OutOfResources or PoolFull if the operating system cannot take the batch now. The pool then keeps the batch and a
        copy of its data. The array must not acknowledge a change in the batch before a later call of `commit` has returned. Any
        caller may make this call.

        Raises PoolFailed if a batch is lost. Each loss is reported by exactly one call, which may be later than the call that
        lost the batch. The array must not acknowledge a change in a lost batch. The caller that gets the exception must report
        the failure to all tasks that wait for the batch.
        """
        ...

    async def committed(self) -> None:
        """Call `commit` until the operating system takes the batch. Raises PoolFailed. The next `commit` then raises it too,
        because the batch may have changes of other callers.
        """
        ...

    async def flush(self) -> None:
        """Make all changes durable that were committed before the call. Simultaneous calls share one flush.

        Raises PoolFailed, or Scarcity if the pool cannot be flushed now.
        """
        ...

    @property
    def flushes_at_once(self) -> bool:
        """True if a flush need not wait now, because the pool has no disk. The caller may then use `flush_at_commit` instead of
        `flush`, until another task runs.
        """
        ...

    def flush_at_commit(self) -> None:
        """Make the next commit flush the pool too. When that commit has returned, all changes before it are durable."""
        ...

    @property
    def recovered_osn(self) -> int:
        """All records with a lower OSN were in the log when the pool was opened."""
        ...

    @property
    def committed_osn(self) -> int:
        """All records with a lower OSN survive the end of the process."""
        ...

    @property
    def durable_osn(self) -> int:
        """All records with a lower OSN survive a loss of power."""
        ...

    async def durable(self, osn: int) -> None:
        """Wait until all records with a lower OSN survive a loss of power. `osn` is usually a result of `commit`.

        Returns at once if this is so already. Otherwise all waiting callers share one sync of the disk. Raises StoreError if a
        record has not been committed, and the exceptions of `flush`.
        """
        ...

    def follow(self, osn: int, *, early: bool = False, prepare: Prepare | None = None) -> Following:
        """Follow the durable records of the pool from an OSN on. Raises StoreError if the pool has not reached the OSN.

        If `early` is True, records are followed as soon as they are committed. A loss of power may then take records that the
        follower has seen, and the pool uses their OSNs again. The first record of a pool has the OSN 1.

        `prepare` is called where some records were read, in a thread or in the event loop, and may put prepared ones in their
        place.
        """
        ...

    async def content_of(self, followed: Followed) -> Buffer:
        """Return the data of a record, and decompress it in a thread if it is a compressed extent.

        Raises DamagedBlock if the data does not match its checksums.
        """
        ...

    def remembered(self, key: str) -> bytes | None:
        """Return the value that `remember` stored under a key. Returns None if there is no such value."""
        ...

    def remembered_keys(self, prefix: str) -> list[str]: ...

    def remember(self, key: str, value: bytes, *, spare: bool = False) -> None:
        """Store a small value (up to 64 KiB) in the log under a key. Raises OverLimit. May raise the exceptions of
        `Volume.write`.

        Set `spare` if the pool can free room after the value is stored. The record may then use the reserve of a full pool.
        """
        ...

    def forget(self, key: str) -> None: ...

    @property
    def failure(self) -> str | None:
        """The reason why the pool accepts no more writes until it is opened again. None while the pool accepts writes."""
        ...

    def change_options(self, options: ChangeableOptions) -> None:
        """Change the limits, the cleaning and the memory of the open pool.

        If the pool uses more room than a new limit, writes that need a new segment are refused until enough room is free.
        Raises StoreError if a limit is too small for the segments of this pool. Then nothing has changed.
        """
        ...

    def usage(self) -> Usage:
        """Return the used and the available bytes.

        The result depends on the free room of the disk, which was read earlier. If this value is old, the call starts to read
        it again in the background.
        """
        ...

    def watch_segments(self, before: BeforeCall | None) -> None:
        """Call a function before each read, write, sync and creation of a segment, see `SegmentStore.watch`. For tests."""
        ...

    async def close(self) -> None:
        """Commit, flush, save a checkpoint, close the files and release the lock.

        Raises PoolFailed if data could not be written. Raises Unwritable if no checkpoint could be saved. Raises Scarcity if
        this is so and changes are lost, because they have waited for room. The pool is closed also after an exception.
        """
        ...
