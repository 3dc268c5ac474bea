"""Tests of the words in the sources: the first words of docstrings, forbidden words, and the names of limits."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.source_files import MODULES, ROOT, TESTS, tree_of

FIRST_WORDS = frozenset({"Let", "Tell", "Tells", "Hold", "Say", "Says", "What", "Whether", "Who", "Whoever", "Whom", "Whose"})
"""First words that a docstring must not have, because the reader must read such a docstring twice."""
NOBODY_IN_PARTICULAR = re.compile(r"\b(whoever|somebody|someone)\b", re.IGNORECASE)
"""Forbidden words. A docstring must name who acts: the initiator, the device server, the caller."""
LIMIT_BY_ANOTHER_NAME = re.compile(r"_?(MOST|LEAST|MAXIMUM|MINIMUM|LONGEST|SHORTEST|LARGEST|SMALLEST)_\w+|\w+_(MAX|MIN)")
"""Forbidden names of limits. The names of limits begin with MAX_ or MIN_, so that they can be found."""


SUSPICIOUS_TEXT = re.compile(rf"""["']\s*[.,:]*(?:{"|".join(sorted(FIRST_WORDS))})\b""")
"""The beginnings of all docstrings with a wrong first word, and of other strings. Only files that have one are parsed."""


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of all docstrings, including docstrings below constants."""
    for node in ast.walk(tree):
        for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            match statement:
                case ast.Expr(ast.Constant(str(text))):
                    yield statement.lineno, text


def constants(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of each assignment in a module or a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((node.lineno, target.id) for target in targets if isinstance(target, ast.Name))


def wrong_first_words(tree: ast.Module) -> list[str]:
    return [f"{line}: {text.split()[0]}" for line, text in texts(tree) if text.split()[0].strip(".,:") in FIRST_WORDS]


def wrong_words(tree: ast.Module) -> list[str]:
    found = wrong_first_words(tree)
    found += [f"{line}: {match[0]}" for line, text in texts(tree) if (match := NOBODY_IN_PARTICULAR.search(text))]
    return found + [f"{line}: {name}" for line, name in constants(tree) if LIMIT_BY_ANOTHER_NAME.fullmatch(name)]


def test_words_of_the_modules() -> None:
    patterns = (SUSPICIOUS_TEXT, NOBODY_IN_PARTICULAR, LIMIT_BY_ANOTHER_NAME)
    suspicious = [path for path in MODULES if any(pattern.search(path.read_text()) for pattern in patterns)]
    assert [f"{path.relative_to(ROOT)}:{fault}" for path in suspicious for fault in wrong_words(tree_of(path))] == []


def test_first_words_of_the_tests() -> None:
    suspicious = [path for path in TESTS if SUSPICIOUS_TEXT.search(path.read_text())]
    assert [f"{path.relative_to(ROOT)}:{fault}" for path in suspicious for fault in wrong_first_words(tree_of(path))] == []


@pytest.mark.parametrize("text", ['"""Let', "'Tell", '"""\n    What', '""" .Say', 'r"Whether'])
def test_wrong_first_words_are_suspicious(text: str) -> None:
    assert SUSPICIOUS_TEXT.search(f"x = 1\n{text} it be")
    assert not SUSPICIOUS_TEXT.search(f"x = 1\n{text}ter it be")


def test_wrong_words_are_found() -> None:
    tree = ast.parse('"""Let it be."""\n\nLARGEST_SIZE = 1\n\ndef f():\n    """Return what somebody wants."""\n')
    assert wrong_words(tree) == ["1: Let", "6: somebody", "3: LARGEST_SIZE"]
    assert wrong_first_words(tree) == ["1: Let"]
