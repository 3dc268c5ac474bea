"""`odx-target token`: single commands of token copy, for testers."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import trio
import typer

from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.token import script as token_script
from odx_target.cli.hosts.token.describe import describe_rod_token
from odx_target.cli.hosts.token.output import Output, output_of
from odx_target.cli.hosts.token.parameters import Identifier, Url, read_token
from odx_target.cli.hosts.token.steps import STEPS, BuildStep, Steps, Work, receive
from odx_target.cli.signatures import extended, parameter
from odx_target.cli.text.json_output import JsonLines
from odx_target.initiator import cdb
from odx_target.initiator.disk import Disk
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.url import IscsiUrl

app = typer.Typer(help="Send single commands of token copy, and show every field.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="token")


@app.command()
@host_command.as_host()
def info(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL", help="LUN to which RECEIVE ROD TOKEN INFORMATION is sent: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="File with the token to show. If a URL is given: file to write the token to."
        ),
    ] = None,
    identifier: Identifier = 0,
    as_json: JsonLines = False,
    *,
    who: host_command.Host,
) -> None:
    """Show the fields of a token file. If a URL is given, show the answer to RECEIVE ROD TOKEN INFORMATION instead."""
    steps = Steps(output=output_of(as_json=as_json))
    if url is not None:
        _alone(url, who, receive(steps, identifier, token_file), steps.output)
    elif token_file is not None:
        steps.output.show_fields("token", describe_rod_token(read_token(token_file)))
        steps.output.finish()
    else:
        raise typer.BadParameter("give a URL or --token-file")


def _command(build: BuildStep) -> Callable[..., None]:
    """Return a command that performs one step in a session of its own."""

    def call(bound: BuildStep, url: str, as_json: bool, who: host_command.Host) -> None:
        steps = Steps(output=output_of(as_json=as_json))
        _alone(url, who, bound(steps), steps.output)

    added = [parameter("url", Url), parameter("as_json", JsonLines, False), parameter("who", host_command.Host)]
    return host_command.as_host()(extended(build, added, call, without=["steps"], first=True))


def _alone(url: str, who: host_command.Host, work: Work, output: Output) -> None:
    try:
        host_command.run(_on_disk, who.url(url, "URL"), who.options, work)
    finally:
        output.finish()


async def _on_disk(place: IscsiUrl, wishes: SessionOptions, work: Work) -> None:
    async with host_command.open_target(place, wishes) as session:
        disk = Disk(session.logical_unit(place.lun), trio.sleep, str(place))
        await disk.command(cdb.test_unit_ready())  # clears the unit attentions of a new session
        await work(disk)


for _name, _build in STEPS.items():
    app.command(_name)(_command(_build))
app.command("run")(token_script.run)
