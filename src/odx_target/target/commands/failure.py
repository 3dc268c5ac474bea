"""How a subcommand fails: with one clear line and an exit code."""


class CommandFailure(Exception):
    """The command was understood but could not do its work; the message is one line, the exit code 1.

    For what was typed wrongly raise `typer.BadParameter` instead: exit code 2.
    """
