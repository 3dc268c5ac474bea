"""Groups as text for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from odx_target.cli.text.latency import UNKNOWN, latency
from odx_target.cli.text.sizes import size

GROUP_HEADINGS = (
    "group", "role", "state", "condition", "other member", "witness", "volumes", "unacknowledged", "resync", "ETA",
)  # fmt: skip
WITNESSED_HEADINGS = ("witness of", "members", "primary", "in sync")


def group_cells(group: Mapping[str, Any]) -> Sequence[str]:
    """Return a row of the table of groups."""
    return (
        group["name"],
        group["role"],
        group["state"],
        group["condition"],
        _place(group["path"], is_connected=group["is_peer_connected"]),
        _place(group["witness"], is_connected=group["is_witness_connected"]),
        ",".join(each["name"] for each in group["volumes"]),
        UNKNOWN if group["unacknowledged"] is None else str(group["unacknowledged"]),
        *_resync_cells(group["resync"]),
    )


def witnessed_cells(group: Mapping[str, Any]) -> Sequence[str]:
    """Return a row of the table of groups for which the array is the witness."""
    if group["epoch"] is None:
        return group["name"], ",".join(group["members"]), "unknown", "unknown"
    return group["name"], ",".join(group["members"]), group["primary"], "yes" if group["is_in_sync"] else "no"


def advice_lines(groups: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return a line for each group whose condition needs attention."""
    return [f"{group['name']}: {group['advice']}" for group in groups if group["advice"]]


def group_lines(group: Mapping[str, Any]) -> list[str]:
    """Return the lines that describe one group."""
    volumes = ", ".join(
        each["name"] if each["lun"] is None else f"{each['name']} (LUN {each['lun']})" for each in group["volumes"]
    )
    lines = [
        f"group {group['name']}: {group['condition']}; "
        f"this array is the {group['role']}, {group['state']}; epoch {group['epoch']}",
        f"volumes: {volumes}",
        f"other member: {_place(group['path'], is_connected=group['is_peer_connected'])}; "
        f"witness: {_place(group['witness'], is_connected=group['is_witness_connected'])}; "
        f"out of sync after {group['out_of_sync_after_s']:g} s",
    ]
    if group["unacknowledged"] is not None:
        lines.append(f"unacknowledged: {group['unacknowledged']} records of the log")
    parts_s = group["latency"]
    if parts_s["writes"]:
        parts = ", ".join(f"{part} {latency(parts_s[f'{part}_s'])}" for part in ("store", "link", "peer"))
        lines.append(f"writes: {parts_s['writes']}, mean {latency(parts_s['mean_s'])}: {parts}")
    if group["resync"] is not None:
        done, eta = _resync_cells(group["resync"])
        lines.append(f"resync of {group['resync']['kind']}: {done}, ETA {eta}")
    if group["reading"] is not None:
        lines.append(_reading_line(group["reading"]))
    if group["local_snapshots"]:
        lines.append(f"snapshots that the other member does not have: {', '.join(group['local_snapshots'])}")
    lines.append(
        f"since the start: {group['resyncs']} resyncs; {group['verified']} comparisons found both members equal, "
        f"{group['mismatches']} found a difference"
    )
    return [*lines, *advice_lines([group])]


def _reading_line(reading: Mapping[str, Any]) -> str:
    state = "over" if reading["is_over"] else "under way"
    failure = f", ended early: {reading['failure']}" if reading["failure"] else ""
    found = f"{reading['different']} parts differ, {reading['damaged']} cannot be read"
    return f"reading of all data: {state}{failure}; {size(reading['read_bytes'])} read, {found}"


def _place(name: str | None, *, is_connected: bool) -> str:
    if name is None:
        return "removed"
    return name if is_connected else f"{name} (not connected)"


def _resync_cells(resync: Mapping[str, Any] | None) -> tuple[str, str]:
    if resync is None:
        return UNKNOWN, UNKNOWN
    total = "" if resync["total_bytes"] is None else f" of {size(resync['total_bytes'])}"
    rate = f" at {size(resync['bytes_per_second'])}/s" if resync["bytes_per_second"] else ""
    eta_s = resync["remaining_s"]
    return f"{size(resync['shipped_bytes'])}{total}{rate}", UNKNOWN if eta_s is None else f"{eta_s:.0f} s"
