"""Compares a pool that is cleaned with a naive model, on a disk that fails and loses power at any operation."""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from tests.settings import searching
from tests.store.cleaning.cleaned_pools import start_cleaner
from tests.store.test_crash_machine import NO_LIMIT, VOLUME_BLOCKS, CrashMachine

from odx_target.store.api import PoolDamaged
from odx_target.store.catalogue.memory import CatalogueContent
from odx_target.store.catalogue.node_codec import decode_leaf, node_name, unsealed
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries, Leaf
from odx_target.store.segments.places import segment_of


class CleanMachine(CrashMachine):
    """The crash machine with fuller volumes, more cleaning, and a check of all places after each step."""

    @initialize(
        seed=st.integers(0, 1 << 32),
        limit=st.sampled_from([6, 8, 12, NO_LIMIT]),
        room=st.sampled_from([NO_LIMIT, NO_LIMIT, 10]),
        checkpoint_blocks=st.sampled_from([10, 60, 100000]),
    )
    def start(self, seed: int, limit: int, room: int, checkpoint_blocks: int) -> None:
        super().start(seed, limit, room, checkpoint_blocks)

    loses_catalogue = False

    @rule(power=st.booleans())
    def lose_catalogue(self, power: bool) -> None:
        self.loses_catalogue = True
        try:
            self.recover(power, [])
        finally:
            self.loses_catalogue = False

    def open(self) -> None:
        """Open the pool, first without its catalogue if it loses it. The catalogue is put back if the log cannot replace it."""
        if not self.loses_catalogue:
            return super().open()
        kept, self.disk.catalogue_content = self.disk.catalogue_content, CatalogueContent()
        try:
            super().open()
        except PoolDamaged:
            self.disk.catalogue_content = kept
            super().open()

    @rule()
    def clean(self) -> None:
        def act() -> None:
            cleaning = self.pool.cleaner
            cleaning._blocked_until = cleaning._rest_until = float("-inf")
            start_cleaner(cleaning)
            self.environment.settle()

        self.mark()
        self.do(act)

    @rule(seed=st.integers(0, 1 << 20), clean=st.booleans())
    def overwrite_much(self, seed: int, clean: bool) -> None:
        for index in range(8):
            self.write(("a", "b")[index % 2], (seed * 31 + index * 17) % VOLUME_BLOCKS, 1 + seed % 20)
            self.commit()
        if clean:
            self.clean()

    @rule(steps=st.lists(st.integers(0, 4), min_size=1, max_size=12))
    def write_while_the_cleaner_works(self, steps: list[int]) -> None:
        self.do(lambda: start_cleaner(self.pool.cleaner))
        for index, count in enumerate(steps):
            for _ in range(count):
                self.mark()  # The cleaner commits.
                self.do(self.environment.step)
            self.write(("a", "b")[index % 2], (index * 13) % VOLUME_BLOCKS, 3)

    @invariant()
    def every_place_is_in_a_segment(self) -> None:
        if self.is_failed or self.disk.is_off:
            return
        supply, memory = self.pool.supply, self.pool.leaves.memory
        for root in self.pool.contents.checkpoint({}, {}, {}).roots():
            for _, leaf in root.leaves():
                entries = memory.entries_of(leaf) or self.stored(leaf)
                for place, _ in Leaf(entries, leaf.epoch).runs(0, LEAF_BLOCKS):
                    assert not place or segment_of(place) in supply.segments

    def stored(self, leaf: Leaf) -> Entries:
        """Return the entries that the catalogue has for a leaf."""
        body = unsealed(node_name(leaf.stored), self.disk.catalogue_content.nodes.get(leaf.stored))
        return decode_leaf(body)


TestCleanMachine = CleanMachine.TestCase
TestCleanMachine.settings = searching(max_examples=60, steps=40)
