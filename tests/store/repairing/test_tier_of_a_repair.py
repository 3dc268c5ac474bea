"""The plan of a repair writes nothing into the capacity tier of a pool that was moved."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.store.test_capacity_directory import Pools

from odx_target.store.opening.directory_pool import CATALOGUE_NAME
from odx_target.store.repairing.directory_repair import repairing
from odx_target.store.repairing.repair import RepairPlan


@pytest.fixture
def pools() -> Pools:
    return Pools()


def repair_plan(path: Path) -> RepairPlan:
    with repairing(path, lambda _: None) as found:
        return found.plan


def contents(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


@pytest.mark.parametrize("is_read_only", [False, True])
def test_the_plan_of_a_repair_writes_nothing_into_the_tier(
    tmp_path: Path, pools: Pools, is_read_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tier = tmp_path / "pool2", tmp_path / "tier"
    pools.make(tmp_path / "pool", tier)
    (tmp_path / "pool").rename(path)
    before = contents(tier), contents(path)
    with monkeypatch.context() as patch:
        if is_read_only:
            patch.setattr(Path, "open", refuse_writes(Path.open))
        assert repair_plan(path).checkpoint is None
    assert (contents(tier), contents(path)) == before
    pools.check(path)
    assert json.loads((tier / "tier.json").read_text())["pool"] == str(path)


def refuse_writes(real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function like `Path.open` that opens files only for reading."""

    def open_for_reading(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode not in ("r", "rb"):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, mode, *arguments, **options)

    return open_for_reading


def test_a_pool_that_was_moved_is_repaired_and_its_tier_corrected_at_the_opening(tmp_path: Path, pools: Pools) -> None:
    path, tier = tmp_path / "pool2", tmp_path / "tier"
    pools.make(tmp_path / "pool", tier)
    (tmp_path / "pool").rename(path)
    (path / CATALOGUE_NAME).write_bytes(b"dear diary" * 1000)
    before = contents(tier)
    with repairing(path, lambda _: None) as found:
        assert found.plan.checkpoint is not None
        assert contents(tier) == before
        found.carry_out()
    pools.check(path)
    assert json.loads((tier / "tier.json").read_text())["pool"] == str(path)
