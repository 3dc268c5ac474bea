"""Negotiation of text keys for both roles (RFC 7143 6.2): the table of `text_keys`, interpreted.

The target only answers: `Answerer` turns a list of offered pairs into the pairs to send back. The initiator offers and
then checks: `Offerer`. Either way the results land in a `Parameters`. A constant answers what is not a value:
NotUnderstood for unknown keys, Irrelevant where the session's type leaves no use for the key, Reject for what may not be
said here or is no value of the key; the default then stays. What is no negotiation at all raises NegotiationError.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from odx_target.target.iscsi.text_format import MAX_LARGE_VALUE_BYTES, MAX_VALUE_BYTES, Pairs
from odx_target.target.iscsi.text_keys import (
    IRRELEVANT,
    KEY_BY_NAME,
    NOT_UNDERSTOOD,
    REJECT,
    RESERVED_ANSWERS,
    Key,
    Kind,
    Parameters,
    Sender,
    Use,
    Value,
    decode_boolean,
    decode_number,
    encode_value,
)

MAX_NAME_BYTES = 223  # RFC 7143 4.2.7.1
DISCOVERY = "Discovery"


class NegotiationError(ValueError):
    """The other side broke a rule of negotiation for which there is no answer; the login or connection ends."""


def _first_common(offered: str, supported: tuple[str, ...]) -> str:
    for choice in offered.split(","):
        if choice in supported:
            return choice
    raise ValueError(f"nothing of {offered[:40]!a} is supported")


def _number_in_range(key: Key, text: str) -> int:
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
    """What an offer and the answering side's wish come to. Raises ValueError for an offer that is no value of the key."""
    if key.kind is Kind.LIST:
        return _first_common(offered, wish if isinstance(wish, tuple) else (str(wish),))
    if key.kind in NUMBER_RESULTS:
        return NUMBER_RESULTS[key.kind](_number_in_range(key, offered), int(str(wish)))
    return BOOLEAN_RESULTS[key.kind](decode_boolean(offered), wish is True)


def check_length(key: str, value: str) -> None:
    """Hold the limit on values (RFC 7143 6.1) and on names (4.2.7.1). Raises NegotiationError."""
    known = KEY_BY_NAME.get(key)
    limit = MAX_LARGE_VALUE_BYTES if known is not None and known.kind is Kind.SECURITY else MAX_VALUE_BYTES
    if key in ("InitiatorName", "TargetName"):
        limit = MAX_NAME_BYTES
    size = len(value.encode())
    if size > limit:
        raise NegotiationError(f"value of {key} has {size} bytes, the limit is {limit}")


@dataclass(slots=True)
class Answerer:
    """The target's side for one connection.

    `wishes` has by key name what this side wants: a number, a boolean, or the supported choices of a list; a key without
    a wish takes the first offered choice or the offer. Discovery sessions find many keys irrelevant: set `session_type`
    in `parameters` before the first answer.
    """

    wishes: Mapping[str, Value | tuple[str, ...]]
    parameters: Parameters
    seen: set[str] = field(default_factory=set)

    def answer(self, offers: Pairs, *, security_stage: bool = False, full_feature_phase: bool = False) -> Pairs:
        """The pairs to send back, in the order offered; declarations need none. Raises NegotiationError."""
        answers: dict[str, str] = {}
        # FirstBurstLength may not exceed MaxBurstLength (13.14), so that one comes first wherever it stands.
        for name, value in sorted(offers, key=lambda pair: pair[0] == "FirstBurstLength"):
            check_length(name, value)
            answer = self._answer_one(name, value, security_stage, full_feature_phase)
            if answer is not None:
                answers[name] = answer
        return [(name, answers[name]) for name, _ in offers if name in answers]

    def _answer_one(self, name: str, offered: str, security_stage: bool, full_feature_phase: bool) -> str | None:
        if not full_feature_phase:
            if name in self.seen:
                raise NegotiationError(f"{name} is offered a second time")
            self.seen.add(name)
        key = KEY_BY_NAME.get(name)
        if key is None:
            return None if offered in RESERVED_ANSWERS else NOT_UNDERSTOOD
        if security_stage and not key.in_security_stage:
            raise NegotiationError(f"{name} does not belong into the security stage")
        if key.kind is Kind.SECURITY:
            raise NegotiationError(f"{name} belongs into the security stage alone")
        if not key.sender & Sender.INITIATOR:
            return None if offered in RESERVED_ANSWERS else REJECT
        if not _may_be_sent(key, full_feature_phase):
            return REJECT
        if key.irrelevant_in_discovery and self.parameters.session_type == DISCOVERY:
            return IRRELEVANT
        return self._settle(key, offered)

    def _settle(self, key: Key, offered: str) -> str | None:
        if key.kind is Kind.DECLARED_TEXT:
            self._keep(key, offered)
            return None
        if key.kind is Kind.DECLARED_NUMBER:
            try:
                self._keep(key, _number_in_range(key, offered))
            except ValueError as error:
                raise NegotiationError(f"{key.name}: {error}") from error
            return None
        if key.kind is Kind.OBSOLETE_BOOLEAN:
            return "No"
        if key.kind is Kind.OBSOLETE_NUMBER:
            return REJECT
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


def _neutral_wish(key: Key, offered: str) -> Value:
    """A wish that lets any offer be the result."""
    if key.kind in BOOLEAN_RESULTS:
        return offered == "Yes"
    return key.highest if key.kind is Kind.MINIMUM else key.lowest


def _may_be_sent(key: Key, full_feature_phase: bool) -> bool:
    return key.use is Use.ALL or (key.use is Use.FFPO) == full_feature_phase


@dataclass(slots=True)
class Offerer:
    """The initiator's side for one login.

    `offers` are the pairs it sends, over however many requests; `accept` takes what comes back. `parameters` holds the
    defaults until an answer replaces them.
    """

    offers: dict[str, str]
    parameters: Parameters
    answered: set[str] = field(default_factory=set)

    def accept(self, answers: Pairs) -> None:
        """Check answers and the target's declarations, and keep the results. Raises NegotiationError."""
        for name, value in answers:
            check_length(name, value)
            if name in self.answered:
                raise NegotiationError(f"the target answered {name} twice")
            self.answered.add(name)
            self._accept_one(name, value)

    def unanswered(self) -> list[str]:
        """Offers that need an answer and have none yet."""
        return [
            name
            for name in self.offers
            if name not in self.answered
            and ((key := KEY_BY_NAME.get(name)) is None or key.kind not in (Kind.DECLARED_TEXT, Kind.DECLARED_NUMBER))
        ]

    def _accept_one(self, name: str, value: str) -> None:
        key = KEY_BY_NAME.get(name)
        if key is not None and key.kind in (Kind.DECLARED_TEXT, Kind.DECLARED_NUMBER):
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
        if not key.sender & Sender.TARGET:
            raise NegotiationError(f"{key.name} is not the target's to send")
        if key.kind is Kind.DECLARED_TEXT:
            setattr(self.parameters, key.field, value) if key.field else None
            return
        try:
            setattr(self.parameters, key.field, _number_in_range(key, value))
        except ValueError as error:
            raise NegotiationError(f"{key.name}: {error}") from error


def _checked_answer(key: Key, offered: str, answer: str) -> Value:
    """The answer as a value. Raises ValueError where no wish of the target leads from the offer to it."""
    if key.kind is Kind.LIST:
        return _first_common(answer, tuple(offered.split(",")))
    if key.kind in (Kind.OBSOLETE_BOOLEAN, Kind.OBSOLETE_NUMBER):
        return answer
    wish: Value = decode_boolean(answer) if key.kind in BOOLEAN_RESULTS else _number_in_range(key, answer)
    if result_of(key, offered, wish) != wish:
        raise ValueError("that is no result of its function")
    return wish
