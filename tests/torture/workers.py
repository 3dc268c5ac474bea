"""Runs many seeds on all processors for a time, and adds the results to the numbers in a file."""

import gc
import logging
import multiprocessing
import os
import sys
import time
import warnings
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import structlog

from odx_target.scsi.tasks.outcome import Pending
from tests.sim.playing import is_over
from tests.torture.forms import CRASHES, FORMS, SHARE_OF_OPENINGS, Reached, openings
from tests.torture.progress import Found, Progress
from tests.torture.searching import search, shortest, write_script
from tests.torture.setup import Counts
from tests.torture.steps import Step

STEPS_OF_A_SEED = 1500
SAVE_S = 10.0
POLL_S = 0.05
MAX_FOUND = 20
"""Number of differences after which the search ends."""

Result = tuple[int, Counts, str, list[Step]] | tuple[str, int, str] | Reached
"""The result of a seed: seed, counts, error, shortest steps. Or of another form: its name, a number, an error. Or the state of
the crash workload.
"""


def quiet() -> None:
    """Suppress log lines, and warnings of work that a killed process has neither run nor abandoned."""
    warnings.simplefilter("ignore")
    Pending.__del__ = lambda self: None  # type: ignore[method-assign]
    sys.unraisablehook = lambda _: None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _do_forms(seed: int, workload: tuple[int, int], until: float, results: "SimpleQueue[Result | None]") -> None:
    seconds = until - time.monotonic()
    for name, (share, form) in FORMS.items():
        try:
            for count in form(seed, time.monotonic() + share * seconds):
                results.put((name, count, ""))
        except Exception as error:
            results.put((name, 0, f"seed {seed} or later: {type(error).__name__}: {error}"))
    reached = Reached(*workload, 0, 0)
    try:
        for reached in openings(*workload, time.monotonic() + SHARE_OF_OPENINGS * seconds):
            results.put(reached)
    except Exception as error:
        where = f"after step {reached.step} of workload {reached.seed}"
        results.put((CRASHES, 0, f"{where}: {type(error).__name__}: {error}"))


def _work(
    first: int, stride: int, until: float, results: "SimpleQueue[Result | None]", workload: tuple[int, int] | None
) -> None:
    quiet()
    os.nice(5)
    if workload is not None:
        _do_forms(first, workload, until, results)
    seed = first
    while not is_over(until):
        counts, error, steps = search(seed, STEPS_OF_A_SEED)
        if error:
            shorter_error, shorter = shortest(seed, steps)
            error, steps = (shorter_error, shorter) if shorter_error else (f"{error} (a replay did not repeat it)", steps)
        results.put((seed, counts, error, steps))
        seed += stride
        gc.collect()
    results.put(None)


def run_for(seconds: float, path: Path, count_workers: int, *, all_forms: bool) -> bool:
    """Run seeds for a time, and in one worker all other forms. Returns True if no difference was found, also not before."""
    progress = Progress.load(path)
    seconds_before, began = progress.seconds, time.monotonic()
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[Result | None] = context.SimpleQueue()
    first, until = progress.next_seed, began + seconds
    workload = (progress.workload_seed, progress.workload_step)
    workers = [
        context.Process(
            target=_work,
            args=(first + index, count_workers, until, results, workload if all_forms and not index else None),
            daemon=True,
        )
        for index in range(count_workers)
    ]
    for worker in workers:
        worker.start()
    try:
        _collect(progress, results, path, began, workers)
    finally:
        progress.seconds = seconds_before + time.monotonic() - began
        progress.save(path)
        for worker in workers:
            worker.terminate()
    print()
    for found in progress.found:
        print(f"seed {found.seed}: {found.error}")
        if found.script:
            print(f"  python -m tests.torture replay {found.script}")
    return not progress.found


def crash_for(seconds: float, path: Path, seed: int | None) -> bool:
    """Only crash at every operation of workloads. Goes on from the step that the numbers in the file name, or begins with the
    workload `seed`. Returns True if no difference was found, also not before.
    """
    progress = Progress.load(path)
    if seed is not None and seed != progress.workload_seed:
        progress.workload_seed, progress.workload_step = seed, 0
    seconds_before, began = progress.seconds, time.monotonic()
    saved_at = began
    try:
        for reached in openings(progress.workload_seed, progress.workload_step, began + seconds):
            progress.reached(reached)
            now = time.monotonic()
            if now > saved_at + SAVE_S:
                progress.seconds, saved_at = seconds_before + now - began, now
                progress.save(path)
                _show(progress.line(0, 0))
    except Exception as error:
        where = f"after step {progress.workload_step} of workload {progress.workload_seed}"
        progress.found.append(Found(0, f"{CRASHES}: {where}: {type(error).__name__}: {error}", ""))
        print(f"\n{progress.found[-1].error}")
    finally:
        progress.seconds = seconds_before + time.monotonic() - began
        progress.save(path)
    print(f"\n{progress.line(0, 0)}")
    return not progress.found


def _collect(
    progress: Progress, results: "SimpleQueue[Result | None]", path: Path, began: float, workers: list[SpawnProcess]
) -> None:
    """Add the results of all workers, until the last has ended or there are too many differences."""
    left, saved_at, steps_before, seconds_before = len(workers), began, progress.counts.steps, progress.seconds
    while left and len(progress.found) < MAX_FOUND:
        while results.empty():
            time.sleep(POLL_S)
            if any(worker.exitcode for worker in workers):
                raise RuntimeError("a worker has died")
        result = results.get()
        now = time.monotonic()
        if result is None:
            left -= 1
            continue
        _note(progress, result, path)
        if now > saved_at + SAVE_S:
            progress.seconds = seconds_before + now - began
            progress.save(path)
            saved_at = now
        elif isinstance(result, Reached):
            continue
        _show(progress.line(now - began, progress.counts.steps - steps_before))


def _note(progress: Progress, result: Result, path: Path) -> None:
    if isinstance(result, Reached):
        progress.reached(result)
        return
    if len(result) == 3:
        name, count, error = result
        progress.forms[name] = progress.forms.get(name, 0) + count
        if error:
            progress.found.append(Found(0, f"{name}: {error}", ""))
            print(f"\n{name}: {error}")
        return
    seed, counts, error, steps = result
    progress.add(counts)
    progress.next_seed = max(progress.next_seed, seed + 1)
    if error:
        script = path.parent / f"torture-{seed}.json"
        write_script(script, seed, error, steps)
        progress.found.append(Found(seed, error, str(script)))
        print(f"\nseed {seed}: {error}")
        for step in steps:
            print(f"  {step}")


def _show(line: str) -> None:
    print(f"\r{line}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)
