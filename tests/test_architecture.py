"""Tests that docs/architecture.md names only existing files, and that each of its invariants names tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "architecture.md").read_text()
SOURCES = ROOT / "src" / "odx_target"
INVARIANTS = re.split(r"^\d+\. ", TEXT.partition("## Invariants")[2].partition("\n## ")[0], flags=re.MULTILINE)[1:]
MIN_INVARIANTS = 15


def test_there_are_invariants() -> None:
    assert len(INVARIANTS) >= MIN_INVARIANTS


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_an_invariant_has_tests(invariant: str) -> None:
    assert invariant.startswith("**")
    files = re.findall(r"`(tests/[\w/.]+)`", invariant.partition("Tested by")[2])
    assert files
    for file in files:
        assert "def test_" in (ROOT / file).read_text() or "Machine" in (ROOT / file).read_text()


def test_files_are_there() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", TEXT))
    assert named
    assert [file for file in sorted(named) if not ((SOURCES / file).is_file() or (ROOT / file).is_file())] == []


def test_names_are_in_the_files_where_they_are_said_to_be() -> None:
    named = set(re.findall(r"`([A-Za-z_.]+)` in `([\w/]+\.py)`", TEXT))
    assert named
    for name, file in sorted(named):
        assert re.search(rf"(def|class) {name.rpartition('.')[2]}\b", (SOURCES / file).read_text()), f"{name} in {file}"


def test_every_floor_is_on_the_map() -> None:
    rooms = TEXT.partition("## The rooms")[2].partition("\n## ")[0]
    floors = {path.parent.name for path in SOURCES.rglob("__init__.py")} - {SOURCES.name}
    assert {floor for floor in floors if f"{floor}/" not in rooms} == set()
