"""The checks of a key before its value is negotiated: the length of the value, repeated keys, and reserved answers."""

from odx_target.iscsi.negotiation.keys import KEY_BY_NAME, RESERVED_ANSWERS
from odx_target.iscsi.negotiation.rules import NegotiationError
from odx_target.iscsi.pdu.text import MAX_KEYS


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
