"""The results of the bench without measurements: cells, rounds with naive targets, tables, pages and comparisons."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import compare, copy_pages, machine, pages, results, tables
from bench.__main__ import arguments, plan_of
from bench.cells import CELLS, QUICK, Cell, chosen
from bench.clients import AVERAGE, COMPLETED, ClientFailed, Done, Generated, last
from bench.istgt import configuration
from bench.processes import peak_mib, processor_s
from bench.rounds import (
    CLIENT_BUSY,
    MAX_WINDOW_S,
    PEAK_MIB,
    PROCESSOR_S_PER_GIB,
    PROCESSOR_US,
    RATE,
    WRITTEN_TIMES,
    Measured,
    Plan,
    Rounds,
    Sample,
    commands_of_window,
)
from bench.targets import OWN, SUSTAINED_TIMES, Running, Start
from hypothesis import given
from hypothesis import strategies as st

TARGETS = ("tgt", OWN)
MIB = 1 << 20


@dataclass(frozen=True)
class NaiveLoad:
    """A load that notes its runs instead of measuring."""

    runs: list[tuple[str, int | None]]
    fails_at: str = ""
    size_bytes: int = MIB
    write_share: float = 1.0
    client: str = "naive"
    needs_count: bool = True

    def run(self, url: str, seconds: float, count: int | None) -> Done:
        self.runs.append((url, count))
        if url == self.fails_at:
            raise ClientFailed("it broke")
        return Done(count or 10, 2.0, {"read p50": 5.0})


@dataclass
class NaiveTargets:
    """Targets that are this process. `open` has the names of those that run now."""

    free_bytes: int = 0
    open: list[str] = field(default_factory=list)

    def start(self, name: str) -> Start:
        @contextmanager
        def started(folder: Path, size_bytes: int) -> Iterator[Running]:
            assert list(folder.iterdir()) == []
            self.open.append(name)
            yield Running(name, 1, self.free_bytes)
            self.open.remove(name)

        return started


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace everything that asks a process of a target."""
    monkeypatch.setattr("bench.rounds.fill", lambda url, image: None)
    monkeypatch.setattr("bench.rounds.forget_peak", lambda pid: None)
    monkeypatch.setattr("bench.rounds.used_s", lambda pid: 1.0)
    monkeypatch.setattr("bench.rounds.peak_since_forgotten", lambda pid: 20.0)


def rounds_of(load: NaiveLoad, targets: NaiveTargets, tmp_path: Path, **changes: object) -> Measured:
    plan = Plan(folder=tmp_path, working_set_bytes=MIB, **changes)  # type: ignore[arg-type]
    starts = {name: targets.start(name) for name in TARGETS}
    return Rounds([Cell("g", "a", load)], starts, plan, lambda: None).run()


def sample(rate: float, **more: float) -> Sample:
    return {RATE: rate, PROCESSOR_US: 9.0, PROCESSOR_S_PER_GIB: 2.0, PEAK_MIB: 70.0, **more}


def measured_of(cells: list[Cell], own: list[float], peer: list[float]) -> Measured:
    """Make the figures of all cells; the load generator's cells have percentiles."""
    found = Measured()
    for cell in cells:
        more = {}
        if isinstance(cell.load, Generated):
            kinds = [kind for kind, share in (("read", 1 - cell.load.write_share), ("write", cell.load.write_share)) if share]
            more = {f"{kind} {name}": 12.5 for kind in kinds for name in ("p50", "p99", "p99.9")} | {CLIENT_BUSY: 0.5}
        written = {WRITTEN_TIMES: 4.25} if cell.load.write_share else {}
        found.samples[cell.name, OWN] = [sample(rate, **more, **written) for rate in own]
        found.samples[cell.name, "tgt"] = [sample(rate, **more) for rate in peer]
    return found


def document_of(cells: list[Cell], measured: Measured) -> results.Document:
    return results.document(cells, TARGETS, OWN, measured, Plan(), "python -m bench", {"date": "2026-11-29"})


ALL = document_of(list(CELLS), measured_of(list(CELLS), [300.0, 100.0, 200.0], [100.0, 100.0, 50.0]))


def test_the_cells_have_names_of_their_own_and_nine_are_quick() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert {cell.name for cell in CELLS if cell.is_quick} == QUICK
    assert len(chosen([], quick=True)) == 9
    assert [cell.name for cell in chosen(["256 KiB", "read", "depth 1"], quick=True)] == ["read 256 KiB, depth 1"]


def test_the_plots_and_the_ceiling_name_cells_that_exist() -> None:
    names = {cell.name for cell in CELLS}
    assert {name for _, _, points in pages.PLOTS.values() for _, name in points} <= names
    assert {tables.CEILING_CELL, tables.SAME_BY_QEMU} <= names


@pytest.mark.parametrize(
    ("pattern", "printed", "found"),
    [
        (AVERAGE, "\riops average 11880 (46 MB/s)\riops average 10241 (40 MB/s)   \n\nfinished.", "10241"),
        (COMPLETED, "Sending 2000 write requests\nRun completed in 0.266 seconds.\n", "0.266"),
    ],
)
def test_the_result_of_a_client_is_the_last_one_that_it_prints(pattern: re.Pattern[str], printed: str, found: str) -> None:
    assert last(pattern, printed) == found
    with pytest.raises(ClientFailed, match="no result"):
        last(pattern, "usage:")


def test_processor_time_of_a_program_with_a_strange_name() -> None:
    assert processor_s("17 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 153 386 7 7 20 0 4") * 100 == pytest.approx(539)


def test_peak_memory() -> None:
    assert peak_mib("VmPeak:\t 9 kB\nVmHWM:\t   33528 kB\nVmRSS:\t 1 kB\n") == 33528 / 1024


@given(st.floats(1, 1e6), st.floats(0.1, 5), st.integers(0, 10**6))
def test_a_window_is_filled_and_not_too_long(rate: float, seconds: float, least: int) -> None:
    count = commands_of_window(rate, seconds, least)
    assert 1 <= count <= rate * MAX_WINDOW_S + 1
    assert count >= min(least, rate * MAX_WINDOW_S - 1)
    assert count >= rate * seconds - 1


@pytest.mark.usefixtures("no_processes")
def test_each_round_begins_with_another_target(tmp_path: Path) -> None:
    load, targets = NaiveLoad([]), NaiveTargets()
    found = rounds_of(load, targets, tmp_path)
    probes_and_runs = [url for url, _ in load.runs]
    assert probes_and_runs == ["tgt", "tgt", OWN, OWN, OWN, "tgt", "tgt", OWN]
    assert {key: len(samples) for key, samples in found.samples.items()} == {("a", "tgt"): 3, ("a", OWN): 3}
    assert targets.open == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_processes")
@pytest.mark.parametrize(("is_sustained", "count"), [(True, SUSTAINED_TIMES * 100), (False, 200)])
def test_a_sustained_cell_writes_the_free_room_several_times(tmp_path: Path, is_sustained: bool, count: int) -> None:
    load = NaiveLoad([])
    found = rounds_of(load, NaiveTargets(100 * MIB), tmp_path, rounds=1, is_sustained=is_sustained)
    assert load.runs[1] == ("tgt", count)
    assert found.samples["a", "tgt"][0][WRITTEN_TIMES] == count / 100


@pytest.mark.usefixtures("no_processes")
def test_a_failed_cell_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    found = rounds_of(NaiveLoad([], fails_at="tgt"), NaiveTargets(), tmp_path)
    assert found.failures == {("a", "tgt"): "it broke"}
    assert len(found.samples["a", OWN]) == 3
    document = document_of([Cell("g", "a", NaiveLoad([]))], found)
    assert tables.speed(document).rows[0][1] == tables.FAILED
    assert tables.failures(document) == ["a, tgt: it broke"]


def test_a_figure_has_the_median_and_the_range() -> None:
    assert results.figure([3.0, 1.0, 2.00004]) == {"median": 2.0, "low": 1.0, "high": 3.0, "rounds": [3.0, 1.0, 2.0]}


def test_ratios_are_those_of_the_rounds() -> None:
    (cell, *_) = ALL["cells"]
    assert cell["ratios"]["tgt"] == {"median": 3.0, "low": 1.0, "high": 4.0, "rounds": [3.0, 1.0, 4.0]}
    row = next(row for row in tables.speed(ALL).rows if row[0] == "write 256 KiB, depth 8")
    assert row == ["write 256 KiB, depth 8", "100", "200", "52.4", "3.00 [1.00-4.00]"]


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


def test_options_make_the_plan(tmp_path: Path) -> None:
    words = ["256", "--disk", str(tmp_path), "--working-set", "2048", "--rounds", "1", "KiB"]
    options = arguments(words)
    assert options.words == ["256", "KiB"]
    assert plan_of(options) == Plan(rounds=1, working_set_bytes=2 << 30, folder=tmp_path)
    assert not plan_of(arguments(["--quick"])).is_sustained
    assert not plan_of(arguments(["--short-writes"])).is_sustained


def test_machine_facts_are_a_table() -> None:
    text = machine.as_markdown(machine.facts())
    assert all(len(line.split("|")) == 4 for line in text.splitlines())


def test_the_configuration_of_istgt_names_only_its_own_folder(tmp_path: Path) -> None:
    text = configuration(tmp_path, tmp_path / "disk", 64 * MIB, 1234, 1235)
    paths = [word for word in text.split() if word.startswith("/")]
    assert paths
    assert all(path.startswith(str(tmp_path)) for path in paths)
    assert "InitialR2T Yes" in text
    assert "disk 64MB" in text


def compared(old: float, new: float, peer: float = 100.0) -> Measured:
    samples = {("a", name): [sample(rate)] * 3 for name, rate in ((compare.OLD, old), (compare.NEW, new), ("tgt", peer))}
    return Measured(samples=samples)


CELL = Cell("g", "a", NaiveLoad([]))


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ((100, 100), None, "as fast"),
        ((100, 85), None, "as fast"),
        ((100, 84), (100, 84), "slower"),
        ((100, 84), (100, 85), "as fast"),
        ((100, 200), None, "as fast"),
    ],
)
def test_a_cell_is_red_if_it_is_slower_in_both_runs(
    first: tuple[float, float], second: tuple[float, float] | None, word: str
) -> None:
    one = compared(*first)
    assert bool(compare.suspects([CELL], one)) == (second is not None)
    (verdict,) = compare.verdicts([CELL], one, None if second is None else compared(*second))
    assert verdict.word == word
    assert verdict.is_red == (word == "slower")
    (row,) = compare.table([verdict], "v1", "v2").rows
    assert row[-1] == word


def test_the_peer_takes_the_speed_of_the_machine_out_of_the_comparison() -> None:
    measured = compared(100, 50)
    measured.samples["a", compare.OLD] = [sample(100.0), sample(100.0), sample(10.0)]
    measured.samples["a", compare.NEW] = [sample(90.0), sample(90.0), sample(9.0)]
    measured.samples["a", "tgt"] = [sample(100.0), sample(50.0), sample(10.0)]
    change = compare.change_of("a", measured)
    assert change is not None
    assert change.factor == pytest.approx(0.9)


def test_a_cell_that_fails_is_red() -> None:
    failed = compared(100, 100)
    failed.failures["a", compare.NEW] = "it broke"
    (verdict,) = compare.verdicts([CELL], failed, None)
    assert (verdict.word, verdict.is_red) == ("failed", True)
    slow_then_failed = compare.verdicts([CELL], compared(100, 50), failed)
    assert slow_then_failed[0].is_red
    assert compare.table([verdict], "v1", "v2").rows[0][1:] == ["-", "-", "-", "failed"]


def test_sources_of_a_revision_that_is_not_there(tmp_path: Path) -> None:
    assert (compare.source_of(".", tmp_path) / "odx_target").is_dir()
    with pytest.raises(compare.NoRevision, match="no sources of nonsense"):
        compare.source_of("nonsense", tmp_path)


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
