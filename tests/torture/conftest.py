"""A process that is killed neither runs nor abandons its pending work, which would cause warnings in these tests."""

import gc
import warnings
from collections.abc import Iterator

import pytest

from odx_target.scsi.tasks.outcome import Pending


@pytest.fixture(autouse=True)
def _work_of_killed_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.setattr(Pending, "__del__", lambda self: None)
        yield
        gc.collect()
