"""Settings of Python's garbage collector for a process that serves.

A full collection visits every container object without a pause, half a microsecond for each, and all hosts wait. For 100,000
blocks scattered over a LUN of 1 PiB, the map has some 270,000 such objects, and a full collection takes 150 ms. The map has no
reference cycles, so a full collection finds little. Full collections are therefore made rare. Young objects are still collected
often, a few thousand at a time.
"""

import gc

YOUNG_OBJECTS = 700
"""Number of new objects between two collections of the youngest generation; Python's default."""

COLLECTIONS_OF_YOUNG = 5
"""Number of collections of the youngest generation before the middle generation is collected too. So a collection of both
visits at most 4,200 objects and takes about 2 ms."""

COLLECTIONS_OF_OLDER = 100
"""Number of collections of the middle generation before a full collection.

A full collection is made after 420,000 new objects. At most that many objects can wait as garbage in reference cycles."""


def spare_collector() -> None:
    """Exempt all present objects from collection, and make full collections rare.

    This affects the whole process, so only `serve` calls this function.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, COLLECTIONS_OF_YOUNG, COLLECTIONS_OF_OLDER)
