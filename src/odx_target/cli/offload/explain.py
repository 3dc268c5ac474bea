"""`odx-target explain`: why copies were refused or fell short."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.text.json_output import JsonLines, print_json_line
from odx_target.target.printable import printable

FOLLOW_S = 1.0
"""Time between two questions of --follow."""


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("explain")(explain)


def explain(
    pool: Annotated[
        Path, typer.Argument(readable=False, metavar="POOL", help="Directory of the pool, or control socket of its array.")
    ],
    follow: Annotated[bool, typer.Option("--follow", help="Wait for further refusals, until Ctrl-C.")] = False,
    as_json: JsonLines = False,
) -> None:
    """Explain why an array refused copies of hosts.

    The list also has copies of less data than requested. Each line names the rule, the field and the limit, the clause of the
    standard, and a remedy. After a refusal, hosts copy by reads and writes. The array keeps the latest 64 refusals since its
    start.
    """
    try:
        for refusal in _refusals(pool, follow=follow):
            print_json_line("refusal", refusal) if as_json else typer.echo(line_of(refusal))
    except KeyboardInterrupt:
        return  # The only way to end --follow is not an error.


def line_of(refusal: Mapping[str, Any]) -> str:
    """Return a refusal as a line with its time."""
    at = datetime.fromtimestamp(refusal["time_s"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return printable(f"{at} {refusal['explanation']}")


def _refusals(pool: Path, *, follow: bool) -> Iterator[Mapping[str, Any]]:
    last = 0
    while True:
        answer = ask_array(pool, "refusals", {"after": last})
        yield from answer["refusals"]
        last = answer["last"]
        if not follow:
            return
        time.sleep(FOLLOW_S)
