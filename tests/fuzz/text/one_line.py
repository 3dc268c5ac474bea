"""The rule for error messages: one line that a terminal can show."""

from collections.abc import Callable
from typing import Any

from odx_target.cli.text.messages import error_text, shown
from tests.fuzz.places import innermost_place
from tests.fuzz.surface import Finding


def refused(error: Exception) -> str:
    """Check the message of a refusal as the command line shows it. Return the place that refuses. Raises Finding."""
    message = shown(error_text(error))
    if not message or not message.isprintable():
        raise Finding(f"a message of {type(error).__name__} is not one printable line", repr(message[:200]))
    place = innermost_place(error)
    return f"refused by {f'{place.function}:{place.line}' if place else type(error).__name__}"


def outcome_of(act: Callable[[], Any], expected: type[Exception] | tuple[type[Exception], ...]) -> str:
    """Call a function. Return "accepted", or the outcome of an expected refusal."""
    try:
        act()
    except expected as error:
        return refused(error)
    return "accepted"
