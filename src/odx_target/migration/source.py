"""The interface to the LUN of another array."""

from dataclasses import dataclass
from typing import Protocol

from odx_target.environment import Buffer


class SourceError(Exception):
    """A request to the old array failed. The message is one line. The same request may succeed later."""


class BadBlock(SourceError):
    """The old array cannot read the block `lba` of its LUN."""

    def __init__(self, lba: int, reason: str) -> None:
        super().__init__(reason)
        self.lba = lba


class SourceRefused(SourceError):
    """The old LUN cannot be imported, or another LUN answers in its place. A new attempt does not help."""


@dataclass(frozen=True, slots=True)
class SourceLun:
    """Properties of the old LUN. `identity` is its designator in hexadecimal, or empty if it has none."""

    block_bytes: int
    capacity_blocks: int
    identity: str

    @property
    def size_bytes(self) -> int:
        return self.block_bytes * self.capacity_blocks


class NoSource:
    """The source of an import that needs the old array no longer."""

    failure = ""
    max_read_blocks = 1

    async def probe(self) -> SourceLun:
        raise SourceError("the old array is not needed any more")

    async def read(self, _lba: int, _count_blocks: int) -> Buffer:
        raise SourceError("the old array is not needed any more")

    async def zeros(self, _lba: int) -> tuple[int, bool]:
        return 0, False

    def close(self) -> None:
        pass


class Source(Protocol):
    """The LUN of another array."""

    @property
    def failure(self) -> str:
        """The reason why the LUN cannot be reached now; empty if it can be reached."""
        ...

    @property
    def max_read_blocks(self) -> int:
        """Largest number of logical blocks that one read may have."""
        ...

    async def probe(self) -> SourceLun:
        """Connect, and read the properties of the LUN. Raises SourceError."""
        ...

    async def read(self, lba: int, count_blocks: int, /) -> Buffer:
        """Read logical blocks. The data never changes. Raises SourceError, and BadBlock if a block is lost."""
        ...

    async def zeros(self, lba: int, /) -> tuple[int, bool]:
        """Return the number of logical blocks from `lba` on that have the same provisioning status, and True if they are
        deallocated and read as zeros. If the old array does not tell, returns (0, False). Raises SourceError.
        """
        ...

    def close(self) -> None:
        """End the connection, and make no other."""
        ...
