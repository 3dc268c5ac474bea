"""The rounds of the bench with naive targets, its table of cells, its options, and its readers of other programs."""

import math
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bench import one_read, one_write, pages, small_read, small_writes, tables, time_split, why_reads
from bench.__main__ import arguments, main, missing_programs, plan_of
from bench.cells import CELLS, QUICK, Cell, chosen
from bench.clients import AVERAGE, COMPLETED, ClientFailed, Done, IscsiPerf, QemuBench, average_of, last, together
from bench.ending import end_by_sigterm
from bench.istgt import configuration
from bench.processes import clients_used_s, peak_mib, processor_s
from bench.rounds import (
    MAX_WINDOW_S,
    WRITTEN_TIMES,
    Measured,
    Plan,
    Rounds,
    commands_of_window,
)
from bench.targets import OWN, SUSTAINED_TIMES, Running
from bench.time_split import CELLS as SPLIT
from bench.time_split import calls_of, system_calls
from hypothesis import given
from hypothesis import strategies as st

from tests.bench_samples import MIB, TARGETS, NaiveLoad, NaiveTargets, document_of


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace everything that asks a process of a target."""
    monkeypatch.setattr("bench.rounds.fill", lambda url, image: None)
    monkeypatch.setattr("bench.rounds.forget_peak", lambda pid: None)
    monkeypatch.setattr("bench.rounds.used_s", lambda pid: 1.0)
    monkeypatch.setattr("bench.rounds.peak_since_forgotten", lambda pid: 20.0)


def rounds_of(load: NaiveLoad, targets: NaiveTargets, tmp_path: Path, **changes: object) -> Measured:
    return rounds_of_cells([Cell("g", "a", load)], targets, tmp_path, **changes)


def rounds_of_cells(cells: list[Cell], targets: NaiveTargets, tmp_path: Path, **changes: object) -> Measured:
    plan = Plan(folder=tmp_path, working_set_bytes=MIB, **changes)  # type: ignore[arg-type]
    starts = {name: targets.start(name) for name in TARGETS}
    return Rounds(cells, starts, plan, lambda: None).run()


@pytest.mark.usefixtures("no_processes")
def test_a_load_before_cells_runs_once_in_each_round_and_is_not_measured(tmp_path: Path) -> None:
    runs: list[tuple[str, int | None]] = []
    before, load = NaiveLoad([], size_bytes=MIB // 4), NaiveLoad(runs, write_share=0.0)
    cells = [Cell("g", "a", load), Cell("g", "b", load, before), Cell("g", "c", load, before)]
    found = rounds_of_cells(cells, NaiveTargets(), tmp_path, rounds=2)
    assert before.runs == [(TARGETS[0], 4), (TARGETS[1], 4), (TARGETS[1], 4), (TARGETS[0], 4)]
    assert {len(samples) for samples in found.samples.values()} == {2}
    assert not found.failures


@pytest.mark.usefixtures("no_processes")
def test_a_load_before_cells_that_fails_is_a_failure_of_all_these_cells(tmp_path: Path) -> None:
    before, load = NaiveLoad([], fails_at=TARGETS[0]), NaiveLoad([])
    cells = [Cell("g", "b", load, before), Cell("g", "c", load, before)]
    found = rounds_of_cells(cells, NaiveTargets(), tmp_path, rounds=1)
    assert found.failures == {("b", TARGETS[0]): "it broke", ("c", TARGETS[0]): "it broke"}
    assert found.samples.keys() == {("b", TARGETS[1]), ("c", TARGETS[1])}
    assert [url for url, _ in before.runs] == list(TARGETS)


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


PROGRESS = "\r00:00:01 - lba 8, iops average 9 (0 MB/s), in_flight 1, busy {}   \riops average 12 (0 MB/s)\n\n{}"


def test_the_rate_of_iscsi_perf_is_the_average_of_its_whole_time() -> None:
    assert average_of(PROGRESS.format(0, "finished.\n")) == 12


@pytest.mark.parametrize(
    "printed",
    [
        PROGRESS.format(3, "finished.\n"),
        PROGRESS.format(0, "ABORTED!\n"),
        "Read16 failed with SENSE KEY\n" + PROGRESS.format(0, "finished.\n"),
        "iscsi_service failed with : EOF\n" + PROGRESS.format(0, "finished.\n"),
        PROGRESS.format(0, ""),
    ],
)
def test_a_run_of_iscsi_perf_with_failed_commands_has_no_rate(printed: str) -> None:
    with pytest.raises(ClientFailed, match="have failed"):
        average_of(printed)


def test_the_time_of_processes_is_that_from_the_first_command_to_the_last() -> None:
    assert together([100.0, 300.0], [50.0, 51.0], 3) == Done(1200, 4)
    assert together([100.0, 300.0], [50.0, 51.5], 3) == Done(1200, 4.5)


def test_processes_that_have_not_read_at_the_same_time_have_no_rate() -> None:
    with pytest.raises(ClientFailed, match=r"2 processes .* not read at the same time: .* 1\.6 s after"):
        together([100.0, 300.0], [51.6, 50.0], 3)


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
@pytest.mark.parametrize(("is_sustained", "count"), [(True, SUSTAINED_TIMES * 100), (False, 32)])
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


@pytest.mark.usefixtures("no_processes")
def test_a_target_that_has_ended_fails_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_pid: int) -> float:
        return peak_mib("Name:\ttgtd\nState:\tZ (zombie)\n")

    monkeypatch.setattr("bench.rounds.peak_since_forgotten", ended)
    found = rounds_of(NaiveLoad([]), NaiveTargets(), tmp_path)
    assert set(found.failures.values()) == {"the process has ended"}
    assert found.samples == {}


@pytest.mark.usefixtures("no_processes")
def test_a_window_without_a_command_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NaiveLoad, "run", lambda *_: Done(0, 0.1))
    found = rounds_of(NaiveLoad([], needs_count=False, write_share=0.0), NaiveTargets(), tmp_path)
    assert set(found.failures.values()) == {"no command has ended in the window"}


def test_options_make_the_plan(tmp_path: Path) -> None:
    words = ["256", "--disk", str(tmp_path), "--working-set", "2048", "--rounds", "1", "KiB"]
    options = arguments(words)
    assert options.words == ["256", "KiB"]
    assert plan_of(options) == Plan(rounds=1, working_set_bytes=2 << 30, folder=tmp_path)
    assert not plan_of(arguments(["--quick"])).is_sustained
    assert not plan_of(arguments(["--short-writes"])).is_sustained


@pytest.mark.parametrize(
    "words",
    [
        ["--rounds", "0"],
        ["--working-set", "0"],
        ["--seconds", "0"],
        ["--seconds", "nan"],
        ["--write", "a/b"],
        ["--write", "copies"],
    ],
)
def test_options_without_a_meaning_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(words)
    assert f"argument {words[0]}: {words[1]}".replace("'", "") in capsys.readouterr().err.replace("'", "")


def test_programs_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bench.__main__.shutil.which", lambda program: None if program == "istgt" else program)
    assert missing_programs(["tgt", "istgt", "clients"]) == ["istgt"]
    assert main([]) == 1
    assert "needed and not installed: istgt" in capsys.readouterr().out


def test_words_that_no_cell_has_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bench.__main__.shutil.which", str)
    assert main(["nonsense", "read"]) == 1
    assert "no cell has nonsense and read in its name" in capsys.readouterr().out


def test_a_bench_ends_by_sigterm_as_by_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        end_by_sigterm()
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 128 + signal.SIGTERM


def test_the_configuration_of_istgt_names_only_its_own_folder(tmp_path: Path) -> None:
    text = configuration(tmp_path, tmp_path / "disk", 64 * MIB, 1234, 1235)
    paths = [word for word in text.split() if word.startswith("/")]
    assert paths
    assert all(path.startswith(str(tmp_path)) for path in paths)
    assert "InitialR2T Yes" in text
    assert "disk 64MB" in text


@pytest.mark.parametrize("lun_bytes", [256 << 20, 2 << 30])
def test_no_command_of_qemu_img_crosses_the_end_of_the_lun(lun_bytes: int) -> None:
    loads = {cell.load for cell in CELLS if isinstance(cell.load, QemuBench)}
    assert any(load.first_byte for load in loads)
    for load in loads:
        distance_bytes = math.gcd(load.step_bytes, lun_bytes)  # between two neighbours of all places that the load visits
        assert load.first_byte + lun_bytes - distance_bytes + load.size_bytes <= lun_bytes, load


PERF = """#!/bin/sh
[ "$*" = "-m 1 -b 8 -t 3 -r iscsi://host/target/0" ] || exit 1
echo "iops average 250 (1 MB/s)"
echo "finished."
"""


def test_the_sessions_of_iscsi_perf_are_processes_whose_rates_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "iscsi-perf"
    program.write_text(PERF)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("bench.clients.monotonic", lambda: 7.0)
    done = IscsiPerf(4096, 1, random=True, sessions=3).run("iscsi://host/target/0", 1.0, None)
    assert (done.rate, done.commands, done.client_busy) == (750, 2250, None)
    with pytest.raises(ClientFailed, match="ended with 1"):
        IscsiPerf(4096, 2, random=True, sessions=3).run("iscsi://host/target/0", 1.0, None)


BUSY_CLIENTS = [
    (IscsiPerf(4096, 32), 'echo "iops average 250 (1 MB/s)"; echo finished.', 1.0),
    (QemuBench(4096, 32, 4096), 'echo "Run completed in 2.0 seconds."', 0.5),
]


@pytest.mark.parametrize(("load", "script", "busy"), BUSY_CLIENTS)
def test_the_share_of_a_processor_that_one_client_used_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: IscsiPerf | QemuBench, script: str, busy: float
) -> None:
    program = tmp_path / load.client.split()[0]
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    used_s = iter((7.0, 8.0))
    monkeypatch.setattr("bench.clients.clients_used_s", lambda: next(used_s))
    assert load.run("iscsi://host/target/0", 1.0, 10 if load.needs_count else None).client_busy == busy


def test_clients_that_have_ended_have_used_the_processor() -> None:
    before_s = clients_used_s()
    subprocess.run(["/bin/sh", "-c", ":"], check=True, timeout=60)
    assert clients_used_s() > before_s


SUMMARY = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.10    0.011000          11      1000           sendmsg
 38.90    0.007000           7      2000       900 epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.018000           6      3000       900 total
"""


def test_system_calls_are_read_from_the_summary_of_strace() -> None:
    assert calls_of(SUMMARY) == {"sendmsg": 1000, "epoll_wait": 2000}


def test_system_calls_that_strace_cannot_count_are_not_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "strace"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(time_split, "ATTACH_S", 0)
    with pytest.raises(ClientFailed, match="strace has counted no system calls"):
        system_calls(Running("iscsi://host/target/0", 1), lambda: 10.0)


@pytest.mark.parametrize(
    ("bench", "words", "complaint"),
    [
        (time_split.main, ["no", "such", "cell"], "no cell has all of these words in its name: no such cell"),
        (time_split.main, ["--rounds", "0"], "0 is less than 1"),
        (small_writes.main, ["--wirte"], "unrecognized arguments: --wirte"),
        (one_write.main, ["many"], "invalid count value: 'many'"),
        (one_read.main, ["0"], "0 is less than 1"),
        (why_reads.main, ["--wirte"], "unrecognized arguments: --wirte"),
    ],
)
def test_wrong_words_get_one_line(
    bench: Callable[[list[str]], object], words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench(words)
    assert complaint in capsys.readouterr().err


def test_the_cells_whose_time_is_split_exist() -> None:
    assert {*SPLIT, *why_reads.IN_ORDER} <= {cell.name for cell in CELLS}


def test_the_reads_of_an_array_are_timed_until_all_replies_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_read, "LUN_BLOCKS", 512)
    kinds = (one_read.Reads(4096, depth=2, digests=True), one_read.Reads(1 << 20, is_scattered=True))
    monkeypatch.setattr(one_read, "MEASURED", kinds)
    ways = small_read.figures(3)
    assert all(way.taken_us > 0 for way in ways)
    assert ways[-1].python_calls == 0 < ways[0].python_calls <= ways[1].python_calls
    found = one_read.figures(3)
    assert list(found) == ["4 KiB, depth 2, digests", "1024 KiB, depth 1, scattered blocks"]
    assert all(taken_us > 0 for taken_us in found.values())


def test_imports_are_counted_by_package() -> None:
    lines = "import time:       120 |        340 |   odx_target.store.api\nimport time:        80 |         80 | trio._core\n"
    found = [(why_reads.package_of(module), int(taken)) for taken, module in why_reads.IMPORT.findall(lines)]
    assert found == [("odx_target.store", 120), ("trio", 80)]


def test_the_bound_of_a_ratio_leaves_out_only_the_time_of_the_array_itself() -> None:
    rows = [
        ["cell", "tgt", "1,000", "4", "16", "3", "7", "calls"],
        ["cell", "odx-target", "1,000", "10", "5", "3", "7", "calls"],
    ]
    found = why_reads.bounds(tables.Table("", "", (), rows))
    assert found.rows == [["cell", "30", "25", "15", "1.2", "2"]]
