"""`odx-target windows-copy`: copy a file between two LUNs as Windows does, and report why Windows would give up token copy."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial

import typer

from odx_target.cli.failure import CommandFailure, Interrupted
from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.windows import options
from odx_target.cli.hosts.windows.files import CLUSTER_BYTES, differs_at, fill, fragmented, metadata_beside, overlap
from odx_target.cli.hosts.windows.opening import WindowsIdentity, open_windows_disks
from odx_target.cli.hosts.windows.report import (
    event_lines,
    events_of,
    kind_of,
    progress_text,
    summary_lines,
    totals_line,
    windows_answer,
)
from odx_target.cli.hosts.windows.session import TrioClock
from odx_target.cli.hosts.windows.trace import TracePrinter
from odx_target.cli.text.json_output import Json, print_json
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows.copying.copy_engine import CopyReport, FileCopy, WindowsFile
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Entry, Journal
from odx_target.initiator.windows.rules import Finding, Weight
from odx_target.initiator.windows.session.login import INITIATOR_NAME
from odx_target.initiator.windows.settings import PathChoice, WindowsSettings
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_size

VERDICTS = {
    Weight.DECLINES: "Windows would have given up",
    Weight.DROPS: "Windows would have dropped the connection",
}

connect = connect_tcp
"""Function that opens connections to portals; tests replace it."""

PATH_CHOICES = {
    "one": PathChoice.ONE,
    "other": PathChoice.OTHER_FOR_INFORMATION,
    "round-robin": PathChoice.ROUND_ROBIN,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """The arguments of the command."""

    source: IscsiUrl
    destination: IscsiUrl
    size_bytes: int
    source_lba: int
    destination_lba: int
    fragments: int
    zero: bool
    fill: bool
    valid_bytes: int | None
    trace: bool
    paths: int
    digests: bool
    initiator_name: str
    settings: WindowsSettings
    as_json: bool


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("windows-copy")(windows_copy)


@host_command.as_host(INITIATOR_NAME, command_timeout=False)
def windows_copy(
    src: options.Source,
    dst: options.Destination,
    file_size: options.FileSize = "1G",
    fragments: options.Fragments = 1,
    src_lba: options.SourceLba = 0,
    dst_lba: options.DestinationLba = 0,
    zero: options.Zero = False,
    fill: options.Fill = False,
    valid_size: options.ValidSize = None,
    trace: options.Trace = False,
    paths: options.Paths = 1,
    path_choice: options.PathOfCommands = "one",
    digests: options.Digests = False,
    list_identifier: options.FirstListIdentifier = 0,
    lifetime: options.Lifetime = 0,
    as_json: Json = False,
    *,
    who: host_command.Host,
) -> None:
    """Copy a file with the same commands as Windows.

    The command prints every SCSI command, and every reason why Windows would give up token copy. Finally, the command compares
    the source file with the destination file. The exit code is 1 if Windows would have given up token copy, or if the files
    differ.
    """
    settings = WindowsSettings(
        first_list_identifier=list_identifier, token_lifetime_s=lifetime, path_choice=_path_choice(path_choice)
    )
    wish = Wish(
        who.url(src, "SRC"),
        who.url(dst, "DST"),
        _size(file_size, "--file-size"),
        src_lba,
        dst_lba,
        fragments,
        zero,
        fill,
        None if valid_size is None else _size(valid_size, "--valid-size"),
        trace,
        paths,
        digests,
        who.options.initiator_name,
        settings,
        as_json,
    )
    _run(wish)


def _path_choice(text: str) -> PathChoice:
    if text not in PATH_CHOICES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(PATH_CHOICES)}", param_hint="--path-choice")
    return PATH_CHOICES[text]


def _run(wish: Wish) -> None:
    """Copy the file. Raises CommandFailure if Windows would have given up token copy, or if the files differ."""
    report = CopyReport()
    try:
        declined, equal = host_command.run(_copy, wish, report)
    except Interrupted as interrupted:
        raise Interrupted(interrupted.number, f"interrupted: {progress_text(report, wish.size_bytes)}") from None
    if not equal:
        raise CommandFailure("the copies differ")
    if declined is not None:
        raise CommandFailure(f"{VERDICTS[declined.rule.value.weight]}: {declined}")


async def _copy(wish: Wish, report: CopyReport) -> tuple[Finding | None, bool]:
    """Copy the file and compare the two files. Update `report` during the copy.

    The first value of the result is the finding that would have made Windows give up token copy, or None. The second value is
    True if the two files are equal.
    """
    clock = TrioClock()
    # The trace is for people, so it goes to standard error if the result is for a program.
    printer = TracePrinter(partial(typer.echo, err=wish.as_json), clock.now(), wish.trace, wish.paths > 1)
    counts: Counter[str] = Counter()
    events: Counter[int] = Counter()

    def tell(entry: Entry) -> None:
        counts[kind_of(entry)] += 1
        events.update(events_of(entry))
        printer.tell(entry)

    windows = WindowsHost(clock, Journal(tell), wish.settings)
    try:
        async with _started(wish, windows) as (source, destination):
            files = _files(wish, source, destination)
            if wish.fill:
                await fill(windows, files[0], wish.size_bytes)
            metadata = await metadata_beside(list(files), files[1])
            if metadata is None:
                files[1].disk.remark("has no room beside the file, so the file system's own writes are left out")
            began_s = clock.now()
            await FileCopy(windows, None if wish.zero else files[0], files[1], report, metadata).run()
            printer.finish()
            elapsed_s = clock.now() - began_s
            windows.journal.tell = lambda _: None  # commands from here on do not belong to the copy
            difference = await differs_at(None if wish.zero else files[0], files[1])
    finally:
        printer.finish()
    if wish.as_json:
        print_json("windows-copy", windows_answer(report, elapsed_s, windows, difference, counts, events))
    else:
        for line in summary_lines(report, elapsed_s, windows, difference, [totals_line(counts), *event_lines(events)]):
            typer.echo(line)
    return next(iter(windows.journal.declines), None), difference is None


@contextlib.asynccontextmanager
async def _started(wish: Wish, windows: WindowsHost) -> AsyncIterator[tuple[WindowsDisk, WindowsDisk]]:
    """Open both disks as Windows does: discovery, login, enumeration."""
    identity = WindowsIdentity(wish.initiator_name, wish.paths, wish.digests)
    same_target = replace(wish.source, lun=wish.destination.lun) == wish.destination
    async with contextlib.AsyncExitStack() as stack:
        disks: list[WindowsDisk] = []
        for places in [[wish.source, wish.destination]] if same_target else [[wish.source], [wish.destination]]:
            prefix = "" if same_target else "destination " if disks else "source "
            opened = open_windows_disks(
                windows, places, identity, connect, prefix=prefix, first_session=len(disks) * wish.paths
            )
            disks += await stack.enter_async_context(opened)
        yield disks[0], disks[-1]


def _files(wish: Wish, source: WindowsDisk, destination: WindowsDisk) -> tuple[WindowsFile, WindowsFile]:
    """Choose the blocks of the file on both disks. The destination file has about half as many extents as the source file, so
    that the extents end at different positions.
    """
    from_layout = fragmented(source, wish.source_lba, wish.size_bytes, wish.fragments, "source")
    to_layout = fragmented(destination, wish.destination_lba, wish.size_bytes, (wish.fragments + 1) // 2, "destination")
    same = wish.source == wish.destination
    if same and not wish.zero and overlap(from_layout, to_layout):
        raise CommandFailure(
            "the file on the source and on the destination overlap: give other blocks by --src-lba and --dst-lba"
        )
    return WindowsFile(source, from_layout, wish.valid_bytes), WindowsFile(destination, to_layout)


def _size(text: str, option: str) -> int:
    """Return the size of the file, rounded up to whole clusters."""
    try:
        wanted = parse_size(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if not wanted:
        raise typer.BadParameter("the file must have a byte", param_hint=option)
    return -(-wanted // CLUSTER_BYTES) * CLUSTER_BYTES
