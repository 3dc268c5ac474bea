"""The subcommands about volumes and snapshots, as commands of `manage`.

`odx-target manage POOL snapshot list` is the same command as `odx-target snapshot list POOL`.
"""

from collections.abc import Sequence

GROUPS = ("volume", "lun", "snapshot", "schedule")
"""Subcommands that have commands of their own, each with POOL as its first argument."""

COMMANDS = ("clone",)
"""Subcommands with POOL as their first argument."""


def without_manage(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the subcommand for which a command of `manage` stands. Returns other arguments as they are."""
    match arguments:
        case ["manage", pool, name, *rest] if name in COMMANDS and not pool.startswith("-"):
            return [name, pool, *rest]
        case ["manage", pool, name, command, *rest] if name in GROUPS and not pool.startswith("-"):
            return [name, command, *([] if command.startswith("-") else [pool]), *rest]
        case ["manage", pool, name] if name in GROUPS and not pool.startswith("-"):
            return [name]
        case _:
            return list(arguments)
