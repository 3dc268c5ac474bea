"""Compares a pool with a base with a naive model: reads that are fetched, copies, snapshots, clones, crashes and settling."""

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.little_memory import bytes_of_leaves
from tests.settings import searching
from tests.store.cleaning.cleaned_pools import start_cleaner
from tests.store.pools import Machine, blocks, check_simulated_pool

from odx_target.store.api import PoolBusy, SourceAway, Volume
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import PoolOptions
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4

SIZE = 2 * LEAF_BLOCKS + 40
"""Number of blocks of the base: it ends within a leaf."""

PARTS = [0, 1, 7, LEAF_BLOCKS - 3, LEAF_BLOCKS, LEAF_BLOCKS + 500, 2 * LEAF_BLOCKS - 2, 2 * LEAF_BLOCKS + 30]
"""Blocks near which the rules act, so that they often act on the same blocks."""

places = st.builds(lambda part, more: min(part + more, SIZE - 1), st.sampled_from(PARTS), st.integers(0, 6))
counts = st.integers(1, 12)
names = st.sampled_from(["a", "b"])


class Source:
    """The old LUN. Every seventh block is zeros."""

    def __init__(self) -> None:
        self.is_up = True
        self.fetches = 0

    @staticmethod
    def value(number: int) -> int:
        return 0 if number % 7 == 3 else 1_000_000 + number

    async def fetch(self, first: int, count_blocks: int) -> bytes:
        self.fetches += 1
        if not self.is_up:
            raise SourceAway("the source is down")
        return blocks(*map(self.value, range(first, first + count_blocks)))


class BaseMachine(RuleBasedStateMachine):
    """`values` has the value of each block of each volume, and `snapshots` those of each snapshot."""

    options = PoolOptions(segment_blocks=64, cleaning=True)
    attributes: ClassVar[dict[str, str]] = {}

    @initialize()
    def start(self) -> None:
        self.machine = Machine(self.options)
        self.source = Source()
        self.next_value = 1
        self.snapshots: dict[bytes, list[int]] = {}
        self.values = {name: [Source.value(number) for number in range(SIZE)] for name in "a"}
        run, pool = self.machine.environment.run, self.machine.pool
        base = run(pool.bases.create("a.base", SIZE, self.attributes))
        pool.bases.attach(base, self.source.fetch)
        pool.create_volume("a", SIZE, {}, base)
        self.values["b"] = [0] * SIZE
        pool.create_volume("b", SIZE, {})
        pool.commit()
        self.is_settled = False

    @property
    def base(self) -> Volume:
        return self.machine.pool.volumes["a.base"]

    def do(self, change: Any) -> None:
        """Make a change, and wait while the pool is busy."""
        while True:
            try:
                change()
            except PoolBusy:
                self.machine.environment.run(self.machine.pool.volumes["a"].room_made())
            else:
                self.machine.pool.commit()
                return

    def opened(self) -> None:
        if not self.is_settled:
            self.machine.pool.bases.attach(self.base, self.source.fetch)

    @rule(name=names, at=places, count=counts)
    def write(self, name: str, at: int, count: int) -> None:
        count = min(count, SIZE - at)
        written = list(range(self.next_value, self.next_value + count))
        self.next_value += count
        self.do(lambda: self.machine.pool.volumes[name].write(at, [blocks(*written)]))
        self.values[name][at : at + count] = written

    @rule(name=names, at=places, count=counts)
    def unmap(self, name: str, at: int, count: int) -> None:
        count = min(count, SIZE - at)
        self.do(lambda: self.machine.pool.volumes[name].unmap(at, count))
        self.values[name][at : at + count] = [0] * count

    @rule(name=names, to=names, at=places, to_block=places, count=st.sampled_from([1, 5, 700, LEAF_BLOCKS, SIZE]))
    def copy(self, name: str, to: str, at: int, to_block: int, count: int) -> None:
        """Copy by a frozen map, as a token does."""
        count = min(count, SIZE - at, SIZE - to_block)
        frozen = self.machine.pool.volumes[name].freeze()
        before = list(self.values[name])
        done = 0

        def step() -> None:
            nonlocal done
            while done < count:
                done += self.machine.pool.volumes[to].copy_from(frozen, at + done, to_block + done, count - done)

        self.do(step)
        self.values[to][to_block : to_block + count] = before[at : at + count]
        frozen.release()

    @rule(name=names)
    def snapshot(self, name: str) -> None:
        if len(self.snapshots) < 4:
            found: list[Any] = []
            self.do(lambda: found.append(self.machine.pool.volumes[name].snapshot(f"s{self.next_value}")))
            self.next_value += 1
            self.snapshots[found[0].guid] = list(self.values[name])

    @rule(data=st.data(), name=names)
    def restore(self, data: st.DataObject, name: str) -> None:
        if self.snapshots:
            guid = data.draw(st.sampled_from(sorted(self.snapshots)))
            self.do(lambda: self.machine.pool.volumes[name].restore(self.machine.pool.snapshots[guid]))
            self.values[name] = list(self.snapshots[guid])

    @rule(name=names, at=places, count=counts)
    def read(self, name: str, at: int, count: int) -> None:
        count = min(count, SIZE - at)
        self.check(self.machine.pool.volumes[name], self.values[name], at, count)

    @rule(data=st.data(), at=places, count=counts)
    def read_snapshot(self, data: st.DataObject, at: int, count: int) -> None:
        if self.snapshots:
            guid = data.draw(st.sampled_from(sorted(self.snapshots)))
            self.check(self.machine.pool.snapshots[guid], self.snapshots[guid], at, min(count, SIZE - at))

    def check(self, source: Any, values: list[int], at: int, count: int) -> None:
        fetches = self.source.fetches
        now = source.read_now(at, count)
        try:
            found = b"".join(self.machine.environment.run(source.read(at, count)))
        except SourceAway:
            assert not self.source.is_up
            assert self.source.fetches > fetches
        else:
            assert found == blocks(*values[at : at + count])
            assert now is None or b"".join(now) == found

    @rule(is_up=st.booleans())
    def cut(self, is_up: bool) -> None:
        self.source.is_up = is_up

    @precondition(lambda self: not self.is_settled)
    @rule(at=places, most=st.integers(1, 300))
    def fetch(self, at: int, most: int) -> None:
        """Fetch the next missing blocks, as the background copy does."""
        run, bases = self.machine.environment.run, self.machine.pool.bases
        found = run(bases.next_missing(self.base, at, most))
        if found is not None:
            data = blocks(*map(Source.value, range(found[0], sum(found))))
            missing = run(bases.count_missing(self.base))
            kept: list[int] = []
            self.do(lambda: kept.append(bases.keep(self.base, found[0], data)))
            assert run(bases.count_missing(self.base)) == missing - found[1]
            assert sum(kept) <= found[1]

    @rule(pieces=st.integers(1, 8))
    def clean(self, pieces: int) -> None:
        start_cleaner(self.machine.pool.cleaner)
        for _ in range(pieces):
            self.machine.environment.step()

    @rule()
    def checkpoint(self) -> None:
        self.machine.checkpoint()

    @rule()
    def kill(self) -> None:
        self.machine.kill()
        self.opened()

    @rule()
    def lose_power(self) -> None:
        self.machine.flush()
        self.machine.lose_power()
        self.opened()

    @precondition(lambda self: not self.is_settled)
    @rule(crash_after=st.none() | st.integers(1, 40))
    def settle(self, crash_after: int | None) -> None:
        """Fetch all blocks, and settle. The array may die in the middle, and settles again."""
        run = self.machine.environment.run
        at = 0
        while (found := run(self.machine.pool.bases.next_missing(self.base, at, 256))) is not None:
            data = blocks(*map(Source.value, range(found[0], sum(found))))
            self.do(lambda at=found[0], data=data: self.machine.pool.bases.keep(self.base, at, data))  # type: ignore[misc]
            at = sum(found)
        if crash_after is not None:
            task = self.machine.environment.spawn(self.machine.pool.bases.settle(self.base))
            for _ in range(crash_after):
                if not task.done:
                    self.machine.environment.step()
            self.machine.pool.commit()
            self.machine.kill()
            if "a.base" not in self.machine.pool.volumes:
                self.is_settled = True
                return
        assert self.machine.environment.run(self.machine.pool.bases.settle(self.base))
        self.machine.pool.commit()
        self.is_settled = True
        self.source.is_up = False
        assert "a.base" not in self.machine.pool.volumes

    @precondition(lambda self: self.is_settled)
    @rule(name=names)
    def digest(self, name: str) -> None:
        """After the settling, digests of two equal maps are equal, and no block is fetched."""
        frozen = self.machine.pool.volumes[name].freeze()
        self.machine.environment.run(frozen.digest())
        frozen.release()

    @invariant()
    def has_no_bases_after_settling(self) -> None:
        if getattr(self, "is_settled", False):
            assert not self.machine.pool.bases.volumes()

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            fetches = self.source.fetches
            self.source.is_up = not self.is_settled
            for name, values in self.values.items():
                self.check(self.machine.pool.volumes[name], values, 0, SIZE)
            for guid, values in self.snapshots.items():
                self.check(self.machine.pool.snapshots[guid], values, 0, SIZE)
            assert not self.is_settled or self.source.fetches == fetches
            self.machine.close()
            assert check_simulated_pool(self.machine.disk).is_sound


TestBaseMachine = BaseMachine.TestCase
TestBaseMachine.settings = searching(5, 25)


class CompressedBaseMachine(BaseMachine):
    """The same with compressed extents, and with memory for the map entries of few leaves."""

    options = PoolOptions(segment_blocks=64, cleaning=True, map_memory_bytes=bytes_of_leaves(3))
    attributes: ClassVar[dict[str, str]] = {COMPRESSION_ATTRIBUTE: LZ4}


TestCompressedBaseMachine = CompressedBaseMachine.TestCase
TestCompressedBaseMachine.settings = searching(3, 25)
