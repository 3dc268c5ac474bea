"""Each worker gets whole files or groups of tests, the slowest first, and each test runs once."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.file_scheduling import SLOWEST, FileScheduling, pytest_xdist_make_scheduler
from tests.source_files import ROOT, TESTS

FILE, OTHER = "tests/test_a.py", "tests/test_b.py"
SLOW = SLOWEST[0]
COLLECTED = [
    *(f"{FILE}::test_x[{number}@y]" for number in range(3)),
    f"{FILE}::TestMachine::runTest",
    *(f"{OTHER}::test_{number}" for number in range(5)),
    f"{OTHER}::test_slow@{SLOW}",
    f"{FILE}::test_slow@{SLOW}",
]
UNITS = ({9, 10}, {0, 1, 2, 3}, {4, 5, 6, 7, 8})


class Worker:
    """A worker that is asked to run tests."""

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw")
        self.shutting_down = False
        self.wanted: list[list[int]] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.wanted.append(indices)

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduler(workers: list[Worker]) -> FileScheduling:
    options = SimpleNamespace(loadscopereorder=True)
    config: Any = SimpleNamespace(getvalue=lambda _: ["popen"] * len(workers), option=options)
    made = FileScheduling(config)
    for worker in workers:
        made.add_node(worker)  # type: ignore[arg-type]
        made.add_node_collection(worker, COLLECTED)  # type: ignore[arg-type]
    made.schedule()
    return made


def test_units_are_files_and_groups_and_the_slowest_comes_first() -> None:
    workers = [Worker(), Worker()]
    made = scheduler(workers)
    assert workers[0].wanted[0] == [9, 10]
    assert sorted(complete_all(made, workers)) == list(range(len(COLLECTED)))
    assert sorted(sorted(unit) for worker in workers for unit in worker.wanted) == sorted(sorted(unit) for unit in UNITS)
    assert all(worker.shutting_down for worker in workers)
    assert made.tests_finished


def test_a_worker_in_place_of_a_dead_one_runs_its_tests() -> None:
    dead, alive = Worker(), Worker()
    made = scheduler([dead, alive])
    made.mark_test_complete(dead, 9)  # type: ignore[arg-type]
    assert made.remove_node(dead) == COLLECTED[10]  # type: ignore[arg-type]
    instead = Worker()
    made.add_node(instead)  # type: ignore[arg-type]
    made.add_node_collection(instead, COLLECTED)  # type: ignore[arg-type]
    made.schedule()
    assert set(complete_all(made, [alive, instead])) == set(range(len(COLLECTED))) - {9}


def complete_all(made: FileScheduling, workers: list[Worker]) -> list[int]:
    """Complete all tests that the workers are asked to run, and return them in this order."""
    done: list[int] = []
    while wanted := [(worker, index) for worker in workers for unit in worker.wanted for index in unit if index not in done]:
        made.mark_test_complete(*wanted[0])  # type: ignore[arg-type]
        done.append(wanted[0][1])
    return done


@pytest.mark.parametrize("unit", SLOWEST)
def test_the_slowest_units_exist(unit: str) -> None:
    assert (ROOT / unit).is_file() or any(f'xdist_group("{unit}")' in path.read_text() for path in TESTS)


def test_only_the_distribution_by_groups_is_replaced() -> None:
    config: Any = SimpleNamespace(getvalue=lambda name: {"dist": "worksteal"}[name])
    assert pytest_xdist_make_scheduler(config, None) is None
