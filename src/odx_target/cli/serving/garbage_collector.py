"""Settings of Python's garbage collector for a process that serves.

A collection visits every object of a generation without a pause, and all hosts wait until it ends. For example, 100,000 blocks
that are scattered over a LUN of 1 PiB need a map of about 270,000 objects. A collection of the oldest generation takes 150 ms
for these objects. Therefore only the youngest generation, with a few hundred objects, is collected.

Older objects are freed by their reference counts. When a connection, session, token or copy ends, it must leave no reference
cycle, because no collection would free the cycle. A test counts the cycles that each of these objects leaves.
"""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

YOUNG_OBJECTS = 700
"""Number of new objects between two collections of the youngest generation. This number is Python's default."""

NEVER = 1_000_000_000
"""Number of collections of a younger generation before the next older generation is collected. The number is so high that the
older generations are never collected."""


INTERVAL_S = 0.1
"""Time between two collections of the youngest generation.

Python starts a collection when the number of objects has grown by `YOUNG_OBJECTS`. If work only
replaces old objects by new objects, the number of objects stays the same, and Python starts no collection. But all new objects
are in the youngest generation. Without a timer, this generation could grow to any size, and its next collection would take
long."""


@asynccontextmanager
async def spared_collector() -> AsyncIterator[None]:
    """While the body runs, Python's garbage collector collects only the youngest generation, and collects it often.

    The setting affects the whole process, so only `serve` uses this function.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, NEVER, NEVER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_collect_young)
        yield
        nursery.cancel_scope.cancel()


async def _collect_young() -> None:
    while True:
        await trio.sleep(INTERVAL_S)
        gc.collect(0)
