"""Tests of the memory of sparse maps of huge volumes, and of the number of steps to pass their missing parts."""

import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import searching
from tests.store.map_model import MapModel, places_of

from odx_target.store.catalogue.node_codec import decode_inner, encode_inner
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.frozen_root import FrozenRoot, MapReader
from odx_target.store.map.inner import FAN_OUT, FEW_AGAIN, MAX_FEW, Few, Inner, Node
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries, Epoch, Leaf, expand, one_run, packed
from odx_target.turns import Steps

PIB_BLOCKS = 1 << 38
SUBTREE = LEAF_BLOCKS * LEAF_BLOCKS


def scattered(count: int, size_blocks: int = PIB_BLOCKS) -> tuple[BlockMap, set[int]]:
    random = Random(7)
    live, blocks = BlockMap(size_blocks), {random.randrange(size_blocks) for _ in range(count)}
    for place, block in enumerate(blocks, 1):
        live.assign(block, place)
    return live, blocks


def nodes_of(node: Node | None) -> list[Node]:
    if node is None:
        return []
    return [node, *(below for _, child in node.present() for below in nodes_of(child))] if isinstance(node, Inner) else [node]


def size_bytes_of(node: Node) -> int:
    return sys.getsizeof(node) + sys.getsizeof(node.entries if isinstance(node, Leaf) else node.children)


def test_a_scattered_write_costs_little_memory() -> None:
    live, blocks = scattered(3000)
    assert sum(map(size_bytes_of, nodes_of(live.root))) / len(blocks) < 600


@pytest.mark.parametrize("piece", [PIB_BLOCKS, 1 << 37, 1 << 30, (1 << 37) - 12345])
def test_all_that_was_scattered_is_given_back(piece: int) -> None:
    live, _ = scattered(1000)
    for block in range(0, PIB_BLOCKS, piece):
        live.clear(block, min(piece, PIB_BLOCKS - block))
    assert live.root is None


def test_blocks_cleared_one_by_one_leave_no_empty_nodes() -> None:
    live, blocks = scattered(500)
    dense = range(SUBTREE, SUBTREE + LEAF_BLOCKS, 2)
    for place, block in enumerate(dense, 5):
        live.assign(block, 3 * place)
    for block in [*dense, *blocks]:
        live.clear(block, 1)
    assert live.root is None


def test_what_is_missing_is_passed_in_a_few_steps() -> None:
    live, blocks = scattered(2000)
    steps = Steps(0)
    extents = list(live.extents(0, Steps(1 << 40)))
    assert sum(mapped * count for _, count, mapped in extents) == len(blocks)
    for _ in live.extents(0, steps):
        break
    assert steps.left >= -5
    steps = Steps(1 << 40)
    assert list(live.extents(0, steps)) == extents
    assert (1 << 40) - steps.left < 8 * len(extents)


def test_a_walk_ends_where_its_steps_do_and_goes_on_from_there() -> None:
    live, _ = scattered(300)
    walk, found = 0, []
    while walk < live.size_blocks:
        steps = Steps(20)
        part = list(live.extents(walk, steps))
        assert part
        assert steps.left > -20
        found += part
        walk = part[-1][0] + part[-1][1]
    assert merged(found) == list(live.extents())


def test_a_fragmented_leaf_costs_as_much_as_it_has_entries() -> None:
    live = BlockMap(SUBTREE)
    for block in range(0, LEAF_BLOCKS, 2):
        live.assign(block, 5 * block + 1)
    steps = Steps(10_000)
    assert len(list(live.extents(0, steps))) == LEAF_BLOCKS
    assert 10_000 - steps.left >= LEAF_BLOCKS


def test_a_turn_reads_only_the_part_of_a_fragmented_leaf_that_its_steps_are_enough_for() -> None:
    live = BlockMap(SUBTREE)
    for block in range(0, LEAF_BLOCKS, 2):
        live.assign(block, 5 * block + 1)
    walk, found = 0, []
    while walk < LEAF_BLOCKS:
        steps = Steps(200)
        part = list(live.extents(walk, steps))
        assert len(part) <= 200
        assert steps.left > -200
        found += part
        walk = part[-1][0] + part[-1][1]
    assert merged(found) == list(live.extents())


def test_steps_are_taken_even_if_the_caller_needs_only_the_first_extent() -> None:
    live = BlockMap(SUBTREE)
    for block in range(0, LEAF_BLOCKS, 2):
        live.assign(block, 5 * block + 1)
    steps = Steps(10_000)
    for _ in live.extents(0, steps):
        break
    assert 10_000 - steps.left >= LEAF_BLOCKS


def merged(extents: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    result: list[tuple[int, int, bool]] = []
    for block, count, mapped in extents:
        if result and result[-1][2] is mapped:
            first, length, _ = result[-1]
            assert first + length == block
            result[-1] = first, length + count, mapped
        else:
            result.append((block, count, mapped))
    return result


spots = st.integers(0, 3 * SUBTREE - 1)
counts = st.sampled_from([1, 2, 500, LEAF_BLOCKS, LEAF_BLOCKS + 1, 3 * LEAF_BLOCKS, SUBTREE])
changes = st.lists(st.tuples(spots, counts, st.booleans()), max_size=4)


@searching(60)
@given(st.lists(changes, min_size=1, max_size=6), st.integers(1, 30))
def test_a_walk_tells_how_things_are_when_it_comes_by(turns: list[list[tuple[int, int, bool]]], steps: int) -> None:
    """If the map changes between the turns of a walk, each turn returns the state of its blocks at that turn."""
    live, model = BlockMap(3 * SUBTREE), MapModel(3 * SUBTREE)
    block = 0
    for change in turns:
        for at, count, clears in change:
            count = min(count if clears else min(count, 600), live.size_blocks - at)
            for each in (live, model):
                each.clear(at, count) if clears else each.assign(at, 1 + at % 97, count)
        for first, length, mapped in live.extents(block, Steps(steps)):
            assert first == block
            assert sum(first <= at < first + length for at in model.places) == (length if mapped else 0)
            block = first + length
    assert places_of(live) == model.places


@searching(60)
@given(st.lists(st.tuples(st.integers(0, FAN_OUT - 1), st.integers(1, 200), st.booleans()), max_size=40))
def test_children_are_those_of_a_dict(changes: list[tuple[int, int, bool]]) -> None:
    epoch = Epoch()
    inner, model = Inner(Few(), epoch), dict[int, Node]()
    for first, count, puts in changes:
        end = min(first + count, FAN_OUT)
        if puts:
            for slot in range(first, end):
                model[slot] = Leaf(one_run(slot + 1), epoch)
                inner.put(slot, model[slot])
        else:
            gone = inner.remove(first, end)
            assert gone == [model.pop(slot) for slot in range(first, end) if slot in model]
        copy = inner.copy(epoch)
        assert inner.present() == copy.present() == sorted(model.items(), key=lambda item: item[0])
        assert inner.present(first, end) == [(slot, model[slot]) for slot in range(first, end) if slot in model]
        assert [inner.children[slot] for slot in (0, first, FAN_OUT - 1)] == [
            model.get(slot) for slot in (0, first, FAN_OUT - 1)
        ]
        assert inner.following(first) == min((slot for slot in model if slot >= first), default=FAN_OUT)
        assert isinstance(inner.children, Few) == (len(inner.children) < FAN_OUT)
        assert isinstance(inner.children, Few) or len(model) > FEW_AGAIN
        assert len(model) > FEW_AGAIN or isinstance(inner.children, Few)
    assert Inner.over(model.items(), epoch).present() == inner.present()


@pytest.mark.parametrize("ours", [0, 3, MAX_FEW, 500])
@pytest.mark.parametrize("theirs", [1, MAX_FEW, 500])
def test_a_node_shares_children_of_another(ours: int, theirs: int) -> None:
    epoch = Epoch()
    target = Inner.over(((slot, Leaf(one_run(1), epoch)) for slot in range(ours)), epoch)
    source = Inner.over(((2 * slot, Leaf(one_run(2), epoch)) for slot in range(theirs)), epoch)
    before = dict(target.present())
    gone = target.share(10, source, 4, 300)
    kept = {slot: node for slot, node in before.items() if not 10 <= slot < 310}
    taken = {slot + 6: node for slot, node in source.present(4, 304)}
    assert dict(target.present()) == kept | taken
    assert gone == [node for slot, node in before.items() if 10 <= slot < 310]


@searching(60)
@given(
    st.dictionaries(st.integers(0, FAN_OUT - 1), st.integers(1, 3000), max_size=120),
    st.booleans(),
)
def test_sparse_children_are_kept_as_dense_ones_were(numbers: dict[int, int], in_sequence: bool) -> None:
    """The encoding of a node does not depend on the form in which the node keeps its children."""
    if in_sequence:
        numbers = {slot: slot + 1 for slot in range(min(numbers, default=0), FAN_OUT - len(numbers))}
    inner = Inner(Few(), Epoch())
    entries: Entries = expand(one_run(0))
    for slot, number in numbers.items():
        leaf = Leaf(one_run(0), Epoch())
        leaf.stored = entries[slot] = number
        inner.put(slot, leaf)
    runs = packed(entries)
    body = encode_inner(inner)
    assert body[0] == (4 if runs is None else 3)
    if runs is not None:
        assert body[1:] == b"".join(run.to_bytes(8, "little") for run in runs)
    assert decode_inner(body).tolist() == [numbers.get(slot, 0) for slot in range(FAN_OUT)]


def test_reach_counts_leaves_that_are_there() -> None:
    live = BlockMap(PIB_BLOCKS)
    for leaf in (0, 5, SUBTREE, PIB_BLOCKS // LEAF_BLOCKS - 1):
        live.assign(leaf * LEAF_BLOCKS + 17, 3)
    frozen: MapReader | FrozenRoot = live.freeze()
    assert frozen.reach(0, PIB_BLOCKS, 1) == LEAF_BLOCKS
    assert frozen.reach(1, PIB_BLOCKS - 1, 2) == 6 * LEAF_BLOCKS - 1
    assert frozen.reach(LEAF_BLOCKS, PIB_BLOCKS - LEAF_BLOCKS, 2) == SUBTREE * LEAF_BLOCKS
    assert frozen.reach(0, PIB_BLOCKS, 5) == PIB_BLOCKS
    assert frozen.reach(0, 30, 5) == 30
