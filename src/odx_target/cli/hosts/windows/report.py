"""The report of `windows-copy`: counts of commands, findings, speed, and the progress of a copy that was interrupted."""

from collections import Counter
from typing import Annotated, TypedDict

from odx_target.cli.text.finding_data import FindingData
from odx_target.cli.text.sizes import rate, size
from odx_target.initiator.windows.copying.copy_engine import CopyReport
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Entry, Exchange, Management
from odx_target.initiator.windows.rules import Finding, Weight

TOKEN_COMMANDS = {
    (0x83, 0x10): "POPULATE TOKEN",
    (0x84, 0x07): "RECEIVE ROD TOKEN INFORMATION",
    (0x83, 0x11): "WRITE USING TOKEN",
}
TASK_MANAGEMENT = "resets and new logins"


class WindowsCommands(TypedDict):
    """Numbers of commands of the copy."""

    populate_token: int
    receive_rod_token_information: int
    write_using_token: int
    resets_and_logins: int


class WindowsEvent(TypedDict):
    """An event that Windows would write to its System log."""

    event: Annotated[int, "ID of an event of iScsiPrt"]
    times: int


class WindowsCopyAnswer(TypedDict):
    """The result of a copy of a file in the way of Windows."""

    total_bytes: int
    offloaded_bytes: Annotated[int, "copied by token"]
    ordinary_bytes: Annotated[int, "copied by reads and writes"]
    elapsed_s: float
    declined: Annotated[str | None, "why Windows would have given up token copy or the connection"]
    findings: list[FindingData]
    commands: WindowsCommands
    events: list[WindowsEvent]
    differs_at_byte: Annotated[int | None, "first byte of the file that differs; null if the files are equal"]


def windows_answer(
    report: CopyReport,
    elapsed_s: float,
    windows: WindowsHost,
    difference: int | None,
    counts: Counter[str],
    events: Counter[int],
) -> WindowsCopyAnswer:
    """Return the result as plain data."""
    declined = next(iter(windows.journal.declines), None)
    populate, receive, write = TOKEN_COMMANDS.values()
    return {
        "total_bytes": report.offloaded_bytes + report.ordinary_bytes,
        "offloaded_bytes": report.offloaded_bytes,
        "ordinary_bytes": report.ordinary_bytes,
        "elapsed_s": elapsed_s,
        "declined": None if declined is None else str(declined),
        "findings": [
            {"weight": first.rule.value.weight.value, "words": str(first), "times": times}
            for first, times in _first_findings(windows.journal.findings)
        ],
        "commands": {
            "populate_token": counts[populate],
            "receive_rod_token_information": counts[receive],
            "write_using_token": counts[write],
            "resets_and_logins": counts[TASK_MANAGEMENT],
        },
        "events": [{"event": event, "times": times} for event, times in sorted(events.items())],
        "differs_at_byte": difference,
    }


def kind_of(entry: Entry) -> str:
    """Return the kind under which the totals count an entry; "" if the totals do not count the entry."""
    if isinstance(entry, Management):
        return TASK_MANAGEMENT
    return TOKEN_COMMANDS.get((entry.cdb[0], entry.cdb[1] & 0x1F), "") if isinstance(entry, Exchange) else ""


def events_of(entry: Entry) -> list[int]:
    """Return the ID of the event that Windows would write to its System log for an entry. The list is empty if Windows would
    write no event. If a rule has two events, only the first event is returned.
    """
    if isinstance(entry, Management):
        return [entry.event] if entry.event else []
    return list(entry.rule.events[:1]) if isinstance(entry, Finding) else []


def event_lines(events: Counter[int]) -> list[str]:
    if not events:
        return []
    shown = [f"{event} ({count} times)" if count > 1 else str(event) for event, count in sorted(events.items())]
    return [f"Windows' System log would have of iScsiPrt: {', '.join(shown)}"]


def totals_line(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in (*TOKEN_COMMANDS.values(), TASK_MANAGEMENT))


def summary_lines(
    report: CopyReport, elapsed_s: float, windows: WindowsHost, difference: int | None, totals: list[str]
) -> list[str]:
    total_bytes = report.offloaded_bytes + report.ordinary_bytes
    return [
        *finding_lines(windows.journal.findings),
        *totals,
        f"{total_bytes} bytes ({size(total_bytes)}) in {elapsed_s:.3f} s, {rate(total_bytes, elapsed_s)}; "
        f"{report.offloaded_bytes} bytes by token, {report.ordinary_bytes} by reads and writes",
        "equal" if difference is None else f"NOT EQUAL from byte {difference} of the file on",
    ]


def progress_text(report: CopyReport, size_bytes: int) -> str:
    """Describe the progress of an interrupted copy."""
    done_bytes = report.offloaded_bytes + report.ordinary_bytes
    return (
        f"{done_bytes} of {size_bytes} bytes are copied, {report.offloaded_bytes} of them by token, and nothing is compared"
        if done_bytes
        else "nothing is copied"
    )


def finding_lines(findings: list[Finding]) -> list[str]:
    """Return one line for each rule in the findings, with the most severe rule first."""
    return [
        f"{first.rule.value.weight.value}: {first}{f', {times} times' if times > 1 else ''}"
        for first, times in _first_findings(findings)
    ]


def _first_findings(findings: list[Finding]) -> list[tuple[Finding, int]]:
    """Return the first finding of each rule and the number of its findings, with the most severe rule first."""
    counts = Counter(finding.rule for finding in findings)
    firsts = [next(finding for finding in findings if finding.rule is rule) for rule in counts]
    firsts.sort(key=lambda one: list(Weight).index(one.rule.value.weight))
    return [(first, counts[first.rule]) for first in firsts]
