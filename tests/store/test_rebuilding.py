"""Rebuilding of a lost catalogue from the whole log within the memory for maps."""

from collections.abc import Iterator
from random import Random

import pytest
from tests.little_memory import bytes_of_leaves
from tests.sim.simulated_disk import Crash
from tests.store.pools import Machine, block, check_simulated_pool, read, when_ready

from odx_target.store.api import PoolDamaged, StoreError
from odx_target.store.catalogue.memory import CatalogueContent
from odx_target.store.log.records import Record
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import PoolOptions
from odx_target.store.opening import recovery
from odx_target.store.opening.rebuild_checkpoints import REBUILDING
from odx_target.store.record_effects import Contents

LEAVES = 40
BOUND = 8
UNBOUNDED = PoolOptions(segment_blocks=32, cleaning=False, map_memory_bytes=None)
BOUNDED = PoolOptions(segment_blocks=32, cleaning=False, map_memory_bytes=bytes_of_leaves(BOUND))


class Written:
    """A pool whose catalogue is lost after writes to many leaves, and the content of its volume and of its snapshots."""

    def __init__(self, seed: int = 0, rounds: int = 3, *, is_flushed: bool = True) -> None:
        random = Random(seed)
        self.machine = Machine(UNBOUNDED)
        volume = self.machine.pool.create_volume("a", LEAVES * LEAF_BLOCKS, {})
        self.blocks: dict[int, int] = {}
        self.snapshots: dict[str, dict[int, int]] = {}
        for number in range(rounds):
            for leaf in random.sample(range(LEAVES), LEAVES):
                at = leaf * LEAF_BLOCKS + random.randrange(LEAF_BLOCKS)
                value = random.randrange(1, 1 << 40)
                when_ready(self.machine.environment, lambda at=at, value=value: volume.write(at, [block(value)]))
                self.blocks[at] = value
                self.machine.pool.commit()
            volume.snapshot(f"s{number}")
            self.snapshots[f"s{number}"] = dict(self.blocks)
            self.machine.pool.commit()
        if is_flushed:
            self.machine.flush()

    def lose_catalogue(self) -> None:
        """End the process and lose the catalogue."""
        self.machine.environment.die()
        self.machine.disk.process_death()
        self.machine.disk.catalogue_content = CatalogueContent()
        self.machine.options = BOUNDED

    def check(self) -> None:
        """Compare everything in the pool with what was written."""
        pool = self.machine.pool
        sources = {"": pool.volumes["a"], **{each.name: each for each in pool.snapshots.values()}}
        expected = {"": self.blocks, **self.snapshots}
        assert sources.keys() == expected.keys()
        for name, blocks in expected.items():
            for at, value in blocks.items():
                assert read(self.machine, sources[name], at, 1) == block(value)


def leaves_in_memory(contents: Contents) -> int:
    """Count the leaves that have entries."""
    maps = [*(each.map for each in contents.volumes.values()), *(each.root for each in contents.frozen_maps.values())]
    return len({id(leaf) for each in maps for _, leaf in each.leaves() if leaf.entries})


@pytest.fixture
def most_leaves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of leaves in memory after each change of the replay."""
    found: list[int] = []
    real = recovery.apply_change

    def apply_change(contents: Contents, record: Record, place: int) -> None:
        real(contents, record, place)
        found.append(leaves_in_memory(contents))

    monkeypatch.setattr(recovery, "apply_change", apply_change)
    return found


def test_the_leaves_of_a_rebuilding_stay_within_the_memory_for_maps(most_leaves: list[int]) -> None:
    written = Written()
    written.lose_catalogue()
    written.machine.open()
    assert max(most_leaves) <= BOUND
    written.check()
    written.machine.reopen()
    written.check()


def test_without_a_limit_all_leaves_stay_in_memory(most_leaves: list[int]) -> None:
    written = Written()
    written.lose_catalogue()
    written.machine.options = UNBOUNDED
    written.machine.open()
    assert max(most_leaves) >= LEAVES
    written.check()


def test_a_rebuilt_pool_has_a_checkpoint_without_the_mark() -> None:
    written = Written()
    written.lose_catalogue()
    written.machine.open()
    written.machine.close()
    assert REBUILDING.encode() not in (written.machine.disk.catalogue_content.head or b"")
    assert check_simulated_pool(written.machine.disk).is_sound


def crashes_of_an_opening(seed: int) -> Iterator[tuple[Written, bool]]:
    """Yield pools whose rebuilding has crashed, each at another operation. The second value is True for a loss of power."""
    operations = 0
    while True:
        written = Written(seed, rounds=2)
        written.lose_catalogue()
        written.machine.disk.crash_after(operations)
        try:
            written.machine.open()
        except Crash:
            yield written, bool(operations % 2)
            operations += 7
            continue
        return


def test_a_rebuilding_that_crashes_goes_on() -> None:
    continued = 0
    for written, is_power_loss in crashes_of_an_opening(1):
        continued += REBUILDING.encode() in (written.machine.disk.catalogue_content.head or b"")
        if is_power_loss:
            written.machine.lose_power()
        else:
            written.machine.kill()
        written.check()
        written.machine.close()
        assert check_simulated_pool(written.machine.disk).is_sound
    assert continued > 5


@pytest.mark.parametrize(("from_end", "message"), [(4, "is damaged"), (2, "the log ends before record")])
def test_a_log_that_has_lost_a_part_stays_refused(from_end: int, message: str) -> None:
    """Also the second opening notices that a segment is missing, although a part was already rebuilt.

    If the segment before the last one is missing, no header states that it was durable, because nothing was flushed after it.
    """
    written = Written(rounds=6, is_flushed=False)
    written.lose_catalogue()
    files = written.machine.disk.files
    filled = [number for number, file in sorted(files.items()) if any(file.content)]
    del files[filled[-from_end]]
    for _ in range(2):
        with pytest.raises(PoolDamaged, match=message):
            written.machine.open()
        written.machine.environment.die()
    assert REBUILDING.encode() in (written.machine.disk.catalogue_content.head or b"")


def test_a_catalogue_without_room_does_not_stop_a_rebuilding(most_leaves: list[int]) -> None:
    written = Written()
    written.lose_catalogue()
    written.machine.disk.failing.add("save")
    written.machine.open()
    assert max(most_leaves) >= LEAVES
    written.machine.disk.failing.clear()
    written.check()


def test_a_log_that_cannot_be_synced_stops_a_rebuilding() -> None:
    """A checkpoint must not contain records that are not durable."""
    written = Written()
    written.lose_catalogue()
    written.machine.disk.failing.add("sync")
    with pytest.raises(StoreError, match="cannot be opened"):
        written.machine.open()
    assert written.machine.disk.catalogue_content.head is None
    written.machine.environment.die()
    written.machine.disk.failing.clear()
    written.machine.open()
    written.check()


def test_a_replay_of_the_whole_log_keeps_few_pieces_and_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(rounds=6)
    written.machine.close()
    written.lose_catalogue()
    views, kept = [], []
    real = recovery.Replay._note

    def note(self: recovery.Replay, group: list[recovery.Batch]) -> None:
        real(self, group)
        views.append(len(self._views))
        kept.append(sum(len(each) for by_block in self.checksums.values() for each in by_block.values()))

    monkeypatch.setattr(recovery.Replay, "_note", note)
    written.machine.open()
    assert len(written.machine.disk.files) > 8
    assert max(views) <= 4
    assert max(kept) <= 32
