"""Two arrays replicate snapshots, fail over and fail back, while hosts write, retention prunes, and faults happen.

The content of each snapshot is noted when it is taken. A snapshot with the same guid must have this content at both arrays, at
any time. Snapshots that no array holds are deleted at random. In the end, the newest snapshot reaches the other array, and both
arrays hold it.
"""

from functools import partial

from odx_target.replica.snapshots.protection import Role, Trigger
from odx_target.replica.snapshots.records import ReplicationRefused
from odx_target.store.api import Held, Snapshot, StoreError, Volume
from tests.replica.snapshots.replicating import Arrays
from tests.sim.network import SimulatedLink
from tests.sim.world import World

STEPS = 14
SIZE = 1300
"""Size of the volume in blocks: two parts."""

HEAL_S = 200.0
"""Longest time until the newest snapshot has arrived after the last fault."""


def play(world: World) -> None:
    """Replicate through random steps and faults, and compare everything in the end."""
    Play(world).play()


class Play(Arrays):
    """`primary` is the array whose volume hosts write. `names` has the name of the volume at each array."""

    def __init__(self, world: World) -> None:
        super().__init__(world.seed, world=world)
        self.names = {"a": "v", "b": "peer/a/v"}
        self.primary, self.secondary = "a", "b"
        self.digests: dict[bytes, bytes] = {}
        self.is_faulty = True
        self.count = 0
        self.network.on_connection = self._plan
        self.newest_name = ""
        self.volume("a", "v", SIZE)
        self.change("a", 120)
        self.protect(trigger=self.random.choice(list(Trigger)))
        self._take_snapshot()
        self.until("b", self.newest.guid)
        world.checks.append(self._check_estimates)

    def play(self) -> None:
        steps = (self._write, self._write, self._take_snapshot, self._prune, self._fault, self._fault, self._wait, self._turn)
        for _ in range(STEPS):
            self.random.choice(steps)()
        self.is_faulty = False
        for array in self.arrays.values():
            if not array.is_running:
                array.start()
        self._write()
        self._take_snapshot()
        self.until(self.secondary, self.newest.guid, HEAL_S)
        self.settle(self.primary, limit_s=HEAL_S)
        self._compare()
        for name in self.arrays:
            held = self.held(name)
            assert self.newest_name in held, (name, held)
        self.check_errors()

    @property
    def newest(self) -> Snapshot:
        return self.volume(self.primary, self.names[self.primary]).snapshots[self.newest_name]

    def _plan(self, link: SimulatedLink) -> None:
        if self.is_faulty and self.random.randrange(3) == 0:
            direction = link.ends[self.random.randrange(2)].outgoing
            setattr(
                direction,
                self.random.choice(["cut_after_bytes", "lost_after_bytes"]),
                self.random.choice([self.random.randrange(3000), self.random.randrange(400_000)]),
            )

    def _write(self) -> None:
        self.change(self.primary, self.random.randint(1, 40), self.names[self.primary])

    def _take_snapshot(self) -> None:
        array = self[self.primary]
        self.count += 1
        self.newest_name = f"{self.random.choice('hs')}{self.count}"
        taken = self.snapshot(self.primary, self.newest_name, self.names[self.primary])
        self.digests[taken.guid] = self.run(array, taken.digest())  # type: ignore[assignment]
        self.run(array, array.pool.flush())

    def _prune(self) -> None:
        """Delete snapshots as a retention does: never those with a hold."""
        array = self[self.random.choice("ab")]
        for snapshot in list(array.pool.snapshots.values()):
            if snapshot.name != self.newest_name and self.random.randrange(2):
                try:
                    snapshot.delete()
                except (Held, StoreError):
                    continue
        array.pool.commit()

    def _wait(self) -> None:
        self.world.advance(self.random.choice([0.01, 0.2, 3.0]))

    def _fault(self) -> None:
        if self.random.randrange(2):
            for link in self.network.links:
                link.cut(notices=(self.random.randrange(2) == 0, self.random.randrange(2) == 0))
            return
        for array in self.arrays.values():
            self.run(array, array.pool.flush())
        victim = self[self.random.choice("ab")]
        (victim.kill if self.random.randrange(2) else victim.lose_power)()
        self.world.advance(self.random.uniform(0.0, 2.0))
        victim.start()

    def _turn(self) -> None:
        """Fail over, and reverse the protection."""
        array = self[self.secondary]
        copy = next((copy for copy, _ in array.replication.copies() if copy.role is Role.RECEIVING and copy.held), None)
        if copy is None:
            return
        self.run(array, array.replication.failover.promote(copy, None, _restore))
        self.run(array, array.pool.flush())
        self.primary, self.secondary = self.secondary, self.primary
        former = self[self.secondary]
        for _ in range(60):
            (protection,) = (
                each
                for each in former.replication.records.protections.values()
                if self._identity(self.secondary) in each.volumes
            )
            path = former.paths[self.primary]
            try:
                self.run(former, former.replication.failover.reverse(protection, path, partial(_withdraw)))
                break
            except ReplicationRefused:
                self.world.advance(2.0)
        else:
            raise AssertionError("the protection is never reversed")
        self._write()
        self._take_snapshot()

    def _identity(self, array: str) -> bytes:
        return self[array].pool.volumes[self.names[array]].identity

    def _compare(self) -> None:
        """Compare each snapshot at each array with what was noted when it was taken."""
        for array in self.arrays.values():
            for guid, snapshot in list(array.pool.snapshots.items()):
                assert not snapshot.name.startswith("rejected"), "no fault makes a copy unequal"
                if guid in self.digests:
                    assert self.run(array, snapshot.digest()) == self.digests[guid], snapshot.name

    def _check_estimates(self) -> None:
        for array in self.arrays.values():
            if array.is_running:
                for activity in (*array.replication.sender.activities(), *array.replication.receiver.activities.values()):
                    found = activity.estimate(None, 0.0)
                    assert found.seconds_until_synced is None or found.seconds_until_synced >= 0.0


def _restore(volume: Volume, snapshot: Snapshot) -> None:
    volume.restore(snapshot)


async def _withdraw(_volume: Volume) -> None:
    pass
