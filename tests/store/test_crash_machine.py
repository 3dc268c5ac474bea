"""Compares a pool on a disk that loses power with a naive model."""

import errno
from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, invariant, multiple, precondition, rule
from tests.settings import searching
from tests.sim.simulated_disk import SimulatedDisk
from tests.sim.virtual_environment import VirtualTask
from tests.store.pool_model import Blocks, Moment, NamedBlocks, block_of
from tests.store.recoveries import VOLUME_BLOCKS, Recoveries

from odx_target.store.api import BLOCK_BYTES, Held, NameTaken, Scarcity, Unwritable
from odx_target.store.open import PoolOptions
from odx_target.store.segments.supply import REFUSED_S

SEGMENT_BLOCKS = 32
NO_LIMIT = 1000
LIMITS = st.sampled_from([NO_LIMIT, NO_LIMIT, 3, 8])

blocks = st.integers(0, VOLUME_BLOCKS - 1)
counts = st.one_of(st.integers(1, 4), st.integers(1, VOLUME_BLOCKS))
names = st.sampled_from(["a", "b", "c"])
snapshot_names = st.sampled_from(["s", "t"])
keys = st.sampled_from(["key/1", "key/2", "other"])


class CrashMachine(Recoveries):
    frozen: Bundle[int] = Bundle("frozen")
    attributes: Mapping[str, str] = {}
    """Attributes of all volumes."""
    has_capacity = False
    """True if the pool has a capacity tier."""

    @initialize(
        seed=st.integers(0, 1 << 32), limit=LIMITS, room=LIMITS, checkpoint_blocks=st.sampled_from([10, 60, 1000, 100000])
    )
    def start(self, seed: int, limit: int, room: int, checkpoint_blocks: int) -> None:
        self.random = Random(seed)
        self.disk = SimulatedDisk(self.random, has_capacity=self.has_capacity)
        self.disk.room_blocks = room * SEGMENT_BLOCKS
        self.options = PoolOptions(
            limit_bytes=limit * SEGMENT_BLOCKS * BLOCK_BYTES,
            segment_blocks=SEGMENT_BLOCKS,
            checkpoint_blocks=checkpoint_blocks,
        )
        self.now = Moment()
        self.handles: dict[int, Blocks] = {}
        self.history = [self.now.copy()]
        self.committed = 0
        self.flushed = 0
        self.value = 0
        self.is_failed = False
        self.flushes: list[tuple[VirtualTask, int]] = []
        self.open()
        for name in ("a", "b"):
            self.do(lambda name=name: self.create(name))

    def create(self, name: str) -> None:
        if name not in self.pool.volumes:
            self.pool.create_volume(name, VOLUME_BLOCKS, {"name": name, **self.attributes})
            self.now.volumes[name] = Blocks(VOLUME_BLOCKS)

    # Actions of a user

    @rule(name=names, block=blocks, count=counts)
    def write(self, name: str, block: int, count: int) -> None:
        count = min(count, VOLUME_BLOCKS - block)
        values = self.new_values(count)
        data = [block_of(value) for value in values]
        cut = [b"".join(data)] if count % 2 else data

        def act() -> None:
            self.pool.volumes[name].write(block, cut)
            self.now.volumes[name].put(block, values)

        self.do(act, name)

    def new_values(self, count: int) -> list[int]:
        self.value += count
        return list(range(self.value - count + 1, self.value + 1))

    @rule(writes=st.lists(st.tuples(names, blocks, counts), min_size=3, max_size=12), commit=st.booleans())
    def write_much(self, writes: list[tuple[str, int, int]], commit: bool) -> None:
        for name, block, count in writes:
            self.write(name, block, count)
            if commit:
                self.commit()

    @precondition(lambda self: self.pool.used_bytes >= 3 * SEGMENT_BLOCKS * BLOCK_BYTES)
    @rule(key=keys, name=names)
    def use_up_the_reserve(self, key: str, name: str) -> None:
        self.remember(key, b"x", 1)
        for _ in range(2 * SEGMENT_BLOCKS):
            self.unmap(name, 0, 1)
            self.commit()
        self.forget(key)

    @rule(name=names, block=blocks, count=counts)
    def unmap(self, name: str, block: int, count: int) -> None:
        count = min(count, VOLUME_BLOCKS - block)

        def act() -> None:
            self.pool.volumes[name].unmap(block, count)
            self.now.volumes[name].put(block, [0] * count)

        self.do(act, name)

    @rule(target=frozen, name=names, durable=st.booleans())
    def freeze(self, name: str, durable: bool) -> Any:
        made: list[int] = []

        def act() -> None:
            identifier = self.pool.volumes[name].freeze(durable=durable).identifier
            kept = Blocks(VOLUME_BLOCKS, dict(self.now.volumes[name].values))
            self.handles[identifier] = kept
            if durable:
                self.now.frozen_maps[identifier] = kept
            made.append(identifier)

        self.do(act, name)
        return multiple(*made)

    @rule(identifier=frozen, name=names, source_block=blocks, block=blocks, count=counts)
    def copy(self, identifier: int, name: str, source_block: int, block: int, count: int) -> None:
        count = min(count, VOLUME_BLOCKS - block, VOLUME_BLOCKS - source_block)

        def act() -> None:
            self.pool.volumes[name].copy_from(self.pool.frozen_maps[identifier], source_block, block, count)
            self.now.volumes[name].put(block, self.handles[identifier].read()[source_block : source_block + count])

        if identifier in self.handles:
            self.do(act, name)

    @rule(identifier=consumes(frozen))
    def release(self, identifier: int) -> None:
        def act() -> None:
            self.pool.frozen_maps[identifier].release()
            del self.handles[identifier]
            self.now.frozen_maps.pop(identifier, None)

        if identifier in self.handles:
            self.do(act)

    @rule(key=keys, value=st.binary(max_size=8), times=st.sampled_from([1, 1, 8000]))
    def remember(self, key: str, value: bytes, times: int) -> None:
        def act() -> None:
            self.pool.remember(key, value * times)
            self.now.remembered[key] = value * times

        self.do(act)

    @rule(key=keys)
    def forget(self, key: str) -> None:
        def act() -> None:
            self.pool.forget(key)
            self.now.remembered.pop(key, None)

        self.do(act)

    @rule(name=names)
    def delete_and_create(self, name: str) -> None:
        def act() -> None:
            if name in self.pool.volumes:
                self.pool.delete_volume(name)
                del self.now.volumes[name]
            self.create(name)

        self.do(act)

    @rule(name=names, snapshot=snapshot_names)
    def snapshot(self, name: str, snapshot: str) -> None:
        def act() -> None:
            volume = self.pool.volumes[name]
            is_taken = snapshot in volume.snapshots
            try:
                made = volume.snapshot(snapshot)
            except NameTaken:
                assert is_taken
            else:
                assert not is_taken
                self.now.snapshots[made.guid] = NamedBlocks(name, snapshot, self.copied(name))

        self.do(act, name)

    @rule(snapshot=snapshot_names)
    def snapshot_all(self, snapshot: str) -> None:
        def act() -> None:
            names = sorted(self.pool.volumes)
            is_taken = any(snapshot in self.pool.volumes[name].snapshots for name in names)
            try:
                made = self.pool.snapshot_volumes({key: {} for key in names}, snapshot)
            except NameTaken:
                assert is_taken
            else:
                assert not is_taken
                for name, each in zip(names, made, strict=True):
                    self.now.snapshots[each.guid] = NamedBlocks(name, snapshot, self.copied(name))

        self.do(act)

    @rule(data=st.data(), name=snapshot_names, change=st.sampled_from(["rename", "hold", "unhold", "delete"]))
    def change_snapshot(self, data: st.DataObject, name: str, change: str) -> None:
        def act() -> None:
            snapshot, kept = self.pool.snapshots[guid], self.now.snapshots[guid]
            if change == "rename":
                try:
                    snapshot.rename(name)
                    kept.name = name
                except NameTaken:
                    pass
            elif change == "hold":
                snapshot.hold(name)
                kept.holds = sorted({*kept.holds, name})
            elif change == "unhold":
                if name in kept.holds:
                    snapshot.unhold(name)
                    kept.holds.remove(name)
            else:
                try:
                    snapshot.delete()
                    assert not kept.holds
                    del self.now.snapshots[guid]
                except Held:
                    assert kept.holds

        if self.now.snapshots:
            guid = data.draw(st.sampled_from(sorted(self.now.snapshots)))
            self.do(act)

    @rule(data=st.data(), name=names)
    def restore_or_clone(self, data: st.DataObject, name: str) -> None:
        def act() -> None:
            snapshot, kept = self.pool.snapshots[guid], self.now.snapshots[guid]
            if name in self.pool.volumes:
                self.pool.volumes[name].restore(snapshot)
            else:
                self.pool.create_volume(name, VOLUME_BLOCKS, {}, snapshot)
            self.now.volumes[name] = Blocks(VOLUME_BLOCKS, dict(kept.blocks.values))

        if self.now.snapshots:
            guid = data.draw(st.sampled_from(sorted(self.now.snapshots)))
            self.do(act)

    @rule(name=names, other=names)
    def replace_by_clone_of_other(self, name: str, other: str) -> None:
        def act() -> None:
            if name in self.pool.volumes:
                self.pool.delete_volume(name)
                del self.now.volumes[name]
            self.pool.create_volume(name, VOLUME_BLOCKS, {}, self.pool.volumes[other])
            self.now.volumes[name] = self.copied(other)

        if name != other:
            self.do(act, other)

    @rule(name=names, other=names)
    def rename(self, name: str, other: str) -> None:
        def act() -> None:
            try:
                self.pool.volumes[name].rename(other)
            except NameTaken:
                assert other in self.now.volumes
            else:
                self.now.volumes[other] = self.now.volumes.pop(name)

        self.do(act, name)

    @rule()
    def commit(self) -> None:
        self.do(self.commit_now)

    @rule()
    def flush(self) -> None:
        def act() -> None:
            self.commit_now()
            wanted = self.committed
            logged = len(self.history) - 1
            self.environment.run(self.pool.flush())
            self.flushed = max(self.flushed, wanted, logged)

        self.do(act)

    @rule()
    def flush_beside_others(self) -> None:
        def act() -> None:
            self.commit_now()
            self.flushes.append((self.environment.spawn(self.pool.flush()), len(self.history) - 1))

        self.do(act)

    @rule()
    def let_background_run(self) -> None:
        self.mark()  # A checkpoint commits.
        self.do(self.environment.settle)
        self.note_flushes()

    @rule()
    def checkpoint(self) -> None:
        def act() -> None:
            self.environment.run(self.pool.checkpoint())
            self.note_checkpoint()

        self.mark()
        self.do(act)

    @rule(name=names)
    def read(self, name: str) -> None:
        def act() -> None:
            if name in self.pool.volumes:
                assert self.read_all(self.pool.volumes[name]) == self.now.volumes[name].read()

        self.mark()
        self.do(act)

    @rule(identifier=frozen)
    def read_frozen(self, identifier: int) -> None:
        if identifier in self.handles:
            self.mark()
            self.do(lambda: self.check_frozen(identifier))

    # Faults

    @rule(operations=st.integers(0, 12))
    def crash_soon(self, operations: int) -> None:
        self.disk.crash_after(operations)

    @rule(power=st.sampled_from([True, True, False]), again=st.lists(st.integers(0, 30), max_size=2))
    def crash(self, power: bool, again: list[int]) -> None:
        self.recover(power, again)

    @rule()
    def close_and_open(self) -> None:
        def act() -> None:
            try:
                self.environment.run(self.pool.close())
            except (Scarcity, Unwritable):  # The pool is closed nevertheless; uncommitted changes were not promised.
                self.disk.check_on()
            else:
                self.committed = self.flushed = len(self.history) - 1
            self.recover(power=False, again=[])

        if not self.is_failed:
            self.mark()
            self.do(act)

    @rule()
    def disk_gets_room(self) -> None:
        assert self.disk.room_blocks is not None
        self.disk.room_blocks += 2 * SEGMENT_BLOCKS
        self.mark()
        self.do(lambda: self.environment.advance(REFUSED_S))

    @precondition(lambda self: not self.is_failed)
    @rule(
        operation=st.sampled_from(["write", "sync", "create", "seal", "save", "commit", "delete", "load"]),
        number=st.sampled_from([errno.EIO, errno.ENOMEM, errno.ENOSPC, errno.EMFILE]),
    )
    def disk_fails(self, operation: str, number: int) -> None:
        self.disk.failing.add(operation)
        self.disk.error_number = number

    @precondition(lambda self: self.disk.failing)
    @rule()
    def disk_works_again(self) -> None:
        self.disk.failing.clear()

    @invariant()
    def limits_hold(self) -> None:
        assert self.options.limit_bytes is not None
        assert self.pool.used_bytes <= self.options.limit_bytes

    # Checks


TestCrashMachine = CrashMachine.TestCase
TestCrashMachine.settings = searching(max_examples=200, steps=40)
