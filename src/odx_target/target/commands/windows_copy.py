"""`odx-target windows-copy`: copy a file between two LUNs as Windows would, and say where Windows would have given up."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import trio
import typer

from odx_target.initiator.result import Job
from odx_target.initiator.session import connect_tcp, run_together
from odx_target.initiator.token_commands import BlockRange
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows import enumeration
from odx_target.initiator.windows.copy_engine import CopyReport, FileCopy, WindowsFile
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Entry, Exchange, Journal, Management
from odx_target.initiator.windows.layout import FileLayout
from odx_target.initiator.windows.login import INITIATOR_NAME
from odx_target.initiator.windows.settings import PathChoice, WindowsSettings
from odx_target.initiator.windows.trace import TracePrinter
from odx_target.target.commands import host
from odx_target.target.commands.failure import CommandFailure
from odx_target.target.commands.sizes import rate, size
from odx_target.target.commands.windows_session import LiveSession, SessionPath, TrioClock, discover, plan_login
from odx_target.target.config import ConfigError, parse_size

CLUSTER_BYTES = 4096
"""What NTFS gives files room by: a whole number of blocks of either length."""
COMPARED_TOGETHER = 8
"""Reads under way at once while the result is compared; the copy itself is compared after its end."""
LARGEST_FRAGMENTS = 4096
TOKEN_COMMANDS = {
    (0x83, 0x10): "POPULATE TOKEN",
    (0x84, 0x07): "RECEIVE ROD TOKEN INFORMATION",
    (0x83, 0x11): "WRITE USING TOKEN",
}
TASK_MANAGEMENT = "resets and new logins"

connect = connect_tcp
"""How portals are reached; tests put something else here."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed."""

    source: IscsiUrl
    destination: IscsiUrl
    size_bytes: int
    source_lba: int
    destination_lba: int
    fragments: int
    zero: bool
    fill: bool
    trace: bool
    paths: int
    initiator_name: str
    settings: WindowsSettings


def windows_copy(
    src: Annotated[str, typer.Argument(metavar="SRC", help="Where from: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.")],
    dst: Annotated[str, typer.Argument(metavar="DST", help="Where to; what is there in the file's place is overwritten.")],
    file_size: Annotated[str, typer.Option("--file-size", metavar="SIZE", help="Size of the file, such as 1G.")] = "1G",
    fragments: Annotated[int, typer.Option(min=1, max=LARGEST_FRAGMENTS, metavar="N", help="Extents of the source file.")] = 1,
    src_lba: Annotated[int, typer.Option(min=0, metavar="LBA", help="Where the file begins on the source.")] = 0,
    dst_lba: Annotated[int, typer.Option(min=0, metavar="LBA", help="Where it begins on the destination.")] = 0,
    zero: Annotated[bool, typer.Option("--zero", help="Write zeros by the zero token; nothing is read.")] = False,
    fill: Annotated[
        bool, typer.Option("--fill", help="First write a pattern to the file on the source: data are lost.")
    ] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Also print the bytes of commands and answers.")] = False,
    paths: Annotated[int, typer.Option(min=1, max=8, metavar="N", help="Sessions to each target, as MPIO makes them.")] = 1,
    path_choice: Annotated[
        str, typer.Option(metavar="HOW", help="one, other (for RECEIVE ROD TOKEN INFORMATION) or round-robin.")
    ] = "one",
    list_identifier: Annotated[int, typer.Option(min=0, max=0xFFFFFFFF, metavar="N", help="The first one.")] = 0,
    lifetime: Annotated[int, typer.Option(min=0, max=0xFFFFFFFF, metavar="SECONDS", help="Of tokens; 0: default.")] = 0,
    initiator_name: host.InitiatorName = INITIATOR_NAME,
) -> None:
    """Copy a file as Windows copies it, command by command, and compare.

    Prints every command, and every reason for which Windows would have given up token copy. Exit code 1 if there was one,
    or if the copies differ.
    """
    choices = {
        "one": PathChoice.ONE,
        "other": PathChoice.OTHER_FOR_INFORMATION,
        "round-robin": PathChoice.ROUND_ROBIN,
    }
    if path_choice not in choices:
        raise typer.BadParameter(f"{path_choice!r} is none of {', '.join(choices)}", param_hint="--path-choice")
    settings = WindowsSettings(
        first_list_identifier=list_identifier, token_lifetime_s=lifetime, path_choice=choices[path_choice]
    )
    wish = Wish(
        host.url(src, "SRC"),
        host.url(dst, "DST"),
        _size(file_size),
        src_lba,
        dst_lba,
        fragments,
        zero,
        fill,
        trace,
        paths,
        initiator_name,
        settings,
    )
    declined, equal = host.run(_copy, wish)
    if not equal:
        raise CommandFailure("the copies differ")
    if declined:
        raise CommandFailure(f"Windows would have given up: {declined}")


async def _copy(wish: Wish) -> tuple[str, bool]:
    """Returns why Windows would have given up, or "", and whether the file is the same at both ends."""
    clock = TrioClock()
    printer = TracePrinter(typer.echo, clock.now(), wish.trace, wish.paths > 1)
    counts: Counter[str] = Counter()

    def tell(entry: Entry) -> None:
        counts[_kind(entry)] += 1
        printer.tell(entry)

    windows = WindowsHost(clock, Journal(tell), wish.settings)
    try:
        async with _started(wish, windows) as (source, destination):
            files = _files(wish, source, destination)
            if wish.fill:
                await _fill(windows, files[0], wish.size_bytes)
            began_s = clock.now()
            report = await FileCopy(windows, None if wish.zero else files[0], files[1]).run()
            printer.finish()
            elapsed_s = clock.now() - began_s
            windows.journal.tell = lambda _: None  # what follows is no part of the copy
            differs_at = await _compare(None if wish.zero else files[0], files[1])
    finally:
        printer.finish()
    typer.echo(_summary(report, elapsed_s, windows, differs_at, _totals(counts)))
    declines = windows.journal.declines
    return (str(declines[0]) if declines else ""), differs_at is None


@contextlib.asynccontextmanager
async def _started(wish: Wish, windows: WindowsHost) -> AsyncIterator[tuple[WindowsDisk, WindowsDisk]]:
    """Both disks, found as Windows finds them: discovery, login, enumeration."""
    same_target = replace(wish.source, lun=wish.destination.lun) == wish.destination
    lives: list[LiveSession] = []
    async with trio.open_nursery() as nursery:
        try:
            disks: list[WindowsDisk] = []
            for places in [[wish.source, wish.destination]] if same_target else [[wish.source], [wish.destination]]:
                here = await _log_in(wish, windows, places[0], nursery, len(lives))
                lives += here
                found = [_disk(windows, place, here) for place in dict.fromkeys(places)]
                await enumeration.start(found)
                disks += found
            yield disks[0], disks[-1]
        finally:
            for live in lives:
                await live.close()
            nursery.cancel_scope.cancel()


async def _log_in(wish: Wish, windows: WindowsHost, place: IscsiUrl, nursery: trio.Nursery, number: int) -> list[LiveSession]:
    """A discovery session, then as many sessions as paths are wanted."""
    await discover(plan_login(place, number, wish.initiator_name, windows.journal, connect))
    lives = []
    for at in range(number + 1, number + 1 + wish.paths):
        live = LiveSession(f"path {at}", plan_login(place, at, wish.initiator_name, windows.journal, connect))
        await nursery.start(live.run)
        lives.append(live)
    return lives


def _disk(windows: WindowsHost, place: IscsiUrl, lives: list[LiveSession]) -> WindowsDisk:
    return WindowsDisk(windows, f"LUN {place.lun}", place.lun, [SessionPath(live, place.lun) for live in lives])


def _files(wish: Wish, source: WindowsDisk, destination: WindowsDisk) -> tuple[WindowsFile, WindowsFile]:
    """The file on both disks; on the destination in about half as many extents, so that their ends do not meet."""
    from_layout = fragmented(source, wish.source_lba, wish.size_bytes, wish.fragments, "source")
    to_layout = fragmented(destination, wish.destination_lba, wish.size_bytes, (wish.fragments + 1) // 2, "destination")
    same = wish.source == wish.destination
    if same and not wish.zero and _overlap(from_layout, to_layout):
        raise CommandFailure("on one LUN the two places of the file overlap: give other places by --src-lba and --dst-lba")
    return WindowsFile(source, from_layout), WindowsFile(destination, to_layout)


def fragmented(disk: WindowsDisk, lba: int, size_bytes: int, count: int, what: str) -> FileLayout:
    """A file in so many extents of whole clusters, a cluster apart. Raises CommandFailure where the disk has no room."""
    clusters = size_bytes // CLUSTER_BYTES
    count, unit = min(count, clusters), CLUSTER_BYTES // disk.block_bytes
    sizes = [clusters // count + (number < clusters % count) for number in range(count)]
    extents, at = [], lba
    for number in sizes:
        extents.append(BlockRange(at, number * unit))
        at += (number + 1) * unit
    end = extents[-1].lba + extents[-1].count_blocks
    if end > disk.capacity_blocks:
        room = size(disk.capacity_blocks * disk.block_bytes)
        raise CommandFailure(f"the {what} ({disk.name}, {room}) has no room for the file up to block {end}")
    return FileLayout(tuple(extents), disk.block_bytes)


def _overlap(one: FileLayout, other: FileLayout) -> bool:
    return any(a.lba < b.lba + b.count_blocks and b.lba < a.lba + a.count_blocks for a in one.extents for b in other.extents)


async def _fill(windows: WindowsHost, file: WindowsFile, size_bytes: int) -> None:
    """The application's part: a pattern that differs from place to place, in ordinary writes."""
    step = windows.settings.adapter_transfer_bytes
    for position in range(0, size_bytes, step):
        count = min(step, size_bytes - position)
        data = b"".join(b"%15d " % at for at in range(position, position + count, CLUSTER_BYTES))
        words = [data[at : at + 16] * (CLUSTER_BYTES // 16) for at in range(0, len(data), 16)]
        await file.disk.write_file(file.layout, position, b"".join(words))


async def _compare(source: WindowsFile | None, destination: WindowsFile) -> int | None:
    """Where in the file the two ends differ first (a multiple of the reads' size), or None."""
    step = destination.disk.host.settings.adapter_transfer_bytes
    differing: list[int] = []

    async def one(position: int, count: int) -> None:
        wanted = bytes(count) if source is None else await source.disk.read_file(source.layout, position, count)
        if await destination.disk.read_file(destination.layout, position, count) != wanted:
            differing.append(position)

    size_bytes = destination.layout.size_bytes
    for first in range(0, size_bytes, COMPARED_TOGETHER * step):
        places = range(first, min(first + COMPARED_TOGETHER * step, size_bytes), step)
        jobs: list[Job] = [partial(one, place, min(step, size_bytes - place)) for place in places]
        await run_together(jobs)
    return min(differing, default=None)


def _kind(entry: Entry) -> str:
    """What an entry counts as in the totals; "" for the rest."""
    if isinstance(entry, Management):
        return TASK_MANAGEMENT
    return TOKEN_COMMANDS.get((entry.cdb[0], entry.cdb[1] & 0x1F), "") if isinstance(entry, Exchange) else ""


def _totals(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in (*TOKEN_COMMANDS.values(), TASK_MANAGEMENT))


def _summary(report: CopyReport, elapsed_s: float, windows: WindowsHost, differs_at: int | None, totals: str) -> str:
    total_bytes = report.offloaded_bytes + report.ordinary_bytes
    notes = [finding for finding in windows.journal.findings if not finding.rule.declines]
    lines = [
        *(f"Windows gives up: {finding}" for finding in windows.journal.declines),
        *(f"Windows goes on: {finding}" for finding in notes),
        totals,
        f"{total_bytes} bytes ({size(total_bytes)}) in {elapsed_s:.3f} s, {rate(total_bytes, elapsed_s)}; "
        f"{report.offloaded_bytes} bytes by token, {report.ordinary_bytes} by reads and writes",
        "equal" if differs_at is None else f"NOT EQUAL from byte {differs_at} of the file on",
    ]
    return "\n".join(lines)


def _size(text: str) -> int:
    """The size of the file, rounded up to whole clusters."""
    try:
        wanted = parse_size(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--file-size") from None
    if not wanted:
        raise typer.BadParameter("the file must have a byte", param_hint="--file-size")
    return -(-wanted // CLUSTER_BYTES) * CLUSTER_BYTES
