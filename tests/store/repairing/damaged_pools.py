"""Damaged pools on a simulated disk, and their repair."""

from dataclasses import dataclass, field
from random import Random

from tests.sim.simulated_disk import SimulatedSegments
from tests.store.pools import Machine, block, read, write

from odx_target.store.api import BLOCK_BYTES, BlockSource, DamagedBlock
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.checking.pool_check import PoolReport, check_pool
from odx_target.store.open import PoolOptions
from odx_target.store.opening.format_head import decode_head
from odx_target.store.repairing.repair import RepairPlan, plan_repair, save_repaired

SIZE = 1500
PARTS = 16
"""Number of parts that are read if one of several blocks is lost."""


@dataclass
class Truth:
    """Values that the blocks of volumes and snapshots should have, by name. A name of a snapshot is `volume@name`."""

    values: dict[str, list[int]] = field(default_factory=dict)


class Scenario:
    """A pool with a random history."""

    def __init__(self, seed: int, *, checkpoint_at: int = 30, cleaning: bool = False) -> None:
        self.random = Random(seed)
        self.machine = Machine(PoolOptions(segment_blocks=32, cleaning=cleaning, checkpoint_blocks=100_000), seed)
        self.truth = Truth()
        self.value = 0
        for name in ("a", "b"):
            self.machine.pool.create_volume(name, SIZE, {"name": name})
            self.truth.values[name] = [0] * SIZE
        self.machine.pool.remember("key", b"value")
        for step in range(60):
            self.change()
            if step == checkpoint_at:
                self.machine.checkpoint()
            if step % 7 == 0:
                self.machine.flush()
        self.machine.flush()
        self.write("a", 0, 1)  # A later header states that everything before is durable.
        self.machine.flush()
        self.write("a", 0, 1)
        self.machine.flush()

    def change(self) -> None:
        kind = self.random.choice(["write"] * 6 + ["unmap", "snapshot", "copy"])
        name = self.random.choice(["a", "b"])
        pool = self.machine.pool
        at, count = self.random.randrange(SIZE - 20), self.random.randint(1, 20)
        if kind == "write":
            self.write(name, at, count)
        elif kind == "unmap":
            pool.volumes[name].unmap(at, count)
            self.truth.values[name][at : at + count] = [0] * count
        elif kind == "snapshot":
            label = f"s{len(pool.snapshots)}"
            pool.volumes[name].snapshot(label)
            self.truth.values[f"{name}@{label}"] = list(self.truth.values[name])
        elif pool.snapshots:
            snapshot = self.random.choice(sorted(pool.snapshots.values(), key=lambda each: each.name))
            values = self.truth.values[f"{snapshot.volume_name}@{snapshot.name}"]
            pool.volumes[name].copy_from(snapshot, at, at, count)  # type: ignore[arg-type]
            self.truth.values[name][at : at + count] = values[at : at + count]
        pool.commit()
        self.machine.environment.settle()

    def write(self, name: str, at: int, count: int) -> None:
        values = list(range(self.value + 1, self.value + 1 + count))
        self.value += count
        write(self.machine, self.machine.pool.volumes[name], at, [b"".join(map(block, values))])
        self.truth.values[name][at : at + count] = values
        self.machine.pool.commit()
        self.machine.environment.settle()

    def end(self, *, clean: bool) -> None:
        """Close the pool, or end its process."""
        self._last = self.machine.pool.log.chain.position.segment
        self._is_closed = clean
        if clean:
            self.machine.close()
        self.machine._abandon()
        self.machine.disk.power_loss()

    def segments(self) -> list[int]:
        """Numbers of the segments whose damage can be noticed.

        Without a later header or a checkpoint, damage to the last segment looks like an incomplete write.
        """
        has_checkpoint = self._is_closed and self.machine.disk.catalogue_content.head is not None
        return [number for number in sorted(self.machine.disk.files) if has_checkpoint or number < self._last]

    def plan(self, *, older_data: bool = False) -> RepairPlan:
        machine = self.machine
        head = decode_head(machine.disk.head.document or b"", "the head")
        catalogue = MemoryCatalogue(machine.disk.catalogue_content)
        segments = SimulatedSegments(machine.disk)
        return machine.environment.run(
            machine.environment.in_thread(
                lambda: plan_repair(segments, catalogue, head, lambda _count: None, older_data=older_data)
            )
        )

    def repair(self, *, older_data: bool = False) -> RepairPlan:
        plan = self.plan(older_data=older_data)
        if plan.checkpoint is not None:
            content = CatalogueContent()
            save_repaired(plan.checkpoint, MemoryCatalogue(self.machine.disk.catalogue_content), MemoryCatalogue(content))
            self.machine.disk.catalogue_content = content
        return plan

    def check(self) -> PoolReport:
        machine = self.machine
        head = decode_head(machine.disk.head.document or b"", "the head")
        catalogue = MemoryCatalogue(machine.disk.catalogue_content)
        segments = SimulatedSegments(machine.disk)
        return machine.environment.run(
            machine.environment.in_thread(lambda: check_pool(segments, catalogue, head, lambda _count: None))
        )

    def sources(self) -> dict[str, BlockSource]:
        pool = self.machine.pool
        found: dict[str, BlockSource] = dict(pool.volumes)
        found.update({f"{each.volume_name}@{each.name}": each for each in pool.snapshots.values()})
        return found


def contents_of(machine: Machine, source: BlockSource) -> list[int | None]:
    """Return the value of each block. The value of a lost block is None."""
    return _values(machine, source, 0, source.size_blocks)


def _values(machine: Machine, source: BlockSource, at: int, count: int) -> list[int | None]:
    """Read blocks together. If one of them is lost, read smaller parts."""
    try:
        data = read(machine, source, at, count)
    except DamagedBlock:
        if count == 1:
            return [None]
        step, end = -(-count // PARTS), at + count
        return [value for part in range(at, end, step) for value in _values(machine, source, part, min(step, end - part))]
    return [int.from_bytes(data[start : start + 8], "little") for start in range(0, len(data), BLOCK_BYTES)]


def lost_blocks(report: PoolReport) -> set[tuple[str, int]]:
    """Return (name, block) of each lost block of volumes and snapshots in a report."""
    return {
        (each.volume or each.snapshot or "", block)
        for each in report.lost
        for block in range(each.block, each.block + each.count_blocks)
    }


def flip(scenario: Scenario, number: int, block_number: int, bit: int) -> None:
    content = scenario.machine.disk.files[number].content
    content[block_number * BLOCK_BYTES + bit // 8] ^= 1 << bit % 8
