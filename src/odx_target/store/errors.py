"""The exceptions of the store, re-exported by `store.api`."""


class StoreError(Exception):
    """An action that the store refuses or cannot do. The message is one clear line for a person."""


class NameTaken(StoreError):
    """Another volume, or another snapshot of the volume, has the name."""


class Absent(StoreError):
    """There is no such volume or snapshot, or it was deleted."""


class Held(StoreError):
    """A hold forbids the deletion of a snapshot. The message names its holders."""


class OverLimit(StoreError):
    """A name, a value or a list is longer than its limit."""


class WrongSize(StoreError):
    """A volume cannot have this size, or its size must be that of its origin."""


class Scarcity(StoreError):
    """A resource is not available now. Nothing has changed, and the same call may succeed later."""


class OutOfResources(Scarcity):
    """The system has no free descriptor, memory or thread for the call."""


class PoolFull(Scarcity):
    """The disk or the configured limit of the pool leaves no room for a write."""


class PoolBusy(Scarcity):
    """The pool is making room for the change. Nothing has changed; repeat the call after `Volume.room_made`."""


class Refused(StoreError):
    """The machine does not allow the pool to write: the file system is read-only, or a permission is missing.

    Nothing has changed.
    """


class Unwritable(StoreError):
    """The disk failed before any data was promised. Nothing has changed, and the same call may succeed later."""


class PoolFailed(StoreError):
    """The pool lost data that it had promised to write. It takes no more writes until it is opened again."""


class PoolDamaged(StoreError):
    """The pool cannot be opened: its files contradict each other, or it has a newer format."""


class CatalogueDamaged(PoolDamaged):
    """The catalogue cannot be used. The log still holds everything that the catalogue held."""


class PoolInUse(StoreError):
    """Another process holds the pool."""


class DamagedBlock(StoreError):
    """The data of a block is lost: it does not match its checksum, or its segment is gone. Reading again does not help.

    `block` counts from the start of the volume or frozen map that was read.
    """

    def __init__(self, block: int) -> None:
        super().__init__(f"block {block} does not match its checksum")
        self.block = block


class Unreadable(StoreError):
    """A block could not be read. Its data may be intact, and the same read may succeed later.

    `block` counts from the start of the volume or frozen map that was read.
    """

    def __init__(self, block: int, reason: str) -> None:
        super().__init__(f"block {block} cannot be read: {reason}")
        self.block = block
