"""The commands that are run before and after a snapshot. A command is a program with its arguments; no shell is involved."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import trio

from odx_target.store.error_kinds import reason

MAX_SHOWN_CHARACTERS = 200
"""Largest number of characters of a command's error output that a report shows, so that the report is one line."""

LAST_OUTPUT_S = 0.2
"""Maximum time to wait for the last error output of a program that has ended. The wait is limited, because a program that runs
on in the background may never close the pipe.
"""

_RECEIVE_BYTES = 4096


class Commands(Protocol):
    """Runs commands."""

    async def run(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:
        """Run a command with additional environment variables. Return "" if it succeeds, otherwise the problem in one line.

        A command that runs longer than `timeout_s` is killed, with all processes of its session.
        """
        ...

    async def run_to_its_end(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:
        """Run a command as `run` does, even if the caller is cancelled."""
        ...


class ProcessCommands:
    """Runs commands as processes of the machine."""

    async def run(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:
        try:
            process = await trio.lowlevel.open_process(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as error:
            return f"{command}: cannot be run: {reason(error) if isinstance(error, OSError) else error}"
        said = bytearray()
        try:
            with trio.move_on_after(timeout_s) as scope:
                await _ended(process, said)
        finally:
            await _kill(process)
        if scope.cancelled_caught:
            return f"{command}: did not end within {timeout_s:g} s"
        return _problem(command, process.returncode or 0, said)

    async def run_to_its_end(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:
        with trio.CancelScope(shield=True):
            return await self.run(command, variables, timeout_s)
        raise AssertionError("nothing cancels the scope itself")


async def _ended(process: trio.Process, said: bytearray) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_collect, process, said)
        await process.wait()
        nursery.cancel_scope.deadline = trio.current_time() + LAST_OUTPUT_S


async def _collect(process: trio.Process, said: bytearray) -> None:
    """Collect the end of the error output of a process."""
    assert process.stderr is not None
    while received := await process.stderr.receive_some(_RECEIVE_BYTES):
        said += received
        del said[:-_RECEIVE_BYTES]


async def _kill(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        if process.returncode is None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        assert process.stderr is not None
        await process.stderr.aclose()


def _problem(command: str, code: int, said: bytearray) -> str:
    if code == 0:
        return ""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    words = "".join(character for character in (lines[-1] if lines else "") if character.isprintable())
    end = f"was ended by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{command}: {end}" + (f": {words[:MAX_SHOWN_CHARACTERS]}" if words else "")
