"""The code blocks of docs/recipes/ as things to run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "recipes"
PAGES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"}
INDEX = (FOLDER / "README.md").read_text()

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_RUN = re.compile(r"^( +)- run: (?:(?!\|)(.*)|\|\n((?:\1    .*\n)+))", re.MULTILINE)
_PLAIN = re.compile(r"odx-target [^|&;<`]*")
_ASSIGNMENT = re.compile(r"([A-Z]+)=(\S+)")


class Block(NamedTuple):
    """A code block, and its language."""

    language: str
    text: str


class Command(NamedTuple):
    """The arguments of odx-target, and the file that gets its output, if there is one."""

    words: list[str]
    output: str | None


def blocks(page: str) -> list[Block]:
    return [Block(match[1], match[2]) for match in _BLOCK.finditer(page)]


def steps(script: str) -> Iterator[Command | str]:
    """Divide a script of a shell into plain commands of odx-target, which can run in this process, and the scripts between
    them. Assignments before them hold for both.
    """
    variables: dict[str, str] = {}
    rest: list[str] = []
    is_document = False
    for line in script.replace("\\\n", " ").splitlines():
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment:
            variables[assignment[1]] = assignment[2]
        if is_document or assignment or not _PLAIN.fullmatch(line):
            rest.append(line)
            is_document = line != "END" and (is_document or "<<'END'" in line)
            continue
        if any(not _ASSIGNMENT.fullmatch(each) for each in rest):
            yield "\n".join(rest)
            rest = [f"{name}={value}" for name, value in variables.items()]
        words = [variables.get(word.removeprefix("$"), word) for word in shlex.split(line)[1:]]
        output = words[-1] if ">" in words else None
        yield Command(words[:-2] if output else words, output)
    if any(not _ASSIGNMENT.fullmatch(each) for each in rest):
        yield "\n".join(rest)


def workflow_runs(workflow: str) -> list[str]:
    """Return the texts of the `run:` lines of a GitHub workflow."""
    found = []
    for match in _RUN.finditer(workflow):
        lines = match[3].splitlines() if match[3] else [match[2]]
        found.append("\n".join(line.removeprefix(match[1] + "    ") for line in lines))
    return found
