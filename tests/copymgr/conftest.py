from collections.abc import Iterator

import pytest

from tests.copymgr.array import CopyArray


@pytest.fixture(autouse=True)
def arrays_are_closed() -> Iterator[None]:
    """Jobs that a test left behind end with it."""
    yield
    CopyArray.close_all()
