"""Compares a pool with two tiers with a naive model, on two directories that fail and lose power at any operation."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from tests.settings import searching
from tests.store.cleaning.test_clean_machine import CleanMachine
from tests.store.cleaning.tiered_pools import misplaced
from tests.store.test_crash_machine import NO_LIMIT, SEGMENT_BLOCKS, VOLUME_BLOCKS, blocks, counts, names

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.cleaning.tier_placement import RETRY_S
from odx_target.store.volumes.tier_attribute import TIER_ATTRIBUTE, Tier, tier_of


class TierMachine(CleanMachine):
    """The machine of the cleaner with volumes in both tiers. The rules of tokens, snapshots and clones come from its bases."""

    has_capacity = True

    @initialize(
        seed=st.integers(0, 1 << 32),
        limit=st.sampled_from([8, 12, NO_LIMIT]),
        capacity_limit=st.sampled_from([2, 4, NO_LIMIT, NO_LIMIT]),
        compression=st.sampled_from(["off", "zstd", "zstd"]),
        checkpoint_blocks=st.sampled_from([10, 60, 100000]),
    )
    def start(self, seed: int, limit: int, capacity_limit: int, compression: str, checkpoint_blocks: int) -> None:
        self.capacity_options = {
            "capacity_limit_bytes": capacity_limit * SEGMENT_BLOCKS * BLOCK_BYTES,
            "capacity_compression": compression,
        }
        self.tiers: dict[bytes, Tier] = {}
        super().start(seed, limit, NO_LIMIT, checkpoint_blocks)
        self.set_tier("b", Tier.CAPACITY)
        for name in ("b", "a", "b"):
            self.write(name, 0, VOLUME_BLOCKS)
            self.commit()

    def open(self) -> None:
        self.options = replace(self.options, **self.capacity_options)
        super().open()
        self.tiers = {volume.identity: tier_of(volume.attributes) for volume in self.pool.volumes.values()}

    @rule(name=names, tier=st.sampled_from(list(Tier)))
    def set_tier(self, name: str, tier: Tier) -> None:
        def act() -> None:
            volume = self.pool.volumes[name]
            volume.change_attributes({**volume.attributes, TIER_ATTRIBUTE: tier})
            self.tiers[volume.identity] = tier

        self.do(act, name)

    @rule(source=names, name=names, block=blocks, source_block=blocks, count=counts)
    def copy_by_token(self, source: str, name: str, block: int, source_block: int, count: int) -> None:
        """Copy blocks, in most cases to a volume of another tier."""
        identifier: list[int] = []
        self.do(lambda: identifier.append(self.pool.volumes[source].freeze().identifier), source)
        for each in identifier:
            if each in self.pool.frozen_maps:
                self.handles[each] = self.copied(source)
                self.copy(each, name, source_block, block, count)
                self.release(each)

    @rule(operation=st.sampled_from(["write", "sync", "create", "seal", "delete", "read"]))
    def capacity_fails(self, operation: str) -> None:
        self.disk.failing.add(f"capacity-{operation}")

    @rule(room_blocks=st.sampled_from([0, 3 * SEGMENT_BLOCKS, None]))
    def capacity_disk_has_room(self, room_blocks: "int | None") -> None:
        self.disk.capacity.room_blocks = room_blocks

    @rule()
    def time_passes(self) -> None:
        self.mark()
        self.do(lambda: self.environment.advance(RETRY_S))

    @precondition(lambda self: not self.is_failed)
    @rule()
    def place_everything(self) -> None:
        """Without faults and limits, the cleaner moves every block of a sealed segment to its tier."""
        self.disk.failing.clear()
        self.disk.capacity.room_blocks = None
        self.mark()
        self.do(lambda: self.environment.advance(RETRY_S))
        crashes = self.disk._until_crash is not None
        self.clean()
        self.clean()
        need = self.pool.cleaner._need
        is_limited = self.pool.cleaner.placement.reason is not None or need.is_short() or need.movable_blocks() <= 0
        if not (crashes or is_limited or self.is_failed or self.pool.cleaner._is_at_work):
            assert not misplaced(self)  # type: ignore[arg-type]

    @invariant()
    def capacity_limit_holds(self) -> None:
        capacity = self.pool.supply.capacity
        assert capacity.limit_blocks is not None
        assert 0 <= capacity.used_blocks <= capacity.limit_blocks

    @invariant()
    def files_of_the_capacity_tier_are_known(self) -> None:
        if self.is_failed or self.disk.is_off:
            return
        capacity = self.pool.supply.capacity
        known = capacity.numbers | capacity._unused.keys()
        filled = self.pool.cleaner.placement.capacity_writer._filled
        assert capacity.numbers <= self.disk.capacity.files.keys()
        assert filled is not None or self.pool.cleaner._is_at_work or self.disk.capacity.files.keys() <= known

    @invariant()
    def tiers_are_those_that_were_set(self) -> None:
        for volume in self.pool.volumes.values():
            assert tier_of(volume.attributes) is self.tiers.get(volume.identity, tier_of(volume.attributes))


TestTierMachine = TierMachine.TestCase
TestTierMachine.settings = searching(max_examples=60, steps=40)
