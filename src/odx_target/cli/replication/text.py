"""Protections and copies as text for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from odx_target.cli.storage.snapshot import time_text
from odx_target.cli.text.sizes import size

PROTECTION_HEADINGS = ("protection", "path", "volumes", "trigger", "state", "newest here", "newest there", "remaining", "ETA")
COPY_HEADINGS = ("copy", "path", "of", "role", "state", "snapshots", "newest", "remaining", "ETA")


def protection_cells(protection: Mapping[str, Any]) -> Sequence[str]:
    """Return a row of the table of protections."""
    progress = protection["progress"]
    return (
        protection["name"],
        protection["path"],
        ",".join(protection["volumes"]),
        protection["trigger"],
        progress["replay_state"],
        moment(progress["local_snapshot_timestamp"]),
        moment(progress["remote_snapshot_timestamp"]),
        *_transfer_cells(progress),
    )


def copy_cells(copy: Mapping[str, Any]) -> Sequence[str]:
    """Return a row of the table of copies."""
    progress = copy["progress"]
    return (
        copy["name"],
        copy["path"],
        copy["peer_volume"],
        copy["role"],
        progress["replay_state"],
        str(copy["snapshots"]),
        copy["newest"] or "-",
        *_transfer_cells(progress),
    )


def problem_lines(rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return a line for each protection or copy that has a problem."""
    return [f"{row['name']}: {row['progress']['problem']}" for row in rows if row["progress"]["problem"]]


def moment(time_s: float | None) -> str:
    """Return a time in UTC as text."""
    return "-" if time_s is None else time_text(time_s)


def _transfer_cells(progress: Mapping[str, Any]) -> tuple[str, str]:
    if progress["snapshot"] is None:
        return "-", "-"
    eta_s = progress["seconds_until_synced"]
    rate = f" at {size(progress['bytes_per_second'])}/s" if progress["bytes_per_second"] else ""
    return size(progress["bytes_remaining"]) + rate, "-" if eta_s is None else f"{eta_s:.0f} s"
