"""The log of the simplest store: a list of records, which become durable when a test flushes."""

from odx_target.store.api import Followed, Record, StoreError
from tests.sim.virtual_environment import VirtualEnvironment


class MemoryLog:
    def __init__(self, environment: VirtualEnvironment) -> None:
        self.environment = environment
        self.records: list[tuple[Record, bytes]] = []
        self.written_osn = self.durable_osn = 1
        self._more = environment.event()

    def add(self, record: Record, data: bytes = b"") -> None:
        self.records.append((record, data))

    @property
    def has_uncommitted(self) -> bool:
        return self.written_osn <= len(self.records)

    def commit(self) -> int:
        self.written_osn = len(self.records) + 1
        self.wake()
        return self.written_osn

    def make_durable(self, osn: int) -> None:
        if osn > self.written_osn:
            raise StoreError("not committed")
        self.durable_osn = max(self.durable_osn, osn)
        more, self._more = self._more, self.environment.event()
        more.set()

    def follow(self, osn: int, *, early: bool = False) -> "MemoryFollower":
        if not 1 <= osn <= len(self.records) + 1:
            raise StoreError("the log has not reached this record")
        return MemoryFollower(self, osn, is_early=early)

    async def more(self) -> None:
        await self._more.wait()

    def wake(self) -> None:
        self.make_durable(self.durable_osn)


class MemoryFollower:
    def __init__(self, log: MemoryLog, osn: int, *, is_early: bool) -> None:
        self.next_osn = osn
        self._is_early = is_early
        self._log = log
        self._is_closed = False

    def __aiter__(self) -> "MemoryFollower":
        return self

    async def __anext__(self) -> Followed:
        log = self._log
        while not self._is_closed and (log.written_osn if self._is_early else log.durable_osn) <= self.next_osn:
            await log.more()
        if self._is_closed:
            raise StopAsyncIteration
        record, data = self._log.records[self.next_osn - 1]
        self.next_osn += 1
        return Followed(self.next_osn - 1, 0, record, 0, memoryview(data))

    def close(self) -> None:
        self._is_closed = True
        self._log.wake()
