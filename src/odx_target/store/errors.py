"""The exceptions of the store, re-exported by `store.api`."""


class StoreError(Exception):
    """The store refuses an action or cannot do it. The message is one line for a person."""


class NameTaken(StoreError):
    """The name is already the name of another volume, or of another snapshot of the same volume."""


class Absent(StoreError):
    """The volume or snapshot does not exist or was deleted."""


class Held(StoreError):
    """A snapshot cannot be deleted because of a hold. The message names the owners of the holds."""


class OverLimit(StoreError):
    """A name, a value or a list is longer than its limit."""


class WrongSize(StoreError):
    """A volume cannot have this size, or the size of a clone differs from the size of its origin."""


class Scarcity(StoreError):
    """A resource is not available now. Nothing has changed, and the same call may succeed later."""


class OutOfResources(Scarcity):
    """The system has no free descriptor, memory or thread for the call."""


class PoolFull(Scarcity):
    """The pool has no room for a write, because the disk is full or the configured limit of the pool is reached."""


class PoolBusy(Scarcity):
    """The pool is making room for the change, or is loading a part of a map. Nothing has changed.

    If a change raised this exception, await `Volume.room_made`. If another call raised it, await `BlockSource.map_loaded`. Then
    repeat the call.
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
    """The pool may have lost data that it had accepted. The pool accepts no more writes until it is opened again."""


class PoolDamaged(StoreError):
    """The pool cannot be opened: its files contradict each other, or it has a newer format."""


class CatalogueDamaged(PoolDamaged):
    """The catalogue cannot be used. No data is lost, because the log contains everything that the catalogue contained."""


class LogFreed(StoreError):
    """Records of the log that a follower needs have been freed or are damaged. A second read does not help."""


class LogUnreadable(StoreError):
    """Records of the log that a follower needs could not be read. They may be intact, and the same read may succeed later."""


class PoolInUse(StoreError):
    """Another process has opened the pool."""


class DamagedBlock(StoreError):
    """The data of a block is lost: it does not match its checksum, its segment is missing, or its place in the log is lost.

    A second read does not help.

    `block` counts from the start of the volume or frozen map that was read.
    """

    def __init__(self, block: int, damage: str = "does not match its checksum") -> None:
        super().__init__(f"block {block} {damage}")
        self.block = block


class Unreadable(StoreError):
    """A block could not be read. The data of the block may be intact, and the same read may succeed later.

    `block` counts from the start of the volume or frozen map that was read.
    """

    def __init__(self, block: int, reason: str) -> None:
        super().__init__(f"block {block} cannot be read: {reason}")
        self.block = block
