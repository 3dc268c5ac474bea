"""A peer does not wait for ever for a token of a group that makes no progress."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from odx_target.copymgr.manager import CopyManager
from odx_target.replica.remote_tokens.limits import ANSWER_WAIT_S
from odx_target.replica.remote_tokens.token_server import TokenServer
from odx_target.scsi.unit.group_gate import GroupGate
from tests.sim.network import Network
from tests.sim.simulated_array import SimulatedArray, refuse_all
from tests.sim.world import World


def test_a_wait_for_a_group_without_progress_ends_with_that_of_the_peer() -> None:
    world = World(1)
    array = SimulatedArray(world, Network(world), "a", refuse_all)
    server = TokenServer(CopyManager(array.pool, array.environment).copies, array.environment)
    functions: set[Callable[[], None]] = set()
    gate = SimpleNamespace(due_osn=0, on_progress=functions)
    array.pool.create_volume("v", 4, {})
    waiting = world.spawn(array.environment, server._acknowledged(cast(GroupGate, gate)))
    world.advance(ANSWER_WAIT_S - 2)
    assert not waiting.done
    world.advance(4)
    assert waiting.done
    assert waiting.result is False
    assert functions == set()


def test_progress_of_the_group_starts_no_further_tasks() -> None:
    world = World(2)
    array = SimulatedArray(world, Network(world), "a", refuse_all)
    server = TokenServer(CopyManager(array.pool, array.environment).copies, array.environment)
    functions: set[Callable[[], None]] = set()
    gate = SimpleNamespace(due_osn=0, on_progress=functions)
    array.pool.create_volume("v", 4, {})
    waiting = world.spawn(array.environment, server._acknowledged(cast(GroupGate, gate)))
    world.advance(0.5)
    before = len(array.environment._tasks)
    for _ in range(50):
        for function in list(functions):
            function()
        world.settle()
    assert not waiting.done
    assert len(array.environment._tasks) == before
    gate.due_osn = array.pool.committed_osn
    for function in list(functions):
        function()
    world.settle()
    assert waiting.value() is True
    assert functions == set()
