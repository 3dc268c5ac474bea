"""All commands of a direct access block device that need no copy manager."""

from odx_target.scsi.command_table import CommandRow


def standard_commands() -> list[CommandRow]:
    """The rows, to be given to a device server together with other packages' rows."""
    return []
