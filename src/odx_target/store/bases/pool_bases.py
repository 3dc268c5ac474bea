"""The bases of a pool that is stored in a log."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import TypeVar

from odx_target.environment import Buffer, Event
from odx_target.store.bases.interface import Fetch
from odx_target.store.bases.missing import missing_in, parts_of
from odx_target.store.bases.needs import first_need
from odx_target.store.bases.open_bases import OpenBase, OpenBases
from odx_target.store.bases.settling import Settling
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.catalogue.leaf_loader import LEAVES_OF_A_CALL
from odx_target.store.cleaning.cleaner import Cleaner
from odx_target.store.cleaning.jobs import GivenUp, Stopped
from odx_target.store.cleaning.walking import Pause
from odx_target.store.errors import OverLimit, PoolBusy, StoreError
from odx_target.store.ledger import Ledger
from odx_target.store.log.records import Forget, Refer, Remember, VolumeDeleted
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BLOCKS, LeafMissing
from odx_target.store.segments.base_place import MAX_BASE_BLOCKS, MAX_BASE_NUMBER, base_place
from odx_target.store.volumes.creation import create_volume
from odx_target.store.volumes.interface import Volume
from odx_target.store.volumes.source_interface import BLOCK_BYTES
from odx_target.store.volumes.volume import LogVolume

KEY_OF_BASE = "base/"
"""Prefix of the keys under which the pool remembers the identity of each base. The number of the base follows."""

KEY_OF_NEXT = "next-base"
"""Key under which the pool remembers the lowest number that no base has had."""

LEAVES_OF_A_RECORD = 256
"""Number of leaves (1 GiB) whose blocks one record makes missing. To make these leaves takes about 0.2 ms."""

STEPS_OF_A_RECORD = 300

STEPS_OF_A_SEARCH = 4
"""Number of steps (see `turns`) that it takes to search a leaf for missing blocks."""

MAX_PIN_PAUSES = 200
"""Largest number of pauses for reads that began before the end of the settling. A read that takes longer fails, and its host
repeats it."""

READ_PAUSE_S = 0.05
"""Pause before it is checked again whether reads still use a base that will be deleted."""

T = TypeVar("T")


class PoolBases:
    """The bases of one pool. `Bases` in `store.api` describes the public methods."""

    def __init__(self, ledger: Ledger, checkpointer: Checkpointer, cleaner: Cleaner) -> None:
        self._ledger = ledger
        self._checkpointer = checkpointer
        self._cleaner = cleaner
        self._open = OpenBases(ledger)
        by_identity = {volume.identity: volume for volume in ledger.volumes.values()}
        for key, identity in ledger.contents.remembered.items():
            volume = by_identity.get(identity) if key.startswith(KEY_OF_BASE) else None
            if isinstance(volume, LogVolume):
                self._open.add(int(key.removeprefix(KEY_OF_BASE)), volume)
        ledger.reader.bases = self._open
        ledger.digester.check_entries = self._open.check_entries

    async def create(self, name: str, size_blocks: int, attributes: Mapping[str, str]) -> LogVolume:
        if size_blocks > MAX_BASE_BLOCKS:
            raise OverLimit(f"{size_blocks} blocks are over the limit of {MAX_BASE_BLOCKS} blocks of a base")
        base = await self._when_ready(lambda: self._create(name, size_blocks, attributes))
        step_blocks = LEAVES_OF_A_RECORD * LEAF_BLOCKS
        try:
            for block in range(0, size_blocks, step_blocks):
                count_blocks = min(step_blocks, size_blocks - block)
                await self._refer(base, block, count_blocks)
        except BaseException:
            with suppress(StoreError):
                self.delete(base.volume)
            raise
        return base.volume

    def is_base(self, volume: Volume) -> bool:
        return any(base.volume is volume for base in self._open.bases())

    def volumes(self) -> list[Volume]:
        return [base.volume for base in self._open.bases()]

    def attach(self, volume: Volume, fetch: Fetch | None) -> None:
        self._open.base_of(volume).fetch = fetch

    async def next_missing(self, volume: Volume, block: int, most_blocks: int) -> tuple[int, int] | None:
        base = self._open.base_of(volume).volume
        while block < base.size_blocks:
            found, block = await self._missing_in_leaf(base, block)
            if found:
                return found[0][0], min(found[0][1], most_blocks)
        return None

    async def count_missing(self, volume: Volume) -> int:
        base = self._open.base_of(volume).volume
        block = total = 0
        while block < base.size_blocks:
            found, block = await self._missing_in_leaf(base, block)
            total += sum(count_blocks for _, count_blocks in found)
        return total

    def keep(self, volume: Volume, block: int, data: Buffer | int) -> int:
        base = self._open.base_of(volume).volume
        count_blocks = data if isinstance(data, int) else len(data) // BLOCK_BYTES
        base.check_range(block, count_blocks)
        kept = 0
        for at, count in missing_in(self._runs(base, block, count_blocks), block):
            if isinstance(data, int):
                base.unmap(at, count)
                kept += count
                continue
            part = memoryview(data)[(at - block) * BLOCK_BYTES :][: count * BLOCK_BYTES]
            for first, length, is_zeros in parts_of(part):
                if is_zeros:
                    base.unmap(at + first, length)
                else:
                    base.write(at + first, [part[first * BLOCK_BYTES :][: length * BLOCK_BYTES]])
                kept += length
        return kept

    async def needs(self, volume: Volume, besides: Collection[Volume]) -> str | None:
        base = self._open.base_of(volume)
        numbers = {each.number for each in (base.volume, *besides) if isinstance(each, LogVolume)}
        try:
            return await self._between_cycles(lambda pause: first_need(self._ledger, base.number, numbers, pause))
        except (Stopped, StoreError, OSError) as error:
            raise StoreError(f"the maps of the pool could not be searched: {error}") from error

    async def settle(self, volume: Volume) -> bool:
        base = self._open.base_of(volume)
        if await self.next_missing(volume, 0, 1) is not None:
            raise StoreError(f"blocks of the base {volume.name} are missing")
        try:
            if not await self._between_cycles(Settling(base.number, base.volume, self._ledger, self._checkpointer).run):
                return False
        except Stopped:
            return False
        except (StoreError, OSError) as error:
            self._ledger.health.troubles.not_cleaned(error)
            return False
        # A read may have found base places before the settling, also in leaves that it is still loading. An exception may keep
        # the pin of a read that has ended, so the wait for pins has a limit.
        pins = self._ledger.reader.pins.present()
        pauses = 0
        while base.reads or (pins and pauses < MAX_PIN_PAUSES):
            await self._ledger.environment.sleep(READ_PAUSE_S)
            pauses += 1
        self._open.note_settled(base)
        await self._when_ready(lambda: self.delete(base.volume))
        return True

    def delete(self, volume: Volume) -> None:
        base = self._open.base_of(volume)
        ledger = self._ledger
        base.volume.announce(0, base.volume.size_blocks)
        ledger.record_all([VolumeDeleted(base.volume.number), Forget(f"{KEY_OF_BASE}{base.number}")])
        self._open.remove(base)
        del ledger.volumes[base.volume.name]
        base.volume.detach()

    # Changes

    def _create(self, name: str, size_blocks: int, attributes: Mapping[str, str]) -> OpenBase:
        """Create a volume, and remember it as a base. After a crash, the log has both changes or neither."""
        ledger = self._ledger
        number = int(ledger.contents.remembered.get(KEY_OF_NEXT, b"1"))
        if number > MAX_BASE_NUMBER:
            raise OverLimit(f"the pool has had {MAX_BASE_NUMBER} bases, which is the limit")
        volume = create_volume(ledger, name, size_blocks, attributes, None)
        key = f"{KEY_OF_BASE}{number}"
        try:
            ledger.record_all([Remember(KEY_OF_NEXT, b"%d" % (number + 1)), Remember(key, volume.identity)])
        except StoreError:
            ledger.record_or_defer(VolumeDeleted(volume.number))
            del ledger.volumes[name]
            volume.detach()
            raise
        return self._open.add(number, volume)

    async def _refer(self, base: OpenBase, block: int, count_blocks: int) -> None:
        """Make blocks of a new base missing."""
        ledger = self._ledger
        record = Refer(base.volume.number, block, count_blocks, base_place(base.number, block))

        def change() -> None:
            ledger.leaves.check_changes()
            ledger.record(record)

        await self._when_ready(change)
        ledger.turns.take(STEPS_OF_A_RECORD)
        await ledger.turns.next_if_spent()

    def _runs(self, volume: LogVolume, block: int, count_blocks: int) -> list[tuple[int, int]]:
        """Return the runs of a base. If a leaf is not in memory, start to load it and raise PoolBusy."""
        while True:
            try:
                return volume.block_map.runs(block, count_blocks)
            except LeafMissing as missing:
                self._ledger.leaves.require([(block, missing.leaf)], (volume.name, None))

    async def _missing_in_leaf(self, base: LogVolume, block: int) -> tuple[list[tuple[int, int]], int]:
        """Return the runs (block, count_blocks) of missing blocks from `block` to the end of its leaf, and the block after the
        leaf.
        """
        turns = self._ledger.turns
        turns.take(STEPS_OF_A_SEARCH)
        await turns.next_if_spent()
        leaf, rest = base.block_map.find(block)
        while leaf is not None and not self._ledger.leaves.memory.recall(leaf):
            await base.load(block, min(LEAVES_OF_A_CALL * LEAF_BLOCKS, base.size_blocks - block))
            leaf, rest = base.block_map.find(block)
        end = block + min(rest, base.size_blocks - block)
        found = [] if leaf is None else list(missing_in(leaf.runs(block & INDEX_MASK, end - block), block))
        return found, end

    async def _between_cycles(self, work: Callable[[Pause], Awaitable[T]]) -> T:
        """Run work between two cycles of the cleaner, and return its result. If a writer waits for room meanwhile, the work is
        given up and begins again later. If the cleaner has stopped, the work is dropped.

        Raises the StoreError or OSError of the work, or Stopped if the work is dropped because the pool is closed.
        """
        ended: Event = self._ledger.environment.event()
        results: list[T] = []
        errors: list[Exception] = [Stopped("the pool is being closed")]

        async def job(pause: Pause) -> None:
            is_over = True
            try:
                results.append(await work(pause))
            except GivenUp:
                is_over = False
                raise
            except (StoreError, OSError) as error:
                errors.append(error)
            finally:
                if is_over:
                    ended.set()

        self._cleaner.add_job(job, ended.set)
        await ended.wait()
        if not results:
            raise errors[-1]
        return results[0]

    async def _when_ready(self, change: Callable[[], T]) -> T:
        """Make a change. If the pool must make room for it, or must load a part of a map, wait and try again."""
        while True:
            try:
                return change()
            except PoolBusy:
                await self._ledger.room_made()
