"""A repair gives up a capacity tier whose disk is lost."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.store.cleaning.cleaned_pools import start_cleaner
from tests.store.pools import block
from tests.store.test_capacity_directory import Pools

from odx_target.store.api import DamagedBlock, PoolBusy, StoreError
from odx_target.store.open import LogPool, check_directory_pool
from odx_target.store.repairing import directory_repair
from odx_target.store.repairing.directory_repair import repairing
from odx_target.store.volumes.tier_attribute import TIER_ATTRIBUTE, Tier

BLOCKS = 40


@pytest.fixture
def pools() -> Pools:
    return Pools()


def read(pools: Pools, pool: LogPool, name: str, at: int) -> bytes:
    return b"".join(pools.environment.run(pool.volumes[name].read(at, 1)))


def write(pools: Pools, pool: LogPool, name: str, at: int, value: int) -> None:
    while True:
        try:
            return pool.volumes[name].write(at, [block(value)])
        except PoolBusy:
            pool.commit()
            pools.environment.run(pool.volumes[name].room_made())


def make(pools: Pools, path: Path, tier: Path) -> None:
    """Make a pool with a volume in each tier. Each volume has BLOCKS blocks, and another block that was written last."""
    pool = pools.open(path, tier)
    for name, where in (("fast", Tier.FAST), ("slow", Tier.CAPACITY)):
        pool.create_volume(name, BLOCKS + 8, {TIER_ATTRIBUTE: where})
        for at in range(BLOCKS):
            write(pools, pool, name, at, at + 1)
    pool.volumes["slow"].snapshot("monday")
    pool.commit()
    pool.log.filling.leave_segment()
    pools.environment.run(pool.log._sealer.finish())
    start_cleaner(pool.cleaner)
    pools.environment.settle()
    while pool.cleaner._is_at_work:
        pools.environment.advance(1.0)
    status = pool.cleaner.placement.status()
    assert status is not None
    assert status.moved_blocks
    write(pools, pool, "slow", BLOCKS, 77)
    pools.close(pool)


def lost_in_tier(path: Path) -> list[tuple[str | None, str | None, int, int]]:
    with repairing(path, lambda _: None, without_capacity=True) as found:
        assert found.is_needed
        found.carry_out()
        return [(each.volume, each.snapshot, each.block, each.count_blocks) for each in found.plan.report.lost]


def test_exactly_the_blocks_in_the_tier_are_lost(tmp_path: Path, pools: Pools) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    make(pools, path, tier)
    shutil.rmtree(tier)
    assert lost_in_tier(path) == [("slow", None, 0, BLOCKS), (None, "slow@monday", 0, BLOCKS)]
    assert json.loads((path / "repair.json").read_text())["lost_ranges"] == 2
    report = check_directory_pool(path, lambda _: None)
    assert [(each.volume, each.count_blocks) for each in report.lost] == [("slow", BLOCKS), (None, BLOCKS)]
    for again in range(2):
        pool = pools.open(path, tmp_path / "new tier" if again else None)
        assert [read(pools, pool, "fast", at) for at in range(BLOCKS)] == [block(at + 1) for at in range(BLOCKS)]
        assert read(pools, pool, "slow", BLOCKS) == block(77)
        for at in range(1, BLOCKS):
            with pytest.raises(DamagedBlock):
                read(pools, pool, "slow", at)
        write(pools, pool, "slow", 0, 5)
        assert read(pools, pool, "slow", 0) == block(5)
        pools.close(pool)


def test_an_empty_tier_is_given_up(tmp_path: Path, pools: Pools) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    pools.make(path, tier)
    shutil.rmtree(tier)
    assert lost_in_tier(path) == []
    pool = pools.open(path)
    assert read(pools, pool, "a", 0) == block(7)
    pools.close(pool)


def test_a_tier_that_is_not_lost_is_not_given_up(tmp_path: Path, pools: Pools) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    pools.make(path, tier)
    with pytest.raises(StoreError, match=f"still in {tier}"):
        lost_in_tier(path)
    pools.check(path)
    pools.make(tmp_path / "other", None)
    with pytest.raises(StoreError, match="has no capacity tier"):
        lost_in_tier(tmp_path / "other")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE])
def test_a_tier_that_cannot_be_looked_for_now_is_not_given_up(
    tmp_path: Path, pools: Pools, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    pools.make(path, tier)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing_below(tier, number))
        with pytest.raises(StoreError, match=f"{tier} .*{os.strerror(number)}"):
            lost_in_tier(path)
    pools.check(path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.ESTALE, errno.EUCLEAN])
def test_a_tier_on_a_broken_disk_is_given_up(
    tmp_path: Path, pools: Pools, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    pools.make(path, tier)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing_below(tier, number))
        assert lost_in_tier(path) == []
    pool = pools.open(path)
    assert read(pools, pool, "a", 0) == block(7)
    pools.close(pool)


def failing_below(directory: Path, number: int) -> Callable[..., os.stat_result]:
    """Return a function like `os.stat` that fails for the files below a directory."""
    real = os.stat

    def stat(path: object, **options: object) -> os.stat_result:
        if str(path).startswith(str(directory)):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, **options)  # type: ignore[call-overload, no-any-return]

    return stat


class Killed(Exception):
    """The process ends."""


@pytest.mark.parametrize("call", ["_change_head", "_keep", "_verify", "rename"])
@pytest.mark.parametrize("done", [False, True])
def test_a_crash_during_the_repair(
    tmp_path: Path, pools: Pools, call: str, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    make(pools, path, tier)
    shutil.rmtree(tier)
    owner: object = Path if call == "rename" else directory_repair.DirectoryRepair
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, killing(getattr(owner, call), done=done))
        with pytest.raises(Killed):
            lost_in_tier(path)
    fields = json.loads((path / "pool.json").read_text())
    with repairing(path, lambda _: None, without_capacity="capacity_directory" in fields) as found:
        if found.is_needed:
            found.carry_out()
    pool = pools.open(path)
    assert read(pools, pool, "fast", 3) == block(4)
    with pytest.raises(DamagedBlock):
        read(pools, pool, "slow", 3)
    pools.close(pool)


def killing(real: Callable[..., object], *, done: bool) -> Callable[..., object]:
    """Return a function that ends the process before or after a call."""

    def call(*arguments: object) -> object:
        if done:
            real(*arguments)
        raise Killed

    return call
