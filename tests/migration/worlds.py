"""A pool, an old array, and the imports between them, on the virtual clock."""

from dataclasses import replace
from typing import Any

from tests.migration.simulated_source import SimulatedSource
from tests.store.pools import Machine

from odx_target.migration.import_table import ImportTable
from odx_target.migration.importer import Importer
from odx_target.migration.record import ImportRecord, Phase
from odx_target.migration.source import SourceLun
from odx_target.store.api import BLOCK_BYTES, Volume
from odx_target.store.open import PoolOptions

RATE = 1 << 40
WANTED = ImportRecord(
    "", "", "iscsi://old/iqn.a:b/0", "iqn.a:c", 0, 0, "", Phase.COPYING, RATE, False, 0.0, user="u", secret="s3cret"
)


def content_of(size_bytes: int) -> bytes:
    """Bytes that differ in each sector; every fifth store block is zeros."""
    count = -(-size_bytes // 512)
    sectors = [bytes(512) if at // 8 % 5 == 4 else (at + 1).to_bytes(8, "little") * 64 for at in range(count)]
    return b"".join(sectors)[:size_bytes]


class World:
    """A pool, an old array, and the imports between them."""

    def __init__(self, size_bytes: int = 600 * BLOCK_BYTES + 1536, block_bytes: int = 512, **options: Any) -> None:
        self.machine = Machine(PoolOptions(segment_blocks=256, **options))
        self.content = content_of(size_bytes)
        self.block_bytes = block_bytes
        self.lines: list[tuple[str, str]] = []
        self.begin_table()

    @property
    def environment(self):  # type: ignore[no-untyped-def]
        return self.machine.environment

    def begin_table(self) -> None:
        self.source = SimulatedSource(self.environment, self.content, self.block_bytes)

        def make_source(record: ImportRecord, lun: SourceLun | None) -> SimulatedSource:
            assert record.secret == "s3cret"
            assert lun is None or lun == self.source.lun
            if self.source.is_closed:
                self.source.failure, self.source.is_closed = "", False
            return self.source

        def report(level: str, event: str, /, **fields: Any) -> None:
            self.lines.append((level, f"{event} {fields}"))

        pool = self.machine.pool
        self.table = ImportTable(pool, self.environment, make_source, report, pool.committed)

    def begin(self, name: str = "a", **fields: Any) -> Volume:
        def make(base: Volume, lun: SourceLun) -> Volume:
            assert lun == self.source.lun
            return self.machine.pool.create_volume(name, base.size_blocks, {}, base)

        record = replace(WANTED, **fields)
        return self.environment.run(self.table.begin(record, f"{name}.import", {}, make))

    def restart(self) -> None:
        self.machine.pool.commit()
        self.machine.kill()
        self.begin_table()
        self.table.start()

    @property
    def volume(self) -> Volume:
        return self.machine.pool.volumes["a"]

    @property
    def importer(self) -> Importer:
        (importer,) = self.table.running.values()
        return importer

    def read(self, at: int, count: int) -> bytes:
        return b"".join(self.environment.run(self.volume.read(at, count)))

    def old(self, at: int, count: int) -> bytes:
        return self.content[at * BLOCK_BYTES : (at + count) * BLOCK_BYTES].ljust(count * BLOCK_BYTES, b"\0")

    def until_finished(self, limit_s: float = 1000.0) -> None:
        until_s = self.environment.monotonic() + limit_s
        while self.table.running:
            assert self.environment.monotonic() < until_s, self.importer.progress()
            self.environment.advance(0.5)
            self.environment.settle()
