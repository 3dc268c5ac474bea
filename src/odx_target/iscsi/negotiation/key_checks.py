"""The checks of a key before its value is negotiated: phase, length of the value, repeated keys, and reserved answers."""

from enum import Enum, auto

from odx_target.iscsi.negotiation.keys import KEY_BY_NAME, RESERVED_ANSWERS, Key, Kind, Sender, Use
from odx_target.iscsi.negotiation.rules import NegotiationError
from odx_target.iscsi.pdu.text import MAX_KEYS


class Phase(Enum):
    """The phase in which keys are sent; it decides which keys are allowed (RFC 7143 6.3, 12, 13)."""

    SECURITY = auto()
    OPERATIONAL = auto()
    FULL_FEATURE = auto()


def check_phase(key: Key, phase: Phase) -> None:
    """Raise NegotiationError if the key belongs to another stage (6.3)."""
    if phase is Phase.SECURITY and not key.in_security_stage:
        raise NegotiationError(f"{key.name} may not be sent in the security stage")
    if phase is not Phase.SECURITY and key.kind is Kind.SECURITY:
        raise NegotiationError(f"{key.name} may be sent in the security stage only")
    if phase is Phase.OPERATIONAL and key.use is Use.FFPO:
        raise NegotiationError(f"{key.name} may not be sent in a login")


def may_be_offered(key: Key, phase: Phase) -> bool:
    """True if an initiator may offer a key in this phase. In the full feature phase, no key of a login may be offered (6.3)."""
    return bool(key.sender & Sender.INITIATOR) and not (phase is Phase.FULL_FEATURE and key.use in (Use.IO, Use.LO))


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
