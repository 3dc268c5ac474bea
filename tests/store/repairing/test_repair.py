"""A repair saves all that is left: every block has its value or is lost, and the list of lost blocks is exact."""

from collections.abc import Callable

import pytest
from tests.store.pools import block, read
from tests.store.repairing.damaged_pools import SIZE, Scenario, contents_of, flip, lost_blocks

from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PoolDamaged
from odx_target.store.catalogue.memory import CatalogueContent

Damage = Callable[[Scenario], None]


def flip_bits(scenario: Scenario) -> None:
    draw, files = scenario.random, scenario.machine.disk.files
    for _ in range(draw.randint(1, 4)):
        number = draw.choice(scenario.segments())
        flip(scenario, number, draw.randrange(files[number].size_blocks), draw.randrange(BLOCK_BYTES * 8))


def flip_bits_at_starts(scenario: Scenario) -> None:
    draw, files = scenario.random, scenario.machine.disk.files
    for _ in range(3):
        number = draw.choice(scenario.segments())
        flip(scenario, number, draw.randrange(files[number].size_blocks), draw.randrange(90 * 8))


def swap_blocks(scenario: Scenario) -> None:
    draw, files = scenario.random, scenario.machine.disk.files
    first, second = (files[draw.choice(scenario.segments())].content for _ in range(2))
    one, two = (draw.randrange(len(content) // BLOCK_BYTES) * BLOCK_BYTES for content in (first, second))
    kept = bytes(first[one : one + BLOCK_BYTES])
    first[one : one + BLOCK_BYTES] = second[two : two + BLOCK_BYTES]
    second[two : two + BLOCK_BYTES] = kept


def lose_segments(scenario: Scenario) -> None:
    draw, files = scenario.random, scenario.machine.disk.files
    for _ in range(draw.randint(1, 2)):
        del files[draw.choice(scenario.segments())]


def cut_segment(scenario: Scenario) -> None:
    draw, files = scenario.random, scenario.machine.disk.files
    content = files[draw.choice(scenario.segments())].content
    del content[draw.randrange(len(content) // BLOCK_BYTES) * BLOCK_BYTES :]


def lose_catalogue(scenario: Scenario) -> None:
    scenario.machine.disk.catalogue_content = CatalogueContent()


def tear_catalogue(scenario: Scenario) -> None:
    content = scenario.machine.disk.catalogue_content
    for number in scenario.random.sample(sorted(content.nodes), min(2, len(content.nodes))):
        if scenario.random.random() < 0.5:
            del content.nodes[number]
        else:
            body = bytearray(content.nodes[number])
            body[scenario.random.randrange(len(body))] ^= 4
            content.nodes[number] = bytes(body)


def damage_values(scenario: Scenario) -> None:
    values = scenario.machine.disk.catalogue_content.values
    for key in list(values):
        values[key] = b"xxxx" + values[key][4:]


def tear_catalogue_of_cleaned_pool(scenario: Scenario) -> None:
    mark_cleaned(scenario)
    tear_catalogue(scenario)


def lose_catalogue_of_cleaned_pool(scenario: Scenario) -> None:
    mark_cleaned(scenario)
    lose_catalogue(scenario)
    del scenario.machine.disk.files[min(scenario.machine.disk.files)]


def lose_catalogue_and_flip(scenario: Scenario) -> None:
    lose_catalogue(scenario)
    flip_bits_at_starts(scenario)


def mark_cleaned(scenario: Scenario) -> None:
    head = scenario.machine.disk.head
    assert head.document is not None
    head.document = head.document.replace(b'"cleaned": false', b'"cleaned": true')


DAMAGES: list[Damage] = [
    flip_bits,
    flip_bits_at_starts,
    swap_blocks,
    lose_segments,
    cut_segment,
    lose_catalogue,
    tear_catalogue,
    damage_values,
    tear_catalogue_of_cleaned_pool,
    lose_catalogue_of_cleaned_pool,
    lose_catalogue_and_flip,
]


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_every_block_has_its_value_or_is_lost(damage: Damage, seed: int, clean: bool) -> None:
    scenario = Scenario(seed)
    scenario.end(clean=clean)
    damage(scenario)
    machine = scenario.machine
    plan = scenario.repair()
    again = scenario.plan()
    assert again.checkpoint is None, again.complaints
    assert lost_blocks(again.report) == lost_blocks(plan.report)
    assert lost_blocks(scenario.check()) == lost_blocks(plan.report)
    machine.open()
    found = {name: contents_of(machine, source) for name, source in scenario.sources().items()}
    lost = lost_blocks(plan.report)
    for name, values in found.items():
        assert {at for at, value in enumerate(values) if value is None} == {at for each, at in lost if each == name}
        truth = scenario.truth.values.get(name)
        if truth is not None:
            assert len(values) <= len(truth)
            assert all(value in (None, wanted) for value, wanted in zip(values, truth, strict=False))
    if not plan.lost_records:
        assert found.keys() == scenario.truth.values.keys()
    heal(scenario)


def heal(scenario: Scenario) -> None:
    """A write heals lost blocks, and the pool can be used, closed and opened as any other."""
    machine = scenario.machine
    for name, volume in machine.pool.volumes.items():
        for at in range(0, volume.size_blocks, 64):
            count = min(64, volume.size_blocks - at)
            scenario.truth.values.setdefault(name, [0] * volume.size_blocks)
            scenario.write(name, at, count)
    frozen = {name: contents_of(machine, source) for name, source in scenario.sources().items() if "@" in name}
    machine.kill()
    machine.reopen()
    for name, volume in machine.pool.volumes.items():
        values = scenario.truth.values[name][: volume.size_blocks]
        assert read(machine, volume, 0, volume.size_blocks) == b"".join(map(block, values))
    assert frozen == {name: contents_of(machine, source) for name, source in scenario.sources().items() if "@" in name}


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_sound_pool_needs_no_repair(seed: int, clean: bool) -> None:
    scenario = Scenario(seed)
    scenario.end(clean=clean)
    plan = scenario.plan()
    assert plan.checkpoint is None
    assert plan.complaints == []
    assert plan.report.lost == []


@pytest.mark.parametrize("seed", range(10))
def test_a_torn_end_of_the_log_is_no_damage(seed: int) -> None:
    scenario = Scenario(seed)
    for _ in range(4):
        scenario.write("b", scenario.random.randrange(1000), 20)
    scenario.end(clean=False)
    assert scenario.plan().checkpoint is None


@pytest.mark.parametrize("seed", range(6))
def test_one_damaged_block_is_the_only_lost_block(seed: int) -> None:
    scenario = Scenario(seed)
    scenario.write("b", 700, 1)
    scenario.machine.flush()
    value = scenario.value
    scenario.write("b", 701, 1)
    scenario.end(clean=True)
    for number, file in scenario.machine.disk.files.items():
        at = bytes(file.content).find(block(value))
        if at >= 0:
            flip(scenario, number, at // BLOCK_BYTES, 77)
    assert lost_blocks(scenario.check()) == {("b", 700)}
    plan = scenario.repair()
    assert lost_blocks(plan.report) == {("b", 700)}
    assert plan.lost_records == 0
    scenario.machine.open()
    with pytest.raises(DamagedBlock):
        read(scenario.machine, scenario.machine.pool.volumes["b"], 700, 1)


@pytest.mark.parametrize("seed", range(6))
def test_older_data_is_kept_if_it_is_wanted(seed: int) -> None:
    scenario = Scenario(seed)
    scenario.end(clean=False)
    machine = scenario.machine
    number = sorted(machine.disk.files)[-3]
    flip(scenario, number, 0, 100)
    with pytest.raises(PoolDamaged):
        scenario.check()
    strict, older = scenario.plan(), scenario.plan(older_data=True)
    assert strict.lost_records == older.lost_records > 0
    assert len(lost_blocks(strict.report)) > 1000
    assert len(lost_blocks(older.report)) < 100
    scenario.repair(older_data=True)
    machine.open()
    values = contents_of(machine, machine.pool.volumes["a"])
    assert sum(value == wanted for value, wanted in zip(values, scenario.truth.values["a"], strict=True)) > 1400


@pytest.mark.parametrize("is_resized", [False, True])
def test_a_volume_whose_size_is_lost_is_named(is_resized: bool) -> None:
    scenario = Scenario(0)
    machine = scenario.machine
    machine.checkpoint()
    volume = machine.pool.volumes["a"]
    volume.rename("renamed")
    if is_resized:
        volume.resize(SIZE + 10)
    volume.snapshot("late")
    machine.pool.commit()
    machine.flush()
    scenario.end(clean=False)
    mark_cleaned(scenario)
    parts = machine.disk.catalogue_content.parts
    parts["volume 1"] = b"xxxx" + parts["volume 1"][4:]
    plan = scenario.repair()
    size_blocks = SIZE + 10 if is_resized else 1
    (damaged,) = [each for each in plan.checkpoint.volumes if each.number == 1] if plan.checkpoint is not None else [None]
    assert damaged is not None
    assert (damaged.name, damaged.root.size_blocks) == ("renamed", size_blocks)
    complaint = "the size of renamed is lost; it gets 1 blocks, up to the last block that is known"
    assert (complaint in plan.complaints) is not is_resized
    assert plan.unknown_sizes == ({} if is_resized else {"renamed": 1, "renamed@late": 1})
    for each in ("renamed", "renamed@late"):
        assert {block for name, block in lost_blocks(plan.report) if name == each} == set(range(size_blocks))
