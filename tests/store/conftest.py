"""Suppresses the warning about background jobs that a test never starts."""

from collections.abc import Iterator

import pytest
from tests.sim.virtual_environment import VirtualEnvironment


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
