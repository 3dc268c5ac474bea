"""Two arrays replicate snapshots to each other, fail over and fail back, while hosts write, retention prunes, rights are taken
away, and faults happen.

The content of each snapshot is noted when it is taken. A snapshot with the same guid must have this content at both arrays, at
any time. The snapshots of a group appear together. Snapshots that no array holds are deleted at random. In the end, the newest
snapshots reach the other array, and both arrays hold only these.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from odx_target.replica.paths.settings import Right
from odx_target.replica.snapshots.protection import COPY_ATTRIBUTE, KEPT_ATTRIBUTE, Copy, Role, Trigger
from odx_target.replica.snapshots.records import ReplicationRefused
from odx_target.store.api import Held, Snapshot, StoreError, Volume
from tests.replica.snapshots.replicating import Arrays, ReplicatingArray
from tests.sim.network import SimulatedLink
from tests.sim.world import World

STEPS = 14
SIZE = 1300
"""Size of the volume in blocks: two parts."""

BACK, SIZE_BACK = "w", 40
"""Volume of the second array whose snapshots are sent to the first one at the same time, and its size in blocks."""

GROUP, SIZE_OF_MEMBER = ("g1", "g2"), 20
"""Volumes of the first array whose snapshots are sent as a group, and their size in blocks."""

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
        self.changes: dict[bytes, str] = {}
        """Guids of the snapshots with changes of hosts that a reversal has kept, and their arrays. None is ever deleted."""
        self.is_faulty = True
        self.count = self.turns = 0
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
        for name in GROUP:
            self.volume("a", name, SIZE_OF_MEMBER)
        self.protect("a", "b", *GROUP, group="g")
        self.newest_group: list[Snapshot] = []
        self.groups: set[bytes] = set()
        self._take_group()
        world.checks += [self._check_estimates, self._check_groups]

    def play(self) -> None:
        steps = (
            *(self._write, self._write, self._take_snapshot, self._take_back, self._prune, self._fault, self._fault),
            *(self._take_group, self._wait, self._turn, self._take_right_away),
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
        self._take_group()
        self.until(self.secondary, self.newest.guid, HEAL_S)
        self.until("a", self.newest_back.guid, HEAL_S)
        for each in self.newest_group:
            self.until("b", each.guid, HEAL_S)
        for name in self.arrays:
            self.settle(name, limit_s=HEAL_S)
        self._compare()
        for name in self.arrays:
            wanted = {self.newest_name, self.newest_back.name, self.newest_group[0].name}
            assert set(self.held(name)) == wanted, (name, self.held(name))
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

    def _take_group(self) -> None:
        """Change one member of the group, and take a snapshot of all at one moment."""
        self.change("a", 3, self.random.choice(GROUP))
        self.count += 1
        array = self["a"]
        name = f"{self.random.choice('hs')}{self.count}"
        self.newest_group = list(array.pool.snapshot_volumes({each: {} for each in GROUP}, name))
        array.pool.commit()
        for taken in self.newest_group:
            self.digests[taken.guid] = self.run(array, taken.digest())  # type: ignore[assignment]
        self.run(array, array.pool.flush())

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
            newest = (self.newest_name, self.newest_back.name, self.newest_group[0].name)
            if snapshot.name not in newest and KEPT_ATTRIBUTE not in snapshot.attributes and self.random.randrange(2):
                try:
                    snapshot.delete()
                    self.world.reached["snapshots that were pruned"] += 1
                except Held:
                    self.world.reached["snapshots that a hold has kept"] += 1
                except StoreError:
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
            array.replication.rights_changed(path)
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
        """Fail over, and reverse the protection. The array that does this may die at any moment, and then does it again."""
        copy = self._copy()
        if copy is None or copy.role is not Role.RECEIVING or not copy.held:
            return
        while not self._ends(self.secondary, self._promote):
            pass
        self._check_content(self.secondary, self._copy_with_role(Role.PROMOTED).held[-1])
        self.primary, self.secondary = self.secondary, self.primary
        former = self.volume(self.secondary, self.names[self.secondary])
        content = self._content(self.secondary, former)
        for _ in range(60):
            if self._ends(self.secondary, self._reverse):
                break
            self.world.advance(2.0)
        else:
            raise AssertionError("the protection is never reversed")
        kept = self.volume(self.secondary, self.names[self.secondary]).snapshots.values()
        assert any(self.run(self[self.secondary], each.digest()) == content for each in kept), "changes of hosts are lost"
        self.changes.update({each.guid: self.secondary for each in kept if KEPT_ATTRIBUTE in each.attributes})
        self.turns += 1
        self.world.reached["promotions and reversals"] += 1
        if self.turns == 2:
            self.world.reached["seeds with promote, reverse, promote"] += 1
        self._write()
        self._take_snapshot()

    def _ends(self, name: str, change: Callable[[ReplicatingArray], Awaitable[bool]]) -> bool:
        """Run a change in an array, which may die meanwhile. Returns True if the change is complete."""
        array = self[name]
        self.run(array, array.pool.flush())
        task = self.world.spawn(array.environment, _result_of(change(array)))
        if self.is_faulty and self.random.randrange(3) == 0:
            self.world.advance(self.random.choice([0.0, 0.001, 0.01, 0.1]))
            if not task.done:
                (array.kill if self.random.randrange(2) else array.lose_power)()
                array.start()
                return False
        self.world.run_until(lambda: task.done)
        is_complete = bool(task.value())
        self.run(array, array.pool.flush())
        return is_complete

    async def _promote(self, array: ReplicatingArray) -> bool:
        copy = self._copy()
        volume = array.pool.volumes[self.names[array.name]]
        if copy is None or (copy.role is Role.PROMOTED and COPY_ATTRIBUTE not in volume.attributes):
            return True  # It was complete before the array died.
        await array.replication.failover.promote(copy, None, _restore)
        return True

    async def _reverse(self, array: ReplicatingArray) -> bool:
        identity = self._identity(array.name)
        protection = array.replication.records.protection_of(identity)
        if protection is None:
            return True
        try:
            await array.replication.failover.reverse(protection, array.paths[self.primary], _withdraw)
        except ReplicationRefused:
            return False
        return True

    def _copy(self) -> Copy | None:
        """Return the copy of the secondary."""
        found = {volume.name: copy for copy, volume in self[self.secondary].replication.copies()}
        return found.get(self.names[self.secondary])

    def _copy_with_role(self, role: Role) -> Copy:
        copy = self._copy()
        assert copy is not None
        assert copy.role is role
        return copy

    def _content(self, name: str, volume: Volume) -> object:
        """Return the digest of the present content of a volume."""
        frozen = volume.freeze()
        try:
            return self.run(self[name], frozen.digest())
        finally:
            frozen.release()

    def _check_content(self, name: str, guid: bytes) -> None:
        """Check that a volume that was promoted has the content of a snapshot."""
        volume = self.volume(name, self.names[name])
        assert self._content(name, volume) == self.digests[guid], "the promoted volume has another content"

    def _identity(self, array: str) -> bytes:
        return self[array].pool.volumes[self.names[array]].identity

    def _compare(self) -> None:
        """Compare each snapshot at each array with what was noted when it was taken."""
        for array in self.arrays.values():
            for guid, snapshot in list(array.pool.snapshots.items()):
                assert not snapshot.name.startswith("rejected"), "no fault makes a copy unequal"
                if guid in self.digests:
                    assert self.run(array, snapshot.digest()) == self.digests[guid], snapshot.name
        for guid, name in self.changes.items():
            assert self.has(name, guid), "changes of hosts were deleted"

    def _check_groups(self) -> None:
        """Check that all snapshots of a group have appeared at the receiver, or none."""
        array = self["b"]
        if array.is_running:
            found = Counter(each.group for each in array.pool.snapshots.values() if any(each.group))
            for group, count in found.items():
                assert group in self.groups or count == len(GROUP), "a group has appeared in part"
            self.groups = set(found)

    def _check_estimates(self) -> None:
        for array in self.arrays.values():
            if array.is_running:
                for activity in (*array.replication.sender.activities(), *array.replication.received.activities.values()):
                    found = activity.estimate(None, 0.0)
                    assert found.seconds_until_synced is None or found.seconds_until_synced >= 0.0


def _restore(volume: Volume, snapshot: Snapshot) -> None:
    volume.restore(snapshot)


async def _withdraw(_volume: Volume) -> None:
    pass


async def _result_of(change: Awaitable[bool]) -> bool:
    return await change
