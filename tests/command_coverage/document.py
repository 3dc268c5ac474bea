"""The page with the outcomes of all commands."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.sense import SenseKey, sense_words
from tests.command_coverage.outcomes import ALL_COMMANDS, Outcome, code_of, commands

PATH = Path(__file__).parents[2] / "docs" / "coverage.md"

HEAD = """# Commands and their outcomes

`make coverage` makes this page from the command table and from a run of the tests: it notes how each command ends in each test.
Every later run of a test compares its outcomes with this page, and fails if the page is not current. The page shows one test
for each outcome. Tests that search at random are left out.

An outcome is a status, or the sense data of CHECK CONDITION: sense key, additional sense code and its qualifier.

"""
ABOUT_ALL = """## Outcomes of all commands

These outcomes do not depend on the command. The command is refused before its work begins, or another command has ended it.

"""


def document(recorded: Mapping[Outcome, str]) -> str:
    """Return the text of the whole page."""
    parts = [HEAD, ABOUT_ALL, _table(recorded, ALL_COMMANDS), "\n## Outcomes of each command\n\n", _list_of_codes(), "\n"]
    for row in commands().rows():
        parts += [f"### {code_of(row)} {row.name}\n\n", _usage(row), _table(recorded, code_of(row)), "\n"]
    return "".join(parts).rstrip() + "\n"


def words_of(result: str) -> str:
    """Return the meaning of an outcome. The meaning of a status is the status."""
    if "/" not in result:
        return result
    key, asc, ascq = (int(code.rstrip("h"), 16) for code in result.split("/"))
    return f"{SenseKey(key).name.replace('_', ' ')}, {sense_words(asc, ascq)}"


def _list_of_codes() -> str:
    return f"{len(list(commands().rows()))} commands and service actions. For each, the usage mask of its CDB comes first.\n"


def _usage(row: CommandRow) -> str:
    return f"`{row.usage.hex(' ')}`\n\n"


def _table(recorded: Mapping[Outcome, str], command: str) -> str:
    found = sorted((outcome.result, test) for outcome, test in recorded.items() if outcome.command == command)
    return "\n".join(["| outcome | meaning | shown by |", "|---|---|---|", *_lines(found)]) + "\n"


def _lines(found: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"| {result if '/' in result else ''} | {words_of(result)} | `{test.partition('[')[0].removeprefix('tests/')}` |"
        for result, test in found
    ]
