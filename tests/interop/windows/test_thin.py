"""Tests of a host like Windows when the pool of our server runs out of room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.serving import Served, serve
from tests.interop.windows.test_command import ok, typed

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-windows-copy")]

LIMIT = ("--pool-limit", "64M")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Served]:
    """A server whose LUNs have four times the room of the pool together."""
    served = serve(tmp_path / "pool", ("first=128M", "second=128M"), log_path=tmp_path / "serve.log", options=LIMIT)
    try:
        yield served
    finally:
        served.kill()


def test_a_threshold_is_an_event_and_the_copy_goes_on(small: Served) -> None:
    lines = ok(small.url(0), small.url(1), "--file-size", "52M", "--fill")
    assert lines[-1] == "equal"
    asked = [line for line in lines if line.startswith("LUN 0 LOG SENSE") and "page_code=0xc" in line]
    assert asked
    assert all("-> GOOD" in line for line in asked)
    noted = [line for line in lines if "a threshold of thin provisioning is reached" in line]
    assert any("disk event 149" in line and "of the pool available" in line for line in noted)
    assert "a threshold of the pool's room is reached" in small.log


def test_a_full_pool_takes_the_disk_offline(small: Served) -> None:
    result = typed(small.url(0), small.url(1), "--file-size", "100M", "--fill")
    assert result.exit_code != 0
    assert "space allocation failed: the disk is taken offline (disk event 150)" in f"{result.exception} {result.output}"
    assert "the pool is full, writes are refused" in small.log
