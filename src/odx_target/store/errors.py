"""The exceptions of the store, re-exported by `store.api`."""


class StoreError(Exception):
    """The store refuses an action, or cannot carry it out. The message is one line of text for a person."""


class NameTaken(StoreError):
    """The name is already the name of another volume, or of another snapshot of the same volume."""


class Absent(StoreError):
    """The volume or snapshot does not exist or was deleted."""


class Held(StoreError):
    """A snapshot cannot be deleted because of a hold. The message names the owners of the holds."""


class OverLimit(StoreError):
    """A name, value or list exceeds its limit."""


class WrongSize(StoreError):
    """A volume cannot have this size, or the size of a clone differs from the size of its origin."""


class PlaceGone(StoreError):
    """A block cannot be linked to a place of the log: the data at this place is not the expected data, or may soon be freed or
    moved.

    Nothing has changed. The caller must write the data instead.
    """


class Scarcity(StoreError):
    """A resource is not available now. Nothing has changed, and the same call may succeed later."""


class OutOfResources(Scarcity):
    """The system has no free descriptor, memory or thread for the call."""


class PoolFull(Scarcity):
    """The pool has no room for a change, because the disk is full or the configured limit of the pool is reached."""


class PoolBusy(Scarcity):
    """The pool is making room for a change, or is loading the part of a map that the call needs. Nothing has changed.

    After a change has raised this exception, await `Volume.room_made`. After another call has raised it, await
    `BlockSource.map_loaded`. Then repeat the call.
    """


class Refused(StoreError):
    """The operating system does not allow the pool to write: the file system is read-only, or a permission is missing.

    Nothing has changed.
    """


class Unwritable(StoreError):
    """A write to the disk failed, but no acknowledged data is lost.

    Nothing has changed, and the same call may succeed later.
    """


class PoolFailed(StoreError):
    """The pool may have lost data that it had accepted. It accepts no more changes until it is opened again."""


class PoolDamaged(StoreError):
    """The pool cannot be opened, because its files are damaged or contradict each other, or because it has another format."""


class HeadDamaged(PoolDamaged):
    """The head of the pool is missing or damaged. A repair makes it again from the catalogue or the log."""


class CatalogueDamaged(PoolDamaged):
    """The catalogue is damaged or belongs to another pool. If no part of the log has been freed, the catalogue can be rebuilt
    from the log.
    """


class LogFreed(StoreError):
    """Records of the log that a follower needs have been freed or are damaged. To try again does not help."""


class LogUnreadable(StoreError):
    """Records of the log that a follower needs could not be read. The records may be intact, and the same read may succeed
    later.
    """


class PoolInUse(StoreError):
    """Another process has opened the pool."""


class DamagedBlock(StoreError):
    """The data of a block is lost: it does not match its checksum, its segment is missing, or its place in the log is lost.

    To read the block again does not help.

    `block` is the number of the block in the volume or frozen map that was read.
    """

    def __init__(self, block: int, damage: str = "does not match its checksum") -> None:
        super().__init__(f"block {block} {damage}")
        self.block = block


class Unreadable(StoreError):
    """A block could not be read. The data of the block may be intact, and the same read may succeed later.

    `block` is the number of the block in the volume or frozen map that was read.
    """

    def __init__(self, block: int, reason: str) -> None:
        super().__init__(f"block {block} cannot be read: {reason}")
        self.block = block


class SourceAway(StoreError):
    """The data of a block is still outside of the pool, and its source cannot be reached. The same read may succeed later."""


class Unsettled(StoreError):
    """A digest cannot be computed yet, because blocks of the map refer to a base. See `Bases.settle`."""
