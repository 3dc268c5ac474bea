"""Compares links, digests and followers with a naive model, on a pool that is cleaned and loses power at any operation."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.naive_digests import NaiveTree
from tests.settings import searching
from tests.sim.virtual_environment import VirtualTask
from tests.store.cleaning.cleaned_pools import start_cleaner
from tests.store.cleaning.test_compressed_machines import CompressedCleanMachine
from tests.store.followed_content import FollowedContent
from tests.store.pool_model import Blocks, block_of
from tests.store.test_crash_machine import VOLUME_BLOCKS, blocks, counts, names

from odx_target.store.api import Following, FrozenMap, PlaceGone, StoreError
from odx_target.store.cleaning.segment_freeing import PIN_PAUSE_S
from odx_target.store.errors import LogFreed


def tree_of(content: Blocks) -> NaiveTree:
    return NaiveTree(content.size_blocks, {block: block_of(value) for block, value in content.values.items()})


class SharingMachine(CompressedCleanMachine):
    """The clean machine with further rules. `places` has the places, checksums and values of blocks at earlier moments."""

    busy_pause_s = PIN_PAUSE_S  # The cleaner waits for followers.
    content: FollowedContent | None
    """The content of the pool by the records that were followed. None if the follower needed records that were freed."""

    @initialize(
        seed=st.integers(0, 1 << 32),
        limit=st.sampled_from([6, 8, 12, 1000]),
        room=st.sampled_from([1000, 1000, 10]),
        checkpoint_blocks=st.sampled_from([10, 60, 100000]),
    )
    def start(self, seed: int, limit: int, room: int, checkpoint_blocks: int) -> None:
        self.places: list[tuple[int, int, int]] = []
        self.content = FollowedContent()
        self.follower: Following | None = None
        self.following: VirtualTask | None = None
        self.digests: list[tuple[VirtualTask, NaiveTree]] = []
        super().start(seed, limit, room, checkpoint_blocks)

    def open(self) -> None:
        super().open()
        self.digests = []
        self.follow()

    def follow(self) -> None:
        """Follow the records that `content` does not contain yet."""
        content = self.content
        if content is None:
            return
        try:
            self.follower = self.pool.follow(content.next_osn)
        except StoreError:
            self.content = None
        else:
            self.following = self.environment.spawn(take_all(self.follower, content))

    # Links

    @rule(name=names, block=blocks, count=counts)
    def note_places(self, name: str, block: int, count: int) -> None:
        count = min(count, VOLUME_BLOCKS - block)

        def act() -> None:
            found = self.with_frozen(name, lambda frozen: frozen.stored_blocks(block, count))
            assert not found.lost
            for at, (place, checksum) in enumerate(zip(found.places, found.checksums, strict=True), block):
                value = self.now.volumes[name].values.get(at, 0)
                assert bool(place) >= bool(value)
                if place and value:
                    self.places.append((place, checksum, value))

        self.mark()
        self.do(act, name)

    @rule(data=st.data(), name=names, block=blocks, count=st.integers(1, 5))
    def link(self, data: st.DataObject, name: str, block: int, count: int) -> None:
        """Link blocks to places of earlier moments. The data may be dead, moved or freed, or a crash may have undone it."""

        def act(at: int, place: int, checksum: int, value: int) -> None:
            with suppress(PlaceGone):
                self.pool.volumes[name].link(at, place, checksum)
                self.now.volumes[name].put(at, [value])

        for at in range(block, min(block + count, VOLUME_BLOCKS)):
            if self.places:
                chosen = self.places[data.draw(st.integers(0, len(self.places) - 1))]
                self.do(partial(act, at, *chosen), name)

    @rule(data=st.data(), name=names, steps=st.lists(st.integers(0, 4), min_size=1, max_size=8))
    def link_while_the_cleaner_works(self, data: st.DataObject, name: str, steps: list[int]) -> None:
        self.do(lambda: start_cleaner(self.pool.cleaner))
        for index, count in enumerate(steps):
            for _ in range(count):
                self.mark()
                self.do(self.environment.step)
            self.link(data, name, (index * 29) % VOLUME_BLOCKS, 2)

    # Digests

    @rule(name=names)
    def digest_volume(self, name: str) -> None:
        def act() -> None:
            expected = tree_of(self.now.volumes[name])
            assert self.with_frozen(name, lambda frozen: frozen.digest()) == expected.root()
            found = self.with_frozen(name, lambda frozen: frozen.digests_below(0, 0))
            assert (found.values, found.lost) == (expected.below(0, 0), ())

        self.mark()
        self.do(act, name)

    @rule(data=st.data())
    def digest_snapshot(self, data: st.DataObject) -> None:
        def act() -> None:
            found = self.environment.run(self.pool.snapshots[guid].digest())
            assert found == tree_of(self.now.snapshots[guid].blocks).root()

        if self.now.snapshots:
            guid = data.draw(st.sampled_from(sorted(self.now.snapshots)))
            self.mark()
            self.do(act)

    @rule(name=names)
    def begin_a_digest(self, name: str) -> None:
        """Begin a digest that is computed during the next steps."""

        def act() -> None:
            frozen = self.pool.volumes[name].freeze()
            self.digests.append((self.environment.spawn(digest_and_release(frozen)), tree_of(self.now.volumes[name])))

        self.do(act, name)

    @rule()
    def end_digests(self) -> None:
        self.mark()
        self.do(self.environment.settle)
        if not self.disk.is_off:
            self.check_digests()

    def check_digests(self) -> None:
        for task, expected in self.digests:
            if task.done and task.error is None:
                assert task.value() == expected.root()
        self.digests = [each for each in self.digests if not each[0].done]

    def with_frozen(self, name: str, use: Callable[[Any], Any]) -> Any:
        frozen = self.pool.volumes[name].freeze()
        try:
            return self.environment.run(use(frozen))
        finally:
            if not self.disk.is_off:
                frozen.release()

    # Followers

    @rule()
    def compare_with_the_follower(self) -> None:
        def act() -> None:
            self.commit_now()
            self.environment.run(self.pool.durable(self.pool.commit()))
            self.environment.settle()

        self.do(act)
        if self.disk.failing or self.pool.log.deferred or self.is_failed:
            self.content = None  # Records may wait for room, and a checkpoint may replace them.
        elif self.content is not None and self.following is not None and not self.disk.is_off:
            if self.following.done:
                assert isinstance(self.following.error, LogFreed)
                self.content = None
            elif self.content.next_osn == self.pool.log.next_osn:
                assert self.content.volumes() == {name: each.read() for name, each in self.now.volumes.items()}


async def digest_and_release(frozen: FrozenMap) -> bytes:
    try:
        return await frozen.digest()
    finally:
        frozen.release()


async def take_all(follower: Following, content: FollowedContent) -> None:
    async for followed in follower:
        content.take(followed)


TestSharingMachine = SharingMachine.TestCase
TestSharingMachine.settings = searching(max_examples=30, steps=40)
