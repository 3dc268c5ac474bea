"""The rules of negotiation for each kind of key (RFC 7143 6.2). The result follows from the offer of one side and the wish of
the other side.

The target only answers (`answerer`). The initiator makes offers and checks the answers (`offerer`).
"""

from collections.abc import Callable

from odx_target.iscsi.negotiation.keys import (
    KEY_BY_NAME,
    RESERVED_ANSWERS,
    Key,
    Kind,
    Value,
    decode_boolean,
    decode_number,
)
from odx_target.iscsi.pdu.text import MAX_KEYS

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


def check_length(name: str, value: str) -> None:
    """Check the length of a key's value, or of each element of a list (RFC 7143 6.1, 4.2.7.1). Raises NegotiationError.

    The value of an unknown key may have any length, because only the specification of the key sets a limit.
    """
    key = KEY_BY_NAME.get(name)
    if key is None:
        return
    size = max(len(each.encode()) for each in (value.split(",") if key.is_list else (value,)))
    if size > key.max_value_bytes:
        raise NegotiationError(f"value of {name} has {size} bytes, the limit is {key.max_value_bytes}")


def note_key(name: str, said: set[str]) -> None:
    """Add a key to the set of keys that were sent in this negotiation.

    Raises NegotiationError if the key was sent before, or if the negotiation has more than MAX_KEYS keys (6.2).
    """
    if name in said:
        raise NegotiationError(f"{name} is sent a second time")
    if len(said) >= MAX_KEYS:
        raise NegotiationError(f"more than {MAX_KEYS} keys in one negotiation")
    said.add(name)


def check_is_offer(name: str, value: str) -> None:
    """Check that a value is an offer or a declaration and not a reserved answer (RFC 7143 6.2). Raises NegotiationError."""
    if value in RESERVED_ANSWERS:
        raise NegotiationError(f"{name}={value} is an answer, but nothing was offered")
