"""`odx-target port-group`: show and change the asymmetric access states of target port groups on a running array."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from odx_target.cli.managing.array_requests import Answer, ask_array
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns

app = typer.Typer(help="Show and change the states of target port groups.", no_args_is_help=True)

HEADINGS = ("group", "state", "changed", "preferred", "ports")

NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the target port group.")]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="port-group")


@app.callback()
def port_group() -> None:
    """Show and change the asymmetric access states of target port groups (ALUA). An array must serve the pool.

    The states are not kept over a restart: the array then has the states of its configuration file.
    """


@app.command("list")
def list_port_groups(pool: PoolArgument, as_json: Json = False) -> None:
    """List the target port groups, with their states and ports."""
    answer = ask_array(pool, "port-groups", {})
    if as_json:
        print_json("port-groups", answer)
        return
    typer.echo(f"changes: {answer['asymmetric_access']}, transition time: {answer['transition_time_s']} s")
    print_columns(HEADINGS, [_cells(group) for group in answer["port_groups"]])
    for group in answer["port_groups"]:
        _print_luns(group)


@app.command("set")
def set_port_group(
    pool: PoolArgument,
    number: NumberArgument,
    state: Annotated[
        str,
        typer.Argument(
            metavar="STATE", help="active-optimized, active-non-optimized, standby, unavailable, offline or transitioning."
        ),
    ],
    lun: Annotated[str | None, typer.Option("--lun", metavar="NAME", help="Change the state only for this LUN.")] = None,
    transition: Annotated[
        float | None,
        typer.Option(
            "--transition", metavar="SECONDS", help="Time in which the group is transitioning; default: as configured."
        ),
    ] = None,
    fails: Annotated[
        bool, typer.Option("--fail", help="Give the group its former state back, and notify hosts that the change has failed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Change the state of a target port group. Hosts are notified.

    Running commands end as usual. Later commands through ports of the group are refused if they do not work in the new state.
    """
    given = {"number": number, "state": state, "lun": lun, "time_s": transition, "fails": fails}
    arguments = {name: value for name, value in given.items() if value is not None}
    _show(ask_array(pool, "set-port-group", arguments), as_json=as_json)


@app.command("prefer")
def prefer_port_group(
    pool: PoolArgument,
    number: NumberArgument,
    off: Annotated[bool, typer.Option("--off", help="Do not prefer the group any more.")] = False,
    as_json: Json = False,
) -> None:
    """Make a target port group a preferred group. Hosts are notified."""
    _show(ask_array(pool, "prefer-port-group", {"number": number, "preferred": not off}), as_json=as_json)


def _show(group: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json("port-group", group)
    else:
        print_columns(HEADINGS, [_cells(group)])
        _print_luns(group)


def _cells(group: Mapping[str, Any]) -> tuple[str, ...]:
    ports = " ".join(f"{port['relative_target_port']}={port['name']}" for port in group["ports"])
    return str(group["number"]), group["state"], group["status"], "yes" if group["preferred"] else "no", ports


def _print_luns(group: Mapping[str, Any]) -> None:
    for lun in group["luns"]:
        typer.echo(f"group {group['number']}, LUN {lun['lun']} {lun['name']}: {lun['state']}, changed: {lun['status']}")
    if group["luns_not_listed"]:
        typer.echo(f"group {group['number']}: {group['luns_not_listed']} more LUNs with other states")
