"""The errors of the store, re-exported by `store.api`."""


class StoreError(Exception):
    """An action that the store refuses or cannot do; the message is one clear line for people."""


class Scarcity(StoreError):
    """A resource cannot be had now. Nothing has changed, and the same call may succeed later."""


class OutOfResources(Scarcity):
    """There are no descriptors, or there is no memory, for the call."""


class PoolFull(Scarcity):
    """The disk or the configured limit of the pool leaves no room for a write."""


class PoolBusy(Scarcity):
    """Room is being made for the change, and nothing has changed: repeat the call after `Volume.room_made`."""


class Refused(StoreError):
    """The machine does not allow the pool to write: a file system is read-only, or a permission is missing.

    Nothing has changed.
    """


class Unwritable(StoreError):
    """The disk failed before anything was promised. Nothing has changed, and the same call may succeed later."""


class PoolFailed(StoreError):
    """The pool lost what it had promised to write; it takes no more writes until it is opened again."""


class PoolDamaged(StoreError):
    """The pool cannot be opened: its files contradict each other, or it is of a newer format."""


class CatalogueDamaged(PoolDamaged):
    """The catalogue cannot be used; the log has everything that it held."""


class PoolInUse(StoreError):
    """Another process holds the pool."""


class DamagedBlock(StoreError):
    """A block's data is lost: it does not match its checksum, or its place is gone. Reading again does not help.

    `block` counts from the start of the volume or frozen map that was read.
    """

    def __init__(self, block: int) -> None:
        super().__init__(f"block {block} does not match its checksum")
        self.block = block


class Unreadable(StoreError):
    """A block could not be read. Its data may be intact: the same read may succeed later.

    `block` counts as for DamagedBlock.
    """

    def __init__(self, block: int, reason: str) -> None:
        super().__init__(f"block {block} cannot be read: {reason}")
        self.block = block
