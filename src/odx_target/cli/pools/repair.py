"""`odx-target pool repair`: save everything that is left of a damaged pool."""

import sys
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from odx_target.cli.failure import CommandFailure
from odx_target.cli.pools.map_memory import DEFAULT_MAP_MEMORY, MapMemory, bounded_maps
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.lost_ranges import LostData, lost_data, lost_lines
from odx_target.cli.text.progress_bar import bar
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.opening.directory_pool import log_bytes
from odx_target.store.repairing.directory_repair import repairing
from odx_target.store.repairing.repair import RepairPlan


class RepairAnswer(TypedDict):
    """The repair of a pool, or what it would do."""

    is_needed: bool
    complaints: Annotated[list[str], "damage that was found"]
    lost_records: Annotated[int, "number of lost changes, which may have changed any block of any volume"]
    lost_ranges: Annotated[int, "number of all ranges of lost blocks"]
    lost: Annotated[list[LostData], "the first ranges of lost blocks"]
    report: Annotated[str | None, "file that lists the lost blocks; null if the pool was not repaired"]


def repair(
    pool: Annotated[Path, typer.Argument(readable=False, metavar="POOL", help="Directory of the pool.")],
    yes: Annotated[bool, typer.Option("--yes", help="Repair the pool without asking for confirmation.")] = False,
    older_data: Annotated[
        bool,
        typer.Option(
            "--older-data",
            help="If lost changes may have replaced the data of a block, keep the older data instead of treating the block "
            "as lost.",
        ),
    ] = False,
    without_capacity: Annotated[
        bool,
        typer.Option(
            "--without-capacity",
            help="Give up the capacity tier, because its disk is lost. All blocks in this tier are lost.",
        ),
    ] = False,
    map_memory: MapMemory = DEFAULT_MAP_MEMORY,
    as_json: Json = False,
) -> None:
    """Repair a damaged pool, so that it can be opened.

    The command first lists all blocks that are lost, and asks for confirmation. After the repair, a read of a lost block ends
    with MEDIUM ERROR, and a write heals the block. Nothing in the log is changed, and the damaged catalogue is kept. A sound
    pool is not changed. No array may serve the pool.
    """
    with (
        bounded_maps(map_memory) as overflow,
        bar("check", log_bytes(pool)) as advance,
        repairing(
            pool,
            lambda count_blocks: advance(count_blocks * BLOCK_BYTES),
            older_data=older_data,
            without_capacity=without_capacity,
            overflow=overflow,
        ) as found,
    ):
        plan = found.plan
        if not as_json:
            for line in _lines(plan, is_needed=found.is_needed):
                typer.echo(line)
        report = None
        if found.is_needed:
            if not yes:
                _confirm()
            report = found.carry_out()
    if as_json:
        print_json("pool-repair", _answer(plan, report))
    elif report is not None:
        typer.echo(f"repaired; the lost blocks are listed in {report}")


def _confirm() -> None:
    """Ask if the pool may be repaired. Raises CommandFailure if not."""
    typer.echo("repair the pool? [y/N]: ", nl=False, err=True)
    answer = b"" if sys.stdin is None else sys.stdin.buffer.readline()
    if not answer:
        typer.echo(err=True)
        raise CommandFailure("the pool was not repaired, because nobody has answered; `--yes` repairs it without the question")
    if answer.strip().lower() not in (b"y", b"yes"):
        raise CommandFailure("the pool was not repaired")


def _answer(plan: RepairPlan, report: Path | None) -> RepairAnswer:
    return {
        "is_needed": plan.is_needed,
        "complaints": list(plan.complaints),
        "lost_records": plan.lost_records,
        "lost_ranges": plan.report.lost_ranges,
        "lost": lost_data(plan.report.lost),
        "report": None if report is None else str(report),
    }


def _lines(plan: RepairPlan, *, is_needed: bool) -> list[str]:
    lines = [*plan.complaints, *lost_lines(plan.report)]
    if plan.lost_records:
        lines.append(f"{plan.lost_records} changes are lost, which may have changed any block of any volume")
    return lines if is_needed else [*lines, "the pool needs no repair"]
