"""`odx-target witness`: decide for the groups of other arrays which of two members serves hosts."""

import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypedDict

import trio
import typer

from odx_target.cli.failure import first_error
from odx_target.cli.serving.logging import configure_logging
from odx_target.cli.serving.signals import STOP_SIGNALS
from odx_target.cli.text.json_output import JsonLines, print_json_line
from odx_target.store.api import StoreError
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_link_address
from odx_target.target.config.settings import Portal
from odx_target.target.event_log import log

LINK_PORT = "127.0.0.1:3261"


class ServedWitness(TypedDict):
    """A witness that serves."""

    link_port: Annotated[str, "HOST:PORT at which the members of groups can connect"]
    control: Annotated[str | None, "path of the control socket; null if it could not be made"]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("witness")(witness)


def witness(
    directory: Annotated[
        Path, typer.Argument(readable=False, metavar="DIR", help="Directory of the witness. It is made if it does not exist.")
    ],
    link: Annotated[
        str, typer.Option("--link", metavar="HOST:PORT", help="Address at which the members of groups connect.")
    ] = LINK_PORT,
    pair: Annotated[
        list[Path] | None,
        typer.Option("--pair", metavar="POOL", readable=False, help="Pair with the array of a pool here; may be repeated."),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Run the witness of groups of other arrays.

    A witness has no LUNs. It remembers which member of a group is the primary, and decides who goes on when the members do not
    reach each other. Pair it with both members with `odx-target path add DIR`. SIGINT and SIGTERM stop it.
    """
    address = parse_link_address(link)
    configure_logging("info")
    try:
        trio.run(partial(_serve, directory, address, pair or [], as_json=as_json))
    except* (StoreError, OSError, ConfigError) as group:
        raise first_error(group) from None


async def _serve(directory: Path, address: Portal, pair: Sequence[Path], *, as_json: bool) -> None:
    """Serve until a signal stops the process. Raises ConfigError, StoreError and OSError."""
    # The modules of the array take a moment to load, and a wrong address is reported before.
    from odx_target.configured_pool import open_pool
    from odx_target.target.control.server import serve_control
    from odx_target.target.control.socket_file import CONTROL_NAME
    from odx_target.target.witness.operations import perform
    from odx_target.target.witness.witness import serving_witness

    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with serving_witness(directory, address, open_pool, pair) as served:

            async def performed(name: str, given: Mapping[str, object]) -> Mapping[str, object]:
                return await perform(served, name, given)

            path = directory / CONTROL_NAME
            async with serve_control(path, performed) as is_managed:
                _announce(served.address, path if is_managed else None, as_json=as_json)
                async for number in signals:
                    log.info("stopping", signal=signal.Signals(number).name)
                    return


def _announce(address: Portal, control: Path | None, *, as_json: bool) -> None:
    """Print where the members of groups connect. Another program may wait for the line, so it is not kept in a buffer."""
    if as_json:
        print_json_line("witness", ServedWitness(link_port=str(address), control=None if control is None else str(control)))
    else:
        typer.echo(f"the witness listens at {address}")
    if sys.stdout is not None:
        sys.stdout.flush()
