"""Functions that open a pool in a directory, in memory, or in given storage."""

import shlex
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from odx_target.environment import Environment, Work
from odx_target.store.catalogue.interface import Catalogue
from odx_target.store.catalogue.memory import MemoryCatalogue
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.catalogue.transactional import TransactionalCatalogue
from odx_target.store.error_kinds import ErrorKind, kind_of
from odx_target.store.errors import CatalogueDamaged, HeadDamaged, PoolDamaged, StoreError
from odx_target.store.opening.capacity_directory import with_capacity
from odx_target.store.opening.closed_pool import closed_pool
from odx_target.store.opening.directory_pool import (
    CATALOGUE_NAME,
    DirectoryHead,
    DirectoryLock,
    prepare,
    prepare_segments,
)
from odx_target.store.opening.format_head import (
    FORMAT_VERSION,
    IDENTITY_BYTES,
    Head,
    HeadStore,
    MemoryHead,
    OpenHead,
    decode_head,
    encode_head,
    new_head,
)
from odx_target.store.opening.leaf_overflow import ALL_IN_MEMORY, LeafOverflow, OverflowOptions
from odx_target.store.opening.recovery import Recovered, empty_checkpoint, recover
from odx_target.store.pool import LogPool
from odx_target.store.pool_options import PoolOptions
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.memory import MemorySegments
from odx_target.store.segments.segment import SegmentStore

if TYPE_CHECKING:
    from odx_target.store.checking.pool_check import Advance, PoolReport

__all__ = ["LogPool", "PoolOptions", "PoolParts", "memory_parts", "open_directory_pool", "open_memory_pool", "open_pool"]

CAPACITY_SHARE = 4
"""If a pool has a capacity tier, the segments of this tier get one of this number of parts of the descriptors."""


def without_capacity(fast: SegmentStore, _head: Head) -> tuple[SegmentStore, str]:
    """Return the segments of a pool without a capacity tier, and an empty path."""
    return fast, ""


class PoolParts(NamedTuple):
    """The storage of a pool. `release` releases the lock of the pool. It is called last, after all files were closed.

    `segments` has the segments of the fast tier. `add_capacity` is called with these segments and the head of the pool. It
    returns the segments of both tiers and the path of the capacity tier, see `with_capacity`. It may raise StoreError and
    OSError.
    """

    head: HeadStore
    segments: SegmentStore
    catalogue: Catalogue
    release: Callable[[], None]
    add_capacity: Callable[[SegmentStore, Head], tuple[SegmentStore, str]] = without_capacity


async def open_directory_pool(path: Path, environment: Environment, options: PoolOptions | None = None) -> LogPool:
    """Open the pool in a directory. If the directory does not exist or is empty, make a new pool there.

    If the catalogue is missing, it is rebuilt from the whole log, if no part of the log has been freed. Raises CatalogueDamaged
    if the catalogue cannot be used. The message contains a command that helps. Raises PoolInUse, PoolDamaged and PoolFull.
    Raises StoreError if the directory cannot be used.
    """
    descriptors, capacity = (options or PoolOptions()).descriptors, (options or PoolOptions()).capacity_directory
    try:
        return await _open(lambda: _directory_parts(path, descriptors, capacity), environment, options)
    except CatalogueDamaged as error:
        raise CatalogueDamaged(f"{error}; {_remedy(path)}") from error
    except HeadDamaged as error:
        raise with_remedy(error, path) from error


def with_remedy(error: HeadDamaged, path: Path) -> HeadDamaged:
    """Return the error of a pool whose head is missing or damaged, with the command that helps."""
    command = shlex.join(["odx-target", "pool", "repair", str(path)])
    return HeadDamaged(f"{error}; `{command}` makes it again")


def check_directory_pool(path: Path, advance: "Advance", overflow: OverflowOptions = ALL_IN_MEMORY) -> "PoolReport":
    """Check the pool in a directory, and repair nothing. The pool must not be open. This function waits for the disk.

    `advance` is called with the number of blocks that were checked since its last call. `overflow` describes the storage for
    changed leaves that do not fit into memory. By default, all of them stay in memory. Raises PoolInUse. Raises PoolDamaged if
    the pool cannot be opened at all. Raises StoreError if the directory contains no pool or cannot be read.
    """
    from odx_target.store.checking.pool_check import check_pool  # The start of an array does not need it.

    try:
        with (
            closed_pool(path) as (head, segments),
            closing(_present_catalogue(path)) as catalogue,
            closing(LeafOverflow(catalogue, overflow)) as leaves,
        ):
            return check_pool(segments, catalogue, head.fields, advance, leaves)
    except OSError as error:
        raise _explained(error) from error


def _present_catalogue(path: Path) -> TransactionalCatalogue:
    """Open the catalogue of a pool. If it is missing, return an empty one, and do not make its file."""
    file = path / CATALOGUE_NAME
    return SqliteCatalogue(file) if file.exists() else MemoryCatalogue()


def memory_parts() -> PoolParts:
    """Return empty storage in memory. After its pool was closed, another pool with the same data can be opened in it."""
    return PoolParts(MemoryHead(), MemorySegments(), MemoryCatalogue(), _nothing)


async def open_memory_pool(
    environment: Environment, options: PoolOptions | None = None, parts: PoolParts | None = None
) -> LogPool:
    """Open the pool in `parts`, or make a new pool in memory. The data is lost when Python frees the pool and the parts."""
    return await open_pool(memory_parts() if parts is None else parts, environment, options)


async def open_pool(parts: PoolParts, environment: Environment, options: PoolOptions | None = None) -> LogPool:
    """Open the pool that is stored in `parts`. If there is no head, make a new pool. If this fails, close the parts."""
    return await _open(lambda: parts, environment, options)


async def _open(find: Callable[[], PoolParts], environment: Environment, options: PoolOptions | None) -> LogPool:
    options = options or PoolOptions()
    options.sizing()
    identity = environment.entropy(IDENTITY_BYTES)
    work = partial(_recover, find, identity, options)
    parts, head, recovered = await environment.in_thread(work, work=Work.UPKEEP)
    with ExitStack() as stack:
        _close_later(stack, parts)
        try:
            pool = LogPool(head, recovered, parts.segments, parts.catalogue, environment, options, parts.release)
            await pool.start()
        except OSError as error:
            raise _explained(error) from error
        stack.pop_all()
    return pool


def _remedy(path: Path) -> str:
    """Return the end of an error message: the command after which a pool with a damaged catalogue can be used, and the effect
    of the command.
    """
    head = DirectoryHead(path)
    if decode_head(head.read() or b"", head.describe()).cleaned:
        command = shlex.join(["odx-target", "pool", "repair", str(path)])
        return f"`{command}` saves the data that can still be read"
    catalogue = path / CATALOGUE_NAME
    command = shlex.join(["mv", str(catalogue), f"{catalogue}.damaged"])
    return f"after `{command}` the next start rebuilds it from the log"


def _recover(find: Callable[[], PoolParts], new_identity: bytes, options: PoolOptions) -> tuple[PoolParts, OpenHead, Recovered]:
    try:
        with ExitStack() as stack:
            parts = find()
            _close_later(stack, parts)
            head = _claim(parts, new_identity)
            segments, directory = parts.add_capacity(parts.segments, head.fields)
            stack.callback(segments.close)
            if directory != head.fields.capacity_directory:
                head.replace(head.fields._replace(capacity_directory=directory))
            parts = parts._replace(segments=segments)
            before_step = options.before_step or _nothing
            recovered = recover(segments, parts.catalogue, head.fields, options.map_memory_bytes, before_step)
            _raise_epoch(head, recovered.position.epoch)
            stack.pop_all()
            return parts, head, recovered
    except OSError as error:
        raise _explained(error) from error


def _raise_epoch(head: OpenHead, log_epoch: int) -> None:
    """If the head has a lower epoch than the log, for example because the head was restored from a backup, raise the epoch of
    the head.

    A batch whose epoch is lower than the epoch of the batch before it is not part of the log. So with a low epoch, all further
    changes would be lost. Raises PoolInUse, OSError.
    """
    if head.fields.epoch < log_epoch:
        head.replace(head.fields._replace(epoch=log_epoch + 1))


def _claim(parts: PoolParts, new_identity: bytes) -> OpenHead:
    """Raise the epoch of a pool, and its format to the present one, or make the catalogue and the head of a new pool. Raises
    PoolDamaged, PoolInUse, OSError.
    """
    store = parts.head
    document = store.read()
    if document is None:
        document = encode_head(new_head(new_identity))
        with suppress(PoolDamaged):
            parts.catalogue.load()
        parts.catalogue.save(empty_checkpoint(new_identity))
        store.replace(None, document)
        return OpenHead(store, document)
    head = OpenHead(store, document)
    try:
        head.replace(head.fields._replace(epoch=head.fields.epoch + 1, format_version=FORMAT_VERSION))
    except OSError as error:
        if kind_of(error) is not ErrorKind.NO_ROOM:
            raise
        # The lock keeps other processes out, and it must be possible to open a pool on a full disk to delete data. The
        # format stays the same, too, so the log is written in the former format.
    return head


def _directory_parts(path: Path, descriptors: int, capacity: Path | None) -> PoolParts:
    """Lock the pool in a directory, and open its files. `capacity` is the directory of the capacity tier, or None if the head
    names it.
    """
    prepare(path)
    with ExitStack() as stack:
        lock = DirectoryLock(path)
        stack.callback(lock.release)
        head = DirectoryHead(path)
        document = head.read()
        has_capacity = capacity is not None
        if document is not None:
            has_capacity |= bool(decode_head(document, head.describe()).capacity_directory)
        capacity_descriptors = descriptors // CAPACITY_SHARE if has_capacity else 0
        segments = DirectorySegments(prepare_segments(path, is_new=document is None), descriptors - capacity_descriptors)
        stack.callback(segments.close)
        catalogue = SqliteCatalogue(path / CATALOGUE_NAME)
        stack.pop_all()
    add = partial(_with_capacity, pool=path, wanted=capacity, max_held=max(capacity_descriptors, 1))
    return PoolParts(head, segments, catalogue, lock.release, add)


def _with_capacity(
    fast: SegmentStore, head: Head, *, pool: Path, wanted: Path | None, max_held: int
) -> tuple[SegmentStore, str]:
    return with_capacity(fast, pool, head, wanted, max_held)


def _close_later(stack: ExitStack, parts: PoolParts) -> None:
    stack.callback(parts.release)
    stack.callback(parts.segments.close)
    stack.callback(parts.catalogue.close)


def _explained(error: OSError) -> StoreError:
    where = f" ({error.filename})" if error.filename else ""
    return StoreError(f"the pool cannot be opened: {error.strerror or error}{where}")


def _nothing() -> None:
    pass
