"""`odx-target conformance`: check the behaviour of any iSCSI target."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from odx_target.cli.hosts import host_command
from odx_target.cli.text.json_text import json_text
from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.reports.json_document import document
from odx_target.conformance.reports.junit import junit_xml
from odx_target.conformance.reports.text import failure_lines, result_line, summary_line
from odx_target.conformance.runner import Result, run_checks, selected
from odx_target.conformance.wire import WireEquipment
from odx_target.initiator.url import IscsiUrl

EXIT_FAILED_CHECKS = 1


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("conformance")(conformance)


@host_command.as_host()
def conformance(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="LUN to check: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.")
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="SECOND", help="Second LUN, for checks of copies between two LUNs.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Run only checks whose names begin with NAME, as in token.write."),
    ] = None,
    destructive: Annotated[
        bool,
        typer.Option("--destructive", help="Also run checks that overwrite data of the LUNs, reserve LUNs or reset them."),
    ] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results and the bytes of failures as JSON.")
    ] = None,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks instead of running them.")] = False,
    *,
    who: host_command.Host,
) -> None:
    """Check the behaviour of any iSCSI target.

    The checks cover iSCSI, SPC and SBC commands, token copy, EXTENDED COPY and reservations. Each check has a clause of a
    standard and a verdict: pass, fail, skip or not run. If a check fails, the command shows the bytes that were sent and
    received, and its exit code is 1.
    """
    checks = selected(CHECKS, only or [])
    if not checks:
        raise typer.BadParameter(f"no check has a name that begins with {' or '.join(only or [])}", param_hint="--only")
    if list_checks:
        for check in checks:
            typer.echo(f"{check.identifier:32} {check.title} ({check.clause})")
        return
    if url is None:
        raise typer.BadParameter("give the URL of a LUN", param_hint="URL")
    first = who.url(url, "URL")
    pair = None if second is None else who.url(second, "SECOND")
    for file in (junit, json_file):
        if file is not None:
            file.touch()  # a file that cannot be written is reported before the checks, not after them
    given = Need.PORTAL | (Need.DESTRUCTIVE if destructive else Need.NOTHING)
    results = host_command.run(_run, checks, first, pair, who, given if pair is None else given | Need.SECOND_LUN)
    typer.echo(summary_line(results))
    if junit is not None:
        junit.write_text(junit_xml(results, str(first)), encoding="utf-8")
    if json_file is not None:
        json_file.write_text(f"{json_text('conformance', document(results, str(first)), 1)}\n", encoding="utf-8")
    if any(result.verdict is Verdict.FAIL for result in results):
        raise typer.Exit(EXIT_FAILED_CHECKS)


async def _run(
    checks: Sequence[Check], first: IscsiUrl, second: IscsiUrl | None, who: host_command.Host, given: Need
) -> list[Result]:
    equipment = WireEquipment(first, second, who.options, secrets.token_bytes)
    return await run_checks(checks, equipment, given=given, report=_show)


def _show(result: Result) -> None:
    typer.echo(result_line(result))
    for line in failure_lines(result):
        typer.echo(line)
