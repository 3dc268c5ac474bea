"""Compares block maps with dicts while both are changed, frozen and copied at random; also packs and saves the maps."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule
from tests.store.map_model import MapModel, check, differences

from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState, VolumeState
from odx_target.store.catalogue.memory import MemoryCatalogue
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.volumes.changes import Change

SUBTREE = LEAF_BLOCKS * LEAF_BLOCKS
SIZES = (SUBTREE, 2 * SUBTREE + 500)
BORDERS = (0, LEAF_BLOCKS, 3 * LEAF_BLOCKS, SUBTREE - 2 * LEAF_BLOCKS, SUBTREE, SUBTREE + LEAF_BLOCKS)

which = st.sampled_from([0, 1])
near = st.one_of(st.just(0), st.integers(-3, 3), st.integers(-LEAF_BLOCKS, LEAF_BLOCKS))
blocks = st.builds(lambda border, offset: max(0, border + offset), st.sampled_from(BORDERS), near)
short = st.one_of(st.integers(1, 3), st.integers(1, 300), st.sampled_from([LEAF_BLOCKS, LEAF_BLOCKS + 1, 3 * LEAF_BLOCKS]))
long = st.one_of(short, st.sampled_from([SUBTREE, SUBTREE + 5, SUBTREE - LEAF_BLOCKS]))
places = st.one_of(st.integers(1, 40), st.integers(1, 1 << 50))


class Maps(RuleBasedStateMachine):
    frozen = Bundle("frozen")

    @initialize()
    def start(self) -> None:
        self.live = [BlockMap(size) for size in SIZES]
        self.models = [MapModel(size) for size in SIZES]
        self.roots: dict[int, tuple[FrozenRoot, MapModel]] = {}
        self.catalogue = MemoryCatalogue()
        self.catalogue.load()
        self.next_identifier = 1

    def clipped(self, size: int, block: int, count: int) -> tuple[int, int]:
        block = min(block, size - 1)
        return block, min(count, size - block)

    @rule(at=which, block=blocks, count=short, place=places)
    def assign(self, at: int, block: int, count: int, place: int) -> None:
        block, count = self.clipped(self.models[at].size_blocks, block, count)
        self.live[at].assign(block, place, count)
        self.models[at].assign(block, place, count)
        self.check_near(at, block, count)

    @rule(at=which, block=blocks, seed=st.integers(1, 1000), count=st.integers(1, 400))
    def scatter(self, at: int, block: int, seed: int, count: int) -> None:
        """Write every second block, which makes so many runs that leaves become dense."""
        size = self.models[at].size_blocks
        for step in range(count):
            if block + 2 * step < size:
                self.live[at].assign(block + 2 * step, seed * (step + 1))
                self.models[at].assign(block + 2 * step, seed * (step + 1), 1)
        self.check_near(at, *self.clipped(size, block, 2 * count))

    @rule(at=which, block=blocks, count=long)
    def clear(self, at: int, block: int, count: int) -> None:
        block, count = self.clipped(self.models[at].size_blocks, block, count)
        self.live[at].clear(block, count)
        self.models[at].clear(block, count)
        self.check_near(at, block, count)

    @rule(target=frozen, at=which)
    def freeze(self, at: int) -> int:
        return self.keep(self.live[at].freeze(), self.models[at].copy())

    def keep(self, root: FrozenRoot, model: MapModel) -> int:
        identifier = self.next_identifier
        self.next_identifier += 1
        self.roots[identifier] = root, model
        return identifier

    @rule(identifier=consumes(frozen))
    def release(self, identifier: int) -> None:
        check(*self.roots.pop(identifier))

    @rule(identifier=frozen, at=which, source_block=blocks, block=blocks, count=long, aligned=st.booleans())
    def copy(self, identifier: int, at: int, source_block: int, block: int, count: int, aligned: bool) -> None:
        root, source = self.roots[identifier]
        if aligned:
            source_block, block = source_block - source_block % LEAF_BLOCKS, block - block % LEAF_BLOCKS
        source_block, count = self.clipped(source.size_blocks, source_block, count)
        block, count = self.clipped(self.models[at].size_blocks, block, count)
        self.live[at].copy_range(root, source_block, block, count)
        self.models[at].copy_range(source, source_block, block, count)
        check(self.live[at], self.models[at])

    @rule(target=frozen, identifier=frozen, at=which)
    def thaw(self, identifier: int, at: int) -> int:
        """Freeze a live map, and replace it by a frozen map that is made live."""
        kept = self.keep(self.live[at].freeze(), self.models[at])
        root, model = self.roots[identifier]
        self.live[at] = BlockMap.thawed(root)
        self.models[at] = model.copy()
        return kept

    @rule(at=which, size=st.sampled_from([1, 1000, 2 * LEAF_BLOCKS, *SIZES, 3 * SUBTREE]))
    def resize(self, at: int, size: int) -> None:
        self.live[at].resize(size)
        self.models[at].resize(size)
        check(self.live[at], self.models[at])

    @rule(at=which)
    def pack(self, at: int) -> None:
        for _, leaf in self.live[at].leaves():
            leaf.pack()

    @rule(before=frozen, after=frozen, start=st.integers(0, 3 * SUBTREE), steps=st.sampled_from([None, 0, 1, 5, 50]))
    def compare(self, before: int, after: int, start: int, steps: int | None) -> None:
        (ours, our_model), (theirs, their_model) = self.roots[before], self.roots[after]
        found = {
            at: change is Change.HOLE
            for block, count, change in differences(ours, theirs, start, steps)
            for at in range(block, block + count)
        }
        mapped = our_model.places.keys() | their_model.places.keys()
        assert found == {
            at: at not in their_model.places
            for at in mapped
            if at >= start and our_model.places.get(at) != their_model.places.get(at)
        }

    @rule()
    def save(self) -> None:
        volumes = tuple(
            VolumeState(number, f"v{number}", bytes(16), {}, live.freeze()) for number, live in enumerate(self.live)
        )
        frozen = tuple(FrozenMapState(identifier, False, root) for identifier, (root, _) in self.roots.items())
        self.saved = [model.copy() for model in self.models]
        self.catalogue.save(Checkpoint({}, {}, volumes, frozen))

    @rule(target=frozen)
    def save_and_restart(self) -> object:
        self.save()
        self.catalogue = MemoryCatalogue(self.catalogue.content)
        checkpoint = self.catalogue.load()
        assert checkpoint is not None
        self.live = [BlockMap.thawed(volume.root) for volume in checkpoint.volumes]
        for state in checkpoint.frozen_maps:
            self.roots[state.identifier] = state.root, self.roots[state.identifier][1]
        for live, model in zip(self.live, self.models, strict=True):
            check(live, model)
        return multiple()

    def check_near(self, at: int, block: int, count: int) -> None:
        first = max(0, block - 5)
        count = min(self.models[at].size_blocks - first, count + 10, 5000)
        assert self.live[at].runs(first, count) == self.models[at].runs(first, count)
        assert self.live[at].place(block) == self.models[at].places.get(block, 0)

    def teardown(self) -> None:
        if hasattr(self, "live"):
            for live, model in zip(self.live, self.models, strict=True):
                check(live, model)
            for root, model in self.roots.values():
                check(root, model)


TestMaps = Maps.TestCase
TestMaps.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
