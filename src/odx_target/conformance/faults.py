"""The exceptions that end a check early. Every message is one line of text for the user."""

MAX_SHOWN_BYTES = 32
"""Maximum number of bytes of a value in a message. The record of the exchange has all bytes."""
MAX_DECIMAL = 65535
"""Largest number that messages show in decimal. Larger numbers are mostly bit patterns."""


class CheckFailed(Exception):
    """The target breaks the rule of a check."""


class NotSupported(Exception):
    """The rule of a check does not apply, because the target does not support an optional feature."""


def require(condition: bool, message: str) -> None:
    """Raise CheckFailed with the message unless the condition is true."""
    if not condition:
        raise CheckFailed(message)


def require_equal(name: str, found: object, expected: object) -> None:
    """Raise CheckFailed unless a field has the expected value."""
    if found != expected:
        raise CheckFailed(f"{name} is {_shown(found)}, expected {_shown(expected)}")


def _shown(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return value.hex(" ") if len(value) <= MAX_SHOWN_BYTES else f"{value[:MAX_SHOWN_BYTES].hex(' ')} ..."
    return f"{value:#x}" if isinstance(value, int) and not isinstance(value, bool) and value > MAX_DECIMAL else str(value)
