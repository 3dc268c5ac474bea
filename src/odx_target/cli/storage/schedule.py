"""`odx-target schedule`: list and change the schedules by which an array takes snapshots."""

from typing import Annotated, Any

import typer

from odx_target.cli.storage.requests import PoolArgument, ask
from odx_target.cli.storage.schedule_text import HEADINGS, schedule_cells, schedule_line, schedule_lines
from odx_target.cli.storage.snapshot import After, Before, print_taken
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns
from odx_target.target.config.error import ConfigError
from odx_target.target.schedules.calendar import Every
from odx_target.target.schedules.fields import DAYS, parse_duration, parse_name
from odx_target.target.schedules.schedule import DEFAULT_TIMEOUT_S, OnFailure

app = typer.Typer(help="List and change the schedules of snapshots.", no_args_is_help=True)


def _parsed(parse: Any) -> Any:
    """Return a parser for typer. If `parse` raises an error, this parser reports it as a mistake in the command line."""

    def parsed(value: str) -> Any:
        try:
            return parse(value)
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error

    return parsed


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")]
NewNameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the schedule. The names of the snapshots begin with this name.",
        parser=_parsed(parse_name),
    ),
]
EveryOption = Annotated[str | None, typer.Option("--every", metavar="|".join(Every), help="Kind of the schedule.")]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="LIST",
        help="Hourly schedule: minutes of each hour, such as 0,30; default: 0. Other schedules: times in UTC, such as "
        "02:00,14:00; default: 00:00.",
    ),
]
Days = Annotated[
    str | None,
    typer.Option("--days", metavar="LIST", help=f"Days of a weekly schedule: one or more of {','.join(DAYS)}. Default: mon."),
]
Keep = Annotated[
    int | None,
    typer.Option(
        "--keep",
        metavar="N",
        help="Number of snapshots of each volume to keep. Default of a new schedule: 24 (hourly), 7 (daily) or 4 (weekly).",
    ),
]
KeepFor = Annotated[
    int | None,
    typer.Option(
        "--keep-for",
        metavar="DURATION",
        help="Age up to which snapshots are kept, such as 12h, 7d or 4w.",
        parser=_parsed(parse_duration),
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", help=f"Longest time for each command. Default of a new schedule: {DEFAULT_TIMEOUT_S:g}."
    ),
]
OnFailureOption = Annotated[
    str | None,
    typer.Option(
        "--on-failure",
        metavar="|".join(OnFailure),
        help="If a command fails, crash-consistent keeps snapshots that are only crash-consistent, and skip keeps none. "
        "Default of a new schedule: crash-consistent.",
    ),
]
Default = Annotated[
    bool | None,
    typer.Option("--default/--no-default", help="Apply the schedule to all volumes that have no schedules of their own."),
]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Run the schedule, or pause it.")]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="schedule")


@app.callback()
def schedule() -> None:
    """List and change the schedules by which an array takes snapshots. All times are in UTC.

    Schedules run while an array serves the pool. If an array serves the pool, the array carries out the command. Otherwise the
    command changes the pool itself.
    """


@app.command("list")
def list_schedules(pool: PoolArgument, as_json: Json = False) -> None:
    """List the schedules."""
    answer = ask(pool, "schedules")
    if as_json:
        print_json("schedules", answer)
        return
    print_columns(HEADINGS, [schedule_cells(each) for each in answer["schedules"]])
    for name in answer["unreadable"]:
        typer.echo(f"{name}: this program cannot read the schedule, and does not run it")


@app.command("show")
def show(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Show a schedule and its volumes.

    The command also lists snapshots of the schedule that should have been deleted, and the reason why each is kept.
    """
    answer = ask(pool, "schedule-show", name=name)
    if as_json:
        print_json("schedule-details", answer)
        return
    for line in schedule_lines(answer):
        typer.echo(line)


@app.command("add")
def add(
    pool: PoolArgument,
    name: NewNameArgument,
    every: EveryOption = None,
    at: At = None,
    days: Days = None,
    keep: Keep = None,
    keep_for: KeepFor = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(
            "--volume", metavar="VOLUME", help="Volume that gets this schedule, not the default ones; may be repeated."
        ),
    ] = None,
    default: Default = None,
    before: Before = None,
    after: After = None,
    timeout: Timeout = None,
    on_failure: OnFailureOption = None,
    enabled: Enabled = None,
    as_json: Json = False,
) -> None:
    """Add a schedule. The first snapshots are taken at the next time of the schedule.

    The name of a snapshot contains its time, such as NAME-2026-11-29T13:00Z. The snapshots of up to 64 volumes of a schedule
    are taken at the same moment. A schedule deletes only snapshots that it has made itself. It never deletes a snapshot with a
    hold.
    """
    if every is None:
        raise typer.BadParameter(f"want --every, one of {', '.join(Every)}")
    fields = _fields(every, at, days, keep, keep_for, default, before, after, timeout, on_failure, enabled)
    answer = ask(pool, "schedule-add", name=name, fields=fields, volumes=volume or [])
    print_json("schedule", answer) if as_json else typer.echo(schedule_line("added", answer))


@app.command("change")
def change(
    pool: PoolArgument,
    name: NameArgument,
    every: EveryOption = None,
    at: At = None,
    days: Days = None,
    keep: Keep = None,
    keep_for: KeepFor = None,
    default: Default = None,
    before: Before = None,
    after: After = None,
    timeout: Timeout = None,
    on_failure: OnFailureOption = None,
    enabled: Enabled = None,
    as_json: Json = False,
) -> None:
    """Change a schedule. Settings without an option stay unchanged."""
    fields = _fields(every, at, days, keep, keep_for, default, before, after, timeout, on_failure, enabled)
    if not fields:
        raise typer.BadParameter("want at least one option that changes the schedule")
    answer = ask(pool, "schedule-change", name=name, fields=fields)
    print_json("schedule", answer) if as_json else typer.echo(schedule_line("changed", answer))


@app.command("assign")
def assign(
    pool: PoolArgument,
    volume: Annotated[str, typer.Argument(metavar="VOLUME", help="Name of the volume.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Schedules of the volume, at most three.")
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="Give the volume the default schedules.")] = False,
    none: Annotated[bool, typer.Option("--none", help="Take no scheduled snapshots of the volume.")] = False,
    as_json: Json = False,
) -> None:
    """Set the schedules of a volume.

    A volume has schedules of its own, the default schedules, or none.
    """
    if bool(names) + default + none != 1:
        raise typer.BadParameter("want the names of schedules, --default or --none")
    answer = ask(pool, "schedule-assign", volume=volume, schedules=None if default else names or [])
    if as_json:
        print_json("assignment", answer)
    else:
        typer.echo(f"schedules of {volume}: {', '.join(answer['schedules']) or 'none'}")


@app.command("remove")
def remove(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Remove a schedule. Its snapshots stay until they are deleted by hand."""
    answer = ask(pool, "schedule-remove", name=name)
    print_json("schedule", answer) if as_json else typer.echo(f"removed {answer['name']}; its snapshots stay")


@app.command("run")
def run(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Take the snapshots of a schedule now.

    The commands of the schedule are run too. The times of the schedule do not change.
    """
    answer = ask(pool, "schedule-run", name=name)
    print_json("taken-snapshots", answer) if as_json else print_taken(answer)


def _fields(
    every: str | None,
    at: str | None,
    days: str | None,
    keep: int | None,
    keep_for_s: int | None,
    default: bool | None,
    before: str | None,
    after: str | None,
    timeout_s: float | None,
    on_failure: str | None,
    enabled: bool | None,
) -> dict[str, object]:
    given = {
        "every": every,
        "at": None if at is None else at.split(","),
        "days": None if days is None else days.split(","),
        "keep": keep,
        "keep_for_s": keep_for_s,
        "default": default,
        "before": before,
        "after": after,
        "timeout_s": timeout_s,
        "on_failure": on_failure,
        "enabled": enabled,
    }
    return {name: value for name, value in given.items() if value is not None}
