"""What every test finds: logging as it is before anybody sets it up, and folders that do not fill the disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.async_tests import autojump_clock as autojump_clock
from tests.async_tests import pytest_pyfunc_call as pytest_pyfunc_call

# How long an example takes is the affair of the machine: a busy one is no failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def plain_logging() -> Iterator[None]:
    """A test that runs the command line sets up logging for the whole process; the next one gets it back as it was."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def module_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the tests of a module together, gone when they have ended: a pool takes 128 MiB and more."""
    folder = tmp_path_factory.mktemp("module")
    yield folder
    shutil.rmtree(folder)
