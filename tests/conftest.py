"""What every test finds: logging as it is before anybody sets it up."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def plain_logging() -> Iterator[None]:
    """A test that runs the command line sets up logging for the whole process; the next one gets it back as it was."""
    yield
    structlog.reset_defaults()
