"""Compares an import with a naive model: cuts, slow answers, crashes, restarts, tokens and snapshots at any moment."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.migration.worlds import RATE, World
from tests.settings import searching
from tests.sim.simulated_disk import Crash
from tests.store.pools import block, check_simulated_pool

from odx_target.store.api import BLOCK_BYTES, PoolBusy, SourceAway

SIZE = 300
"""Number of store blocks of the old LUN. The last one is not whole."""

places = st.integers(0, SIZE - 1)


class ImportMachine(RuleBasedStateMachine):
    """`content` has the data of each block of the imported volume and of another volume, and `snapshots` those of snapshots."""

    @initialize(verify=st.booleans())
    def start(self, verify: bool) -> None:
        self.world = World((SIZE - 1) * BLOCK_BYTES + 1024)
        self.world.source.delay_s = 0.05
        self.world.begin(rate=256 << 10, verify=verify)
        old = [self.world.old(at, 1) for at in range(SIZE)]
        self.world.machine.pool.create_volume("b", SIZE, {})
        self.world.machine.pool.commit()
        self.content = {"a": old, "b": [bytes(BLOCK_BYTES)] * SIZE}
        self.snapshots: dict[bytes, list[bytes]] = {}
        self.next_value = 1

    def do(self, change: Any) -> None:
        while True:
            try:
                change()
            except PoolBusy:
                self.world.environment.run(self.world.volume.room_made())
            else:
                self.world.machine.pool.commit()
                return

    @rule(name=st.sampled_from("ab"), at=places, count=st.integers(1, 20))
    def write(self, name: str, at: int, count: int) -> None:
        count = min(count, SIZE - at)
        written = [block(self.next_value + index) for index in range(count)]
        self.next_value += count
        self.do(lambda: self.world.machine.pool.volumes[name].write(at, [b"".join(written)]))
        self.content[name][at : at + count] = written

    @rule(at=places, to_block=places, count=st.integers(1, SIZE))
    def copy_by_token(self, at: int, to_block: int, count: int) -> None:
        count = min(count, SIZE - at, SIZE - to_block)
        volumes = self.world.machine.pool.volumes
        token = volumes["a"].freeze()
        before = list(self.content["a"])
        self.write("a", at, 5)
        done = 0

        def step() -> None:
            nonlocal done
            while done < count:
                done += volumes["b"].copy_from(token, at + done, to_block + done, count - done)

        self.do(step)
        token.release()
        self.content["b"][to_block : to_block + count] = before[at : at + count]

    @rule()
    def snapshot(self) -> None:
        if len(self.snapshots) < 3:
            taken: list[Any] = []
            self.do(lambda: taken.append(self.world.volume.snapshot(f"s{len(self.snapshots)}")))
            self.snapshots[taken[0].guid] = list(self.content["a"])

    @rule(name=st.sampled_from("ab"), at=places, count=st.integers(1, 40))
    def read(self, name: str, at: int, count: int) -> None:
        count = min(count, SIZE - at)
        try:
            found = b"".join(self.world.environment.run(self.world.machine.pool.volumes[name].read(at, count)))
        except SourceAway:
            assert self.world.source.failure
        else:
            assert found == b"".join(self.content[name][at : at + count])

    @rule(seconds=st.floats(0.1, 3))
    def pass_time(self, seconds: float) -> None:
        self.world.environment.advance(seconds)

    @rule(is_away=st.booleans(), failures=st.integers(0, 3))
    def cut(self, is_away: bool, failures: int) -> None:
        if not self.world.source.is_closed:
            self.world.source.failure = "away" if is_away else ""
            self.world.source.failures = failures

    @rule()
    def kill(self) -> None:
        self.world.restart()

    @rule()
    def checkpoint(self) -> None:
        self.world.machine.checkpoint()

    @rule(operations=st.integers(0, 30), seconds=st.floats(0.1, 3))
    def lose_power(self, operations: int, seconds: float) -> None:
        """Lose power in the middle of the copy. Everything that was flushed before is still there."""
        world = self.world
        world.machine.flush()
        world.machine.disk.crash_after(operations)
        try:
            world.environment.advance(seconds)
            world.environment.settle()
        except Crash:
            pass
        world.machine.disk.crash_after(None)
        world.machine.lose_power()
        world.begin_table()
        world.table.start()

    def teardown(self) -> None:
        if not hasattr(self, "next_value"):
            return
        world = self.world
        if not world.source.is_closed:
            world.source.failure, world.source.failures = "", 0
        for importer in world.table.running.values():
            world.environment.run(importer.set_rate(RATE))
        world.until_finished()
        world.source.failure = "switched off"
        for name, content in self.content.items():
            found = b"".join(world.environment.run(world.machine.pool.volumes[name].read(0, SIZE)))
            assert found == b"".join(content)
        for guid, content in self.snapshots.items():
            found = b"".join(world.environment.run(world.machine.pool.snapshots[guid].read(0, SIZE)))
            assert found == b"".join(content)
        assert set(world.machine.pool.volumes) == {"a", "b"}
        assert not [line for line in world.lines if line[0] == "error"]
        world.machine.close()
        assert check_simulated_pool(world.machine.disk).is_sound


TestImportMachine = ImportMachine.TestCase
TestImportMachine.settings = searching(6, 20)


def test_power_is_lost_at_every_operation_of_the_disk() -> None:
    """A small import, with a write of a host and a snapshot. After each loss of power it is continued and compared."""
    crashes = 0
    for operations in range(500):
        world = World(40 * BLOCK_BYTES)
        disk, is_written = world.machine.disk, False
        disk.crash_after(operations)
        try:
            world.begin(rate=1 << 20)
            world.machine.pool.commit()
            world.volume.snapshot("s")
            world.volume.write(7, [block(1)])
            world.machine.pool.commit()
            world.machine.flush()
            is_written = True
            world.environment.advance(2)
            world.machine.checkpoint()
            is_over = not world.table.running and not disk.is_off
        except Crash:
            is_over = False
        crashes += disk.is_off
        disk.crash_after(None)
        world.machine.lose_power()
        world.begin_table()
        world.table.start()
        if is_written:
            assert set(world.machine.pool.volumes) >= {"a"}
        if "a" in world.machine.pool.volumes:
            world.until_finished()
            new = world.old(0, 7) + block(1) + world.old(8, 32)
            found = world.read(0, 40)
            assert found == new or (found == world.old(0, 40) and not is_written)
            for snapshot in world.machine.pool.snapshots.values():
                assert b"".join(world.environment.run(snapshot.read(0, 40))) == world.old(0, 40)
        assert set(world.machine.pool.volumes) <= {"a"}
        if is_over:
            break
    assert crashes > 10
