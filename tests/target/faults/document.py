"""The generated parts of docs/faults.md: `python -m tests.target.faults.document` writes them, and a test compares them."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from odx_target.target.faults import names
from odx_target.target.faults.evil import EVIL
from odx_target.target.faults.words.what import FAULTS
from odx_target.target.faults.words.when import WHEN
from odx_target.target.faults.words.where import WHERE
from odx_target.target.faults.words.word import Word

DOCUMENT = Path(__file__).parents[3] / "docs" / "faults.md"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _words(words: Iterable[Word]) -> str:
    rows = [
        f"| `{word.key}` | {f'`{_cell(word.form)}`' if word.form else 'none'} | {', '.join(sorted(word.points))} | "
        f"{_cell(word.meaning)} | `{_cell(f'{word.key}={word.example}' if word.example else word.key)}` |"
        for word in words
    ]
    return "\n".join(("| word | value | points | meaning | example |", "|---|---|---|---|---|", *rows))


def _names(found: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(found))


def _sense() -> str:
    rows = [f"| `{name}` | {each.key:X}h/{each.asc:02X}h/{each.ascq:02X}h |" for name, each in sorted(names.SENSE.items())]
    return "\n".join(("| name | sense key, ASC, ASCQ |", "|---|---|", *rows))


def _evil() -> str:
    rows = [f"| `{name}` | {_cell(each.meaning)} | {each.vulnerability or '-'} |" for name, each in EVIL.items()]
    return "\n".join(("| name | answer | vulnerability |", "|---|---|---|", *rows))


PARTS: dict[str, Callable[[], str]] = {
    "where": lambda: _words(WHERE),
    "when": lambda: _words(WHEN),
    "what": lambda: _words(FAULTS),
    "commands": lambda: _names(names.COMMANDS),
    "pdus": lambda: _names(names.PDUS),
    "statuses": lambda: _names(names.STATUSES),
    "login-statuses": lambda: _names(names.LOGIN_STATUSES),
    "sense-keys": lambda: _names(names.SENSE_KEYS),
    "sense": _sense,
    "evil": _evil,
}
"""The generated parts by their names. In the page, each part stands between two comments."""


def generated(text: str) -> str:
    """Return the page with its parts made again."""
    for name, make in PARTS.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        assert pattern.search(text), name
        text = pattern.sub(lambda match, make=make: f"{match[1]}{make()}\n{match[2]}", text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(generated(DOCUMENT.read_text()))
