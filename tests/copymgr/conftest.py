from collections.abc import Iterator

import pytest

from tests.copymgr.array import CopyArray


@pytest.fixture(autouse=True)
def arrays_are_closed() -> Iterator[None]:
    """Stop the jobs that a test has left behind."""
    yield
    CopyArray.close_all()
