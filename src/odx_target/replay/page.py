"""A page of HTML that shows a replay in three lanes: the host, the array, the store. It opens at the step that failed.

The page needs no other file and no network. All text of the recording is escaped, because a host or another person has chosen
it.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from odx_target.replay.array_replay import ReplayResult, Step
from odx_target.replay.decoded_connection import DecodedConnection, DecodedPdu
from odx_target.replay.failed_step import has_failed, last_failure
from odx_target.target.session_file.frames import FrameKind

MAX_SHOWN_STEPS = 5000
"""Maximum number of steps on a page: those up to the failed step, and as many after it as still fit. Browsers become slow with
longer pages."""
MAX_SHOWN_BYTES = 512
"""Number of bytes of each PDU that the page has in hexadecimal."""
STEPS_AFTER = 500
"""Number of steps after the failed step that the page has if there are more steps than it can show."""

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:0;color:#222;background:#fff}
header{padding:12px 16px;border-bottom:1px solid #ccc}
h1{font-size:18px;margin:0 0 6px}
table{border-collapse:collapse;width:100%;table-layout:fixed}
th{position:sticky;top:0;background:#eee;text-align:left}
th,td{padding:3px 8px;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}
th:first-child,td:first-child{width:9em;color:#666;font-variant-numeric:tabular-nums}
th:last-child,td:last-child{width:18em;color:#555}
pre{margin:2px 0;white-space:pre-wrap;font:12px/1.35 ui-monospace,monospace}
.failed{background:#fde8e8}
.refused{color:#a40000}
.note{color:#7a4b00}
.difference{border:2px solid #a40000;padding:6px 10px;margin:6px 0;background:#fff}
summary{cursor:pointer}
"""
_SCRIPT = 'const failed=document.getElementById("failed");if(failed)failed.scrollIntoView({block:"center"});'


class _Row(NamedTuple):
    """A step with its decoded PDUs."""

    step: Step
    received: list[DecodedPdu]
    sent: list[DecodedPdu]


def page(title: str, result: ReplayResult) -> str:
    """Return the page of a replay."""
    rows = _rows(result.steps)
    failed = len(rows) - 1 if result.difference is not None else last_failure([row.sent for row in rows])
    end = len(rows) if len(rows) <= MAX_SHOWN_STEPS or failed is None else min(len(rows), failed + STEPS_AFTER)
    start = max(0, end - MAX_SHOWN_STEPS)
    body = "".join(_row(row, result if number == failed else None) for number, row in enumerate(rows[start:end], start))
    left_out = len(rows) - (end - start)
    return "\n".join(
        (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<header><h1>{escape(title)}</h1>{_summary(result, failed, left_out)}</header>",
            "<table><thead><tr><th>time</th><th>host</th><th>array</th><th>store</th></tr></thead>",
            f"<tbody>{body}</tbody></table><script>{_SCRIPT}</script></body></html>",
            "",
        )
    )


def _summary(result: ReplayResult, failed: int | None, left_out: int) -> str:
    steps = len(result.steps)
    if result.difference is not None:
        words = f"The answers differ after step {steps}."
    else:
        words = f"All answers of {steps} steps are equal to the recorded answers."
    if failed is not None:
        words += f' <a href="#failed">Step {failed + 1}</a> is the step that failed.'
    lines = [words, *map(escape, result.warnings)]
    if left_out:
        lines.append(f"{left_out} steps are left out.")
    return "".join(f"<p>{line}</p>" for line in lines)


def _rows(steps: Sequence[Step]) -> list[_Row]:
    connections: dict[int, DecodedConnection] = {}
    rows = []
    for step in steps:
        received: list[DecodedPdu] = []
        sent: list[DecodedPdu] = []
        if step.frame.kind is FrameKind.RECEIVED:
            decoder = connections.setdefault(step.frame.connection, DecodedConnection())
            received = decoder.decode(step.frame.content, is_received=True)
        for connection, data in step.replayed:
            sent += connections.setdefault(connection, DecodedConnection()).decode(data, is_received=False)
        rows.append(_Row(step, received, sent))
    return rows


def _row(row: _Row, failed: ReplayResult | None) -> str:
    step = row.step
    mark = ' id="failed" class="failed"' if failed is not None else ""
    cells = (
        f"{step.frame.array_s:.6f} s<br>step {step.number}",
        "".join(_host_lane(row)),
        "".join(_array_lane(row, failed)),
        "<br>".join(map(escape, step.stored)),
    )
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _host_lane(row: _Row) -> Iterator[str]:
    frame = row.step.frame
    if frame.kind is FrameKind.CONNECTED:
        yield f"<p>connection {frame.connection}: connected</p>"
    elif frame.kind is FrameKind.PEER_CLOSED:
        yield f"<p>connection {frame.connection}: closed by the host</p>"
    elif frame.kind in (FrameKind.OPERATION, FrameKind.CONTENT):
        shown = frame.content.partition(b"\0")[0][:MAX_SHOWN_BYTES].decode("utf-8", "backslashreplace")
        yield f'<p class="note">{escape(frame.kind.name.lower())}: {escape(shown)}</p>'
    elif frame.kind is FrameKind.TIME:
        yield '<p class="note">the time passes</p>'
    elif frame.kind is FrameKind.STOPPING:
        yield '<p class="note">the array stops</p>'
    for pdu in row.received:
        yield _pdu(pdu, frame.connection)


def _array_lane(row: _Row, failed: ReplayResult | None) -> Iterator[str]:
    for note in row.step.notes:
        yield f'<p class="note">{escape(note)}</p>'
    for pdu in row.sent:
        yield _pdu(pdu, None, "refused" if has_failed(pdu.piece) else "")
    if failed is not None and failed.difference is not None:
        lines = "<br>".join(map(escape, failed.difference.lines()))
        yield f'<div class="difference">{lines}</div>'


def _pdu(pdu: DecodedPdu, connection: int | None, kind: str = "") -> str:
    raw = bytes(pdu.piece.raw[:MAX_SHOWN_BYTES])
    rest_bytes = len(pdu.piece.raw) - len(raw)
    shown = raw.hex(" ", 4) + (f" ... and {rest_bytes} more bytes" if rest_bytes else "")
    of_connection = "" if connection is None else f"{connection}: "
    return f'<details><summary class="{kind}">{of_connection}{escape(pdu.text)}</summary><pre>{escape(shown)}</pre></details>'
