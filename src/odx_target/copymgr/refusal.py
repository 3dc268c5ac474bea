"""Refusal of a command. A refusal stores its reason as data: the rule, the field and the limit."""

from collections.abc import Mapping
from dataclasses import dataclass

from odx_target.scsi.sense import CheckCondition


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

    def explain(self) -> dict[str, object]:
        """Return the reason as plain data. Values that do not apply are omitted."""
        reason: dict[str, object] = {
            "condition": self.condition.words,
            "code": self.code,
            "rule": self.rule,
            "field": self.field,
            "value": self.value,
            "limit": self.limit,
            "allowed": self.allowed,
        }
        return {name: value for name, value in reason.items() if value not in ("", None)}


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
