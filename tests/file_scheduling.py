"""Distributes the tests among the workers by files, the slowest first, so that no worker has a long file left at the end.

The tests of a file run in one worker, so that the servers of a module are started once. The scheduler of `--dist loadgroup`
sends each test on its own, and looks at all tests that a worker has ever had after each test.

`tests/conftest.py` imports the hook of this module, so that pytest finds it.
"""

from typing import Any

import pytest
from xdist.scheduler.loadgroup import LoadGroupScheduling
from xdist.workermanage import WorkerController

SLOWEST = (
    # groups of tests, and files whose tests belong to no group, with the longest time first
    "interop-conformance",
    "interop-readme",
    "tests/test_little_memory.py",
    "tests/store/test_syscall_faults_of_files.py",
    "tests/store/repairing/test_repair.py",
    "interop-evil",
    "tests/interop/test_tshark.py",
    "tests/testing/test_pytest_plugin.py",
    "tests/testing/test_examples.py",
    "recipes",
    "tests/sim/test_array_simulation.py",
    "tests/copymgr/test_state_machine.py",
    "interop-kill",
    "tests/fuzz/test_share.py",
    "tests/native/test_build.py",
    "tests/store/test_little_memory_machines.py",
    "tests/sim/test_scenarios.py",
    "tests/cli/test_synchronous_page.py",
)
"""Units of work with which the workers begin. A wrong order costs time and nothing else."""


class FileScheduling(LoadGroupScheduling):
    """Gives each worker the tests of whole files, or of whole groups of tests."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        self._places: dict[str, int] = {}

    def _split_scope(self, nodeid: str) -> str:
        """Return the group of a test, or else its file."""
        return super()._split_scope(nodeid).split("::", 1)[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Send a worker the next unit of work, and forget the units that it has completed."""
        if not self._places:
            assert self.collection is not None
            self._places = {nodeid: place for place, nodeid in enumerate(self.collection)}
        scope = next((unit for unit in SLOWEST if unit in self.workqueue), None) or next(iter(self.workqueue))
        unit = self.workqueue.pop(scope)
        under_way = {name: tests for name, tests in self.assigned_work[node].items() if not all(tests.values())}
        self.assigned_work[node] = {**under_way, scope: unit}
        node.send_runtest_some([self._places[nodeid] for nodeid, is_complete in unit.items() if not is_complete])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling | None:
    """Replace the scheduler of `--dist loadgroup`."""
    return FileScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None
