"""The LUNs of an array, as far as making and removing groups changes them."""

from collections.abc import Sequence
from typing import Protocol

from odx_target.replica.link.errors import LinkError
from odx_target.store.api import Volume


class NotPossible(LinkError):
    """The array cannot have or lose such a LUN. The message is one line."""


class MemberLuns(Protocol):
    """The LUNs of an array, as far as its groups change them."""

    def check(self, name: str, size_bytes: int, block_bytes: int, number: int | None) -> None:
        """Check that the array can have a LUN with this size and number. Raises NotPossible."""
        ...

    async def present(self, volumes: Sequence[Volume], numbers: Sequence[int | None]) -> None:
        """Give volumes of a group their LUN numbers, and present them to hosts. Those that have theirs stay as they are.

        Raises NotPossible, and the exceptions of `Volume.write`.
        """
        ...

    async def withdraw(self, volumes: Sequence[Volume]) -> None:
        """Take volumes of a group away from hosts. Those that are no LUNs stay as they are.

        Raises NotPossible, and the exceptions of `Volume.write`.
        """
        ...

    async def forget(self, volume: Volume) -> None:
        """Forget what the array remembers about a volume that was deleted. May raise the exceptions of `Volume.write`."""
        ...

    def check_withdrawal(self, volumes: Sequence[Volume]) -> None:
        """Check that the array keeps a LUN without those of some volumes. Raises NotPossible."""
        ...

    async def removed(self, volume: Volume) -> None:
        """Take the LUN of a volume that was deleted away from hosts, and forget the volume. Raises StoreError."""
        ...


class NoLuns:
    """The LUNs of an array that presents nothing to hosts, such as a witness."""

    def check(self, name: str, size_bytes: int, block_bytes: int, number: int | None) -> None:
        """Accept everything."""

    async def present(self, volumes: Sequence[Volume], numbers: Sequence[int | None]) -> None:
        """Do nothing."""

    async def withdraw(self, volumes: Sequence[Volume]) -> None:
        """Do nothing."""

    async def forget(self, volume: Volume) -> None:
        """Do nothing."""

    def check_withdrawal(self, volumes: Sequence[Volume]) -> None:
        """Accept everything."""

    async def removed(self, volume: Volume) -> None:
        """Do nothing."""
