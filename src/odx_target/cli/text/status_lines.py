"""The answer of the operation `status` as lines of text for a person."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from odx_target.cli.groups.text import GROUP_HEADINGS, WITNESSED_HEADINGS, advice_lines, group_cells, witnessed_cells
from odx_target.cli.replication.text import COPY_HEADINGS, PROTECTION_HEADINGS, copy_cells, problem_lines, protection_cells
from odx_target.cli.text.latency import UNKNOWN, latency
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import column_lines
from odx_target.iscsi.limits import COMMAND_WINDOW
from odx_target.target.printable import printable

Answer = Mapping[str, Any]

COMMAND_HEADINGS = ("commands", "count", "per second", "bytes per second", "mean", "p50", "p99", "p99.9")
VOLUME_HEADINGS = (
    "volume", "LUN", "size", "data", "unique", "shared", "snapshots", "reads", "writes", "read p99", "write p99",
)  # fmt: skip
TIER_HEADINGS = ("tier", "to move")
SESSION_HEADINGS = ("initiator", "address", "commands", "bytes")
TARGET_HEADINGS = ("target", "sessions", "max-sessions", "max-commands", "memory-share")
SANITIZE_STATES = {
    "running": "being sanitized, {} % done",
    "failed": "its sanitize operation has failed; hosts must sanitize it again",
    "waiting": "its sanitize operation goes on when it is a LUN again",
}
KINDS = ("read", "write", "other")


def status_lines(answer: Answer, former: Answer | None = None, width: int | None = None) -> list[str]:
    """Return the lines for an answer. If `former` is given, also return the rates between the two answers. `width` is the width
    of the terminal, or None if lines may have any length.
    """
    array = answer["array"]
    lines = _pool_lines(answer["pool"])
    if array is not None:
        lines += [*_array_lines(array), "", *_command_lines(answer, former, width)]
    if answer["volumes"]:
        lines += ["", *_volume_lines(answer["volumes"], width), *_sanitize_lines(answer["volumes"])]
    lines += _not_listed(answer["volumes_not_listed"], "volumes")
    if array is not None and array["sessions"]:
        rows = [
            (printable(each["initiator"]), each["peer"], str(each["commands"]), size(each["bytes"]))
            for each in array["sessions"]
        ]
        lines += ["", *column_lines(SESSION_HEADINGS, rows, width), *_not_listed(array["sessions_not_listed"], "sessions")]
    lines += [*_target_lines(array, width), *_replication_lines(answer.get("replication"), width)]
    return lines + _group_lines(answer.get("groups"), width)


def _group_lines(groups: Answer | None, width: int | None) -> list[str]:
    """Return the tables of groups of two arrays, if there are any."""
    if groups is None:
        return []
    lines = []
    for headings, cells, rows in (
        (GROUP_HEADINGS, group_cells, groups["groups"]),
        (WITNESSED_HEADINGS, witnessed_cells, groups["witnessed"]),
    ):
        if rows:
            lines += ["", *column_lines(headings, [tuple(map(printable, cells(each))) for each in rows], width)]
    return lines + [printable(line) for line in advice_lines(groups["groups"])]


def _replication_lines(replication: Answer | None, width: int | None) -> list[str]:
    """Return the tables of protections and copies, if there are any."""
    if replication is None:
        return []
    lines = []
    for headings, cells, rows in (
        (PROTECTION_HEADINGS, protection_cells, replication["protections"]),
        (COPY_HEADINGS, copy_cells, replication["copies"]),
    ):
        if rows:
            lines += ["", *column_lines(headings, [tuple(map(printable, cells(each))) for each in rows], width)]
            lines += [printable(line) for line in problem_lines(rows)]
    return lines


def _target_lines(array: Answer | None, width: int | None) -> list[str]:
    """Return the table of targets if there are several, or if one has limits of its own. An array of an earlier version does
    not report its targets.
    """
    targets = [] if array is None else array.get("targets", [])
    rows = [
        (
            printable(each["name"]),
            str(each["sessions"]),
            UNKNOWN if each["max_sessions"] is None else str(each["max_sessions"]),
            str(each["max_commands"]),
            f"{each['memory_share_percent']} %",
        )
        for each in targets
    ]
    has_limits = any(row[2:] != (UNKNOWN, str(COMMAND_WINDOW), "100 %") for row in rows)
    return ["", *column_lines(TARGET_HEADINGS, rows, width)] if has_limits or len(rows) > 1 else []


def _pool_lines(pool: Answer) -> list[str]:
    available = "unknown" if pool["available_bytes"] is None else size(pool["available_bytes"])
    lines = [
        f"pool: {size(pool['used_bytes'])} used, {available} available; {pool['volumes']} volumes of "
        f"{size(pool['logical_bytes'])}, {pool['snapshots']} snapshots, {pool['frozen_maps']} other frozen maps"
    ]
    space = pool["space"]
    if space is None:
        lines.append("data: not counted; --space counts it")
    else:
        lines.append(
            f"data: {size(space['unique_bytes'])} in one volume each, {size(space['shared_bytes'])} shared, "
            f"{size(space['frozen_bytes'])} only in snapshots and tokens; counted {space['age_s']:.0f} s ago"
        )
    cleaning, log = pool["cleaning"], pool["log"]
    if cleaning is not None:
        lines.append(
            f"cleaner: {size(cleaning['dead_bytes'])} dead beside {size(cleaning['live_bytes'])} live at the last marking, "
            f"{size(cleaning['moved_bytes'])} moved, write amplification {cleaning['write_amplification']:.2f}"
        )
    if log is not None:
        lines.append(
            f"log: segment {log['segment']}, block {log['block']}, {log['segments']} segments; "
            f"sequence number {log['next_sequence_number']}, durable up to {log['durable_sequence_number']}; "
            f"{size(log['cold_read_bytes'])} read cold"
        )
        lines.append(f"checkpoint: {pool['checkpoint_age_s']:.0f} s ago; {size(log['replay_bytes'])} would be replayed")
    if capacity := pool.get("capacity_tier"):
        lines.append(_capacity_line(capacity))
    troubles = [pool[name] for name in ("failure", "no_room", "checkpoint_error") if pool[name]]
    if pool["damaged_blocks"]:
        troubles.append(f"{pool['damaged_blocks']} damaged blocks are known")
    return lines + [f"trouble: {printable(each)}" for each in troubles]


def _capacity_line(capacity: Answer) -> str:
    available = "unknown" if capacity["available_bytes"] is None else size(capacity["available_bytes"])
    problem = "" if capacity["problem"] is None else f"; not moved now: {printable(capacity['problem'])}"
    return (
        f"capacity tier: {size(capacity['used_bytes'])} used, {available} available; {size(capacity['to_capacity_bytes'])} to "
        f"move there, {size(capacity['to_fast_bytes'])} to move back{problem}"
    )


def _array_lines(array: Answer) -> list[str]:
    sessions = len(array["sessions"]) + array["sessions_not_listed"]
    copied = array["copied"]
    lines = [
        f"array: {array['luns']} LUNs, {sessions} sessions, {array['tokens']} of {array['max_tokens']} tokens, "
        f"{array['copies']} copies",
        f"copied by token: {size(copied['shared_bytes'])} shared, {size(copied['moved_bytes'])} moved, "
        f"{size(copied['zeroed_bytes'])} zeroed",
    ]
    return lines + stepping_aside_lines(array["stepping_aside"])


def stepping_aside_lines(stepping_aside: Answer) -> list[str]:
    """Return a line if the array begins no new copies now, or has refused any."""
    remaining_s, refused = stepping_aside["remaining_s"], stepping_aside["refused"]
    count = f"{refused} were refused so far"
    if remaining_s is None:
        return [f"new copies: {count}"] if refused else []
    seconds = math.ceil(round(remaining_s, 3))  # a difference of two times may be a little too large
    return [f"new copies: refused for {seconds} more seconds ({stepping_aside['cause']}); {count}"]


def _command_lines(answer: Answer, former: Answer | None, width: int | None) -> list[str]:
    rows = []
    for kind in KINDS:
        found = answer["array"]["commands"][kind]
        rows.append(
            (
                kind,
                str(found["commands"]),
                *_rates(answer, former, kind),
                *(latency(found[name]) for name in ("mean_s", "p50_s", "p99_s", "p999_s")),
            )
        )
    return column_lines(COMMAND_HEADINGS, rows, width)


def _rates(answer: Answer, former: Answer | None, kind: str) -> tuple[str, str]:
    elapsed_s = 0.0 if former is None or former["array"] is None else answer["time_s"] - former["time_s"]
    if former is None or elapsed_s <= 0.0:
        return UNKNOWN, UNKNOWN
    now, before = answer["array"]["commands"][kind], former["array"]["commands"][kind]
    commands, count_bytes = (max(now[name] - before[name], 0) / elapsed_s for name in ("commands", "bytes"))
    return f"{commands:.0f}", size(count_bytes)


def _volume_lines(volumes: Sequence[Answer], width: int | None) -> list[str]:
    """Return the table of volumes. It has the tiers of the volumes if the pool has a capacity tier."""
    rows = [_volume_row(each) for each in volumes]
    if volumes[0].get("to_move_bytes") is None:
        return column_lines(VOLUME_HEADINGS, rows, width)
    tiers = [(each["tier"], size(each["to_move_bytes"])) for each in volumes]
    return column_lines(
        (*VOLUME_HEADINGS, *TIER_HEADINGS), [(*row, *tier) for row, tier in zip(rows, tiers, strict=True)], width
    )


def _sanitize_lines(volumes: Sequence[Answer]) -> list[str]:
    """Return a line for each volume that is being sanitized, or whose sanitize operation has failed."""
    lines = []
    for volume in volumes:
        if (sanitize := volume.get("sanitize")) is not None:
            state = SANITIZE_STATES[sanitize["state"]].format(sanitize["percent"])
            lines.append(f"volume {printable(volume['name'])}: {state}")
    return lines


def _volume_row(volume: Answer) -> Sequence[str]:
    commands = volume["commands"]
    spaces = (volume[name] for name in ("mapped_bytes", "unique_bytes", "shared_bytes"))
    return (
        printable(volume["name"]),
        UNKNOWN if volume["lun"] is None else str(volume["lun"]),
        size(volume["size_bytes"]),
        *(UNKNOWN if each is None else size(each) for each in spaces),
        str(volume["snapshots"]),
        *(UNKNOWN if commands is None else str(commands[kind]["commands"]) for kind in ("read", "write")),
        *(UNKNOWN if commands is None else latency(commands[kind]["p99_s"]) for kind in ("read", "write")),
    )


def _not_listed(count: int, words: str) -> list[str]:
    return [f"{count} more {words}"] if count else []
