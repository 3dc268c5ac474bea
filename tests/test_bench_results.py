"""The tables and pages of the bench, made from figures that were not measured."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import columns, copy_pages, machine, pages, results, tables
from bench.cells import CELLS, Cell, chosen
from bench.rounds import (
    CLIENT_BUSY,
    WRITTEN_TIMES,
    Measured,
    Plan,
)
from bench.targets import OWN

from tests.bench_samples import NaiveLoad, document_of, measured_of, sample

ALL = document_of(list(CELLS), measured_of(list(CELLS), [300.0, 100.0, 200.0], [100.0, 100.0, 50.0]))


def test_a_figure_has_the_median_and_the_range() -> None:
    assert results.figure([3.0, 1.0, 2.00004]) == {"median": 2.0, "low": 1.0, "high": 3.0, "rounds": [3.0, 1.0, 2.0]}


def test_ratios_are_those_of_the_rounds() -> None:
    (cell, *_) = ALL["cells"]
    assert cell["ratios"]["tgt"] == {"median": 3.0, "low": 1.0, "high": 4.0, "rounds": [3.0, 1.0, 4.0]}
    row = next(row for row in tables.speed(ALL).rows if row[0] == "write 256 KiB, depth 8")
    assert row == ["write 256 KiB, depth 8", "100", "200", "52.4", "3.00 [1.00-4.00]"]


def test_digests_are_compared_with_the_same_cell_without_them() -> None:
    rows = {row[0]: row[1:] for row in tables.digests(ALL).rows}
    assert sorted(rows) == ["read 256 KiB, depth 8", "read 4 KiB, depth 32", "write 256 KiB, depth 8", "write 4 KiB, depth 32"]
    assert rows["read 4 KiB, depth 32"][0] == "0%"
    alone = [cell for cell in CELLS if cell.name == "read 4 KiB, depth 32, digests"]
    assert tables.digests(document_of(alone, measured_of(alone, [3.0], [1.0]))).rows == []


def test_tables_have_a_column_for_each_heading_and_a_row_for_each_cell() -> None:
    for make in tables.TABLES:
        table = make(ALL)
        assert {len(row) for row in table.rows} == {len(table.headings)}
        assert table.as_markdown().count("\n| ") == len(table.rows) + 2
        assert table.as_rich().row_count == len(table.rows)
    assert len(tables.memory(ALL).rows) == len(CELLS)
    reads_and_writes = [row[0] for row in tables.latencies(ALL).rows]
    assert "70 % reads, 30 % writes 4 KiB random, depth 32: writes" in reads_and_writes


def test_a_limit_of_the_client_is_marked() -> None:
    cells = chosen(["depth 32, no digests"], quick=False)
    found = measured_of(cells, [100.0], [200.0])
    for key, (only,) in found.samples.items():
        found.samples[key] = [{**only, CLIENT_BUSY: 0.9}]
    document = document_of(cells, found)
    assert tables.speed(document).rows[0][1] == "≥ 200"
    assert "used 90% of a processor. So its limit is about 222 commands/s" in tables.ceiling(document)
    assert tables.ceiling(document_of([], Measured())) == ""


def test_pages_are_made_from_the_json(tmp_path: Path) -> None:
    pages.write_pages(ALL, tmp_path)
    assert results.read(tmp_path / "latest.json") == ALL
    text = (tmp_path / "speed.md").read_text()
    for cell in CELLS:
        assert f"| {cell.name} |" in text
    plots = sorted(tmp_path.glob("*.svg"))
    assert len(plots) == 2 * len(pages.PLOTS)
    for plot in plots:
        assert f"({plot.name})" in text
        ElementTree.fromstring(plot.read_text())


def test_a_run_with_a_name_has_files_of_its_own(tmp_path: Path) -> None:
    pages.write_pages(ALL, tmp_path, "disk")
    assert {path.name for path in tmp_path.glob("*.[jm]*")} == {"disk.json", "speed-disk.md"}
    assert len(list(tmp_path.glob("speed-disk-*.svg"))) == 2 * len(pages.PLOTS)


@pytest.mark.parametrize(("times", "mark"), [(3.9, " *"), (4.0, "")])
def test_a_write_cell_that_is_not_sustained_is_marked(times: float, mark: str) -> None:
    cells = chosen(["write 256 KiB, depth 1"], quick=True)
    found = measured_of(cells, [100.0], [100.0])
    found.samples[cells[0].name, OWN] = [sample(100.0, **{WRITTEN_TIMES: times})]
    assert tables.speed(document_of(cells, found)).rows[0][0] == f"write 256 KiB, depth 1{mark}"


def test_plots_of_cells_that_were_not_measured_are_left_out() -> None:
    cells = chosen([], quick=True)
    assert pages.plots(document_of(cells, measured_of(cells, [1.0], [1.0]))) == {}


def test_short_windows_are_named() -> None:
    assert "NOT SUSTAINED" in results.plan_facts(Plan(is_sustained=False))["window"]
    assert "4 times the free segments" in results.plan_facts(Plan())["window"]


def test_machine_facts_are_a_table() -> None:
    text = machine.as_markdown(machine.facts())
    assert all(len(line.split("|")) == 4 for line in text.splitlines())


def test_the_page_of_copies_is_made_from_the_json(tmp_path: Path) -> None:
    rows = [
        {"MiB": size, "aligned, s": 0.001, "shifted by a block, s": 0.1, "fragmented, s": 0.01, "through the host, s": 1.0}
        for size in (1, 64)
    ]
    others = {title: [{"a": 1.5, "copies": "none"}] for title in copy_pages.TEXTS if title != copy_pages.COPIES}
    document = copy_pages.CopyDocument(command="c", machine={"date": "today"}, tables={copy_pages.COPIES: rows, **others})
    copy_pages.write_pages(document, tmp_path)
    assert json.loads((tmp_path / copy_pages.JSON).read_text()) == document
    text = (tmp_path / copy_pages.PAGE).read_text()
    assert all(f"## {title}\n" in text for title in copy_pages.TEXTS)
    assert "| 64 | 0.001 | 0.1 | 0.01 | 1 |" in text
    assert "| 1.5 | none |" in text
    ElementTree.fromstring((tmp_path / copy_pages.PLOT).read_text())


def test_runs_under_other_conditions_are_shown_side_by_side(tmp_path: Path) -> None:
    quick = chosen([], quick=True)
    results.write(ALL, tmp_path / f"{columns.USUAL.name}.json")
    results.write(document_of(quick, measured_of(quick, [50.0], [100.0])), tmp_path / f"{columns.COLUMNS[1].name}.json")
    columns.write_page(tmp_path)
    page = (tmp_path / columns.PAGE).read_text()
    assert page.count("\n| ") == len(quick) + 2 + 3
    assert "| write 256 KiB, depth 8 | 200; 3.00 [1.00-4.00] | 50; 0.50 [0.50-0.50] |" in page


def test_a_column_that_cannot_be_measured_ends_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(columns, "command", lambda column: ["false", column.name])
    assert columns.main(["disk"]) == 1
    assert capsys.readouterr().err.startswith("pool on a disk: ")


def test_the_failures_of_some_targets_can_be_left_out() -> None:
    cell = Cell("g", "a", NaiveLoad([]))
    found = document_of([cell], Measured(failures={("a", "tgt"): "it broke", ("a", OWN): "it is lost"}))
    assert tables.failures(found) == ["a, tgt: it broke", f"a, {OWN}: it is lost"]
    assert tables.failures(found, {"tgt"}) == [f"a, {OWN}: it is lost"]
