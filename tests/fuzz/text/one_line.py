"""The rule for error messages: one line that a terminal can show."""

from collections.abc import Callable
from typing import Any

from odx_target.cli.text.messages import error_text, shown
from tests.fuzz.surface import Finding


def refused(error: Exception) -> str:
    """Check the message of a refusal as the command line shows it. Return the place that refuses. Raises Finding."""
    message = shown(error_text(error))
    if not message or not message.isprintable():
        raise Finding(f"a message of {type(error).__name__} is not one printable line", repr(message[:200]))
    return f"refused by {_place_of(error)}"


def _place_of(error: BaseException) -> str:
    """Return the innermost function of the program in which an exception or its cause was raised."""
    place = type(error).__name__
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if "odx_target/" in code.co_filename:
            place = f"{code.co_name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def outcome_of(act: Callable[[], Any], expected: type[Exception] | tuple[type[Exception], ...]) -> str:
    """Call a function. Return "accepted", or the outcome of an expected refusal."""
    try:
        act()
    except expected as error:
        return refused(error)
    return "accepted"
