"""docs/synchronous-replication.md: `python -m tests.target.groups.page` makes its tables again from the code."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from odx_target.replica.sync.access_states import STATES
from odx_target.scsi.asymmetric_access.access_state import REFUSALS, AccessState
from odx_target.target.control.groups.conditions import CONDITIONS, STATE_MEANINGS

PATH = Path(__file__).parents[3] / "docs" / "synchronous-replication.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(line)} |" for line in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _sense(state: AccessState) -> str:
    """Return the sense data of a command that is refused in a state."""
    refusal = REFUSALS.get(state)
    if refusal is None:
        return "none: every command works"
    condition = refusal[0]
    return f"{condition.key:X}h/{condition.asc:02X}h/{condition.ascq:02X}h"


def state_table() -> str:
    return table(
        ("state", "meaning", "ports of this array", "ports of the other one", "sense here"),
        (
            (f"`{state.value}`", STATE_MEANINGS[state], states.own.words, states.other.words, _sense(states.own))
            for state, states in STATES.items()
        ),
    )


def condition_table() -> str:
    return table(
        ("condition", "level", "meaning, and what to do"),
        ((f"`{each.name}`", each.level, each.advice or "nothing to do") for each in CONDITIONS),
    )


TABLES: dict[str, Callable[[], str]] = {"states": state_table, "conditions": condition_table}
"""The tables of the page, by the name in the comment before each of them."""

_TABLE = re.compile(r"(<!-- made from the code: (\w+) -->\n)\n(?:\|.*\n)*\n?")


def page(text: str) -> str:
    """Return the text of the page with new tables."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n\n", text).rstrip() + "\n"


if __name__ == "__main__":
    PATH.write_text(page(PATH.read_text(encoding="utf-8")), encoding="utf-8")
