"""Runs a subcommand of `odx-target`. Every error becomes one line on standard error and an exit code.

A usual command line of `serve` is read without typer, so that the array starts sooner (see `serving/command_line.py`).
"""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from odx_target.cli.failure import CommandFailure, Interrupted, drop_output, exit_code_of
from odx_target.cli.text.messages import error_text, shown
from odx_target.cli.text.output import show
from odx_target.store.errors import StoreError
from odx_target.target.config.error import ConfigError

TRACEBACK_VARIABLE = "ODX_TARGET_TRACEBACK"
"""If this environment variable is set, an internal error shows its traceback."""
COMPLETION_SUFFIX = "_COMPLETE"
"""End of the name of the environment variable that asks a program to complete a command line. Only typer does this."""


@contextmanager
def _collector_off() -> Iterator[None]:
    """While the body imports modules, Python's garbage collector is off. Later collections do not visit these objects either.

    The collector would visit them several times, which takes a sixth of the time from the start of `serve` to the first login,
    and would find nothing to free.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run() -> int:
    """Run the subcommand in `sys.argv`. Any error becomes one line on standard error. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # the stream is closed, or replaced by a test
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with _collector_off():
            command = _usual_serve(sys.argv[1:], os.environ) or _by_typer(sys.argv[1:], os.environ)
        result = command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except Interrupted as interrupted:
        return _fail(interrupted.state, exit_code_of(interrupted))
    except (ConfigError, CommandFailure, StoreError) as error:
        return _fail(str(error), exit_code_of(error))
    except OSError as error:
        drop_output()
        return _fail("" if isinstance(error, BrokenPipeError) else error_text(error), exit_code_of(error))
    except Exception as error:
        return _fail_of_typer(error)
    return result if isinstance(result, int) else 0


def _usual_serve(words: Sequence[str], environment: Mapping[str, str]) -> Callable[[], object] | None:
    """Return the call of `serve` for a usual command line, or None if typer must read the command line."""
    if words[:1] != ["serve"] or any(name.endswith(COMPLETION_SUFFIX) for name in environment):
        return None
    from odx_target.cli.serving.lean_dataclasses import generating_later

    with generating_later():
        from odx_target.cli.serving.command_line import usual_values

        values = usual_values(words[1:])
        if values is None:
            return None
        from odx_target.cli.serving.lean_libraries import load_libraries

        load_libraries()
        from odx_target.cli.serving.serve import serve

    return partial(serve, **values)


def _by_typer(words: Sequence[str], environment: Mapping[str, str]) -> Callable[[], object]:
    from odx_target.cli.app import application, wanted_commands
    from odx_target.cli.managing.aliases import without_manage

    arguments = without_manage(words)
    return partial(application(wanted_commands(arguments, environment)), arguments, standalone_mode=False)


def _fail_of_typer(error: Exception) -> int:
    """Print the error of a command line, or an internal error, and return the exit code."""
    import typer

    if isinstance(error, typer.Abort):
        raise KeyboardInterrupt from error
    if isinstance(error, typer.TyperException):
        return _fail(_one_line(error_text(error)), exit_code_of(error))
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    return _fail(f"internal error: {error!r} at {_place(error)}; {TRACEBACK_VARIABLE}=1 shows more", exit_code_of(error))


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _one_line(message: str) -> str:
    """Return an error message of one line. If the subcommand is missing, `message` is the whole help text. In this case, print
    the help text, and return a short error message.
    """
    if not message.startswith("Usage: "):
        return message
    show(message)
    return "give a command"


def _fail(message: str, code: int) -> int:
    """Print the message, unless it is empty, and return the code."""
    if message:
        with suppress(OSError):
            show(f"odx-target: {shown(message)}", as_error=True)
    return code
