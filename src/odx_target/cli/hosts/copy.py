"""`odx-target copy`: copy between LUNs, by token if the arrays support token copy."""

import time
from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict

import typer

from odx_target.cli.failure import Interrupted
from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.copy_explanation import begun, lines_of
from odx_target.cli.hosts.local_arrays import find_lun, path_between
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.progress_bar import bar
from odx_target.cli.text.sizes import rate, size
from odx_target.initiator.copying.copy_job import CopyJob, CopyReport, Method, OffloadFailed
from odx_target.initiator.copying.copy_plan import CopyPlan, plan_copy
from odx_target.initiator.copying.offload_settings import OffloadSettings
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import IscsiUrl


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("copy")(copy)


class CopyAnswer(TypedDict):
    """The result of a copy."""

    total_bytes: int
    offloaded_bytes: Annotated[int, "copied by token"]
    host_bytes: Annotated[int, "copied by reads and writes"]
    elapsed_s: float
    tokens: Annotated[int, "number of tokens that were made"]
    writes: Annotated[int, "number of WRITE USING TOKEN commands"]
    partial_writes: Annotated[int, "number of these commands that copied less than requested"]
    stop: Annotated[str | None, "why a part was not copied by token; null if all was"]
    link_bytes: NotRequired[Annotated[int, "with --explain: bytes that have crossed the link between the two arrays"]]
    refusals: NotRequired[Annotated[list[str], "with --explain: the rules that refused a part of the copy"]]


@dataclass(slots=True)
class Done:
    """The progress of a copy."""

    total_bytes: int | None = None
    """Number of bytes to copy; None if the copy has not begun."""
    count_bytes: int = 0
    offloaded_bytes: int = 0

    def add(self, count_bytes: int, *, offloaded: bool) -> None:
        self.count_bytes += count_bytes
        self.offloaded_bytes += count_bytes if offloaded else 0

    def __str__(self) -> str:
        if self.total_bytes is None:
            return "nothing is copied"
        return f"{self.count_bytes} of {self.total_bytes} bytes are copied, {self.offloaded_bytes} of them by token"


@host_command.as_host()
def copy(
    src: Annotated[
        str, typer.Argument(metavar="SRC", help="The source: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN, or POOL:LUN.")
    ],
    dst: Annotated[str, typer.Argument(metavar="DST", help="The destination, in the same form.")],
    method: Annotated[
        Method, typer.Option(help="auto: by token if possible; odx: only by token; host: only by reads and writes.")
    ] = Method.AUTO,
    blocks: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of source blocks to copy; default: all.")
    ] = None,
    src_lba: Annotated[int, typer.Option(min=0, metavar="LBA", help="First block of the source.")] = 0,
    dst_lba: Annotated[int, typer.Option(min=0, metavar="LBA", help="First block of the destination.")] = 0,
    inactivity_timeout: Annotated[
        int,
        typer.Option(
            min=0, max=0xFFFFFFFF, metavar="SECONDS", help="Inactivity timeout of the tokens; 0 means the target's default."
        ),
    ] = 0,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show what has crossed the link of two arrays, and why parts were refused: POOL:LUN only."
        ),
    ] = False,
    as_json: Json = False,
    *,
    who: host_command.Host,
) -> None:
    """Copy blocks from one LUN to another.

    If the arrays support token copy, they copy the data. If the arrays stop before the end, the host copies the remaining
    blocks by reads and writes. POOL:LUN names a LUN of the array that serves this pool on this machine.
    """
    local = find_lun(src), find_lun(dst)
    # Arrays that are being paired are waited for also if nothing is explained.
    path = path_between(local[0].pool, local[1].pool) if local[0] is not None and local[1] is not None else None
    explanation = begun(*local, path) if explain else None
    source, destination = (
        who.url(text if found is None else found.url, name)
        for text, found, name in zip((src, dst), local, ("SRC", "DST"), strict=True)
    )
    settings = OffloadSettings(inactivity_timeout_s=inactivity_timeout)
    done = Done()
    try:
        report, elapsed_s = host_command.run(
            _copy, source, destination, who.options, method, (src_lba, dst_lba, blocks), settings, done
        )
    except Interrupted as interrupted:
        raise Interrupted(interrupted.number, f"interrupted: {done}") from None
    answer, lines = answer_of(report, elapsed_s), [summary(report, elapsed_s)]
    if explanation is not None:
        found = explanation.ended()
        answer |= {"link_bytes": found.link_bytes, "refusals": list(found.refusals)}
        lines += lines_of(found, report.offloaded_bytes)
    print_json("copy", answer) if as_json else typer.echo("\n".join(lines))


async def _copy(
    source: IscsiUrl,
    destination: IscsiUrl,
    wishes: SessionOptions,
    method: Method,
    where: tuple[int, int, int | None],
    settings: OffloadSettings,
    done: Done,
) -> tuple[CopyReport, float]:
    async with host_command.open_disks(source, destination, wishes) as (from_disk, to_disk):
        source_lba, destination_lba, count_blocks = where
        plan = plan_copy(
            from_disk,
            to_disk,
            source_lba=source_lba,
            destination_lba=destination_lba,
            count_blocks=count_blocks,
            same_logical_unit=source == destination,
        )
        return await copy_with_bar(from_disk, to_disk, plan, method, settings, done=done)


async def copy_with_bar(
    source: Disk,
    destination: Disk,
    plan: CopyPlan,
    method: Method,
    settings: OffloadSettings | None = None,
    title: str = "copy",
    done: Done | None = None,
) -> tuple[CopyReport, float]:
    """Copy with a progress bar, and update `done` during the copy. Returns the report and the time in seconds. Raises
    InitiatorError.
    """
    done = done or Done()
    done.total_bytes = plan.size_bytes
    with bar(title, plan.size_bytes) as show:

        def advance(count_bytes: int, offloaded: bool) -> None:
            done.add(count_bytes, offloaded=offloaded)
            show(count_bytes, "by token" if offloaded else "by reads and writes")

        job = CopyJob(source, destination, plan, run_together, advance, ListIdentifiers(), settings)
        began = time.monotonic()
        try:
            report = await job.run(method)
        except InitiatorError as error:
            if not done.count_bytes or isinstance(error, OffloadFailed):
                raise
            raise InitiatorError(f"{error} (after {done.count_bytes} of {plan.size_bytes} bytes)") from error
        return report, time.monotonic() - began


def answer_of(report: CopyReport, elapsed_s: float) -> CopyAnswer:
    """Return the result of a copy as plain data."""
    return {
        "total_bytes": report.offloaded_bytes + report.host_bytes,
        "offloaded_bytes": report.offloaded_bytes,
        "host_bytes": report.host_bytes,
        "elapsed_s": elapsed_s,
        "tokens": report.tokens,
        "writes": report.writes,
        "partial_writes": report.partial_writes,
        "stop": None if report.stop is None else str(report.stop),
    }


def summary(report: CopyReport, elapsed_s: float) -> str:
    """Return the last line of the output: the size, the rate, and the number of bytes copied by token. If a part was copied
    without a token, the line also gives the reason.
    """
    total_bytes = report.offloaded_bytes + report.host_bytes
    line = (
        f"{total_bytes} bytes ({size(total_bytes)}) in {elapsed_s:.3f} s, {rate(total_bytes, elapsed_s)}; "
        f"{report.offloaded_bytes} bytes offloaded, {report.host_bytes} not"
    )
    return line if report.stop is None else f"{line}: {report.stop}"
