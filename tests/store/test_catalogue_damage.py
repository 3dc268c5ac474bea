"""Tests that a damaged, interrupted or full catalogue either loads correctly or raises the right error."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.map_model import places_of
from tests.store.test_catalogue import checkpoint_of, described, written

from odx_target.store.api import PoolDamaged, PoolFull, PoolInUse, Unwritable
from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState
from odx_target.store.catalogue.kept_trees import NumberSet, TreeReader, TreeWriter
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.catalogue.node_codec import DENSE_LEAF, PACKED_INNER, PACKED_LEAF, node_name, sealed
from odx_target.store.catalogue.sqlite import FORMAT, SqliteCatalogue
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.leaf import LEAF_BLOCKS, expand, one_run


class PowerLost(Exception):
    pass


def lose_power() -> None:
    raise PowerLost


def saved_file(path: Path) -> tuple[Path, Checkpoint]:
    file = path / "catalogue.db"
    checkpoint = checkpoint_of(written(100 * LEAF_BLOCKS, 100), remembered={"key": b"value" * 100})
    catalogue = SqliteCatalogue(file)
    catalogue.save(checkpoint)
    catalogue.close()
    return file, checkpoint


def loaded(file: Path) -> Checkpoint | None:
    catalogue = SqliteCatalogue(file)
    try:
        return catalogue.load()
    finally:
        catalogue.close()


def test_power_lost_before_the_commit_leaves_the_former_checkpoint() -> None:
    content = CatalogueContent()
    live = written(5000, 5)
    first = checkpoint_of(live)
    MemoryCatalogue(content).save(first)
    catalogue = MemoryCatalogue(content, before_commit=lose_power)
    restored = catalogue.load()
    assert restored is not None
    live = BlockMap.thawed(restored.volumes[0].root)
    live.assign(0, 5, 5000)
    with pytest.raises(PowerLost):
        catalogue.save(checkpoint_of(live))
    assert described(MemoryCatalogue(content).load()) == described(first)


def test_power_lost_after_the_commit_leaves_the_new_checkpoint() -> None:
    content = CatalogueContent()
    live = written(5000, 5)
    MemoryCatalogue(content).save(checkpoint_of(live))
    live = written(5000, 6, seed=9)
    second = checkpoint_of(live)
    catalogue = MemoryCatalogue(content, after_commit=lose_power)
    catalogue.load()
    with pytest.raises(PowerLost):
        catalogue.save(second)
    assert described(MemoryCatalogue(content).load()) == described(second)


def test_a_process_killed_in_the_middle_of_a_save_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    file, checkpoint = saved_file(tmp_path)
    program = f"""
import os
from pathlib import Path
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from tests.store.test_catalogue import checkpoint_of, written
catalogue = SqliteCatalogue(Path({str(file)!r}))
catalogue.load()
catalogue._connection.execute("PRAGMA cache_size = 1")
catalogue._put_head = lambda body: os._exit(9)
catalogue.save(checkpoint_of(written(100 * 1024, 300, seed=3)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, env={"PYTHONPATH": f"{root}:{root / 'src'}"}, timeout=60)
    assert done.returncode == 9
    assert (tmp_path / "catalogue.db-journal").stat().st_size
    assert described(loaded(file)) == described(checkpoint)


def test_a_full_disk_refuses_a_save_and_lets_a_later_one_succeed(tmp_path: Path) -> None:
    file, checkpoint = saved_file(tmp_path)
    catalogue = SqliteCatalogue(file)
    catalogue.load()
    (pages,) = catalogue._connection.execute("PRAGMA page_count").fetchone()
    catalogue._connection.execute(f"PRAGMA max_page_count = {pages}")
    more = checkpoint_of(written(1000 * LEAF_BLOCKS, 1000, seed=4))
    with pytest.raises(PoolFull, match="no room"):
        catalogue.save(more)
    assert described(catalogue.load()) == described(checkpoint)
    catalogue._connection.execute("PRAGMA max_page_count = 100000")
    catalogue.save(more)
    catalogue.close()
    assert described(loaded(file)) == described(more)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    file, _ = saved_file(tmp_path)
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(PoolDamaged, match="newer format"):
        SqliteCatalogue(file)


def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(PoolDamaged, match="not the catalogue"):
        SqliteCatalogue(file)


@pytest.mark.parametrize("content", [b"not a database, whatever its name says" * 100, b"\x00" * 5000])
def test_what_is_no_database_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "catalogue.db"
    file.write_bytes(content)
    with pytest.raises(PoolDamaged, match="catalogue") as refusal:
        SqliteCatalogue(file)
    assert "\n" not in str(refusal.value)


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match="cannot use"):
        SqliteCatalogue(tmp_path / "missing" / "catalogue.db")


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    file, checkpoint = saved_file(tmp_path)
    first = SqliteCatalogue(file)
    first.load()
    with pytest.raises(PoolInUse):
        SqliteCatalogue(file)
    first.close()
    assert described(loaded(file)) == described(checkpoint)


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_byte_is_noticed_or_harmless(tmp_path: Path, seed: int) -> None:
    file, checkpoint = saved_file(tmp_path)
    whole = file.read_bytes()
    truth = described(checkpoint)
    draw = random.Random(seed)
    noticed = 0
    for _ in range(60):
        at = draw.randrange(len(whole)) if draw.random() < 0.7 else draw.randrange(200)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :])
        try:
            found = loaded(file)
        except PoolDamaged:
            noticed += 1
        else:
            assert described(found) == truth
    assert noticed


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_is_noticed(tmp_path: Path, share: float) -> None:
    file, _ = saved_file(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PoolDamaged):
        loaded(file)


def lose_a_value(content: CatalogueContent) -> None:
    del content.values["key"]


def lose_a_node(content: CatalogueContent) -> None:
    del content.nodes[2]


def swap_nodes(content: CatalogueContent) -> None:
    content.nodes[1], content.nodes[2] = content.nodes[2], content.nodes[1]


def lose_a_field(content: CatalogueContent) -> None:
    content.head = sealed(b"head", b'{"position": {}}')


def replace_the_head(content: CatalogueContent) -> None:
    content.head = sealed(b"head", b"[1, 2]")


def cut_the_head(content: CatalogueContent) -> None:
    content.head = b"abc"


@pytest.mark.parametrize(
    "damage", [lose_a_value, lose_a_node, swap_nodes, lose_a_field, replace_the_head, cut_the_head], ids=lambda d: d.__name__
)
def test_lost_or_exchanged_parts_are_noticed(damage: Callable[[CatalogueContent], None]) -> None:
    content = CatalogueContent()
    MemoryCatalogue(content).save(checkpoint_of(written(10 * LEAF_BLOCKS, 20), remembered={"key": b"value"}))
    damage(content)
    with pytest.raises(PoolDamaged):
        MemoryCatalogue(content).load()


LEAF = bytes([PACKED_LEAF]) + one_run(5).tobytes()


def inner_over(*numbers: int) -> bytes:
    entries = expand(one_run(0))
    for slot, number in enumerate(numbers):
        entries[slot] = number
    return bytes([PACKED_INNER + 1]) + b"".join(entries.tobytes()[plane::8] for plane in range(8))


@pytest.mark.parametrize(
    "bodies",
    [
        {1: LEAF},  # a leaf as a root
        {1: inner_over(1)},  # a cycle
        {1: inner_over(2), 2: LEAF, 3: inner_over(1)},  # an inner node as a leaf, and a child numbered above its parent
        {1: inner_over(), 2: inner_over(1)},  # an inner node as a leaf
        {2: inner_over(1)},  # a missing child
        {1: b"", 2: inner_over(1)},
        {1: b"\x09" + bytes(8), 2: inner_over(1)},  # an unknown kind
        {1: LEAF[:-1], 2: inner_over(1)},
        {1: LEAF[:1], 2: inner_over(1)},
        {1: bytes([DENSE_LEAF]) + b"\xff" * 8 * LEAF_BLOCKS, 2: inner_over(1)},  # places past the limit
        {1: bytes([DENSE_LEAF]) + bytes(9 * LEAF_BLOCKS), 2: inner_over(1)},
    ],
)
def test_trees_that_make_no_sense_are_refused(bodies: dict[int, bytes]) -> None:
    kept = {number: sealed(node_name(number), body) for number, body in bodies.items()}
    with pytest.raises(PoolDamaged):
        TreeReader(kept.get).root(max(bodies), 1, 1000)


@pytest.mark.parametrize(("levels", "size_blocks"), [(0, 10), (6, 10), (1, LEAF_BLOCKS * LEAF_BLOCKS + 1), (1, -1)])
def test_maps_of_impossible_sizes_are_refused(levels: int, size_blocks: int) -> None:
    with pytest.raises(PoolDamaged):
        TreeReader({}.get).root(0, levels, size_blocks)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.one_of(st.integers(1, 60), st.integers(4090, 4100), st.integers(8190, 12_300))), st.integers(12_301, 20_000))
def test_gaps_are_what_a_set_of_numbers_leaves_out(numbers: set[int], end: int) -> None:
    kept = NumberSet()
    assert [kept.add(number) for number in [*numbers, *numbers]] == [True] * len(numbers) + [False] * len(numbers)
    found = [number for first, last in kept.gaps(end) for number in range(first, last + 1)]
    assert found == sorted(set(range(1, end)) - numbers)
    assert len(kept) == len(numbers)


def test_a_live_map_may_change_while_its_frozen_root_is_written() -> None:
    live = written(40 * LEAF_BLOCKS, 60)
    root = live.freeze()
    truth = places_of(root)
    bodies = {}
    for step, (number, body) in enumerate(TreeWriter(1).bodies([root])):
        bodies[number] = body
        live.assign(step * 777 % (39 * LEAF_BLOCKS), 5 + step, 700)
        live.clear(step * 555 % (39 * LEAF_BLOCKS), 300)
        live.copy_range(root, 0, 5000, 3000)
    assert root.root is not None
    assert places_of(TreeReader(bodies.get).root(root.root.stored, root.levels, root.size_blocks)) == truth
    assert places_of(root) == truth


def test_a_loaded_checkpoint_is_saved_on_without_writing_it_again() -> None:
    content = CatalogueContent()
    MemoryCatalogue(content).save(checkpoint_of(written(10 * LEAF_BLOCKS, 20)))
    before = dict(content.nodes)
    catalogue = MemoryCatalogue(content)
    checkpoint = catalogue.load()
    assert checkpoint is not None
    frozen = FrozenMapState(4, False, checkpoint.volumes[0].root)
    catalogue.save(Checkpoint({}, {}, checkpoint.volumes, (frozen,)))
    assert content.nodes == before
