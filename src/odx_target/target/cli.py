"""The command line: `odx-target` and its subcommands. Wires everything; nobody imports it."""

import os
import sys

import typer

from odx_target import __version__
from odx_target.store.api import StoreError
from odx_target.target.commands import copy, decode, demo, serve, token
from odx_target.target.commands.failure import CommandFailure
from odx_target.target.config import ConfigError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # what shells give for SIGINT

app = typer.Typer(
    help="An iSCSI array with offloaded copy by point-in-time ROD tokens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("copy")(copy.copy)
app.add_typer(token.app, name="token")
app.add_typer(decode.app, name="decode")
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """An iSCSI array with offloaded copy by point-in-time ROD tokens."""


def main() -> None:
    """Run a subcommand; whatever goes wrong becomes one line on standard error and an exit code."""
    try:
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except typer.TyperException as error:
        code = _fail(error.format_message(), error.exit_code)
    except ConfigError as error:
        code = _fail(str(error), EXIT_USAGE)
    except (CommandFailure, StoreError) as error:
        code = _fail(str(error), EXIT_FAILURE)
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from flushing to it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILURE
    except OSError as error:
        code = _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), EXIT_FAILURE)
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _fail(message: str, code: int) -> int:
    typer.echo(f"odx-target: {' '.join(message.split())}", err=True)
    return code


if __name__ == "__main__":
    main()
