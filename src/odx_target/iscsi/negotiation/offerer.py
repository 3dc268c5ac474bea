"""The offering side of a negotiation (RFC 7143 6.2): an initiator's offers, and the check of the target's answers."""

from dataclasses import dataclass, field

from odx_target.iscsi.negotiation.key_checks import check_length
from odx_target.iscsi.negotiation.keys import (
    KEY_BY_NAME,
    NOT_UNDERSTOOD,
    REJECT,
    RESERVED_ANSWERS,
    Key,
    Kind,
    Parameters,
    Sender,
    Value,
    decode_boolean,
)
from odx_target.iscsi.negotiation.rules import BOOLEAN_RESULTS, NegotiationError, number_in_range, result_of
from odx_target.iscsi.pdu.text import Pairs

DECLARATIONS = (Kind.DECLARED_TEXT, Kind.DECLARED_NUMBER)
REPEATABLE = frozenset({"TargetAddress"})
"""Keys that may be sent more than once (6.3)."""
NO_ANSWER_NEEDED = {Kind.AND: "No", Kind.OR: "Yes"}
"""Offered values that become the result even if no answer arrives, by kind of key (6.2.2)."""


@dataclass(slots=True)
class Offerer:
    """The initiator's side of one login.

    `offers` are the pairs that the initiator sends in one or several requests, and `accept` processes the answers. `parameters`
    holds the default values until answers replace them.
    """

    offers: dict[str, str]
    parameters: Parameters
    answered: set[str] = field(default_factory=set)

    def accept(self, answers: Pairs) -> None:
        """Check the target's answers and declarations, and store the results. Raises NegotiationError."""
        for name, value in answers:
            check_length(name, value)
            if name in self.answered - REPEATABLE:
                raise NegotiationError(f"the target answered {name} twice")
            self.answered.add(name)
            self._accept_one(name, value)

    def settle_unanswered(self) -> None:
        """Store the values of offers that got no answer and need none."""
        for name, offered in self.offers.items():
            key = KEY_BY_NAME.get(name)
            if key is not None and name not in self.answered and NO_ANSWER_NEEDED.get(key.kind) == offered:
                setattr(self.parameters, key.field, decode_boolean(offered))

    def _accept_one(self, name: str, value: str) -> None:
        key = KEY_BY_NAME.get(name)
        if key is not None and value == NOT_UNDERSTOOD:
            raise NegotiationError(f"the target does not understand {name}, which every target has to")
        if key is not None and key.kind in DECLARATIONS:
            self._accept_declaration(key, value)
            return
        offered = self.offers.get(name)
        if offered is None:
            raise NegotiationError(f"the target sent {name}, which was not offered")
        if value == REJECT:
            raise NegotiationError(f"the target rejected {name}={offered}")
        if key is None or value in RESERVED_ANSWERS or key.kind is Kind.SECURITY:
            return
        try:
            result = _checked_answer(key, offered, value)
        except ValueError as error:
            raise NegotiationError(f"the target answered {name}={value} to {offered}: {error}") from error
        if key.field:
            setattr(self.parameters, key.field, result)

    def _accept_declaration(self, key: Key, value: str) -> None:
        if value in RESERVED_ANSWERS:
            raise NegotiationError(f"the target answered {key.name}={value}")
        if not key.sender & Sender.TARGET or key.name == "TargetName":  # TargetName only answers SendTargets (13.4)
            raise NegotiationError(f"{key.name} may not be sent by a target")
        if key.kind is Kind.DECLARED_TEXT:
            setattr(self.parameters, key.field, value) if key.field else None
            return
        try:
            setattr(self.parameters, key.field, number_in_range(key, value))
        except ValueError as error:
            raise NegotiationError(f"{key.name}: {error}") from error


def _checked_answer(key: Key, offered: str, answer: str) -> Value:
    """Return the answer as a value. Raises ValueError if the answer cannot result from the offer."""
    if key.kind is Kind.LIST:
        if answer not in offered.split(","):
            raise ValueError("the answer was not offered")
        return answer
    if key.kind in (Kind.OBSOLETE_BOOLEAN, Kind.OBSOLETE_NUMBER):
        return answer
    wish: Value = decode_boolean(answer) if key.kind in BOOLEAN_RESULTS else number_in_range(key, answer)
    if result_of(key, offered, wish) != wish:
        raise ValueError("the answer cannot result from the offer")
    return wish
