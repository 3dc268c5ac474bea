"""What the protocol asks of the memory that a session may take: the edge shares it out among all sessions of an array."""

from collections.abc import Callable
from typing import Protocol


class Share(Protocol):
    """Memory for one purpose. What is taken is given back, size by size."""

    def take(self, size_bytes: int) -> bool:
        """Claim memory at once; False, with nothing taken, where it would have to wait."""

    def wait(self, size_bytes: int, granted: Callable[[], None]) -> object:
        """Claim memory that comes later: `granted` is called once it is there, but not before this returns."""

    def withdraw(self, claim: object) -> None:
        """Wait no longer for what `wait` has returned."""

    def give_back(self, size_bytes: int) -> None:
        """End a claim of this size."""


class SessionMemory(Protocol):
    """The shares of a session that the protocol uses."""

    @property
    def unsolicited(self) -> Share:
        """For data that came with a command, or after it unasked, and has to be kept."""

    @property
    def written(self) -> Share:
        """For data that is asked for by R2T."""


class _Unlimited:
    """All that is asked for."""

    def take(self, size_bytes: int) -> bool:  # noqa: ARG002
        return True

    def wait(self, size_bytes: int, granted: Callable[[], None]) -> object:  # noqa: ARG002
        raise AssertionError("nothing has to wait")

    def withdraw(self, claim: object) -> None:
        pass

    def give_back(self, size_bytes: int) -> None:
        pass


class UnlimitedMemory:
    """For a session that stands for itself."""

    unsolicited = written = _Unlimited()
