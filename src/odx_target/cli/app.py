"""`odx-target` and its subcommands, as an application of typer. `program.py` runs it.

A subcommand is imported only when it is run, so that `serve` does not load the modules of `windows-copy`, and the list of
subcommands appears at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

import typer

from odx_target import __version__
from odx_target.native.choice import NATIVE


class Subcommand(NamedTuple):
    """A subcommand of `odx-target`. The function `register` of `module` adds it. `help` describes it in the list of
    subcommands.
    """

    module: str
    help: str


COMMANDS = {
    "serve": Subcommand("serving.serve", "Serve LUNs over iSCSI."),
    "status": Subcommand("managing.status", "Show the status of a pool: its room, data, log and cleaner."),
    "clone": Subcommand("storage.clone", "Clone a snapshot or a volume."),
    "copy": Subcommand("hosts.copy", "Copy blocks from one LUN to another."),
    "conformance": Subcommand("hosts.conformance", "Check the behaviour of any iSCSI target."),
    "demo": Subcommand("hosts.demo", "Compare a copy by token with a copy by reads and writes."),
    "windows-copy": Subcommand("hosts.windows.copy", "Copy a file with the same commands as Windows."),
    "esxi-copy": Subcommand("hosts.esxi.copy", "Copy a virtual disk with the same commands as ESXi."),
    "ready": Subcommand("hosts.ready.ready", "Check if the offloads of hosts will work with a LUN."),
    "replay": Subcommand("replay.replay", "Replay a recorded session, and compare the answers."),
    "explain": Subcommand("offload.explain", "Explain why an array refused copies of hosts."),
    "offload": Subcommand("offload.offload", "Show which copies an array has made for hosts."),
    "manage": Subcommand("managing.manage", "Show and change a running array."),
    "fault": Subcommand("managing.fault", "Make a running array fail on purpose."),
    "personality": Subcommand("configuration.personality", "Show identities and limits that an array can take over."),
    "volume": Subcommand("storage.volume", "List and change the volumes of a pool."),
    "lun": Subcommand("storage.lun", "Give LUN numbers to volumes, or take them away."),
    "port-group": Subcommand("managing.port_group", "Show and change the states of target port groups."),
    "path": Subcommand("paths.path", "Connect a running array with other arrays."),
    "import": Subcommand("imports.import_lun", "Serve LUNs of other arrays, and copy them."),
    "protect": Subcommand("replication.protect", "Send the snapshots of volumes to another array."),
    "replicate": Subcommand("replication.replicate", "Send the snapshots of volumes now."),
    "remote": Subcommand("replication.remote", "Show what arrays send to each other, and use it."),
    "promote": Subcommand("replication.promote", "Make a copy a LUN that hosts can write to."),
    "reverse": Subcommand("replication.reverse", "Receive volumes from the array that has promoted them."),
    "group": Subcommand("groups.group", "Keep volumes equal at two arrays at every instant."),
    "witness": Subcommand("groups.witness", "Run the witness of groups of other arrays."),
    "snapshot": Subcommand("storage.snapshot", "Create, show and use snapshots of volumes."),
    "schedule": Subcommand("storage.schedule", "List and change the schedules of snapshots."),
    "pool": Subcommand("pools.pool", "Verify or repair a pool, and renew its identity."),
    "token": Subcommand("hosts.token.token", "Send single commands of token copy, and show every field."),
    "check-config": Subcommand("configuration.check_config", "Check a configuration file, or print a sample."),
    "import-config": Subcommand("configuration.importing.import_config", "Convert the configuration of targetcli or tgt."),
    "decode": Subcommand("decode", "Explain bytes field by field."),
    "schema": Subcommand("schemas.schema", "Print the JSON Schema of the output of a command."),
}
"""The subcommands in the order of the help."""

COMPLETED_WORDS = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
"""Environment variables in which a shell passes the command line for tab completion."""


def application(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the typer application with these subcommands. If there are none, it can only list all subcommands."""
    app = typer.Typer(
        help="An iSCSI array with offloaded copy by point-in-time ROD tokens.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # the boxes of rich cut off the names of options on terminals of 80 columns
    )
    app.callback()(_options)
    imported = list(names)
    for name in imported:
        import_module(f"{__package__}.{COMMANDS[name].module}").register(app)
    for name, subcommand in COMMANDS.items() if not imported else ():
        app.command(name, help=subcommand.help)(_listed)
    return app


def _listed() -> None:
    """Stand for a subcommand in the list of subcommands."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{__version__} ({'with' if NATIVE is not None else 'without'} native module)")
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """An iSCSI array with offloaded copy by point-in-time ROD tokens."""


def wanted_commands(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the name of the subcommand to import: the one that is run or completed. If the command line names no subcommand,
    return no name, because the list of subcommands needs none of their modules. A shell completes without arguments.
    """
    completed = next((environment[name].split()[1:] for name in COMPLETED_WORDS if name in environment), None)
    words = [word for word in (arguments or completed or ()) if not word.startswith("-")]
    return words[:1] if words and words[0] in COMMANDS else []
