"""`odx-target replicate`: send the snapshots of a protection now."""

import time
from pathlib import Path
from typing import Annotated

import typer

from odx_target.cli.failure import CommandFailure
from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json

POLL_S = 0.2
"""Time between two looks at the progress of --wait."""


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("replicate")(replicate)


def replicate(
    pool: PoolArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a protection.")],
    now: Annotated[bool, typer.Option("--now", help="Take a snapshot of its volumes, and send it too.")] = False,
    wait_s: Annotated[
        float | None,
        typer.Option("--wait", metavar="SECONDS", min=0.0, max=86400.0, help="Wait until the other array has all snapshots."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send the snapshots of volumes now. `remote list` shows the progress."""
    taken = ask_array(pool, "replicate", {"name": name, "now": now})
    if wait_s is not None:
        _wait(pool, name, wait_s)
    if as_json:
        print_json("replicated", taken)
        return
    for each in taken["snapshots"]:
        typer.echo(f"snapshot {each['volume']}@{each['name']}")
    typer.echo(f"the snapshots of {name} {'are being' if wait_s is None else 'were'} sent")


def _wait(pool: Path, name: str, wait_s: float) -> None:
    """Wait until the peer has the newest snapshots of a protection. Raises CommandFailure."""
    deadline_s = time.monotonic() + wait_s
    while True:
        rows = ask_array(pool, "replication", {})["protections"]
        progress = next((each["progress"] for each in rows if each["name"] == name), None)
        if progress is None:
            raise CommandFailure(f"{name} is not protected any more")
        newest_s, there_s = progress["local_snapshot_timestamp"], progress["remote_snapshot_timestamp"]
        if newest_s is None or (there_s is not None and there_s >= newest_s):
            return
        if time.monotonic() >= deadline_s:
            reason = progress["problem"] or f"{progress['bytes_remaining']} bytes remain"
            raise CommandFailure(f"{name}: the other array does not have all snapshots after {wait_s:g} s: {reason}")
        time.sleep(POLL_S)
