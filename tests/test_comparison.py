"""docs/comparison.md: every cell about odx-target links to a test that exists, and the rows have all columns."""

import re
from pathlib import Path

import pytest

from odx_target.conformance.catalogue import CHECKS
from odx_target.target.faults.evil import EVIL

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "comparison.md"
TEXT = PAGE.read_text()
COLUMNS = ("need", "odx-target", "moto", "LocalStack", "toxiproxy", "csi-sanity", "targetcli", "tgt", "scsi_debug")
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)#(\w+)\)")


def rows() -> list[list[str]]:
    """Return the cells of the rows of the tables with all columns."""
    found = []
    for table in re.findall(r"^\| need \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE):
        found += [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    return found


ROWS = rows()


def test_there_are_rows_and_each_has_all_columns() -> None:
    assert len(ROWS) >= 20
    assert all(len(row) == len(COLUMNS) and all(row) for row in ROWS)
    headings = [line for line in TEXT.splitlines() if line.startswith("| need |")]
    assert {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in headings} == {COLUMNS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_our_cell_links_to_a_test(row: list[str]) -> None:
    links = LINK.findall(row[1])
    assert len(links) == row[1].count("](") > 0, "each link names a test"
    for path, name in links:
        file = (PAGE.parent / path).resolve()
        assert file.is_relative_to(ROOT / "tests"), path
        assert re.search(rf"^(?:async )?def {name}\(", file.read_text(), re.MULTILINE), (path, name)


def test_the_numbers_are_the_present_ones() -> None:
    assert f"[{len(CHECKS)} checks]" in TEXT
    assert f"[a catalogue of {len(EVIL)}]" in TEXT


def test_every_program_has_a_version() -> None:
    versions = dict(re.findall(r"^\| \[?([\w-]+)\]?[^|]*\| ([^|]+) \|", TEXT.partition("## Running it")[0], re.MULTILINE))
    assert set(COLUMNS[1:]) <= versions.keys()
    assert all(re.search(r"\d", version) for program, version in versions.items() if program in COLUMNS[2:])


def test_the_page_says_where_others_are_better() -> None:
    better = TEXT.partition("## Where the others are better")[2]
    assert all(f"**{name}**" in better or f"({name})" in better for name in COLUMNS[2:])
