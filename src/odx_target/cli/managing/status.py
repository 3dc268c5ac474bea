"""`odx-target status`: the sizes and counters of a pool, and of the array that serves the pool."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from odx_target.cli.managing.array_requests import Answer, ask_array
from odx_target.cli.storage.requests import ask
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.status_lines import status_lines
from odx_target.cli.text.tables import width_of_terminal

OTHER_LINES = 20
"""Number of lines on a screen that are not about volumes."""

MIN_VOLUMES = 5

Show = Callable[[list[str]], None]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("status")(status)


def status(
    pool: Annotated[
        Path,
        typer.Argument(
            readable=False,
            metavar="POOL",
            help="Directory of the pool, or control socket of the array that serves the pool.",
        ),
    ] = Path(),
    space: Annotated[
        bool,
        typer.Option("--space", help="First count the data of all volumes, which may take minutes in a large pool."),
    ] = False,
    busiest: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="List only the N volumes with the most commands.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the status of a running array again and again, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600.0, help="Time between two rounds of --watch.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Show the status of a pool: its room, data, log and cleaner.

    If an array serves the pool, also show the sessions and tokens of the array, and the number and latencies of its commands.
    Commands are counted from the start of the array. A latency is the time from the arrival of a command and all its data to
    the response.
    """
    if not watch:
        answer = ask(pool, "status", space=space, busiest=busiest)
        print_json("status", answer) if as_json else typer.echo("\n".join(status_lines(answer, width=width_of_terminal())))
        return
    try:
        _watch(pool, busiest, interval, as_json=as_json)
    except KeyboardInterrupt:
        return  # The only way to end the command is not an error.


def _watch(pool: Path, busiest: int | None, interval_s: float, *, as_json: bool) -> None:
    """Show the status once per interval. On a terminal, the new status replaces the previous status."""
    former: Answer | None = None
    with _screen(is_live=width_of_terminal() is not None and not as_json) as show:
        while True:
            limit = max(shutil.get_terminal_size().lines - OTHER_LINES, MIN_VOLUMES) if busiest is None else busiest
            answer = ask_array(pool, "status", {"busiest": limit})
            if as_json:
                print_json("status", answer)
            else:
                show(status_lines(answer, former, width_of_terminal()))
            former = answer
            time.sleep(interval_s)


@contextmanager
def _screen(*, is_live: bool) -> Iterator[Show]:
    """Yield a function that shows lines. On a terminal, new lines replace the previous lines. In a pipe, all lines are kept."""
    if not is_live:
        yield lambda lines: typer.echo("\n".join([*lines, ""]))
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda lines: live.update(Text("\n".join(lines), no_wrap=True), refresh=True)
