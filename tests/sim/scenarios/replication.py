"""Two arrays replicate snapshots to each other, fail over and fail back, while hosts write, retention prunes, rights are taken
away, and faults happen.

The content of each snapshot is noted when it is taken. A snapshot with the same guid must have this content at both arrays, at
any time. Snapshots that no array holds are deleted at random. In the end, the newest snapshots reach the other array, and both
arrays hold only these.
"""

from dataclasses import replace

from odx_target.replica.paths.settings import Right
from odx_target.replica.snapshots.protection import Role, Trigger
from odx_target.replica.snapshots.records import ReplicationRefused
from odx_target.store.api import Held, Snapshot, StoreError, Volume
from tests.replica.snapshots.replicating import Arrays
from tests.sim.network import SimulatedLink
from tests.sim.world import World

STEPS = 14
SIZE = 1300
"""Size of the volume in blocks: two parts."""

BACK, SIZE_BACK = "w", 40
"""Volume of the second array whose snapshots are sent to the first one at the same time, and its size in blocks."""

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
        for array in self.arrays.values():
            array.keep_hourly = self.random.choice([0, 1, 3])
        self.volume("a", "v", SIZE)
        self.change("a", 120)
        self.protect(trigger=self.random.choice(list(Trigger)))
        self._take_snapshot()
        self.until("b", self.newest.guid)
        self.volume("b", BACK, SIZE_BACK)
        self.protect("b", "a", BACK)
        self.newest_back = self._taken("b", BACK, "h0")
        world.checks.append(self._check_estimates)

    def play(self) -> None:
        steps = (
            *(self._write, self._write, self._take_snapshot, self._take_back, self._prune, self._fault, self._fault),
            *(self._wait, self._turn, self._take_right_away),
        )
        for _ in range(STEPS):
            self.random.choice(steps)()
        self.is_faulty = False
        for array in self.arrays.values():
            if not array.is_running:
                array.start()
        self._write()
        self._take_snapshot()
        self._take_back()
        self.until(self.secondary, self.newest.guid, HEAL_S)
        self.until("a", self.newest_back.guid, HEAL_S)
        for name in self.arrays:
            self.settle(name, limit_s=HEAL_S)
        self._compare()
        for name in self.arrays:
            assert set(self.held(name)) == {self.newest_name, self.newest_back.name}, (name, self.held(name))
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
        self.count += 1
        self.newest_name = f"{self.random.choice('hs')}{self.count}"
        self._taken(self.primary, self.names[self.primary], self.newest_name)

    def _take_back(self) -> None:
        self.change("b", 3, BACK)
        self.count += 1
        self.newest_back = self._taken("b", BACK, f"{self.random.choice('hs')}{self.count}")

    def _taken(self, name: str, volume: str, snapshot: str) -> Snapshot:
        """Take a snapshot, note its content, and flush."""
        array = self[name]
        taken = self.snapshot(name, snapshot, volume)
        self.digests[taken.guid] = self.run(array, taken.digest())  # type: ignore[assignment]
        self.run(array, array.pool.flush())
        return taken

    def _prune(self) -> None:
        """Delete snapshots as a retention does: never those with a hold."""
        array = self[self.random.choice("ab")]
        for snapshot in list(array.pool.snapshots.values()):
            if snapshot.name not in (self.newest_name, self.newest_back.name) and self.random.randrange(2):
                try:
                    snapshot.delete()
                except (Held, StoreError):
                    continue
        array.pool.commit()

    def _wait(self) -> None:
        self.world.advance(self.random.choice([0.01, 0.2, 3.0]))

    def _take_right_away(self) -> None:
        """Take the right to replicate away from a peer, and give it back later."""
        array, peer = self[(names := self.random.sample("ab", 2))[0]], names[1]
        path = array.paths[peer]
        for rights in (frozenset[Right](), frozenset(Right)):
            array.paths.change(replace(path.settings, rights=rights))
            array.pool.commit()
            array.requests.rights_changed(path)
            array.replication.path_changed(path)
            self._wait()
        self.world.fault("right")

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
        found = {volume.name: copy for copy, volume in array.replication.copies()}
        copy = found.get(self.names[self.secondary])
        if copy is None or copy.role is not Role.RECEIVING or not copy.held:
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
                self.run(former, former.replication.failover.reverse(protection, path, _withdraw))
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
