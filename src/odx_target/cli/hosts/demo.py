"""`odx-target demo`: compare a copy by token with a copy by reads and writes, on an array that the demo starts."""

import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

import trio
import typer

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.copy import copy_with_bar
from odx_target.cli.serving.logging import configure_logging
from odx_target.cli.serving.serve import open_pool
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.progress_bar import bar
from odx_target.cli.text.sizes import rate, size
from odx_target.cli.text.tables import print_columns
from odx_target.initiator.copying.copy_job import Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.disk import Disk
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import DEFAULT_INITIATOR_NAME
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import Portal as Address
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_size
from odx_target.target.config.settings import Config, LunConfig, Portal

PIECE_BYTES = 1 << 20
DEPTH = 4
"""Number of pieces that are written or read back at the same time."""
SIZE_STEP_BYTES = PIECE_BYTES
COMMAND_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Wire:
    """Total number of bytes sent and received over the network."""

    total_bytes: int = 0


class CountingStream(trio.abc.Stream):
    """A stream that counts the bytes that are sent and received."""

    def __init__(self, stream: trio.abc.Stream, wire: Wire) -> None:
        self._stream, self._wire = stream, wire

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.total_bytes += len(data)
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        self._wire.total_bytes += len(data)
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


class DemoCopy(TypedDict):
    """One copy of the demo."""

    copied_by: Annotated[str, "`token` or `reads and writes`"]
    wire_bytes: Annotated[int, "bytes sent and received over the network"]
    elapsed_s: float
    offloaded_bytes: Annotated[int, "copied by token"]
    is_identical: Annotated[bool, "true if the copy is equal to its source"]


class DemoAnswer(TypedDict):
    """The measured values of the demo."""

    size_bytes: Annotated[int, "size of the data that was copied"]
    copies: list[DemoCopy]


@dataclass(frozen=True, slots=True)
class Measured:
    """The measured values of one copy."""

    name: str
    wire_bytes: int
    elapsed_s: float
    offloaded_bytes: int
    is_equal: bool


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("demo")(demo)


def demo(
    size_text: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Size of the data to copy, a multiple of 1 MiB.")
    ] = "256M",
    as_json: Json = False,
) -> None:
    """Compare a copy by token with a copy by reads and writes.

    The demo starts an array, copies the same data by each method, and verifies the two copies. At the end the demo prints the
    network traffic and the time of each copy.
    """
    try:
        size_bytes = parse_size(size_text)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--size") from None
    if size_bytes < SIZE_STEP_BYTES or size_bytes % SIZE_STEP_BYTES:
        raise typer.BadParameter("whole MiB, at least one", param_hint="--size")
    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="odx-target-demo-") as folder:
        measured = host_command.run(_demo, Path(folder) / "pool", size_bytes)
    if as_json:
        print_json("demo", _answer(measured, size_bytes))
    else:
        _print_comparison(measured, size_bytes)
    if not all(one.is_equal for one in measured):
        raise CommandFailure("a copy differs from its source")


async def _demo(pool_dir: Path, size_bytes: int) -> list[Measured]:
    names = ("source", "by-token", "by-host")
    config = Config(
        pool_dir=pool_dir,
        luns=tuple(LunConfig(name, size_bytes) for name in names),
        portals=(Portal("127.0.0.1", 0),),
        log_level="error",
    )
    wire = Wire()

    async def connect(address: Address) -> trio.abc.Stream:
        return CountingStream(await connect_tcp(address), wire)

    async with Array(config, open_pool=open_pool) as array:
        address = Address(array.portals[0].host, array.portals[0].port)
        wishes = host_command.options(DEFAULT_INITIATOR_NAME, COMMAND_TIMEOUT_S)
        async with open_session(address, config.iqn, wishes, connect) as session:
            disks = [await _disk(session, lun, name) for lun, name in enumerate(names)]
            await _fill(disks[0], size_bytes)
            by_token = await _measure("token", disks[0], disks[1], Method.ODX, wire)
            by_host = await _measure("reads and writes", disks[0], disks[2], Method.HOST, wire)
            return [by_token, by_host]


async def _disk(session: InitiatorSession, lun: int, name: str) -> Disk:
    return await Disk.probe(session.logical_unit(lun), trio.sleep, name)


async def _measure(name: str, source: Disk, destination: Disk, method: Method, wire: Wire) -> Measured:
    before_bytes = wire.total_bytes
    report, elapsed_s = await copy_with_bar(source, destination, plan_copy(source, destination), method, title=name)
    wire_bytes = wire.total_bytes - before_bytes
    is_equal = await _is_filled(destination, source.capacity_blocks * source.block_bytes)
    return Measured(name, wire_bytes, elapsed_s, report.offloaded_bytes, is_equal)


async def _fill(disk: Disk, size_bytes: int) -> None:
    typer.echo(f"filling a LUN with {size(size_bytes)} of pseudo-random data", err=True)
    with bar("fill", size_bytes) as show:

        async def write(lba: int, data: bytes) -> None:
            await disk.write_blocks(lba, data)
            show(len(data))

        await _each_piece(disk, size_bytes, write)
    await disk.synchronize_cache()


async def _is_filled(disk: Disk, size_bytes: int) -> bool:
    different: list[int] = []

    with bar("compare", size_bytes) as show:

        async def compare(lba: int, data: bytes) -> None:
            if await disk.read_blocks(lba, len(data) // disk.block_bytes) != data:
                different.append(lba)
            show(len(data))

        await _each_piece(disk, size_bytes, compare)
    return not different


async def _each_piece(disk: Disk, size_bytes: int, act: Callable[[int, bytes], Awaitable[None]]) -> None:
    """Call `act` with the LBA and the data of every piece. Several calls run concurrently."""
    pieces = _pieces(disk, size_bytes)

    async def work() -> None:
        for lba, data in pieces:
            await act(lba, data)

    await run_together([work] * DEPTH)


def _pieces(disk: Disk, size_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Iterate over the LBA and the data of every piece of the source. Every call of this function returns the same data."""
    for index in range(size_bytes // PIECE_BYTES):
        # The data is incompressible and different in every piece. It need not be secret.
        yield index * PIECE_BYTES // disk.block_bytes, random.Random(index).randbytes(PIECE_BYTES)  # noqa: S311


def _answer(measured: list[Measured], size_bytes: int) -> DemoAnswer:
    copies: list[DemoCopy] = [
        {
            "copied_by": one.name,
            "wire_bytes": one.wire_bytes,
            "elapsed_s": one.elapsed_s,
            "offloaded_bytes": one.offloaded_bytes,
            "is_identical": one.is_equal,
        }
        for one in measured
    ]
    return {"size_bytes": size_bytes, "copies": copies}


def _print_comparison(measured: list[Measured], size_bytes: int) -> None:
    typer.echo(f"{size(size_bytes)} copied between two LUNs of one array")
    rows = [
        (
            one.name,
            f"{one.wire_bytes} ({size(one.wire_bytes)})",
            f"{one.elapsed_s:.3f}",
            rate(size_bytes, one.elapsed_s),
            size(one.offloaded_bytes),
            "identical" if one.is_equal else "DIFFERENT",
        )
        for one in measured
    ]
    print_columns(("copied by", "bytes over the wire", "seconds", "rate", "offloaded", "verified"), rows)
