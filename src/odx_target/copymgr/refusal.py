"""Refusal of a command. A refusal stores its reason as data: the rule, the field and the limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict

from odx_target.scsi.sense import CheckCondition

INJECTED = "a fault was injected"
"""Rule of a refusal that a tester wants."""
MISSING = "this array does not have the command"
"""Rule of a refusal of a command that is not in the command table."""
RESERVED = "another host has reserved the LUN"
"""Rule of a refusal because of a reservation."""


class Reason(TypedDict):
    """The reason for a refusal. Values that do not apply are left out."""

    condition: Annotated[str, "name of the additional sense code, or of the status"]
    code: Annotated[str, "sense key, additional sense code and qualifier, or the status, in hexadecimal"]
    rule: NotRequired[Annotated[str, "the rule that was broken"]]
    field: NotRequired[Annotated[str, "field of the standard"]]
    value: NotRequired[Annotated[int, "content of the field"]]
    limit: NotRequired[Annotated[str, "name of the limit"]]
    allowed: NotRequired[Annotated[int, "value of the limit"]]


@dataclass(slots=True, eq=False)
class Refusal(CheckCondition):
    """Exception for a command that the copy manager refuses.

    `rule` describes the check that failed. `field` is the name of the field in the standard, and `value` is the content of the
    field. `limit` is the name of the exceeded limit, and `allowed` is the value of the limit.
    """

    rule: str = ""
    field: str = ""
    value: int | None = None
    limit: str = ""
    allowed: int | None = None

    def __str__(self) -> str:
        return words_of(self.explain())

    def explain(self) -> Reason:
        """Return the reason as plain data."""
        reason: Reason = {"condition": self.condition.words, "code": self.code}
        if self.rule:
            reason["rule"] = self.rule
        if self.field:
            reason["field"] = self.field
        if self.value is not None:
            reason["value"] = self.value
        if self.limit:
            reason["limit"] = self.limit
        if self.allowed is not None:
            reason["allowed"] = self.allowed
        return reason


def words_of(reason: Mapping[str, object]) -> str:
    """Return the words for a reason in the form of `Refusal.explain`."""
    words = str(reason["condition"])
    if "rule" in reason:
        words += f": {reason['rule']}"
    if "field" in reason:
        words += f" ({reason['field']}" + (f" is {reason['value']})" if "value" in reason else ")")
    if "limit" in reason:
        words += f", {reason['limit']} is {reason.get('allowed')}"
    return words
