from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.target.trace.wire import Traced


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    made = Traced(tmp_path)
    yield made
    made.close()
