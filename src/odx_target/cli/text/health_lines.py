"""The health of an array as lines of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from odx_target.cli.text.sizes import size


def health_lines(health: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines about the health of an array: first its problems, then the available room, then the refused hosts."""
    yield "well" if health["is_well"] else "NOT WELL"
    yield f"writes: {_writes(health)}"
    yield f"checkpoint: {_checkpoint(health)}"
    yield f"damaged blocks: {_count_damaged(health) or 'none met'}"
    for damaged in health["damaged"]:
        yield f"  {_place(damaged)}, met {damaged['times']} times"
    if health["damaged_not_shown"]:
        yield f"  and {health['damaged_not_shown']} more"
    for met in health["met"]:
        kind = met["kind"].replace("_", " ")
        yield f"met since the start: {kind}, {met['times']} times, last {met['age_s']:.0f} s ago: {met['reason']}"
    for each in health.get("schedules", ()):
        yield f"schedule {each['schedule']}: {each['problem']}"
    for error in health["trace_errors"]:
        yield f"trace: not written: {error}"
    available = health["available_bytes"]
    room = "not known" if available is None else size(available)
    yield f"room: {size(health['used_bytes'])} used, {room} available"
    if cleaning := health.get("cleaning"):
        yield (
            f"cleaning: {size(cleaning['live_bytes'])} live and {size(cleaning['dead_bytes'])} dead at the last look, "
            f"{cleaning['freed_segments']} segments freed, write amplification {cleaning['write_amplification']:.2f}"
        )
    if capacity := health.get("capacity_tier"):
        problem = "" if capacity["problem"] is None else f"; not moved now: {capacity['problem']}"
        to_move_bytes = capacity["to_capacity_bytes"] + capacity["to_fast_bytes"]
        yield f"capacity tier: {size(capacity['used_bytes'])} used, {size(to_move_bytes)} to move{problem}"
    yield f"refused since the start: {health['refused_sockets']} sockets, {health['refused_logins']} logins"


def _writes(health: Mapping[str, Any]) -> str:
    if health["failure"]:
        return f"none any more: {health['failure']}"
    refused = health["full"] or health["no_segment"]
    if refused:
        return f"refused for {health['no_room_for_s']:.0f} s: {refused}"
    return "taken"


def _checkpoint(health: Mapping[str, Any]) -> str:
    age = f"{health['checkpoint_age_s']:.0f} s old"
    return f"{age}; the last one failed: {health['checkpoint_error']}" if health["checkpoint_error"] else age


def _count_damaged(health: Mapping[str, Any]) -> int:
    return len(health["damaged"]) + int(health["damaged_not_shown"])


def _place(damaged: Mapping[str, Any]) -> str:
    """Return the LUN and LBA of damaged blocks. If the LUN and LBA are unknown, return the block number in the store."""
    snapshot = "" if damaged["snapshot"] is None else f" in snapshot {damaged.get('snapshot_name') or damaged['snapshot']}"
    if damaged["lun"] is not None:
        return f"LUN {damaged['lun']} {damaged['name']}, LBA {damaged['lba']}+{damaged['count_blocks']}{snapshot}"
    return f"block {damaged['store_block']} of {damaged['name'] or 'a volume that is not known'}{snapshot}"
