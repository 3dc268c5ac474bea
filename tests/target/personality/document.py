"""The generated parts of docs/personalities.md: `python -m tests.target.personality.document` writes them, and a test compares
them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from odx_target.target.personality.personality import Personality
from odx_target.target.personality.reading import find_personality, known_personalities
from odx_target.target.personality.words import FREE_SECTIONS, WORDS
from tests.target.personality.noticed import NOTICED

DOCUMENT = Path(__file__).parents[3] / "docs" / "personalities.md"


def _table(*rows: Iterable[str]) -> str:
    """Return a table of which the first row has the headings."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join((lines[0], f"|{'---|' * len(cells[0])}", *lines[1:]))


def _list() -> str:
    found = map(find_personality, known_personalities())
    return _table(("name", "meaning"), *((f"`{each.name}`", f"{each.title}. {each.description}") for each in found))


def _noticed() -> str:
    rows = ((f"`{name}`", f"`{row.command}`", row.line) for name, row in NOTICED.items())
    return _table(("personality", "host", "a line of its output"), *rows)


def _words() -> str:
    fixed = ((f"`[{word.section}]`", f"`{word.key}`", f"`{word.form}`", word.explanation) for word in WORDS)
    free = ((f"`[{section}]`", "", f"`{form}`", meaning) for section, (form, meaning) in FREE_SECTIONS.items())
    return _table(("section", "key", "value", "meaning"), *fixed, *free)


def _settings() -> str:
    return "\n\n".join(_settings_of(find_personality(name)) for name in known_personalities())


def _settings_of(personality: Personality) -> str:
    sources = f"\n\nSource: {'; '.join(personality.sources)}." if personality.sources else ""
    rows = ((f"`{setting.key}`", setting.value) for setting in personality.settings)
    return f"### {personality.name}: {personality.title}{sources}\n\n{_table(('setting', 'value'), *rows)}"


PARTS: dict[str, Callable[[], str]] = {"list": _list, "noticed": _noticed, "words": _words, "settings": _settings}
"""The generated parts by their names. In the page, each part stands between two comments."""


def generated(text: str) -> str:
    """Return the page with its parts made again."""
    for name, make in PARTS.items():
        before, begin, rest = text.partition(f"<!-- begin {name} -->\n")
        _, end, after = rest.partition(f"<!-- end {name} -->")
        assert begin, name
        assert end, name
        text = f"{before}{begin}{make()}\n{end}{after}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(generated(DOCUMENT.read_text()))
