"""The things that a check uses: the LUNs under test, further sessions, the clock and the portal."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from odx_target.conformance.exchange import Records
from odx_target.conformance.faults import NotSupported
from odx_target.conformance.iscsi.raw_connection import RawConnection
from odx_target.conformance.path import OpenPath
from odx_target.conformance.unit import Unit
from odx_target.initiator.result import Sleep

OpenConnection = Callable[[Records], AbstractAsyncContextManager[RawConnection]]
"""A function that opens a connection to the portal of the first LUN, before any login."""


@dataclass(slots=True)
class Bench:
    """The equipment of one check. Every check gets new sessions."""

    first: Unit
    pair: Unit | None
    """The second LUN; None if the user has given only one LUN."""
    open_path: OpenPath
    monotonic: Callable[[], float]
    sleep: Sleep
    open_connection: OpenConnection
    target_name: str = ""
    initiator_name: str = ""

    @property
    def second(self) -> Unit:
        """The second LUN. Only checks that need a second LUN may use it."""
        assert self.pair is not None, "the check does not name Need.SECOND_LUN"
        return self.pair

    @asynccontextmanager
    async def other_initiator(self, name: str = "other") -> AsyncIterator[Unit]:
        """Open the first LUN as another initiator."""
        async with self.open_path(name) as path:
            yield replace(self.first, path=path, name=f"{self.first.name} ({name})")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[RawConnection]:
        """Open a connection to the portal. Its PDUs are recorded."""
        async with self.open_connection(self.first.records) as connection:
            yield connection

    def require_blocks(self, count_blocks: int) -> None:
        """Raise NotSupported if the first LUN has fewer blocks."""
        if self.first.capacity_blocks < count_blocks:
            raise NotSupported(f"the LUN has fewer than {count_blocks} blocks")
