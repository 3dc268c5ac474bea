"""The work of the store of an array since the last look, in words."""

from typing import NamedTuple

from odx_target.store.api import Pool


class StoreCounters(NamedTuple):
    """Counters of a store. Each field is a row of `WORDS`."""

    records: int
    host_blocks: int
    durable_records: int
    cold_read_blocks: int
    moved_blocks: int
    freed_segments: int


WORDS = {
    "records": "records written to the log",
    "host_blocks": "data blocks written",
    "durable_records": "records made durable",
    "cold_read_blocks": "blocks read from the disk",
    "moved_blocks": "blocks moved by the cleaner",
    "freed_segments": "segments freed",
}
"""The meaning of each counter."""


def counters_of(pool: Pool) -> StoreCounters:
    """Return the present counters of a pool."""
    status = pool.status()
    log, cleaning = status.log, status.cleaning
    return StoreCounters(
        0 if log is None else log.next_osn,
        0 if cleaning is None else cleaning.host_blocks,
        0 if log is None else log.durable_osn,
        0 if log is None else log.cold_read_blocks,
        0 if cleaning is None else cleaning.moved_blocks,
        0 if cleaning is None else cleaning.freed_segments,
    )


def changes(before: StoreCounters, after: StoreCounters) -> list[str]:
    """Return a line for each counter that has grown."""
    grown = zip(StoreCounters._fields, before, after, strict=True)
    return [f"{later - earlier} {WORDS[name]}" for name, earlier, later in grown if later > earlier]
