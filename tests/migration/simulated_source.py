"""The LUN of an old array, which tests cut, damage and change."""

from tests.sim.virtual_environment import VirtualEnvironment

from odx_target.migration.source import BadBlock, SourceError, SourceLun


class SimulatedSource:
    """A LUN with the bytes `content`. `bad` has the LBAs that cannot be read, and `holes` the ranges (lba, count) that are
    deallocated. A read takes `delay_s`, and the next `failures` reads fail.
    """

    def __init__(self, environment: VirtualEnvironment, content: bytes, block_bytes: int = 512) -> None:
        self.environment = environment
        self.content = content
        self.block_bytes = block_bytes
        self.failure = ""
        self.max_read_blocks = 1 << 20
        self.bad: set[int] = set()
        self.holes: list[tuple[int, int]] | None = None
        self.delay_s = 0.001
        self.failures = 0
        self.reads: list[tuple[int, int]] = []
        self.running = self.most_running = 0
        self.is_closed = False

    @property
    def lun(self) -> SourceLun:
        return SourceLun(self.block_bytes, len(self.content) // self.block_bytes, "6001")

    async def probe(self) -> SourceLun:
        await self.answer()
        return self.lun

    async def read(self, lba: int, count_blocks: int, /) -> bytes:
        self.reads.append((lba, count_blocks))
        await self.answer()
        assert 0 < count_blocks <= self.max_read_blocks
        assert lba + count_blocks <= self.lun.capacity_blocks
        bad = sorted(self.bad & set(range(lba, lba + count_blocks)))
        if bad:
            raise BadBlock(bad[0], "MEDIUM ERROR")
        return self.content[lba * self.block_bytes : (lba + count_blocks) * self.block_bytes]

    async def zeros(self, lba: int, /) -> tuple[int, bool]:
        await self.answer()
        if self.holes is None:
            return 0, False
        for first, count in self.holes:
            if lba < first:
                return first - lba, False
            if lba < first + count:
                return first + count - lba, True
        return self.lun.capacity_blocks - lba, False

    def close(self) -> None:
        self.is_closed = True
        self.failure = "closed"

    async def answer(self) -> None:
        """Wait for an answer of the old array. Raises SourceError."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.environment.sleep(self.delay_s)
        self.running -= 1
        if self.failures:
            self.failures -= 1
            raise SourceError("the connection broke")
        if self.failure:
            raise SourceError(self.failure)
