"""A LUN grows, shrinks, is written, zeroed and restarted in any order, compared with a bytearray."""

from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import FrozenMap
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.open import PoolParts, open_pool
from odx_target.store.opening.format_head import MemoryHead
from odx_target.store.pool import LogPool
from odx_target.store.segments.memory import MemorySegments
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.logical_units import attach_logical_units
from odx_target.target.lun_size import grow_logical_unit, shrink_logical_unit
from tests.little_memory import MAP_LEAVES
from tests.settings import searching
from tests.sim.virtual_environment import VirtualEnvironment

MOST_BLOCKS = 40

blocks = st.integers(0, MOST_BLOCKS - 1)
counts = st.integers(1, MOST_BLOCKS)
FIRST = LunConfig("disk", 16 * 512)


class LunSizes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.environment = VirtualEnvironment()
        self.kept = (MemoryHead(), MemorySegments(), CatalogueContent())
        self.pool: LogPool
        self.unit: LogicalUnit
        self.model = bytearray(FIRST.size_bytes)
        self.frozen: list[tuple[FrozenMap, bytes]] = []
        self.value = 0

    @initialize()
    def start(self) -> None:
        head, segments, content = self.kept
        parts = PoolParts(head, segments, MemoryCatalogue(content), lambda: None)
        self.pool = self.environment.run(open_pool(parts, self.environment))
        luns = () if self.pool.volumes else (FIRST,)
        self.unit = attach_logical_units(Config(luns=luns), self.pool, self.environment)[0]
        self.environment.run(self.unit.volume.load(0, self.unit.volume.size_blocks))
        self.frozen.clear()

    @rule(lba=blocks, count=counts)
    def write(self, lba: int, count: int) -> None:
        count = min(count, self.unit.capacity_blocks - lba)
        if count > 0:
            self.value += 1
            data = self.value.to_bytes(2, "big") * 256 * count
            if not self.unit.blocks.write_now(lba, [data]):
                assert MAP_LEAVES is not None, "a write of blocks in memory does not wait"
                self.environment.run(self.unit.blocks.write(lba, [data]))
            self.model[lba * 512 : (lba + count) * 512] = data

    @rule(lba=blocks, count=counts)
    def unmap(self, lba: int, count: int) -> None:
        count = min(count, self.unit.capacity_blocks - lba)
        if count > 0:
            if not self.unit.blocks.unmap_now(lba, count):
                assert MAP_LEAVES is not None, "an unmap of blocks in memory does not wait"
                self.environment.run(self.unit.blocks.unmap(lba, count))
            self.model[lba * 512 : (lba + count) * 512] = bytes(count * 512)

    @rule(count=counts)
    def grow(self, count: int) -> None:
        with suppress(ConfigError):
            grow_logical_unit(self.unit, count * 512)
        self.model.extend(bytes(max(0, count * 512 - len(self.model))))

    @rule(count=counts)
    def shrink(self, count: int) -> None:
        with suppress(ConfigError):
            self.environment.run(shrink_logical_unit(self.unit, count * 512))
        del self.model[count * 512 :]

    @rule()
    def freeze(self) -> None:
        if len(self.frozen) < 3:
            self.frozen.append((self.unit.volume.freeze(), bytes(self.model)))

    @rule()
    def commit(self) -> None:
        self.pool.commit()

    @precondition(lambda self: self.value > 0)
    @rule()
    def restart(self) -> None:
        self.environment.run(self.pool.close())
        self.start()

    def teardown(self) -> None:
        self.environment.settle()

    @invariant()
    def it_is_as_the_model(self) -> None:
        if hasattr(self, "unit"):
            assert self.unit.capacity_blocks * 512 == len(self.model)
            assert self.unit.volume.size_blocks == -(-len(self.model) // 4096)
            assert b"".join(self.unit.blocks.read_now(0, self.unit.capacity_blocks) or []) == self.model
            for frozen, then in self.frozen:
                assert b"".join(frozen.read_now(0, frozen.size_blocks) or [])[: len(then)] == then


TestLunSizes = LunSizes.TestCase
TestLunSizes.settings = searching(max_examples=60, steps=30)
