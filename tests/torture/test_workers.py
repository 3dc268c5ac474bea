"""Workers of a run whose process was killed."""

import multiprocessing
import os
from types import SimpleNamespace

import pytest

from tests.torture import workers
from tests.torture.forms import FORMS, Reached

FOR_EVER = float("inf")
WORKLOAD = (2, 0)


@pytest.fixture(autouse=True)
def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(is_alive=lambda: False))


@pytest.mark.parametrize("name", FORMS)
def test_a_form_ends(name: str) -> None:
    assert list(FORMS[name][1](1, FOR_EVER)) == []


def test_a_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(workers, "quiet", lambda: None)
    results: multiprocessing.SimpleQueue[workers.Result | None] = multiprocessing.SimpleQueue()
    workers._work(1, 1, FOR_EVER, results, WORKLOAD)
    assert isinstance(results.get(), Reached)
    assert results.get() is None
    assert results.empty()
