"""Errors as a person reads them: one line, of a length that can be read, that cannot steer the terminal."""

import re

import typer

from odx_target.target.printable import printable

SECRETS = re.compile(r"(iscsi:/{1,2}[^\s%@]*%|target_password=)[^\s@&']+", re.IGNORECASE)
"""In URLs, also where one was typed in the place of something else."""
MAX_MESSAGE_CHARACTERS = 600
"""Of a longer one, which quotes an input that hardly anybody typed, both ends are shown."""


def error_text(error: Exception) -> str:
    """What an error says."""
    if isinstance(error, typer.TyperException):
        return error.format_message()
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)


def shown(message: str) -> str:
    """A message as it may be printed."""
    text = printable(" ".join(SECRETS.sub(r"\1...", message).replace("Value error, ", "").split()))
    if len(text) <= MAX_MESSAGE_CHARACTERS:
        return text
    return f"{text[: MAX_MESSAGE_CHARACTERS // 2]} ... {text[-MAX_MESSAGE_CHARACTERS // 2 :]}"
