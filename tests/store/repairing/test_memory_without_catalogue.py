"""A check and a repair of a pool that has lost its catalogue keep the changed leaves within the memory for maps."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.little_memory import bytes_of_leaves
from tests.sim.simulated_disk import SimulatedSegments
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Machine, block, read, write
from tests.store.repairing.damaged_pools import Scenario, contents_of, lost_blocks
from tests.store.test_rebuilding import BOUND, LEAVES, Written, leaves_in_memory

from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PoolFull
from odx_target.store.catalogue import transactional
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.checking.pool_check import PoolReport, check_pool
from odx_target.store.log.records import Record
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.opening import leaf_overflow, recovery
from odx_target.store.opening.format_head import decode_head
from odx_target.store.opening.leaf_overflow import LeafOverflow, OverflowOptions
from odx_target.store.record_effects import Contents
from odx_target.store.repairing import rebuilding
from odx_target.store.repairing.repair import RepairPlan, plan_repair, save_repaired


@dataclass
class Temporary:
    """The temporary catalogues that a check or a repair has made."""

    made: list[MemoryCatalogue] = field(default_factory=list)
    failures: int = 0

    def make(self) -> MemoryCatalogue:
        catalogue = MemoryCatalogue(before_commit=self._fail)
        self.made.append(catalogue)
        return catalogue

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise PoolFull("no room for temporary files")

    @property
    def options(self) -> OverflowOptions:
        return OverflowOptions(self.make, bytes_of_leaves(BOUND))


@pytest.fixture
def most_leaves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of leaves in memory after each record that was applied."""
    found: list[int] = []
    real = recovery.apply_change

    def apply_change(contents: Contents, record: Record, place: int) -> None:
        real(contents, record, place)
        found.append(leaves_in_memory(contents))

    for module in (recovery, rebuilding):
        monkeypatch.setattr(module, "apply_change", apply_change)
    return found


def lost() -> Machine:
    written = Written()
    written.lose_catalogue()
    return written.machine


def in_thread(act: Callable[[SimulatedSegments, MemoryCatalogue], object], machine: Machine) -> None:
    VirtualEnvironment.is_in_thread = True
    try:
        act(SimulatedSegments(machine.disk), MemoryCatalogue(machine.disk.catalogue_content))
    finally:
        VirtualEnvironment.is_in_thread = False


def check(machine: Machine, options: OverflowOptions) -> PoolReport:
    reports = []
    head = decode_head(machine.disk.head.document or b"", "the head")
    in_thread(
        lambda segments, catalogue: reports.append(
            check_pool(segments, catalogue, head, lambda _: None, LeafOverflow(catalogue, options))
        ),
        machine,
    )
    return reports[0]


def plan(machine: Machine, options: OverflowOptions) -> RepairPlan:
    """Make a plan, and replace the catalogue if the plan says so."""
    plans: list[RepairPlan] = []
    head = decode_head(machine.disk.head.document or b"", "the head")

    def repair(segments: SimulatedSegments, catalogue: MemoryCatalogue) -> None:
        found = plan_repair(segments, catalogue, head, lambda _: None, overflow=options)
        plans.append(found)
        if found.checkpoint is not None:
            content = CatalogueContent()
            save_repaired(found.checkpoint, found.leaves, MemoryCatalogue(content))
            machine.disk.catalogue_content = content

    in_thread(repair, machine)
    return plans[0]


def test_a_check_stays_within_the_memory_for_maps(most_leaves: list[int]) -> None:
    machine, temporary = lost(), Temporary()
    report = check(machine, temporary.options)
    assert report == check(machine, OverflowOptions())
    assert report.is_sound
    assert report.mapped_blocks
    assert max(most_leaves[: len(most_leaves) // 2]) <= BOUND
    assert max(most_leaves) >= LEAVES, "without a bound"
    assert machine.disk.catalogue_content == CatalogueContent(), "a check writes nothing"


def test_a_repair_stays_within_the_memory_for_maps(most_leaves: list[int]) -> None:
    written, temporary = Written(), Temporary()
    written.lose_catalogue()
    assert plan(written.machine, temporary.options).complaints == ["the catalogue is missing"]
    assert max(most_leaves) <= BOUND
    assert len(temporary.made) == 2, "one to find out why the pool cannot be opened, one for the plan"
    written.machine.open()
    written.check()
    written.machine.close()
    assert check(written.machine, temporary.options).is_sound


@pytest.mark.parametrize("failures", [1, 3])
def test_a_full_directory_for_temporary_files_costs_only_memory(most_leaves: list[int], failures: int) -> None:
    machine, temporary = lost(), Temporary(failures=failures)
    assert check(machine, temporary.options).is_sound
    assert max(most_leaves) > BOUND
    assert not temporary.failures


def test_leaves_that_are_no_longer_needed_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_overflow, "SWEEP_AFTER_NODES", 2)
    machine, temporary, rounds = Machine(), Temporary(), 12
    volume = machine.pool.create_volume("a", LEAVES * LEAF_BLOCKS, {})
    for at in range(rounds):
        for leaf in range(LEAVES):
            write(machine, volume, leaf * LEAF_BLOCKS + at, [block(at * LEAVES + leaf + 1)])
            machine.pool.commit()
    machine.flush()
    machine._abandon()
    machine.disk.catalogue_content = CatalogueContent()
    assert check(machine, temporary.options).is_sound
    (catalogue,) = temporary.made
    assert len(catalogue.content.nodes) < 3 * LEAVES
    assert plan(machine, temporary.options).checkpoint is not None
    machine.open()
    for leaf in range(LEAVES):
        values = [block(at * LEAVES + leaf + 1) for at in range(rounds)]
        assert read(machine, machine.pool.volumes["a"], leaf * LEAF_BLOCKS, rounds) == b"".join(values)


def test_marks_of_lost_blocks_stay_within_the_memory_for_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue is sound, but each leaf has a lost block. So all leaves change."""
    written, temporary = Written(rounds=1), Temporary()
    written.machine.close()
    machine, most = written.machine, 0
    for file in machine.disk.files.values():
        for at in range(0, len(file.content), BLOCK_BYTES):
            if file.content[at : at + 8] in [value.to_bytes(8, "little") for value in written.blocks.values()]:
                file.content[at] ^= 1
    real = transactional.TransactionalCatalogue.put_leaves

    def put_leaves(self: MemoryCatalogue, first_number: int, leaves: list[object]) -> None:
        nonlocal most
        most = max(most, len(leaves))
        real(self, first_number, leaves)  # type: ignore[arg-type]

    monkeypatch.setattr(transactional.TransactionalCatalogue, "put_leaves", put_leaves)
    monkeypatch.setattr("odx_target.store.repairing.repair.RANGES_AT_ONCE", 1)
    found = plan(machine, temporary.options)
    assert found.report.lost_ranges == 2 * LEAVES, "of the volume and of the snapshot"
    assert 0 < most <= BOUND
    machine.open()
    for at in written.blocks:
        with pytest.raises(DamagedBlock):
            read(machine, machine.pool.volumes["a"], at, 1)


@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.parametrize("loses", ["catalogue", "segment", "bit"])
def test_a_repair_with_little_memory_saves_the_same(seed: int, loses: str) -> None:
    results = []
    for options in (OverflowOptions(), OverflowOptions(MemoryCatalogue, bytes_of_leaves(1))):
        scenario = Scenario(seed)
        scenario.end(clean=True)
        machine = scenario.machine
        if loses == "catalogue":
            machine.disk.catalogue_content = CatalogueContent()
        elif loses == "segment":
            del machine.disk.files[scenario.segments()[1]]
        else:
            file = machine.disk.files[scenario.segments()[0]]
            file.content[5 * BLOCK_BYTES + 7] ^= 1
        found = plan(machine, options)
        machine.open()
        values = {name: contents_of(machine, source) for name, source in scenario.sources().items()}
        results.append((found.complaints, lost_blocks(found.report), found.lost_records, found.unknown_sizes, values))
    assert results[0] == results[1]


def test_the_numbers_of_leaves_that_stay_in_the_catalogue_are_not_used_again() -> None:
    """A part of the leaves is in the damaged catalogue, and a part in the temporary one."""
    machine = Machine()
    volume = machine.pool.create_volume("a", LEAVES * LEAF_BLOCKS, {})
    for leaf in range(LEAVES):
        volume.write(leaf * LEAF_BLOCKS, [block(leaf + 1)])
    machine.pool.commit()
    machine.checkpoint()
    for leaf in range(0, LEAVES, 2):
        volume.write(leaf * LEAF_BLOCKS + 1, [block(1000 + leaf)])
        machine.pool.commit()
    machine.environment.settle()
    machine.flush()
    machine._abandon()
    machine.disk.process_death()
    temporary = Temporary()
    assert check(machine, temporary.options).is_sound
    (catalogue,) = temporary.made
    assert min(catalogue.content.nodes) > max(
        number for number, body in machine.disk.catalogue_content.nodes.items() if body[0] in (1, 2)
    )
