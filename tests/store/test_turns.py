"""Tests that long work returns to the event loop between its pieces, and that trees are freed in pieces."""

import gc
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sim.virtual_environment import VirtualEnvironment

from odx_target.store import record_effects
from odx_target.store.catalogue.interface import FrozenMapState
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.discards import LEAVES_AT_ONCE, LEAVES_OF_A_STEP, ROWS_AT_ONCE, STEPS_OF_ROWS, Discards
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.inner import Inner, Node
from odx_target.store.map.leaf import Epoch, Leaf
from odx_target.store.record_effects import Contents
from odx_target.turns import SHORT_TURNS_AFTER_HOSTS, STEPS_BESIDE_HOSTS, Steps

GIB_BLOCKS = 1 << 18


def test_turns_are_given_in_the_order_in_which_they_are_asked_for_and_one_at_a_time() -> None:
    environment = VirtualEnvironment()
    turns, log = environment.turns, []

    async def work(name: str) -> None:
        for _ in range(2):
            await turns.next()
            log.append((name, turns.left))
            turns.take(turns.of_a_turn + 5)

    for name in "abc":
        environment.spawn(work(name))
    environment.settle()
    assert log == [(name, turns.of_a_turn) for name in "abcabc"]
    assert turns.taken == 6


def test_turns_after_commands_of_hosts_are_short() -> None:
    environment = VirtualEnvironment()
    turns, left = environment.turns, []

    async def work() -> None:
        for number in range(SHORT_TURNS_AFTER_HOSTS + 6):
            if number in (1, 4):
                turns.hosts_were_served()
            await turns.next()
            left.append(turns.left)
            assert turns.is_short == (turns.left == STEPS_BESIDE_HOSTS)

    environment.spawn(work())
    environment.settle()
    short = [STEPS_BESIDE_HOSTS] * (3 + SHORT_TURNS_AFTER_HOSTS)
    assert left == [turns.of_a_turn, *short, turns.of_a_turn, turns.of_a_turn]


def test_hosts_are_served_just_before_each_turn_with_a_budget_of_their_own() -> None:
    environment = VirtualEnvironment()
    turns, log = environment.turns, []

    def serve_hosts() -> bool:
        log.append(("hosts", turns.left))
        turns.hosts_were_served()
        turns.take(turns.of_a_turn + 1)
        return True

    async def work() -> None:
        for _ in range(2):
            await turns.next()
            log.append(("work", turns.left))
            turns.take(turns.left + 5)

    turns.serve_hosts = serve_hosts
    environment.spawn(work())
    environment.settle()
    assert log == [("hosts", turns.of_a_turn), ("work", STEPS_BESIDE_HOSTS)] * 2


def test_work_is_divided_only_while_hosts_are_near() -> None:
    environment = VirtualEnvironment()
    turns = environment.turns
    environment.run(turns.next_if_hosts_are_near())
    assert (turns.taken, turns.hosts_are_near()) == (0, False)
    turns.hosts_were_served()
    assert turns.hosts_are_near()
    for _ in range(SHORT_TURNS_AFTER_HOSTS + 3):
        environment.run(turns.next_if_hosts_are_near())
    assert (turns.taken, turns.hosts_are_near()) == (SHORT_TURNS_AFTER_HOSTS, False)
    turns.take(turns.left)
    environment.run(turns.next_if_hosts_are_near())
    assert turns.taken == SHORT_TURNS_AFTER_HOSTS + 1


def test_the_commands_of_a_connection_do_not_make_its_own_turns_short() -> None:
    environment = VirtualEnvironment()
    turns = environment.turns
    mine, other, third = 3, 5, 8
    turns.hosts_were_served(mine)
    turns.hosts_were_served(mine)
    assert [turns.hosts_are_near(each) for each in (mine, other, None)] == [False, True, True]
    environment.run(turns.next(mine))
    assert (turns.is_short, turns.left) == (False, turns.of_a_turn)
    environment.run(turns.next(other))
    assert (turns.is_short, turns.left) == (True, STEPS_BESIDE_HOSTS)
    turns.hosts_were_served(other)
    assert [turns.hosts_are_near(each) for each in (mine, other, third)] == [True, True, True]
    for _ in range(SHORT_TURNS_AFTER_HOSTS):
        turns.hosts_were_served(mine)
        environment.run(turns.next(mine))
        assert turns.is_short
    environment.run(turns.next(mine))
    assert not turns.is_short, "the other host is idle"


@given(st.lists(st.integers(0, 4), max_size=60))
def test_hosts_are_near_if_any_other_connection_was_served_a_few_turns_ago(events: list[int]) -> None:
    """Compare with the last turn of each connection. The number 0 means a turn."""
    environment = VirtualEnvironment()
    turns, served = environment.turns, dict[int, int]()
    for connection in events:
        if connection:
            turns.hosts_were_served(connection)
            served[connection] = turns.taken
        else:
            environment.run(turns.next())
        for mine in range(1, 6):
            others = [turn for number, turn in served.items() if number != mine]
            expected = any(turns.taken - turn < SHORT_TURNS_AFTER_HOSTS for turn in others)
            assert turns.hosts_are_near(mine) == expected


def test_the_turn_of_a_connection_is_short_if_it_sends_commands_during_the_wait() -> None:
    environment = VirtualEnvironment()
    turns, mine, short = environment.turns, 3, []

    def serve_hosts() -> bool:
        if turns.taken in (2, 3):
            turns.hosts_were_served(mine)
        return True

    turns.serve_hosts = serve_hosts
    turns.hosts_were_served(mine)
    for _ in range(5):
        environment.run(turns.next(mine))
        short.append(turns.is_short)
        assert turns.left == (STEPS_BESIDE_HOSTS if turns.is_short else turns.of_a_turn)
    assert short == [False, True, True, False, False]


def test_hosts_are_served_in_the_middle_of_a_turn_only_beside_others() -> None:
    environment = VirtualEnvironment()
    turns, served = environment.turns, []
    mine, other, left = 3, 5, 7

    def serve_hosts() -> bool:
        served.append(turns.left)
        turns.take(100)
        return True

    turns.serve_hosts = serve_hosts
    turns.left = left
    turns.hosts_were_served(mine)
    environment.run(turns.serve_hosts_if_near(mine))
    assert served == []
    environment.run(turns.serve_hosts_if_near(other))
    assert (served, turns.left, turns.taken) == ([turns.of_a_turn], left, 0)


def test_work_whose_connection_is_cut_while_hosts_are_served_goes_no_further() -> None:
    environment = VirtualEnvironment()
    turns = environment.turns
    turns.serve_hosts = lambda: False
    turns.hosts_were_served()
    coroutine = turns.serve_hosts_if_near()
    coroutine.send(None)  # It waits, so it can be cancelled.
    coroutine.close()


def test_equal_turns_are_never_short_and_never_serve_hosts() -> None:
    environment = VirtualEnvironment()
    turns = environment.turns
    turns.are_equal = True
    turns.serve_hosts = pytest.fail
    turns.hosts_were_served()
    assert not turns.hosts_are_near()
    environment.run(turns.next())
    assert not turns.is_short
    assert turns.left == turns.of_a_turn


def test_one_that_is_cancelled_while_it_waits_does_not_hold_up_the_others() -> None:
    environment = VirtualEnvironment()
    turns, log = environment.turns, []

    async def work(name: str) -> None:
        await turns.next()
        log.append(name)

    coroutines = {name: work(name) for name in "abcd"}
    for coroutine in coroutines.values():
        coroutine.send(None)
    coroutines["b"].close()
    coroutines["a"].close()
    for name in "cd":
        environment.spawn(coroutines[name])
    environment.settle()
    assert log == ["c", "d"]


def test_as_long_as_steps_are_left_nobody_waits() -> None:
    environment = VirtualEnvironment()
    environment.turns.take(environment.turns.of_a_turn - 1)
    coroutine = environment.turns.next_if_spent()
    try:
        coroutine.send(None)
    except StopIteration:
        pass
    else:
        raise AssertionError("it waits")
    assert environment.turns.left == 1


def alive(epoch: Epoch) -> int:
    return sum(isinstance(each, Leaf | Inner) and each.epoch is epoch for each in gc.get_objects())


def tree(leaves: int) -> tuple[FrozenRoot, Epoch]:
    live = BlockMap(1 << 38)
    for leaf in range(leaves):
        live.assign(leaf * 37_000_000 % (1 << 38), leaf + 1)
    frozen = live.freeze()
    assert frozen.root is not None
    return frozen, frozen.root.epoch


def spared(steps: int) -> tuple[VirtualEnvironment, Discards]:
    environment, discards = VirtualEnvironment(), Discards()
    environment.turns.of_a_turn = steps
    discards.spare(environment)
    return environment, discards


def roots(frozen: FrozenRoot) -> list[Node]:
    return [] if frozen.root is None else [frozen.root]


def test_a_tree_is_let_go_of_in_pieces() -> None:
    _, discards = spared(1000)
    frozen, epoch = tree(300)
    counts = [alive(epoch)]
    discards.add(roots(frozen))
    del frozen
    while counts[-1]:
        discards.take_apart(Steps(20))
        counts.append(alive(epoch))
    assert max(one - other for one, other in pairwise(counts)) <= 20 * LEAVES_OF_A_STEP


def test_the_pieces_are_done_in_turns() -> None:
    environment, discards = spared(20)
    frozen, epoch = tree(300)
    before = alive(epoch)
    discards.add(roots(frozen))
    del frozen
    assert alive(epoch) == before
    environment.settle()
    assert alive(epoch) == 0
    assert environment.turns.taken >= before // (20 * LEAVES_OF_A_STEP)


@pytest.mark.parametrize("as_array", [False, True])
def test_rows_are_discarded_in_pieces(as_array: bool) -> None:
    environment, discards = spared(STEPS_OF_ROWS)
    rows = [{number} for number in range(2 * ROWS_AT_ONCE + 1)]
    references = [weakref.ref(row) for row in rows]
    discards.add_rows(np.fromiter(rows, dtype=np.object_, count=len(rows)) if as_array else rows)
    del rows
    counts = []
    for _ in range(4):
        counts.append(sum(reference() is not None for reference in references))
        environment.turns.left = STEPS_OF_ROWS
        discards.take_apart(environment.turns)
    assert counts == [2 * ROWS_AT_ONCE + 1, ROWS_AT_ONCE + 1, 1, 0]
    environment.settle()


def test_very_many_states_are_in_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_effects, "MAX_LISTED_ROWS", 3)
    contents = Contents()
    for count in range(6):
        _, states = contents.frozen_state()
        assert isinstance(states, list) == (count <= 3)
        assert [each.identifier for each in states] == list(range(count))
        contents.discard_state((), states)
        contents.frozen_maps[count] = FrozenMapState(count, False, FrozenRoot(None, 0, 0))


def test_a_tuple_is_not_discarded() -> None:
    _, discards = spared(STEPS_OF_ROWS)
    rows = (object(),)
    discards.add_rows(rows)
    discards.take_apart(Steps(STEPS_OF_ROWS))
    assert len(rows) == 1


def test_what_something_else_has_a_part_in_stays() -> None:
    environment, discards = spared(1000)
    frozen, epoch = tree(50)
    other = BlockMap.thawed(frozen)
    other.clear(0, 1 << 36)
    kept = len(list(other.leaves()))
    discards.add(roots(frozen))
    del frozen
    environment.settle()
    assert len(list(other.leaves())) == kept
    assert kept <= alive(epoch) < 50 + 40


def test_what_is_added_in_a_pause_outlives_it() -> None:
    environment, discards = spared(1000)
    frozen, epoch = tree(50)
    discards.pause()
    discards.add(roots(frozen))
    held = frozen
    del frozen
    environment.settle()
    assert alive(epoch) > 50
    del held
    assert alive(epoch) > 50
    discards.resume()
    environment.settle()
    assert alive(epoch) == 0


@given(st.integers(1, 3 * LEAVES_AT_ONCE))
def test_leaves_go_at_once_unless_they_are_many(count: int) -> None:
    environment, discards = spared(1000)
    live = BlockMap(GIB_BLOCKS)
    for leaf in range(count):
        live.assign(leaf * 1024, leaf + 1)
    discards.add([leaf for _, leaf in live.leaves()])
    assert bool(environment.background) is (count > LEAVES_AT_ONCE)
    environment.settle()
