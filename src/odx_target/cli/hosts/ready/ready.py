"""`odx-target ready`: report if a LUN of any target is fit for the offloads of Windows, of ESXi and of ddpt."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import trio
import typer

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.esxi.copy import INITIATOR_NAME as ESXI_NAME
from odx_target.cli.hosts.esxi.copy import RUNTIME
from odx_target.cli.hosts.ready.ddpt_readiness import ddpt_readiness
from odx_target.cli.hosts.ready.esxi_readiness import esxi_readiness
from odx_target.cli.hosts.ready.readiness import HostKind, Readiness, ReadyAnswer, lines_of
from odx_target.cli.hosts.ready.windows_readiness import windows_readiness
from odx_target.cli.hosts.windows.opening import WindowsIdentity
from odx_target.cli.text.json_output import Json, print_json
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.session.options import DEFAULT_INITIATOR_NAME
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows.session.login import INITIATOR_NAME as WINDOWS_NAME
from odx_target.target.printable import printable

OWN_NAMES = {HostKind.WINDOWS: WINDOWS_NAME, HostKind.ESXI: ESXI_NAME}
"""Names with which hosts log in if no name is given. Other hosts have the name of this initiator."""


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("ready")(ready)


@host_command.as_host()
def ready(
    url: Annotated[str, typer.Argument(metavar="URL", help="LUN to check: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.")],
    hosts: Annotated[
        list[HostKind] | None,
        typer.Option("--for", metavar="HOST", help="windows, esxi or ddpt; may be repeated. Default: all."),
    ] = None,
    as_json: Json = False,
    *,
    who: host_command.Host,
) -> None:
    """Check if the offloads of hosts will work with a LUN.

    The hosts are Windows, ESXi and ddpt, and the LUN may belong to any target. The command starts the LUN as each host does,
    and asks for a token as Windows and ddpt do. It writes nothing. It prints each reason why a host would copy by reads and
    writes instead. The exit code is 1 if a host would.
    """
    kinds = list(dict.fromkeys(hosts or HostKind))
    place = who.url(url, "URL")
    answers = host_command.run(_ask, who, place, kinds)
    if as_json:
        data: ReadyAnswer = {"url": str(place), "hosts": [answer.as_data() for answer in answers]}
        print_json("ready", data)
    else:
        for line in (line for answer in answers for line in lines_of(answer)):
            typer.echo(printable(line))
    unfit = [answer.host.value for answer in answers if not answer.is_ready]
    if unfit:
        raise CommandFailure(f"not ready: {', '.join(unfit)}")


async def _ask(who: host_command.Host, place: IscsiUrl, kinds: Sequence[HostKind]) -> list[Readiness]:
    return [await _answer(who, place, kind) for kind in kinds]


async def _answer(who: host_command.Host, place: IscsiUrl, kind: HostKind) -> Readiness:
    given = who.options.initiator_name
    name = OWN_NAMES.get(kind, given) if given == DEFAULT_INITIATOR_NAME else given
    if kind is HostKind.WINDOWS:
        return await windows_readiness(place, WindowsIdentity(name), connect_tcp)
    async with host_command.open_target(place, replace(who.options, initiator_name=name)) as session:
        executor = session.logical_unit(place.lun)
        if kind is HostKind.ESXI:
            return await esxi_readiness(executor, RUNTIME, str(place))
        return await ddpt_readiness(executor, trio.sleep, str(place))
