"""The answering side of a negotiation (RFC 7143 6.2), by the table of keys in `keys`.

`Answerer` turns a list of offered pairs into the pairs to send back. Some offers get a reserved answer, and
the value then stays as it is: NotUnderstood for unknown keys, Irrelevant if the session's type has no use for the key, and
Reject for a key that this sender may not send, or not now, and for a text that is no value of the key. An error of protocol
raises NegotiationError: a key sent twice, an answer to nothing, a key of another stage, a declaration out of range.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from odx_target.iscsi.negotiation.keys import (
    IRRELEVANT,
    KEY_BY_NAME,
    NOT_UNDERSTOOD,
    REJECT,
    Key,
    Kind,
    Parameters,
    Sender,
    Use,
    Value,
    encode_value,
)
from odx_target.iscsi.negotiation.rules import (
    BOOLEAN_RESULTS,
    DISCOVERY,
    NegotiationError,
    check_is_offer,
    check_length,
    note_key,
    number_in_range,
    result_of,
)
from odx_target.iscsi.pdu.text import Pairs


class Phase(Enum):
    """The phase in which keys are sent; it decides which keys are allowed (RFC 7143 6.3, 12, 13)."""

    SECURITY = auto()
    OPERATIONAL = auto()
    FULL_FEATURE = auto()


NOTHING_KEPT = {Kind.OBSOLETE_BOOLEAN: "No", Kind.OBSOLETE_NUMBER: REJECT}
"""The answers to obsolete keys of RFC 3720, by kind (13.25)."""


@dataclass(slots=True)
class Answerer:
    """The answering side for one login, or for one text exchange.

    `wishes` maps a key name to the value this side wants: a number, a boolean, or the supported choices of a list; a key
    without a wish takes the first offered choice or the offer. Many keys are irrelevant in discovery sessions: set
    `session_type` in `parameters` before the first answer. `is_leading` is False for the login of another connection of an
    existing session, whose session-wide parameters stay as they are (13, Leading Only).
    """

    wishes: Mapping[str, Value | tuple[str, ...]]
    parameters: Parameters
    is_leading: bool = True
    seen: set[str] = field(default_factory=set)

    def answer(
        self,
        offers: Pairs,
        phase: Phase = Phase.OPERATIONAL,
        requests: Mapping[str, Callable[[str], Pairs]] | None = None,
    ) -> Pairs:
        """The pairs to send back, in the order offered; declarations need none. Raises NegotiationError.

        `requests` maps the name of a key that is a request, such as SendTargets, to the function that makes its answer.
        """
        asked = requests or {}
        answers: dict[str, Pairs] = {}
        # FirstBurstLength may not exceed MaxBurstLength (13.14), so MaxBurstLength is answered first, wherever it stands.
        for name, value in sorted(offers, key=lambda pair: pair[0] == "FirstBurstLength"):
            self._note(name, value)
            answers[name] = asked[name](value) if name in asked else self._answer_one(name, value, phase)
        return [pair for name, _ in offers for pair in answers[name]]

    def _note(self, name: str, value: str) -> None:
        check_length(name, value)
        check_is_offer(name, value)
        note_key(name, self.seen)

    def _answer_one(self, name: str, offered: str, phase: Phase) -> Pairs:
        key = KEY_BY_NAME.get(name)
        if key is None:
            return [(name, NOT_UNDERSTOOD)]
        _check_phase(key, phase)
        answer = self._constant(key, phase) or self._settle(key, offered)
        return [] if answer is None else [(name, answer)]

    def _constant(self, key: Key, phase: Phase) -> str | None:
        """The answer that does not depend on the offered value, if there is one."""
        if not key.sender & Sender.INITIATOR:
            return REJECT
        if phase is Phase.FULL_FEATURE and key.use in (Use.IO, Use.LO):
            return REJECT
        if key.irrelevant_in_discovery and self.parameters.session_type == DISCOVERY:
            return IRRELEVANT
        if key.use is Use.LO and not self.is_leading and key.kind is not Kind.DECLARED_TEXT:
            return REJECT
        return NOTHING_KEPT.get(key.kind)

    def _settle(self, key: Key, offered: str) -> str | None:
        if key.kind is Kind.DECLARED_TEXT:
            self._keep(key, offered)
            return None
        if key.kind is Kind.DECLARED_NUMBER:
            try:
                self._keep(key, number_in_range(key, offered))
            except ValueError as error:
                raise NegotiationError(f"{key.name}: {error}") from error
            return None
        try:
            result = result_of(key, offered, self._wish(key, offered))
        except ValueError:
            return REJECT
        self._keep(key, result)
        return encode_value(result)

    def _wish(self, key: Key, offered: str) -> Value | tuple[str, ...]:
        if key.name == "FirstBurstLength":
            return min(int(str(self.wishes.get(key.name, key.highest))), self.parameters.max_burst_length)
        if key.name in self.wishes:
            return self.wishes[key.name]
        return key.choices if key.kind is Kind.LIST else _neutral_wish(key, offered)

    def _keep(self, key: Key, value: Value) -> None:
        if key.field:
            setattr(self.parameters, key.field, value)


def _check_phase(key: Key, phase: Phase) -> None:
    """A key of another stage is a protocol error (6.3)."""
    if phase is Phase.SECURITY and not key.in_security_stage:
        raise NegotiationError(f"{key.name} does not belong into the security stage")
    if phase is not Phase.SECURITY and key.kind is Kind.SECURITY:
        raise NegotiationError(f"{key.name} belongs into the security stage alone")
    if phase is Phase.OPERATIONAL and key.use is Use.FFPO:
        raise NegotiationError(f"{key.name} does not belong into a login")


def _neutral_wish(key: Key, offered: str) -> Value:
    """A wish that lets any offer be the result."""
    if key.kind in BOOLEAN_RESULTS:
        return offered == "Yes"
    return key.highest if key.kind is Kind.MINIMUM else key.lowest
