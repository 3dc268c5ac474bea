"""The memory that a session may take. The edge shares it out among all sessions of an array."""

from collections.abc import Callable
from typing import Protocol


class Share(Protocol):
    """Memory for one purpose. Each size that is taken is given back."""

    def take(self, size_bytes: int) -> bool:
        """Claim memory at once; return False and take nothing if that is not possible."""

    def wait(self, size_bytes: int, granted: Callable[[], None]) -> object:
        """Claim memory that comes later. `granted` is called when it is there, but not before this returns."""

    def withdraw(self, claim: object) -> None:
        """Stop waiting; `claim` is the result of `wait`."""

    def give_back(self, size_bytes: int) -> None:
        """End a claim of this size."""


class SessionMemory(Protocol):
    """The shares of a session that the protocol uses."""

    @property
    def unsolicited(self) -> Share:
        """For data that came with a command, or unsolicited after it, and has to be kept."""

    @property
    def written(self) -> Share:
        """For data that the target asks for by R2T."""


class _Unlimited:
    """A share that grants every claim."""

    def take(self, size_bytes: int) -> bool:  # noqa: ARG002
        return True

    def wait(self, size_bytes: int, granted: Callable[[], None]) -> object:  # noqa: ARG002
        raise AssertionError("nothing has to wait")

    def withdraw(self, claim: object) -> None:
        pass

    def give_back(self, size_bytes: int) -> None:
        pass


class UnlimitedMemory:
    """Memory of a session that shares with no other."""

    unsolicited = written = _Unlimited()
