"""`odx-target remote graph`: the rates of a path over time, as graphs of text."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer

from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.sizes import size

ROWS_S = {"1s": 1, "10s": 10, "5m": 300}
"""The times of a row of a time series, in seconds, by the values of --rows."""

WIDTH = 60
"""Number of characters of a graph."""

BARS = " ▁▂▃▄▅▆▇█"

TITLES = {
    "sent_logical": "sent data",
    "sent_network": "sent on the link",
    "received_logical": "received data",
    "received_network": "received on the link",
}
"""The titles of the columns of the answer."""


def graph(
    pool: PoolArgument,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Name of the path, as `path list` shows it.")],
    rows: Annotated[
        str,
        typer.Option(
            "--rows", metavar="1s|10s|5m", help="Time of a row: 1s for the last ten minutes, 10s for six hours, 5m for a week."
        ),
    ] = "10s",
    as_json: Json = False,
) -> None:
    """Show the rates of a path over time.

    Data are the changed bytes of snapshots, before deduplication and compression. With --json, all rows are printed, the oldest
    first.
    """
    if rows not in ROWS_S:
        raise typer.BadParameter(f"want {', '.join(ROWS_S)}, not {rows!r}", param_hint="--rows")
    answer = ask_array(pool, "path-rates", {"path": path, "seconds": ROWS_S[rows]})
    if as_json:
        print_json("path-rates", answer)
        return
    for line in graph_lines(answer):
        typer.echo(line)


def graph_lines(answer: Mapping[str, Any]) -> list[str]:
    """Return a line for each column of a time series, with a graph from the first row with data to the present."""
    rows: Sequence[Sequence[float]] = answer["bytes_per_second"]
    first = next((number for number, row in enumerate(rows) if any(row)), len(rows))
    shown = rows[first:]
    if not shown:
        return [f"nothing has crossed the path {answer['path']} in this time"]
    minutes = len(shown) * answer["seconds"] / 60
    time_text = f"{minutes:.3g}" if minutes < 100 else f"{minutes:,.0f}"
    lines = [f"the last {time_text} minutes of the path {answer['path']}:"]
    for column, name in enumerate(answer["columns"]):
        values = [row[column] for row in shown]
        most, mean = max(values), sum(values) / len(values)
        figures = f"now {size(values[-1])}/s, most {size(most)}/s, mean {size(mean)}/s"
        lines.append(f"{TITLES.get(name, name):20} |{spark(values, WIDTH)}| {figures}")
    return lines


def spark(values: Sequence[float], width: int) -> str:
    """Return a graph of values as at most `width` characters. A character shows the largest of its values."""
    count = min(width, len(values))
    bounds = [number * len(values) // count for number in range(count + 1)]
    largest = [max(values[low:high]) for low, high in pairwise(bounds)]
    most = max(largest)
    steps = len(BARS) - 1
    return "".join(BARS[0 if value <= 0 else max(1, round(value * steps / most))] for value in largest)
