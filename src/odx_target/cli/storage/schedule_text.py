"""Schedules as text, for the output of `odx-target schedule`."""

from collections.abc import Mapping, Sequence
from typing import Any

from odx_target.cli.storage.snapshot import time_text

HEADINGS = ("name", "runs", "keeps", "applies to", "next run", "last run", "snapshots", "missed", "problem")


def schedule_cells(schedule: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a table row about a schedule, in the order of HEADINGS."""
    last = schedule["last_run"]
    return (
        schedule["name"],
        _when(schedule),
        _keeps(schedule),
        _applies_to(schedule),
        "never: disabled" if schedule["next_s"] is None else time_text(schedule["next_s"]),
        "" if last is None else last["moment"],
        "" if last is None else str(last["snapshots"]),
        str(schedule["missed"]),
        schedule["problem"],
    )


def schedule_lines(schedule: Mapping[str, Any]) -> Sequence[str]:
    """Return several lines about a schedule, its volumes, and the snapshots that it should delete but keeps for a reason."""
    last = schedule["last_run"]
    lines = [schedule_line("schedule", schedule)]
    if schedule["before"] or schedule["after"]:
        lines.append(f"commands: before {schedule['before'] or 'none'}; after {schedule['after'] or 'none'}")
        lines.append(f"each for at most {schedule['timeout_s']:g} s; if one fails: {schedule['on_failure']}")
    lines.append(f"volumes: {' '.join(schedule['volume_names']) or 'none'}")
    if last is not None:
        lines.append(f"last run: {last['moment']}, ended {time_text(last['ended_s'])}, {last['snapshots']} snapshots")
    lines.append(f"missed runs: {schedule['missed']}")
    if schedule["problem"]:
        lines.append(f"problem: {schedule['problem']}")
    lines += [f"kept: {each['volume']}@{each['name']}: {each['reason']}" for each in schedule["kept"]]
    return lines + ([f"kept: {schedule['kept_not_shown']} more"] if schedule["kept_not_shown"] else [])


def schedule_line(done: str, schedule: Mapping[str, Any]) -> str:
    """Return one line about a schedule. `done` is the first word of the line."""
    following = "disabled" if schedule["next_s"] is None else f"next run {time_text(schedule['next_s'])}"
    keeps, applies = f"keeps {_keeps(schedule)}", f"applies to {_applies_to(schedule)}"
    return f"{done} {schedule['name']}: {_when(schedule)}, {keeps}, {applies}, {following}"


def _when(schedule: Mapping[str, Any]) -> str:
    at = ",".join(f":{at:02}" if isinstance(at, int) else at for at in schedule["at"])
    days = f" {','.join(schedule['days'])}" if schedule["days"] else ""
    return f"{schedule['every']}{days} at {at}"


def _keeps(schedule: Mapping[str, Any]) -> str:
    if schedule["keep"] is not None:
        return str(schedule["keep"])
    seconds = int(schedule["keep_for_s"])
    for unit, unit_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % unit_s == 0:
            return f"for {seconds // unit_s}{unit}"
    return f"for {seconds}s"


def _applies_to(schedule: Mapping[str, Any]) -> str:
    count = f"{schedule['volumes']} volume{'' if schedule['volumes'] == 1 else 's'}"
    return f"{count}, default" if schedule["default"] else count
