"""Settings of Python's garbage collector for a process that serves.

A collection visits every object of a generation without a pause, and all hosts wait. The map of 100,000 blocks that are
scattered over a LUN of 1 PiB has some 270,000 objects, and a collection of the oldest generation takes 150 ms for them. So
only the youngest generation is collected, which holds a few hundred objects.

Older objects are freed by their reference counts. Objects that grow old and then end - connections, sessions, tokens, copies -
must leave no reference cycles, since nothing else would free them. A test counts the cycles that each of them leaves.
"""

import gc

YOUNG_OBJECTS = 700
"""Number of new objects between two collections of the youngest generation; Python's default."""

NEVER = 1_000_000_000
"""Number of collections of a younger generation, so high that the generation above it is never collected."""


def spare_collector() -> None:
    """Collect the youngest generation only.

    This affects the whole process, so only `serve` calls it.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, NEVER, NEVER)
