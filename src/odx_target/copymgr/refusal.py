"""Refusal of a command. A refusal stores its reason as data: the rule, the field and the limit."""

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
        words = self.condition.words
        if self.rule:
            words += f": {self.rule}"
        if self.field:
            words += f" ({self.field}{'' if self.value is None else f' is {self.value}'})"
        if self.limit:
            words += f", {self.limit} is {self.allowed}"
        return words

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
