"""The lines of a script: from a file, from a pipe, or typed by a person."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import trio
import typer

from odx_target.cli.failure import CommandFailure

STANDARD_INPUT = Path("-")
MAX_LINE_BYTES = 1 << 16
"""Maximum length of a line. Every valid command of a script is shorter than this limit."""
READ_BYTES = 1 << 16


class ScriptLines:
    """The lines of a file, or of standard input for `-`. On a terminal, `prompt` is shown before each line.

    Raises typer.BadParameter if the file cannot be opened.
    """

    def __init__(self, path: Path, prompt: str) -> None:
        self.number = 0
        """Number of the line that was read last."""
        self.is_typed = path == STANDARD_INPUT and sys.stdin is not None and sys.stdin.isatty()
        self._prompt = prompt if self.is_typed else ""
        self._buffer = bytearray()
        self._ended = False
        self._owned: int | None = None
        if path == STANDARD_INPUT:
            if sys.stdin is None:
                raise CommandFailure("standard input is closed")
            self._descriptor = sys.stdin.fileno()
        else:
            try:
                self._descriptor = self._owned = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="SCRIPT") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._owned is not None:
            os.close(self._owned)

    async def next(self) -> str | None:
        """Return the next line; None at the end. Raises OSError if reading fails, and CommandFailure if the line is too long or
        is not UTF-8.
        """
        typer.echo(self._prompt, nl=False)
        line = await self._next()
        if line is None:
            if self._prompt:
                typer.echo()
            return None
        self.number += 1
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise CommandFailure(f"line {self.number}: that is not UTF-8 text") from None

    async def _next(self) -> bytes | None:
        while (end := self._buffer.find(b"\n")) < 0 and not self._ended:
            if len(self._buffer) > MAX_LINE_BYTES:
                break
            data = await self._read()
            self._buffer += data
            self._ended = not data
        if end < 0:
            end = len(self._buffer)
        if end > MAX_LINE_BYTES:
            raise CommandFailure(f"line {self.number + 1}: a line has at most {MAX_LINE_BYTES} bytes")
        if self._ended and not self._buffer:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    async def _read(self) -> bytes:
        """Wait for bytes and read them. The event loop waits for the bytes, because a waiting thread could not be
        interrupted.
        """
        try:
            await trio.lowlevel.wait_readable(self._descriptor)
        except PermissionError:  # a regular file, for which no wait is needed
            await trio.lowlevel.checkpoint()
        return os.read(self._descriptor, READ_BYTES)
