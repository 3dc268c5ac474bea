"""Freeing of subtrees that no map needs any more.

When the last reference to a tree of millions of nodes is dropped, Python frees all nodes at once, and the event loop cannot run
meanwhile. Therefore discarded trees are freed in small pieces, with a few pieces in each turn of the event loop (see `turns`).
"""

from collections.abc import Collection, Sequence
from sys import getrefcount
from typing import Any, TypeAlias, cast

from odx_target.environment import Environment
from odx_target.store.map.inner import Inner, Node
from odx_target.store.numpy_on_demand import np
from odx_target.turns import Steps, Turns

Rows: TypeAlias = "list[Any] | np.ndarray[Any, np.dtype[np.object_]]"
"""Objects of which each may have the last reference to a tree. Very many of them are in a numpy array, because Python's garbage
collector visits each element of a list."""

LEAVES_AT_ONCE = 64
"""Number of leaves that are freed at once. Python needs a few microseconds for this number."""

ROWS_AT_ONCE = 256
STEPS_OF_ROWS = 60
"""Number of steps (see `turns`) that it takes to discard ROWS_AT_ONCE elements of an array. Each element may be the last
reference to its object."""

LEAVES_OF_A_STEP = 4
"""Number of leaves that are freed in a step. Python needs a microsecond or two for this number."""

_CHILDREN_OF_A_STEP = 64

_OURS_ALONE = 2
"""Reference count of a node to which only one variable refers. The argument of `getrefcount` is the second reference."""


class Discards:
    """Nodes that will be freed in small pieces.

    Until `spare` provides an event loop, this object delays nothing: Python frees each tree in one piece when the last
    reference to the tree is dropped.

    Call `pause` while another part of the program holds references to the trees. Until `resume` is called, no node is freed.
    Nodes that are added meanwhile are freed after `resume`.
    """

    def __init__(self) -> None:
        self._environment: Environment | None = None
        self._nodes: list[Node] = []  # may be leaves too
        self._leaves: list[Node] = []
        self._rows: list[Rows] = []
        self._pauses = 0
        self._is_at_work = False

    def spare(self, environment: Environment) -> None:
        """Make this object free trees in turns of the event loop of `environment` from now on."""
        self._environment = environment

    def add(self, nodes: Sequence[Node]) -> None:
        """Discard subtrees. Nodes to which other trees still refer are not freed."""
        if self._environment is None or not nodes:
            return
        if len(nodes) > LEAVES_AT_ONCE or any(type(node) is Inner for node in nodes):
            self._nodes.extend(nodes)
            self._start()

    def add_rows(self, rows: Collection[Any]) -> None:
        """Discard the elements of a list or of a numpy array, from its end. Does nothing for a tuple."""
        if self._environment is not None and len(rows) and not isinstance(rows, tuple):
            self._rows.append(cast("Rows", rows))
            self._start()

    def pause(self) -> None:
        self._pauses += 1

    def resume(self) -> None:
        self._pauses -= 1
        self._start()

    def take_apart(self, steps: Steps) -> None:
        """Free nodes until no steps or no discarded nodes remain."""
        while self._rows and steps.left > 0:
            rows = self._rows.pop()
            steps.take(STEPS_OF_ROWS)
            if isinstance(rows, list):
                del rows[-ROWS_AT_ONCE:]
                rest: Rows = rows
            else:
                rows[-ROWS_AT_ONCE:] = None
                rest = rows[:-ROWS_AT_ONCE]
            if len(rest):
                self._rows.append(rest)
        nodes, leaves = self._nodes, self._leaves
        while (nodes or leaves) and steps.left > 0:
            if leaves:
                count = min(len(leaves), LEAVES_OF_A_STEP * steps.left)
                del leaves[-count:]
                steps.take(-(-count // LEAVES_OF_A_STEP))
                continue
            node = nodes.pop()
            steps.take()
            if isinstance(node, Inner) and getrefcount(node) <= _OURS_ALONE:
                steps.take(len(node.children) // _CHILDREN_OF_A_STEP)
                children = node.nodes()  # all of the same level
                (nodes if children and type(children[0]) is Inner else leaves).extend(children)
                del children

    def _start(self) -> None:
        if self._environment is not None and self._has_some() and not (self._pauses or self._is_at_work):
            self._is_at_work = True
            self._environment.start_soon(self._work, self._environment.turns)

    def _has_some(self) -> bool:
        return bool(self._nodes or self._leaves or self._rows)

    async def _work(self, turns: Turns) -> None:
        try:
            while self._has_some() and not self._pauses:
                await turns.next()
                self.take_apart(turns)
        finally:
            self._is_at_work = False
