"""`odx-target esxi-copy`: copy a virtual disk between two LUNs as ESXi does, and report why ESXi would give up the offload."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import trio
import typer

from odx_target.cli.failure import CommandFailure, Interrupted
from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.esxi import options
from odx_target.cli.hosts.esxi.content import check_room, differs_at, fill, locks_beside, overlap
from odx_target.cli.hosts.esxi.printer import JournalPrinter
from odx_target.cli.hosts.esxi.report import esxi_answer, progress_text, summary_lines
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.progress_bar import bar
from odx_target.initiator.esxi.data_mover import CopyReport
from odx_target.initiator.esxi.disk import EsxiDisk, Place
from odx_target.initiator.esxi.enumeration import start
from odx_target.initiator.esxi.host import Entry, EsxiHost, PieceDone, Runtime
from odx_target.initiator.esxi.rules import Finding
from odx_target.initiator.esxi.settings import BLOCK_OF_VMFS_BYTES, DiskType, EsxiSettings, Receiver, Release
from odx_target.initiator.esxi.virtual_disk_copy import VirtualDiskCopy
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.together import run_beside, run_to_its_end, run_together
from odx_target.initiator.url import IscsiUrl
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_size

INITIATOR_NAME = "iqn.1998-01.com.vmware:odx-target"
RUNTIME = Runtime(trio.current_time, trio.sleep, run_together, run_beside, run_to_its_end)


@dataclass(frozen=True, slots=True)
class Wish:
    """The arguments of the command."""

    source: IscsiUrl
    destination: IscsiUrl
    size_bytes: int
    written_bytes: int
    source_lba: int
    destination_lba: int
    fill: bool
    trace: bool
    session: SessionOptions
    settings: EsxiSettings
    as_json: bool

    @property
    def compared_bytes(self) -> int:
        """Size of the part whose content is determined by the copy."""
        return self.size_bytes if self.settings.destination_type is DiskType.EAGER_ZEROED else self.written_bytes


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("esxi-copy")(esxi_copy)


@host_command.as_host(INITIATOR_NAME)
def esxi_copy(
    src: options.Source,
    dst: options.Destination,
    disk_size: options.DiskSize = "1G",
    written: options.Written = None,
    disk_type: options.DiskTypeOption = DiskType.LAZY_ZEROED,
    source_type: options.SourceType = DiskType.LAZY_ZEROED,
    src_lba: options.SourceLba = 0,
    dst_lba: options.DestinationLba = 0,
    release: options.ReleaseOption = Release.V6_0,
    transfer_size: options.TransferSize = "4M",
    use_array_values: options.UseArrayValues = False,
    multiple_segments: options.MultipleSegments = False,
    receiver: options.ReceiverOption = Receiver.DESTINATION,
    fill: options.Fill = False,
    trace: options.Trace = False,
    as_json: Json = False,
    *,
    who: host_command.Host,
) -> None:
    """Copy a virtual disk with the same commands as ESXi.

    The command asks for the hardware acceleration of both disks, and copies by EXTENDED COPY if ESXi would. It prints the
    numbers of commands, and every reason why ESXi would copy by reads and writes instead. Finally, it compares the virtual
    disks. The exit code is 1 if ESXi would have given up the offload, or if the virtual disks differ.
    """
    try:
        settings = EsxiSettings(
            release=release,
            source_type=source_type,
            destination_type=disk_type,
            transfer_bytes=_size(transfer_size, "--transfer-size"),
            use_array_values=use_array_values,
            multiple_segments=multiple_segments,
            receiver=receiver,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    size_bytes = _size(disk_size, "--disk-size", BLOCK_OF_VMFS_BYTES)
    written_bytes = size_bytes if written is None else _size(written, "--written", BLOCK_OF_VMFS_BYTES)
    if written_bytes > size_bytes:
        raise typer.BadParameter("the written part must not be larger than the virtual disk", param_hint="--written")
    urls = who.url(src, "SRC"), who.url(dst, "DST")
    _run(Wish(*urls, size_bytes, written_bytes, src_lba, dst_lba, fill, trace, who.options, settings, as_json))


def _size(text: str, option: str, unit_bytes: int = 1) -> int:
    """Return a size, rounded up to a multiple of `unit_bytes`."""
    try:
        wanted = parse_size(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if not wanted:
        raise typer.BadParameter("the size must not be 0", param_hint=option)
    return -(-wanted // unit_bytes) * unit_bytes


def _run(wish: Wish) -> None:
    """Copy the virtual disk. Raises CommandFailure if ESXi would have given up the offload, or if the virtual disks differ."""
    report = CopyReport()
    try:
        declined, is_equal = host_command.run(_copy, wish, report)
    except Interrupted as interrupted:
        raise Interrupted(interrupted.number, f"interrupted: {progress_text(report, wish.size_bytes)}") from None
    if not is_equal:
        raise CommandFailure("the virtual disks differ")
    if declined is not None:
        raise CommandFailure(f"ESXi would have given up the offload: {declined}")


async def _copy(wish: Wish, report: CopyReport) -> tuple[Finding | None, bool]:
    """Copy the virtual disk and compare it with the source. Update `report` during the copy.

    The first value of the result is the finding that would have made ESXi give up the offload, or None. The second value is
    True if the copy is right.
    """
    # The trace is for people, so it goes to standard error if the result is for a program.
    printer = JournalPrinter(partial(typer.echo, err=wish.as_json), trio.current_time(), wish.trace)
    host = EsxiHost(RUNTIME, wish.settings, printer.tell)
    try:
        async with _started(wish, host) as (source, destination):
            if wish.fill:
                with _untold(host):
                    await fill(source, wish.written_bytes)
            began_s = trio.current_time()
            await _move(wish, host, source, destination, report)
            printer.finish()
            elapsed_s = trio.current_time() - began_s
            with _untold(host):
                difference = await differs_at(source, destination, wish.written_bytes, wish.compared_bytes)
    finally:
        printer.finish()
    disks = list({id(place.disk): place.disk for place in (source, destination)}.values())
    if wish.as_json:
        print_json("esxi-copy", esxi_answer(report, elapsed_s, host, disks, difference))
    else:
        for line in summary_lines(report, elapsed_s, host, disks, difference):
            typer.echo(line)
    return next(iter(host.declines), None), difference is None


async def _move(wish: Wish, host: EsxiHost, source: Place, destination: Place, report: CopyReport) -> None:
    """Copy the virtual disk with a progress bar."""
    locks_lba = locks_beside(source, destination, wish.size_bytes)
    tell = host.tell
    with bar("copy", wish.size_bytes) as show:

        def tell_and_show(entry: Entry) -> None:
            tell(entry)
            if isinstance(entry, PieceDone):
                show(entry.size_bytes, "offloaded" if entry.work.extended_copies else "by reads and writes")

        host.tell = tell_and_show
        try:
            copy = VirtualDiskCopy(host, source, destination, wish.size_bytes, wish.written_bytes, locks_lba, report)
            await copy.run()
        finally:
            host.tell = tell


@contextmanager
def _untold(host: EsxiHost) -> Iterator[None]:
    """Keep the commands of the body out of the journal, because they do not belong to the copy."""
    tell, host.tell = host.tell, lambda _: None
    try:
        yield
    finally:
        host.tell = tell


@asynccontextmanager
async def _started(wish: Wish, host: EsxiHost) -> AsyncIterator[tuple[Place, Place]]:
    """Open both disks, and ask for their hardware acceleration. Two LUNs of the same target use one session."""
    same_target = replace(wish.source, lun=wish.destination.lun) == wish.destination
    async with AsyncExitStack() as stack:
        disks: dict[IscsiUrl, EsxiDisk] = {}
        session = None
        for url, prefix in ((wish.source, "source "), (wish.destination, "destination ")):
            if url in disks:
                continue
            if session is None or not same_target:
                wishes = replace(wish.session, isid=random_isid(secrets.token_bytes(5)))
                session = await stack.enter_async_context(host_command.open_target(url, wishes))
            disks[url] = EsxiDisk(host, f"{'' if same_target else prefix}LUN {url.lun}", session.logical_unit(url.lun))
            await start(disks[url])
        source, destination = Place(disks[wish.source], wish.source_lba), Place(disks[wish.destination], wish.destination_lba)
        for place in (source, destination):
            check_room(place, wish.size_bytes)
        if overlap(source, destination, wish.size_bytes):
            raise CommandFailure("the virtual disks overlap: give other blocks by --src-lba and --dst-lba")
        yield source, destination
