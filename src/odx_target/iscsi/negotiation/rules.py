"""The rules of negotiation for each kind of key (RFC 7143 6.2). The result follows from the offer of one side and the wish of
the other side. `key_checks` has the checks of single keys.

The target only answers (`answerer`). The initiator makes offers and checks the answers (`offerer`).
"""

from collections.abc import Callable

from odx_target.iscsi.negotiation.keys import (
    Key,
    Kind,
    Value,
    decode_boolean,
    decode_number,
)

DISCOVERY = "Discovery"


class NegotiationError(ValueError):
    """The other side broke a rule of negotiation. No answer can report this breach, so the login or text exchange ends."""


def first_common(offered: str, supported: tuple[str, ...]) -> str:
    """Return the first value of an offered list that is supported. Raises ValueError if no offered value is supported."""
    for choice in offered.split(","):
        if choice in supported:
            return choice
    raise ValueError(f"nothing of {offered[:40]!a} is supported")


def number_in_range(key: Key, text: str) -> int:
    """Return the number in a text. Raises ValueError if the text is not a number, or if the number is out of the key's
    range.
    """
    number = decode_number(text)
    if not key.lowest <= number <= key.highest:
        raise ValueError(f"{number} is not in {key.lowest}..{key.highest}")
    return number


NUMBER_RESULTS: dict[Kind, Callable[[int, int], int]] = {Kind.MINIMUM: min, Kind.MAXIMUM: max}
BOOLEAN_RESULTS: dict[Kind, Callable[[bool, bool], bool]] = {
    Kind.AND: lambda offer, wish: offer and wish,
    Kind.OR: lambda offer, wish: offer or wish,
}


def result_of(key: Key, offered: str, wish: Value | tuple[str, ...]) -> Value:
    """Return the result that follows from an offer and the answering side's wish. Raises ValueError if the offer is not a value
    of the key.
    """
    if key.kind is Kind.LIST:
        return first_common(offered, wish if isinstance(wish, tuple) else (str(wish),))
    if key.kind in NUMBER_RESULTS:
        return NUMBER_RESULTS[key.kind](number_in_range(key, offered), int(str(wish)))
    return BOOLEAN_RESULTS[key.kind](decode_boolean(offered), wish is True)
