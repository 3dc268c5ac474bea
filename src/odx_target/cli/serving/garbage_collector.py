"""Settings of Python's garbage collector for a process that serves.

A full collection visits every container object without a pause, half a microsecond for each, and all hosts wait. For 100,000
blocks scattered over a LUN of 1 PiB, whose map has some 270,000 such objects, that takes 150 ms. The map has no reference
cycles, so a full collection finds little. Full collections are therefore made rare; young objects are still collected often, a
few thousand at a time.
"""

import gc

YOUNG_OBJECTS = 700
"""New objects between two collections of the youngest generation; Python's default."""

COLLECTIONS_OF_YOUNG = 5
"""Collections of the youngest generation before one of the middle generation too: at most 4,200 objects, about 2 ms."""

COLLECTIONS_OF_OLDER = 100
"""Collections of the middle generation before a full one: after 420,000 new objects.

So many can be garbage in cycles at most.
"""


def spare_collector() -> None:
    """Exempt all present objects from collection, and make full collections rare.

    It affects the whole process, so only `serve` calls it.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, COLLECTIONS_OF_YOUNG, COLLECTIONS_OF_OLDER)
