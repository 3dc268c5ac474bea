"""The answering side of a negotiation (RFC 7143 6.2). The module `keys` has the table with the rule for each key.

`Answerer` takes a list of offered pairs and returns the pairs to send back. Some offers get a reserved answer, and the value of
the key stays as it is:

NotUnderstood    the key is unknown
Irrelevant       sessions of this type do not use the key
Reject           the sender may not send the key, or not in this phase, or the text is not a value of the key

Protocol errors raise NegotiationError: a key that is sent twice, an answer without an offer, a key of another stage, a declared
value out of range.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from odx_target.iscsi.negotiation.burst_lengths import wished_first_burst_length
from odx_target.iscsi.negotiation.key_checks import Phase, check_is_offer, check_length, check_phase, may_be_offered, note_key
from odx_target.iscsi.negotiation.keys import (
    IRRELEVANT,
    KEY_BY_NAME,
    NOT_UNDERSTOOD,
    REJECT,
    Key,
    Kind,
    Parameters,
    Use,
    Value,
    encode_value,
)
from odx_target.iscsi.negotiation.rules import BOOLEAN_RESULTS, DISCOVERY, NegotiationError, number_in_range, result_of
from odx_target.iscsi.pdu.text import Pairs

NOTHING_KEPT = {Kind.OBSOLETE_BOOLEAN: "No", Kind.OBSOLETE_NUMBER: REJECT}
"""Answers to obsolete keys of RFC 3720, by kind of key (13.25)."""


@dataclass(slots=True)
class Answerer:
    """The answering side of one login, or of one text exchange.

    `wishes` maps a key name to the value that this side wants: a number, a boolean, or the supported choices of a list. A key
    without a wish keeps the offered value, or the first choice of an offered list. Many keys are irrelevant in discovery
    sessions, so the caller must set `session_type` in `parameters` before the first answer. If the login adds a connection to
    an existing session, `is_leading` is False, and the session-wide parameters do not change (13, Leading Only).
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
        """Return the pairs to send back, in the order of the offers. Declarations get no answer. Raises NegotiationError.

        Some keys, such as SendTargets, are requests. `requests` maps the names of these keys to functions that return the
        answers.
        """
        asked = requests or {}
        answers: dict[str, Pairs] = {}
        # FirstBurstLength may not exceed MaxBurstLength (13.14), so MaxBurstLength is answered first, wherever it is in the
        # list.
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
        check_phase(key, phase)
        answer = self._constant(key, phase) or self._settle(key, offered)
        return [] if answer is None else [(name, answer)]

    def _constant(self, key: Key, phase: Phase) -> str | None:
        """Return the answer to a key, or None if the answer depends on the offered value."""
        if not may_be_offered(key, phase):
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
            return wished_first_burst_length(int(str(self.wishes.get(key.name, key.highest))), self.parameters)
        if key.name in self.wishes:
            return self.wishes[key.name]
        return key.choices if key.kind is Kind.LIST else _neutral_wish(key, offered)

    def _keep(self, key: Key, value: Value) -> None:
        if key.field:
            setattr(self.parameters, key.field, value)


def _neutral_wish(key: Key, offered: str) -> Value:
    """Return a wish that makes the offered value the result."""
    if key.kind in BOOLEAN_RESULTS:
        return offered == "Yes"
    return key.highest if key.kind is Kind.MINIMUM else key.lowest
