"""Subtrees that no map needs any more.

When the last reference to a tree of millions of nodes goes, Python frees them all at once, and the event loop stands still
meanwhile. So they are taken apart in pieces, a few in each turn.
"""

from collections.abc import Sequence
from sys import getrefcount

from odx_target.environment import Environment
from odx_target.store.map.inner import Inner, Node
from odx_target.turns import Steps, Turns

LEAVES_AT_ONCE = 64
"""The number of nodes that are freed in some microseconds."""

_CHILDREN_OF_A_STEP = 64

_OURS_ALONE = 2
"""The reference count of a node that only the caller has: its variable, and the argument of `getrefcount`."""


class Discards:
    """Nodes to be let go: at once, until `spare` names the event loop that is to be spared.

    `pause` and `resume` enclose a time in which another owner holds on to trees and drops them without asking: what is added
    meanwhile outlives that.
    """

    def __init__(self) -> None:
        self._environment: Environment | None = None
        self._nodes: list[Node] = []
        self._is_paused = False
        self._is_at_work = False

    def spare(self, environment: Environment) -> None:
        """From now on take trees apart in turns of this environment."""
        self._environment = environment

    def add(self, nodes: Sequence[Node]) -> None:
        """Discard subtrees; parts that are used elsewhere stay."""
        if self._environment is None or not nodes:
            return
        if len(nodes) > LEAVES_AT_ONCE or any(type(node) is Inner for node in nodes):
            self._nodes.extend(nodes)
            self._start()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        self._start()

    def take_apart(self, steps: Steps) -> None:
        """Discard nodes until the steps are spent."""
        nodes = self._nodes
        while nodes and steps.left > 0:
            node = nodes.pop()
            steps.take()
            if isinstance(node, Inner) and getrefcount(node) <= _OURS_ALONE:
                steps.take(len(node.children) // _CHILDREN_OF_A_STEP)
                nodes.extend(child for _, child in node.present())

    def _start(self) -> None:
        if self._environment is not None and self._nodes and not (self._is_paused or self._is_at_work):
            self._is_at_work = True
            self._environment.start_soon(self._work, self._environment.turns)

    async def _work(self, turns: Turns) -> None:
        try:
            while self._nodes and not self._is_paused:
                await turns.next()
                self.take_apart(turns)
        finally:
            self._is_at_work = False
