"""The memory that a session may use. The connection server divides memory among all sessions of an array."""

from collections.abc import Callable
from typing import Protocol


class Share(Protocol):
    """Memory for one purpose. The caller must give back all memory that it takes."""

    def take(self, size_bytes: int) -> bool:
        """Claim memory at once. If there is not enough, return False and claim none."""

    def wait(self, size_bytes: int, granted: Callable[[], None]) -> object:
        """Claim memory that is not available yet. `granted` is called when the memory is available, but never before this
        method returns.
        """

    def withdraw(self, claim: object) -> None:
        """Stop waiting for memory; `claim` is the result of `wait`."""

    def give_back(self, size_bytes: int) -> None:
        """Give back memory of this size."""


class SessionMemory(Protocol):
    """The shares of memory that the protocol uses for a session."""

    @property
    def unsolicited(self) -> Share:
        """Memory for immediate data and other unsolicited data that must be kept."""

    @property
    def written(self) -> Share:
        """Memory for data that the target requests by R2T."""


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
    """Memory without a limit, for a session that does not share memory with other sessions."""

    unsolicited = written = _Unlimited()
