"""Python's garbage collector in a process that serves.

A full collection looks at every container object without a pause, half a microsecond for each, and everybody waits: for
100,000 blocks scattered over a LUN of 1 PiB, whose map has some 270,000 such objects, that is 150 ms. The map has no cycles and
goes by its counts of references alone, so what a full collection can find is little. It is made rare; what is young is still
collected often, a few thousand objects at a time.
"""

import gc

YOUNG_OBJECTS = 700
"""New objects between two collections of the youngest, as Python has it."""

COLLECTIONS_OF_YOUNG = 5
"""So many, then those that outlived one are looked at too: 4,200 at most, about 2 ms."""

COLLECTIONS_OF_OLDER = 100
"""So many, then all are looked at: 420,000 objects more than there were. Old garbage in cycles takes as much at most."""


def spare_collector() -> None:
    """Take what is there now for what stays, and make full collections rare.

    It is for the whole process, so only `serve` does it.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, COLLECTIONS_OF_YOUNG, COLLECTIONS_OF_OLDER)
