"""The Python files of the project."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src"
MODULES = sorted(SOURCES.rglob("*.py"))
TESTS = sorted(path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
