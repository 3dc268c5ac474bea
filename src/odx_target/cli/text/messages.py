"""Error messages for the terminal: one line of limited length, without control characters and secrets."""

import re

from odx_target.target.printable import printable

SECRETS = re.compile(r"(iscsi:/{1,2}[^\s%@]*%|target_password=)[^\s@&']+", re.IGNORECASE)
"""Matches secrets in URLs. All messages are searched, because a user may type a URL as any argument by mistake."""
MAX_MESSAGE_CHARACTERS = 600
"""Length of the longest message. The middle of a longer message is removed, because there the message only quotes a long input.
"""


def error_text(error: Exception) -> str:
    """Return the message of an error."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else reason
    import typer  # `serve` starts without typer.

    return error.format_message() if isinstance(error, typer.TyperException) else str(error)


def shown(message: str) -> str:
    """Return a message in the form in which it is printed: on one line, without control characters and secrets."""
    text = printable(" ".join(SECRETS.sub(r"\1...", message).replace("Value error, ", "").split()))
    if len(text) <= MAX_MESSAGE_CHARACTERS:
        return text
    return f"{text[: MAX_MESSAGE_CHARACTERS // 2]} ... {text[-MAX_MESSAGE_CHARACTERS // 2 :]}"
