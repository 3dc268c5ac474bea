"""Settings of Python's garbage collector for a process that serves.

A collection visits every object of a generation without a pause, and all hosts wait until it ends. For example, 100,000 blocks
that are scattered over a LUN of 1 PiB need a map of about 270,000 objects. A collection of the oldest generation takes 150 ms
for these objects. Therefore only the youngest generation, with a few hundred objects, is collected.

Older objects are freed by their reference counts. When a connection, session, token or copy ends, it must leave no reference
cycle, because no collection would free the cycle. A test counts the cycles that each of these objects leaves.
"""

import gc

YOUNG_OBJECTS = 700
"""Number of new objects between two collections of the youngest generation. This number is Python's default."""

NEVER = 1_000_000_000
"""Number of collections of a generation after which the next older generation is collected. The number is so high that the
older generation is never collected."""


def spare_collector() -> None:
    """Change the settings of Python's garbage collector, so that it collects only the youngest generation.

    The setting affects the whole process, so only `serve` calls this function.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, NEVER, NEVER)
