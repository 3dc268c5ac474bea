"""`odx-target token run`: several commands of token copy in one session, so that a command can query or stop an earlier
command.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import trio
import typer
from typer.main import get_command

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts import host_command
from odx_target.cli.hosts.token.output import Output, output_of
from odx_target.cli.hosts.token.script_lines import STANDARD_INPUT, ScriptLines
from odx_target.cli.hosts.token.steps import STEPS, BuildStep, Steps, Work
from odx_target.cli.signatures import extended, parameter
from odx_target.cli.text.json_output import JsonLines
from odx_target.cli.text.messages import error_text, shown
from odx_target.initiator import cdb
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import MAX_LUN, IscsiUrl
from odx_target.target.config.error import ConfigError

PROMPT = "token> "
MAX_SLEEP_S = 3600.0

Lun = Annotated[
    int | None, typer.Option("--lun", min=0, max=MAX_LUN, metavar="N", help="LUN to use instead of the LUN in the URL.")
]
Seconds = Annotated[float, typer.Argument(min=0.0, max=MAX_SLEEP_S, metavar="SECONDS", help="Time to wait.")]


@dataclass(frozen=True, slots=True)
class Step:
    """The work of one line of a script, and its LUN. If the LUN is None, the LUN in the URL is used."""

    work: Work
    lun: int | None


class Script:
    """Reads steps from lines and performs them in one session."""

    def __init__(self, place: IscsiUrl, output: Output, *, keep_going: bool) -> None:
        self._place = place
        self._output = output
        self._keep_going = keep_going
        self._commands = get_command(_application(output))
        self._disks: dict[int, Disk] = {}
        self._failures = 0

    async def run(self, path: Path, wishes: SessionOptions) -> None:
        """Perform the steps in a file or on standard input. Raises CommandFailure, ConfigError, InitiatorError, OSError."""
        with ScriptLines(path, PROMPT) as lines:
            self._keep_going = self._keep_going or lines.is_typed
            async with host_command.open_target(self._place, wishes) as session:
                while (line := await lines.next()) is not None:
                    await self._do(session, lines.number, line)
        if self._failures and not lines.is_typed:
            raise CommandFailure(f"{self._failures} step{'s' if self._failures > 1 else ''} failed")

    async def _do(self, session: InitiatorSession, number: int, line: str) -> None:
        try:
            step = self.step(line)
            if step is not None:
                await step.work(await self._disk(session, self._place.lun if step.lun is None else step.lun))
            self._output.finish()
        except (CommandFailure, ConfigError, InitiatorError, OSError) as error:
            self._output.finish()
            said = f"line {number}: {error_text(error)}"
            if not self._keep_going or not session.is_usable:
                raise (ConfigError if isinstance(error, ConfigError) else CommandFailure)(said) from error
            self._failures += 1
            typer.echo(f"odx-target: {shown(said)}", err=True)

    def step(self, line: str) -> Step | None:
        """Return the step of a line; None if the line is empty, a comment or a request for help. Raises ConfigError."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise ConfigError(str(error).lower()) from None
        if not words:
            return None
        try:
            found = self._commands.main(args=words, prog_name="", standalone_mode=False)
        except typer.TyperException as error:
            raise ConfigError(error_text(error)) from None
        return found if isinstance(found, Step) else None

    async def _disk(self, session: InitiatorSession, lun: int) -> Disk:
        """Return the disk of a LUN in the session. The first call for a LUN clears its unit attentions."""
        if lun not in self._disks:
            disk = Disk(session.logical_unit(lun), trio.sleep, f"LUN {lun}")
            await disk.command(cdb.test_unit_ready())
            self._disks[lun] = disk
        return self._disks[lun]


@host_command.as_host()
def run(
    url: Annotated[str, typer.Argument(metavar="URL", help="The LUN: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.")],
    script: Annotated[
        Path, typer.Argument(metavar="SCRIPT", help="File with a step on each line; default: standard input.")
    ] = STANDARD_INPUT,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Continue after a step that fails.")] = False,
    as_json: JsonLines = False,
    *,
    who: host_command.Host,
) -> None:
    """Perform several steps in one session. Each line of SCRIPT is a command of `odx-target token`, without the URL.

    A line may select another LUN of the target with --lun. There are also the commands `sleep SECONDS` and `help`. A comment
    begins with #.
    """
    place = who.url(url, "URL")
    host_command.run(Script(place, output_of(as_json=as_json), keep_going=keep_going).run, script, who.options)


def _application(output: Output) -> typer.Typer:
    """Return an application with the steps as subcommands. Each subcommand returns a Step."""
    app = typer.Typer(
        help="The steps of a session, one on each line.",
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )
    steps = Steps(others_follow=True, output=output)

    def call(bound: BuildStep, lun: int | None) -> Step:
        return Step(bound(steps), lun)

    for name, build in STEPS.items():
        app.command(name)(extended(build, [parameter("lun", Lun, None)], call, without=["steps"]))
    app.command("sleep")(sleep)

    @app.command("help")
    def _help(context: typer.Context) -> None:
        """Show this list."""
        assert context.parent is not None
        typer.echo(context.parent.get_help())

    return app


def sleep(seconds: Seconds) -> Step:
    """Wait for a number of seconds."""

    async def work(_disk: Disk) -> None:
        await trio.sleep(seconds)

    return Step(work, None)
