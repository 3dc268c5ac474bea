"""Ends the background jobs and catalogues that a test leaves open, as the end of a process does, to avoid warnings."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.little_leaves import LEAF_BITS
from tests.little_memory import MAP_LEAVES, load_at_once
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.files_in_memory import as_on_a_disk as as_on_a_disk
from tests.store.files_in_memory import files_in_memory as files_in_memory
from tests.store.files_in_memory import module_path as module_path
from tests.store.files_in_memory import tmp_path as tmp_path

from odx_target.store.catalogue.sqlite import SqliteCatalogue

if MAP_LEAVES is not None and LEAF_BITS is None:
    load_at_once()


@pytest.fixture(autouse=True)
def _unbegun_jobs_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made: list[VirtualEnvironment] = []
    real = VirtualEnvironment.__init__

    def noted(self: VirtualEnvironment, *arguments: float, **options: float) -> None:
        real(self, *arguments, **options)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(VirtualEnvironment, "__init__", noted)
    yield
    for environment in made:
        environment.die()


@pytest.fixture(autouse=True)
def _databases_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the catalogue of each pool that a test leaves open."""
    made: list[SqliteCatalogue] = []
    real = SqliteCatalogue.__init__

    def noted(self: SqliteCatalogue, path: Path) -> None:
        real(self, path)
        made.append(self)

    monkeypatch.setattr(SqliteCatalogue, "__init__", noted)
    yield
    for catalogue in made:
        catalogue.close()
