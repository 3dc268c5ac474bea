"""A refusal knows its reason as data: which rule, which field, which limit."""

from dataclasses import dataclass

from odx_target.scsi.sense import CheckCondition


@dataclass(slots=True, eq=False)
class Refusal(CheckCondition):
    """A command of the copy manager is refused.

    `rule` names the check that failed, `field` the field in the standard's words, `value` what stood there; `limit` names the
    limit that was passed and `allowed` what it is.
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
        """The reason as plain data; what does not apply is left out."""
        reason: dict[str, object] = {
            "condition": self.condition.words,
            "code": f"{self.sense_key:X}/{self.condition.asc:02X}/{self.condition.ascq:02X}",
            "rule": self.rule,
            "field": self.field,
            "value": self.value,
            "limit": self.limit,
            "allowed": self.allowed,
        }
        return {name: value for name, value in reason.items() if value not in ("", None)}
