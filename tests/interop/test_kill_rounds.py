"""The short form of `python -m tests.interop.kill_rounds`."""

from pathlib import Path

import pytest

from tests.interop.kill_rounds import kill_rounds
from tests.interop.programs import need

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-kill")]


def test_three_kills_lose_nothing(tmp_path: Path) -> None:
    need("libiscsi")
    need("qemu-io")
    counts = kill_rounds(tmp_path, rounds=3, seed=5, report=lambda _: None)
    assert counts.rounds == 3
    assert counts.acknowledged > 0
    assert counts.checked_blocks > 0
