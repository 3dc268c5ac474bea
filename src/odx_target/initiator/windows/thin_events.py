"""The events of thin provisioning that the class driver of Windows writes to the System log, and the data of these events. The
event source is `disk`.
"""

from dataclasses import dataclass

from odx_target.initiator.windows import cdb

AVAILABLE, USED = 0x0001, 0x0002
"""Parameter codes of the Logical Block Provisioning log page (SBC-4 6.4.5)."""

PAGE_HEADER_BYTES = PARAMETER_HEADER_BYTES = 4
COUNT_BYTES, SCOPE_BYTE = 4, 4
UNIT, POOL = 0b01, 0b10
"""Values of SCOPE: the logical unit alone, or resources that other logical units use too."""

THRESHOLD_REACHED, THRESHOLD_REACHED_WITH_COUNTS = 144, 145
EVENTS = {(UNIT, UNIT): 146, (UNIT, POOL): 147, (POOL, UNIT): 148, (POOL, POOL): 149}
"""IDs of the events. The key is the scope of the used resources and the scope of the available resources."""
RESOURCES_EXHAUSTED = 150

_OWNERS = {UNIT: "of the disk", POOL: "of the pool"}


@dataclass(frozen=True, slots=True)
class Count:
    """The value of a parameter: a number of threshold sets, and a scope. The scope is 0 if the target does not report it."""

    sets: int
    scope: int


def threshold_event(page: bytes, set_bytes: int) -> str:
    """Return a text about the event that Windows writes to the System log.

    `page` is the Logical Block Provisioning log page. `page` is empty if the target has no such page. `set_bytes` is the size
    of a threshold set.
    """
    counts = counts_in(page)
    if not {AVAILABLE, USED} <= counts.keys():
        return f"disk event {THRESHOLD_REACHED}"
    used, available = counts[USED], counts[AVAILABLE]
    event = EVENTS.get((used.scope, available.scope), THRESHOLD_REACHED_WITH_COUNTS)
    return f"disk event {event}: {_words(used, set_bytes)} used, {_words(available, set_bytes)} available"


def counts_in(page: bytes) -> dict[int, Count]:
    """Return the values of the parameters in a log page. Windows reads at most the first two parameters."""
    counts: dict[int, Count] = {}
    end = min(PAGE_HEADER_BYTES + int.from_bytes(page[2:4], "big"), cdb.THRESHOLD_ALLOCATION_BYTES)
    body = page[PAGE_HEADER_BYTES:end]
    while len(body) >= PARAMETER_HEADER_BYTES + COUNT_BYTES:
        value = body[PARAMETER_HEADER_BYTES:][: body[3]]
        scope = value[SCOPE_BYTE] & 0b11 if len(value) > SCOPE_BYTE else 0
        counts[int.from_bytes(body[:2], "big")] = Count(int.from_bytes(value[:COUNT_BYTES], "big"), scope)
        body = body[PARAMETER_HEADER_BYTES + body[3] :]
    return counts


def _words(count: Count, set_bytes: int) -> str:
    return " ".join(filter(None, (f"{count.sets * set_bytes} bytes", _OWNERS.get(count.scope))))
