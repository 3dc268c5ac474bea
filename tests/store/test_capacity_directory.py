"""The directory of the capacity tier: it is found again, and no directory is taken that is not the tier of this pool."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import SMALL, block

from odx_target.store.api import PoolDamaged, PoolInUse, StoreError
from odx_target.store.open import LogPool, check_directory_pool, open_directory_pool
from odx_target.store.opening.directory_pool import log_bytes
from odx_target.store.opening.renewal import renew_identity
from odx_target.store.repairing.directory_repair import repairing
from odx_target.store.segments.tiers import TieredSegments, capacity_numbers


class Pools:
    """Pools in directories, each opened in an environment of its own."""

    def __init__(self) -> None:
        self.environment = VirtualEnvironment()
        self._count = 0

    def open(self, path: Path, capacity: Path | None = None) -> LogPool:
        self._count += 1
        self.environment = VirtualEnvironment(seed=self._count)
        options = replace(SMALL, capacity_directory=capacity)
        return self.environment.run(open_directory_pool(path, self.environment, options))

    def close(self, pool: LogPool) -> None:
        self.environment.run(pool.close())

    def make(self, path: Path, capacity: Path | None) -> None:
        """Make a pool with one block of data."""
        pool = self.open(path, capacity)
        pool.create_volume("a", 8, {}).write(0, [block(7)])
        self.close(pool)

    def check(self, path: Path, capacity: Path | None = None) -> None:
        """Open a pool, and check that it has its data."""
        pool = self.open(path, capacity)
        assert isinstance(pool._store, TieredSegments)
        found = self.environment.run(pool.volumes["a"].read(0, 1))
        assert b"".join(found) == block(7)
        self.close(pool)

    def refuse(self, message: str, path: Path, capacity: Path | None = None) -> None:
        """Check that a pool is refused by one line with the message."""
        with pytest.raises(StoreError, match=message) as caught:
            self.open(path, capacity)
        assert "\n" not in str(caught.value)


@pytest.fixture
def pools() -> Pools:
    return Pools()


def test_a_new_tier_is_found_again_without_its_option(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    pools.check(tmp_path / "pool")
    pools.check(tmp_path / "pool", tmp_path / "tier")


def test_a_pool_gets_a_tier_later(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", None)
    pools.check(tmp_path / "pool", tmp_path / "tier")
    pools.check(tmp_path / "pool")


def test_a_tier_that_was_not_finished_is_made_again(tmp_path: Path, pools: Pools) -> None:
    (tmp_path / "tier" / "segments").mkdir(parents=True)
    (tmp_path / "tier" / "tier.json.new").write_text("{")
    pools.make(tmp_path / "pool", tmp_path / "tier")
    pools.check(tmp_path / "pool")


def test_a_tier_of_which_the_head_does_not_know_yet_is_taken(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    head = tmp_path / "pool" / "pool.json"
    fields = json.loads(head.read_text())
    del fields["capacity_directory"]
    head.write_text(json.dumps(fields))
    pools.check(tmp_path / "pool", tmp_path / "tier")


@pytest.mark.parametrize("is_mounted", [False, True])
def test_a_missing_tier_is_named_and_nothing_is_lost(tmp_path: Path, pools: Pools, is_mounted: bool) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    pools.make(path, tier)
    tier.rename(tmp_path / "away")
    if is_mounted:
        tier.mkdir()
    for capacity in (None, tier):
        pools.refuse(f"{tier}/tier.json is missing: the pool in {path} needs this capacity tier", path, capacity)
    with pytest.raises(StoreError, match="needs this capacity tier"):
        check_directory_pool(path, lambda _: None)
    with pytest.raises(StoreError, match="needs this capacity tier"), repairing(path, lambda _: None):
        pass
    if is_mounted:
        tier.rmdir()
    (tmp_path / "away").rename(tier)
    pools.check(path)


def test_a_tier_whose_segments_are_missing_is_refused(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    (tmp_path / "tier" / "segments").rmdir()
    pools.refuse("tier/segments is missing", tmp_path / "pool")


def test_the_tier_of_another_pool_is_refused(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "one", tmp_path / "tier1")
    pools.make(tmp_path / "two", tmp_path / "tier2")
    pools.refuse("tier1 is the capacity tier of another pool, which was in .*/one", tmp_path / "two", tmp_path / "tier1")
    pools.check(tmp_path / "one")
    pools.check(tmp_path / "two")


def test_swapped_directories_are_refused(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    pools.refuse("tier is not empty and not a pool", tmp_path / "tier", tmp_path / "pool")
    pools.make(tmp_path / "other", None)
    pools.refuse("pool is a pool, so it cannot be the capacity tier", tmp_path / "other", tmp_path / "pool")
    pools.check(tmp_path / "pool")


@pytest.mark.parametrize("name", ["file", "segments/0000000001.segment"])
def test_a_directory_with_other_files_is_refused(tmp_path: Path, pools: Pools, name: str) -> None:
    (tmp_path / "tier" / name).parent.mkdir(parents=True)
    (tmp_path / "tier" / name).write_text("mine")
    pools.refuse("tier is not empty and not the capacity tier", tmp_path / "pool", tmp_path / "tier")
    assert (tmp_path / "tier" / name).read_text() == "mine"


def test_a_file_is_refused(tmp_path: Path, pools: Pools) -> None:
    (tmp_path / "tier").write_text("mine")
    pools.refuse("tier is not a directory", tmp_path / "pool", tmp_path / "tier")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"what": "odx-target capacity tier"}', "{" * 100_000])
def test_a_damaged_document_is_refused(tmp_path: Path, pools: Pools, text: str) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    (tmp_path / "tier" / "tier.json").write_text(text)
    with pytest.raises(PoolDamaged, match=r"tier\.json is damaged"):
        pools.open(tmp_path / "pool")


def test_a_document_of_a_newer_version_is_refused(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    document = tmp_path / "tier" / "tier.json"
    document.write_text(document.read_text().replace('"format": 1', '"format": 2'))
    pools.refuse(r"tier\.json has format 2", tmp_path / "pool")


def test_the_tier_is_locked(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    shutil.copytree(tmp_path / "pool", tmp_path / "copy")
    pool = pools.open(tmp_path / "pool")
    with pytest.raises(PoolInUse, match="tier is in use by another process"):
        Pools().open(tmp_path / "copy")
    pools.close(pool)


def test_a_copy_does_not_take_the_tier_of_the_original(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    shutil.copytree(tmp_path / "pool", tmp_path / "copy")
    for capacity in (None, tmp_path / "tier"):
        pools.refuse("of which .*/copy is a copy; copy the tier too", tmp_path / "copy", capacity)
    shutil.copytree(tmp_path / "tier", tmp_path / "copied-tier")
    renew_identity(tmp_path / "copy", lambda count: bytes(range(count)), keep_volumes=False)
    pools.check(tmp_path / "copy", tmp_path / "copied-tier")
    pools.check(tmp_path / "copy")
    pools.check(tmp_path / "pool")


def test_a_pool_and_its_tier_can_be_moved(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    (tmp_path / "pool").rename(tmp_path / "pool2")
    pools.check(tmp_path / "pool2")
    (tmp_path / "tier").rename(tmp_path / "tier2")
    pools.check(tmp_path / "pool2", tmp_path / "tier2")
    pools.check(tmp_path / "pool2")


def test_a_segment_in_both_tiers_is_refused(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    (segment,) = (tmp_path / "pool" / "segments").iterdir()
    shutil.copy(segment, tmp_path / "tier" / "segments")
    pools.refuse("have the same number", tmp_path / "pool")


def test_segments_of_the_tier_that_no_checkpoint_lists_are_deleted(tmp_path: Path, pools: Pools) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    stray = tmp_path / "tier" / "segments" / "0000000099.segment"
    stray.write_bytes(bytes(4096 * 4))
    pool = pools.open(tmp_path / "pool")
    assert not stray.exists()
    assert not (set(capacity_numbers(pool._store)) & pool.supply.segments.keys())
    pools.close(pool)


def test_the_size_of_a_pool_includes_its_tier(tmp_path: Path, pools: Pools) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    pools.make(path, tier)
    before = log_bytes(path)
    assert before == sum(each.stat().st_size for each in (path / "segments").iterdir()) > 0
    (tier / "segments" / "0000000099.segment").write_bytes(bytes(5000))
    assert log_bytes(path) == before + 5000
    tier.rename(tmp_path / "away")
    assert log_bytes(path) == before
    (path / "pool.json").unlink()
    assert log_bytes(path) == before


def test_a_path_that_cannot_be_resolved_is_refused(tmp_path: Path, pools: Pools) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    pools.refuse("loop' cannot be the directory of a capacity tier", tmp_path / "pool", loop)
    pools.refuse("cannot be the directory of a capacity tier", tmp_path / "pool", Path("a\0b"))


@pytest.mark.parametrize("below", ["segments", "segments/more"])
def test_the_segments_of_the_pool_are_no_capacity_tier(tmp_path: Path, pools: Pools, below: str) -> None:
    pools.make(tmp_path / "pool", None)
    pools.refuse("is in the directory of the segments", tmp_path / "pool", tmp_path / "pool" / below)
    assert not (tmp_path / "pool" / below / "tier.json").exists()


@pytest.mark.parametrize(("name", "key"), [("pool/pool.json", "capacity_directory"), ("tier/tier.json", "pool")])
def test_a_path_with_a_zero_byte_is_damage(tmp_path: Path, pools: Pools, name: str, key: str) -> None:
    pools.make(tmp_path / "pool", tmp_path / "tier")
    file = tmp_path / name
    file.write_text(json.dumps({**json.loads(file.read_text()), key: "/a\0b"}))
    pools.refuse("is damaged", tmp_path / "pool")
