"""`odx-target` and its subcommands, and what becomes of their errors: one line and an exit code."""

import os
import sys

import typer

from odx_target import __version__
from odx_target.store.api import StoreError
from odx_target.target.commands import copy, decode, demo, manage, serve, token, windows_copy
from odx_target.target.commands.failure import CommandFailure, Interrupted
from odx_target.target.config import ConfigError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_SIGNAL = 128
"""Plus the number of the signal, as shells have it."""

app = typer.Typer(
    help="An iSCSI array with offloaded copy by point-in-time ROD tokens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its boxes cut the names of options off where a terminal has 80 columns
)
app.command("serve")(serve.serve)
app.add_typer(manage.app, name="manage")
app.command("copy")(copy.copy)
app.add_typer(token.app, name="token")
app.add_typer(decode.app, name="decode")
app.command("demo")(demo.demo)
app.command("windows-copy")(windows_copy.windows_copy)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """An iSCSI array with offloaded copy by point-in-time ROD tokens."""


def run() -> int:
    """Run what `sys.argv` says; whatever goes wrong becomes one line on standard error. Returns the exit code."""
    try:
        result = app(standalone_mode=False)
    except typer.TyperException as error:
        return _fail(_one_line(error.format_message()), error.exit_code)
    except ConfigError as error:
        return _fail(str(error), EXIT_USAGE)
    except (CommandFailure, StoreError) as error:
        return _fail(str(error), EXIT_FAILURE)
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from flushing to it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except OSError as error:
        reason = error.strerror or str(error)
        return _fail(f"{error.filename}: {reason}" if error.filename else reason, EXIT_FAILURE)
    except Interrupted as interrupted:
        return EXIT_SIGNAL + interrupted.number
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    return result if isinstance(result, int) else 0


def _one_line(message: str) -> str:
    """Where a command is missing, the message is the help of what there is."""
    if not message.startswith("Usage: "):
        return message
    typer.echo(message)
    return "give a command"


def _fail(message: str, code: int) -> int:
    typer.echo(f"odx-target: {' '.join(message.replace('Value error, ', '').split())}", err=True)
    return code
