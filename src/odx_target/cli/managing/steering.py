"""`odx-target manage POOL clock`, `advance-clock`, `commands`, `clear-commands` and `offload`."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import print_columns


def register(manage: typer.Typer) -> None:
    """Add the commands to `manage`."""
    manage.command("clock")(clock)
    manage.command("advance-clock")(advance_clock)
    manage.command("commands")(commands)
    manage.command("clear-commands")(clear_commands)
    manage.command("offload")(offload)


def clock(context: typer.Context, as_json: Json = False) -> None:
    """Show the time of the array."""
    _show_clock(ask_array(context.obj, "clock", {}), as_json)


def advance_clock(
    context: typer.Context,
    seconds: Annotated[str, typer.Argument(metavar="SECONDS", help="Time by which the clock is advanced.")],
    connections: Annotated[
        bool, typer.Option("--connections", help="Advance the timers of logins and pings too. Hosts may be cut.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Advance the time. The array must run with --clock shifted or --clock virtual."""
    _show_clock(ask_array(context.obj, "advance-clock", {"seconds": seconds, "connections": connections}), as_json)


def commands(context: typer.Context, as_json: Json = False) -> None:
    """List the commands of all hosts. The array must run with --record-commands."""
    seen = list(_all_commands(context))
    if as_json:
        print_json("commands", {"commands": seen})
        return
    print_columns(("number", "command", "LUN", "initiator", "end"), [_cells(command) for command in seen])


def clear_commands(context: typer.Context, as_json: Json = False) -> None:
    """Forget the recorded commands."""
    answer = ask_array(context.obj, "clear-commands", {})
    if as_json:
        print_json("cleared-commands", answer)
    else:
        typer.echo(f"{answer['seen']} commands have been seen since the start")


def offload(context: typer.Context, as_json: Json = False) -> None:
    """Show the bytes that the array has copied. Also show why it refused copy commands."""
    answer = ask_array(context.obj, "offload", {})
    if as_json:
        print_json("offload", answer)
        return
    typer.echo(
        f"{size(answer['copied_bytes'])} copied by the array: {size(answer['shared_bytes'])} shared, "
        f"{size(answer['moved_bytes'])} moved, {size(answer['zeroed_bytes'])} zeroed; {answer['tokens']} tokens"
    )
    for refused in answer["refused"]:
        typer.echo(f"refused: {refused['operation']} by {refused['initiator']}: {refused['reason']}")
    for name, written_bytes in answer["written_after_refusal_bytes"].items():
        read_bytes = answer["read_after_refusal_bytes"].get(name, 0)
        typer.echo(f"after a refusal, {name} has read {size(read_bytes)} and written {size(written_bytes)}")


def _show_clock(answer: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json("clock", answer)
        return
    moment = datetime.fromtimestamp(answer["time_s"], UTC).isoformat(timespec="seconds")
    typer.echo(f"{moment}, clock {answer['mode']}, advanced by {answer['advanced_s']:g} s")


def _all_commands(context: typer.Context) -> Iterator[dict[str, Any]]:
    page = ask_array(context.obj, "commands", {})
    yield from page["commands"]
    while page["next"] is not None:
        page = ask_array(context.obj, "commands", {"after": page["next"]})
        yield from page["commands"]


def _cells(command: Mapping[str, Any]) -> tuple[str, ...]:
    sense = command["sense"]
    end = command["status"] or "not ended"
    return (
        str(command["number"]),
        command["operation"],
        str(command["lun"]),
        command["initiator"],
        end if sense is None else f"{end}: {sense['key']}, {sense['name'] or sense['code']}",
    )
