"""Fixtures that start a server process for tests with programs of other projects."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.libiscsi import HeaderDigest, Initiator
from tests.interop.programs import need
from tests.interop.serving import IQN, Served, serve

LUNS_512_AND_4096 = ("first=64M", "second=64M", "third=64M,block=4096", "fourth=64M,block=4096")

LOG_SHOWN_CHARACTERS = 8000

STARTED = pytest.StashKey[list[Served]]()
"""Servers that a test has started through the fixture `start`."""

Login = Callable[..., Initiator]
Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts servers on new pools, and ends all of them after the test."""
    with ExitStack() as running:

        def start_one(luns: tuple[str, ...] = (), *, pool: str = "pool", **others: Any) -> Served:
            served = serve(tmp_path / pool, luns, log_path=tmp_path / "serve.log", **others)
            running.callback(served.kill)
            request.node.stash.setdefault(STARTED, []).append(served)
            return served

        yield start_one


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[Served]:
    """One server for all tests of a module. LUNs 0 and 1 have blocks of 512 bytes, 2 and 3 of 4096 bytes; each has 64 MiB."""
    served = serve(module_path / "pool", LUNS_512_AND_4096, log_path=module_path / "serve.log")
    try:
        yield served
    finally:
        served.kill()


@pytest.fixture
def login() -> Iterator[Login]:
    """Opens libiscsi sessions by `login(served, lun, ...)`, and closes all of them after the test.

    The unit attentions of a new session are cleared for each LUN given.
    """
    need("libiscsi")
    with ExitStack() as sessions:

        def open_one(served: Served, *luns: int, name: str = "iqn.2026-11.example:one", **options: object) -> Initiator:
            digest = options.pop("header_digest", HeaderDigest.NONE)
            session = Initiator(served.portal, IQN, name=name, header_digest=digest, **options)  # type: ignore[arg-type]
            sessions.callback(session.abandon)
            for lun in luns:
                session.ready(lun)
            return session

        yield open_one


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each server's log to the report of a failed test."""
    report = yield
    if report.failed:
        shared = getattr(item, "funcargs", {}).get("served")
        for served in [*item.stash.get(STARTED, []), *([shared] if shared is not None else [])]:
            report.sections.append(("log of serve", served.log[-LOG_SHOWN_CHARACTERS:]))
    return report
