"""Fixtures for all tests: default logging, and folders that do not fill the disk.

`ODX_TEST_MAP_LEAVES=3 pytest` runs the tests with pools that keep the map entries of only three leaves in memory.
"""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.async_tests import autojump_clock as autojump_clock
from tests.async_tests import mock_clock as mock_clock
from tests.async_tests import pytest_pyfunc_call as pytest_pyfunc_call
from tests.command_coverage.recorder import pytest_runtest_call as pytest_runtest_call
from tests.file_scheduling import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from tests.interop import serving
from tests.little_memory import MAP_LEAVES, bound_every_pool_to

# On a busy machine an example may take long, so a slow example is not a failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

serving.FORKS = True

if MAP_LEAVES is not None:
    bound_every_pool_to(int(MAP_LEAVES))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep the garbage collector away from the objects that live to the end: modules, and thousands of collected tests. Its
    visits to them take a seventh of the time of all tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def plain_logging() -> Iterator[None]:
    """Reset logging after each test, because the command line configures logging for the whole process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def module_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all tests of a module. It is deleted after them, because a pool takes 128 MiB and more."""
    folder = tmp_path_factory.mktemp("module")
    yield folder
    shutil.rmtree(folder)
