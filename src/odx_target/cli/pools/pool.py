"""`odx-target pool`: verify the data of a pool, repair it, and renew the identity of a copied pool.

An array may serve the pool during a scrub.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

import trio
import typer

from odx_target.cli.failure import CommandFailure
from odx_target.cli.managing.array_requests import Answer, ask_array, request_array
from odx_target.cli.pools.map_memory import DEFAULT_MAP_MEMORY, MapMemory, bounded_maps
from odx_target.cli.pools.opened_pool import opened_pool, require_pool, run_on_pool
from odx_target.cli.pools.repair import repair
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.lost_ranges import LostData, lba_text, lost_data, lost_lines
from odx_target.cli.text.progress_bar import bar
from odx_target.cli.text.sizes import rate as rate_text
from odx_target.cli.text.sizes import size
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.checking.pool_check import PoolReport
from odx_target.store.checking.scrub import DEFAULT_RATE_BYTES
from odx_target.store.open import check_directory_pool
from odx_target.store.opening.directory_pool import log_bytes
from odx_target.store.opening.renewal import renew_identity
from odx_target.target.config.error import ConfigError
from odx_target.target.control import arguments
from odx_target.target.control.client import NoServer
from odx_target.target.control.scrubbing import describe_scrub

POLL_S = 0.5
"""Time between two queries of the progress of a scrub."""


class CheckAnswer(TypedDict):
    """The result of the check of a pool. Blocks have 4 KiB."""

    segments: int
    checked_blocks: int
    volumes: int
    frozen_maps: int
    mapped_blocks: Annotated[int, "a block that several volumes or frozen maps share is counted for each of them"]
    damaged_blocks: int
    complaints: Annotated[list[str], "damage to headers and footers; if nothing else is damaged, no data is lost"]
    lost: Annotated[list[LostData], "the first ranges of lost blocks"]
    lost_ranges: Annotated[int, "number of all ranges of lost blocks"]
    is_sound: Annotated[bool, "true if nothing is damaged"]


class RenewalAnswer(TypedDict):
    """The new identity of a copied pool. Identities are in hexadecimal."""

    former_identity: str
    identity: str
    volumes_kept: Annotated[bool, "true if the volumes kept their serial numbers and NAA identifiers"]


app = typer.Typer(help="Verify or repair a pool, and renew its identity.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="pool")


@app.callback()
def pool() -> None:
    """Verify or repair a pool, and renew its identity."""


@app.command("scrub")
def scrub(
    pool: Annotated[Path, typer.Argument(readable=False, metavar="POOL", help="Directory of the pool.")],
    rate: Annotated[
        str, typer.Option("--rate", metavar="SIZE", help="Number of bytes to read per second, such as 100M.")
    ] = f"{DEFAULT_RATE_BYTES >> 20}M",
    background: Annotated[
        bool,
        typer.Option(
            "--background", help="Start the scrub and return at once; the array that serves the pool continues the scrub."
        ),
    ] = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="Show the progress of the current scrub or the last scrub.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the current scrub.")] = False,
    as_json: Json = False,
) -> None:
    """Read all data of a pool and compare it with its checksums.

    An array may serve the pool at the same time. Then `manage POOL health` and the log of the array also report each damaged
    block with its LUN and LBA. The exit code is 1 if there is any damage.
    """
    bytes_per_s = _parsed(rate)
    if progress or stop:
        report = ask_array(pool, "stop-scrub" if stop else "scrub-progress", {})
    else:
        report = _scrub(pool, bytes_per_s, background=background)
    if as_json:
        print_json("scrub", report)
    else:
        for line in _lines(report):
            typer.echo(line)
    if report["damaged_blocks"] or report["complaints"]:
        raise CommandFailure(f"{pool} has damage")


@app.command("check")
def check(
    pool: Annotated[Path, typer.Argument(readable=False, metavar="POOL", help="Directory of the pool.")],
    map_memory: MapMemory = DEFAULT_MAP_MEMORY,
    as_json: Json = False,
) -> None:
    """Check the structure and all data of a pool.

    The check compares the maps, the catalogue and the log of the pool, and reads all data. The check repairs nothing.
    No array may serve the pool during the check. The exit code is 1 if there is any damage.
    """
    with bounded_maps(map_memory) as overflow, bar("check", log_bytes(pool)) as advance:
        report = check_directory_pool(pool, lambda count_blocks: advance(count_blocks * BLOCK_BYTES), overflow)
    if as_json:
        print_json("pool-check", _check_answer(report))
    else:
        for line in _check_lines(report):
            typer.echo(line)
    if not report.is_sound:
        raise CommandFailure(f"{pool} has damage")


@app.command("renew-identity")
def renew(
    pool: Annotated[Path, typer.Argument(readable=False, metavar="POOL", help="Directory of the copied pool.")],
    keep_volumes: Annotated[
        bool,
        typer.Option(
            "--keep-volumes",
            help="Keep the serial numbers and NAA identifiers of the volumes. Use this option if the copy replaces the "
            "original.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Give a copied pool its own identity. An array can then serve it beside the original.

    The volumes get new serial numbers and NAA identifiers. Tokens that the original has made are not valid in the copy. No
    array may serve the copy during the command. The data is not read.
    """
    renewal = renew_identity(pool, secrets.token_bytes, keep_volumes=keep_volumes)
    if as_json:
        answer: RenewalAnswer = {
            "former_identity": renewal.former.hex(),
            "identity": renewal.present.hex(),
            "volumes_kept": keep_volumes,
        }
        print_json("pool-identity", answer)
    else:
        typer.echo(f"identity {renewal.former.hex()} is now {renewal.present.hex()}")


def _check_answer(report: PoolReport) -> CheckAnswer:
    return {
        "segments": report.segments,
        "checked_blocks": report.checked_blocks,
        "volumes": report.volumes,
        "frozen_maps": report.frozen_maps,
        "mapped_blocks": report.mapped_blocks,
        "damaged_blocks": report.damaged_blocks,
        "complaints": report.complaints,
        "lost": lost_data(report.lost),
        "lost_ranges": report.lost_ranges,
        "is_sound": report.is_sound,
    }


def _check_lines(report: PoolReport) -> list[str]:
    lines = [
        f"segments: {report.segments}, {size(report.checked_blocks * BLOCK_BYTES)} checked",
        f"volumes: {report.volumes}, frozen maps: {report.frozen_maps}, mapped: {size(report.mapped_blocks * BLOCK_BYTES)}",
        f"damaged blocks: {report.damaged_blocks}",
    ]
    return lines + lost_lines(report) + report.complaints


def _parsed(text: str) -> int:
    try:
        return arguments.rate(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def _scrub(pool: Path, rate_bytes: int, *, background: bool) -> Answer:
    try:
        report = request_array(pool, "scrub", {"rate": rate_bytes})
    except NoServer as error:
        if background:
            raise CommandFailure(str(error)) from error
        require_pool(pool, error)
        return run_on_pool(_scrub_opened, pool, rate_bytes)
    return report if background else _followed(report, lambda: ask_array(pool, "scrub-progress", {}))


def _followed(report: Answer, look: Callable[[], Answer]) -> Answer:
    """Show the progress of a scrub until the scrub ends, and return the last report."""
    with bar("scrub", report["total_bytes"]) as advance:
        done_bytes = 0
        while report["is_running"]:
            time.sleep(POLL_S)
            report = look()
            advance(report["checked_bytes"] - done_bytes)
            done_bytes = report["checked_bytes"]
    return report


async def _scrub_opened(path: Path, rate_bytes: int) -> Answer:
    async with opened_pool(path) as opened:
        found = opened.pool.scrubber.start(rate_bytes)
        with bar("scrub", found.total_blocks * BLOCK_BYTES) as advance:
            done_blocks = 0
            while found.is_running:
                await trio.sleep(POLL_S)
                advance((found.checked_blocks - done_blocks) * BLOCK_BYTES)
                done_blocks = found.checked_blocks
        return dict(describe_scrub(found, opened.pool))


def _lines(report: Mapping[str, Any]) -> list[str]:
    checked, total = report["checked_bytes"], report["total_bytes"]
    if report["is_running"]:
        left = report["remaining_s"]
        ahead = "" if left is None else f", about {left:.0f} s left"
        lines = [f"running: {size(checked)} of {size(total)}{ahead}"]
    else:
        state = "complete" if report["is_complete"] else "stopped"
        lines = [f"{state}: {size(checked)} in {report['elapsed_s']:.1f} s ({rate_text(checked, report['elapsed_s'])})"]
    unused = report["unused_damaged_blocks"]
    lines.append(f"damaged blocks: {report['damaged_blocks']}" + (f", {unused} of them not in use" if unused else ""))
    lines += [_damaged_line(place) for place in report["damaged"]]
    if report["damaged_not_shown"]:
        lines.append(f"lost: {report['damaged_not_shown']} more")
    return lines + list(report["complaints"])


def _damaged_line(place: Mapping[str, Any]) -> str:
    if place["lba"] is None:
        return f"lost: block {place['block']} of frozen map {place['frozen_map']}"
    owner = f"volume {place['volume']}" if place["snapshot"] is None else f"snapshot {place['snapshot']}"
    return f"lost: {lba_text(place['lba'], place['count_blocks'])} of {owner}"


app.command("repair")(repair)
