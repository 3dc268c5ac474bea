"""Hosts use the volumes of a group at two arrays, while faults happen to both, to the witness and to all links.

After each moment at most one array serves. Each read returns the last value that was acknowledged, or one of a write that is
under way or was never answered. After the last fault both arrays are in sync within a minute, with equal digests.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from odx_target.replica.membership.register import Register
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import GroupState, NotServing
from odx_target.store.api import BLOCK_BYTES, COMPRESSION_ATTRIBUTE, StoreError, Volume
from odx_target.store.open import LogPool, PoolOptions
from tests.sim.group_array import NAME, GroupArray, make_group
from tests.sim.scenarios.block_history import BlockHistory, Change
from tests.sim.scenarios.faults import DISK_FAULTS, FAULTS, LINE_FAULTS
from tests.sim.scenarios.group_changes import Person
from tests.sim.scenarios.stage import Stage
from tests.sim.simulated_array import SimulatedArray
from tests.sim.virtual_environment import VirtualTask
from tests.sim.world import World

SIZES = {"log": 20, "data": 1050}
"""Sizes of the volumes in blocks. The second has two leaves."""

USED_BLOCKS = 20
"""Number of blocks at both ends of a volume that hosts use, so that they often use the same."""

ZEROS = bytes(BLOCK_BYTES)
OUTSIDE, OUTSIDE_BLOCKS = "outside", 16
"""A volume that is not in the group, and from which hosts copy."""

OPTIONS = PoolOptions(segment_blocks=64, cleaning=False)
IN_SYNC_S = 60.0
MAX_SNAPSHOTS = 6
STEPS = 70


def play(world: World) -> None:
    """Play one seed."""
    Play(world).play()


class Play:
    """Two members, a witness, hosts, and what the hosts know."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        kinds = ((*FAULTS, *DISK_FAULTS), FAULTS, LINE_FAULTS, FAULTS)
        self.stage = Stage(
            world, ["a", "b", "w"], faults=kinds[world.seed % len(kinds)], options=OPTIONS, array_class=GroupArray
        )
        self.members = self._group_arrays()[:2]
        self.witness = self._group_arrays()[2]
        self.histories = {name: BlockHistory(size, ZEROS) for name, size in SIZES.items()}
        self.count = 0
        self.register = self._make_group()
        self.hosts = [Host(self) for _ in range(self.random.randint(1, 4))]
        self.person = Person(self) if self.random.randrange(3) else None
        self.digests: dict[bytes, set[bytes]] = {}
        for array in self._group_arrays():
            array.on_power_loss = self._power_lost
        world.checks.append(self._check)

    def play(self) -> None:
        """Play hosts through faults, and compare everything in the end."""
        if self.random.randrange(4):
            self._until_well()
        for _ in range(STEPS):
            self._pass_time(self.random.choice([0.005, 0.05, 0.3, 3.0]) * self.random.random())
            if self.random.randrange(6) == 0:
                self.stage.cause_fault()
            elif self.random.randrange(40) == 0:
                self._switch_over()
        self.stage.heal()
        if self.person is not None:
            self.person.is_stopped = True
        self._until_well()
        self._stop_hosts()
        self._pass_time(1.0)  # A volume that has left the group is deleted at the next tick of its primary.
        self._until_well()
        self._compare()
        for array in self.members:
            if array.group is not None:
                outgoing = array.group.outgoing
                self.world.faults.update({f"resync of {what}": count for what, count in outgoing.resyncs.items()})
                self.world.faults["verified anchors"] += outgoing.anchoring.verified
        for array in self._group_arrays():
            array.table.stop()
        self.stage.end()

    def new_value(self) -> bytes:
        self.count += 1
        return self.count.to_bytes(8, "little") * (BLOCK_BYTES // 8)

    def _group_arrays(self) -> list[GroupArray]:
        return [array for array in self.stage.arrays if isinstance(array, GroupArray)]

    def _make_group(self) -> Register:
        a, b, w = self._group_arrays()
        for pair in ((a, b), (a, w), (b, w)):
            self.stage.pair(*pair)
        compression = self.random.choice([{}, {COMPRESSION_ATTRIBUTE: "lz4"}])
        for array in (a, b):
            for name, size in SIZES.items():
                array.pool.create_volume(name, size, compression, identity=name.encode().ljust(16))
            array.pool.create_volume(OUTSIDE, OUTSIDE_BLOCKS, {})
            for block in range(0, OUTSIDE_BLOCKS, 2):
                array.pool.volumes[OUTSIDE].write(block, [self.new_value()])
        self.stage.flush()
        make_group(a, b, w, list(SIZES), self.random.choice([6.0, 8.0, 20.0]))
        register = w.table.witness_desk.record(NAME).register
        assert register is not None
        return register

    def _pass_time(self, delay_s: float) -> None:
        self.stage.pass_time(delay_s)
        for host in self.hosts:
            host.go_on()
        if self.person is not None:
            self.person.go_on()

    def _until_well(self) -> None:
        """Pass time until both members are in sync and one of them serves."""
        end_s = self.world.now_s + IN_SYNC_S
        while not self._is_well():
            if self.person is not None and self.person.is_stopped:
                self.person.end()
            assert self.world.now_s < end_s, f"not in sync {IN_SYNC_S:.0f} s after the last fault: {self._describe()}"
            self._pass_time(0.1)

    def _is_well(self) -> bool:
        groups = [group for array in self.members if (group := array.group) is not None]
        has_all = any(
            group.state is GroupState.SERVING
            and group.outgoing.sender is not None
            and group.outgoing.sender.is_complete
            and (self.hosts or group.outgoing.peer_osn >= self._pool_of(group).committed_osn - 1)
            for group in groups
        )
        return has_all and len(self.register.in_sync) == len(self.members)

    def _pool_of(self, group: Group) -> LogPool:
        return next(array.pool for array in self.members if array.group is group)

    def _describe(self) -> str:
        words = [str(self.register)]
        for array in self.members:
            group = array.group
            member = None if group is None else group.driver.member
            sender = None if group is None else group.outgoing.sender
            words.append(f"{array.name}: {group and group.state} {member and (member.is_proven, member.request)}")
            words.append(f"{group and group.driver.position} {sender and vars(sender)} {array.pool.committed_osn}")
        return "; ".join(words)

    def _switch_over(self) -> None:
        for array in self.members:
            group = array.group
            if group is not None and group.state is GroupState.SERVING:
                array.environment.start_soon(_switched_over, group)
                self.world.fault("switchover", array.name)

    def _stop_hosts(self) -> None:
        for host in self.hosts:
            host.is_stopped = True
        while any(host.is_busy for host in self.hosts) or (self.person is not None and self.person.is_busy):
            self._pass_time(0.1)
        self.hosts = []

    def _compare(self) -> None:
        """Compare both members with each other, and with what hosts know."""
        for name, history in self.histories.items():
            digests = []
            for array in self.members:
                volume = array.pool.volumes[name]
                frozen = volume.freeze()
                digests.append(self.world.run(array.environment, frozen.digest()))
                frozen.release()
            contents = [self._content(array, name) for array in self.members]
            for block, (first, second) in enumerate(zip(*contents, strict=True)):
                assert first == second, f"block {block} of {name} differs: {first[:8].hex()} and {second[:8].hex()}"
                assert first in history.possible(block, history.tick()), f"block {block} of {name} has lost a write"
            assert digests[0] == digests[1], f"the digests of {name} differ"
        self._compare_snapshots()
        if self.person is not None:
            self.person.check()

    def _compare_snapshots(self) -> None:
        """Compare the snapshots that both members have."""
        one, other = (array.pool.snapshots for array in self.members)
        for guid in one.keys() & other.keys():
            if one[guid].volume_name not in SIZES:
                continue  # A person may have taken its volume out of the group.
            digests = [self.world.run(array.environment, array.pool.snapshots[guid].digest()) for array in self.members]
            assert digests[0] == digests[1], f"the snapshot {one[guid].name} differs"
            assert one[guid].name == other[guid].name

    def _content(self, array: GroupArray, name: str) -> Sequence[bytes]:
        data = b"".join(self.world.run(array.environment, array.pool.volumes[name].read(0, SIZES[name])))
        return [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]

    def _power_lost(self) -> None:
        """Note what a loss of power may have taken: nothing, if another member in sync has everything."""
        self._note_register()
        keepers = [array for array in self.members if array.pool.identity.hex() in self.register.in_sync and array.is_whole]
        if not keepers:
            self.world.note("the last copy has lost its power")
            for history in self.histories.values():
                history.lose()
            if self.person is not None:
                self.person.forget()

    def _note_register(self) -> None:
        if self.witness.is_running:
            register = self.witness.table.witness_desk.record(NAME).register
            if register is not None and register.epoch > self.register.epoch:
                self.world.fault(_name_of_change(self.register, register))
                self.register = register

    def _check(self) -> None:
        self._note_register()
        serving = [array.name for array in self.members if (group := array.group) is not None and group.driver.serves]
        assert len(serving) <= 1, "both members serve"


def _name_of_change(former: Register, register: Register) -> str:
    if register.primary != former.primary:
        return "handed over" if len(register.in_sync) > 1 else "taken over"
    return "added" if len(register.in_sync) > len(former.in_sync) else "dropped"


async def _switched_over(group: Group) -> None:
    with suppress(NotServing, StoreError):
        await group.switchover()


class Host:
    """A host that writes, reads, unmaps and flushes at the member that serves, one command after the other."""

    def __init__(self, play: Play) -> None:
        self.is_stopped = False
        self._play = play
        self._random = play.random
        self._array: SimulatedArray | None = None
        self._life = 0
        self._task: VirtualTask | None = None
        self._under_way: list[tuple[BlockHistory, Change]] = []

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    def go_on(self) -> None:
        """Find a member that serves, if the host has none, or none any more."""
        if self._task is not None:
            assert self._array is not None
            if self._array.is_running and self._array.starts == self._life and not self._task.done:
                return
            error = self._task.error if self._array.starts == self._life else None
            assert error is None or not isinstance(error, AssertionError | TypeError | AttributeError | ValueError), repr(error)
            for history, change in self._under_way:
                history.unanswered(change)
            self._under_way.clear()
            self._task = None
        if self.is_stopped:
            return
        array = self._random.choice(self._play.members)
        group = array.group
        if group is not None:
            self._array, self._life = array, array.starts
            self._task = array.environment.spawn(self._use(group))

    async def _use(self, group: Group) -> None:
        """Use a member until it does not serve."""
        assert self._array is not None
        environment = self._array.environment
        try:
            while not self.is_stopped:
                index = self._random.randrange(len(SIZES))
                name, volume = list(SIZES)[index], group.volumes()[index]
                writes = (self._write,) * 4
                commands = (*writes, self._read, self._read, self._unmap, self._flush, self._copy, self._snapshot)
                await self._random.choice(commands)(group, self._play.histories[name], volume)
                await environment.sleep(self._random.choice([0.0, 0.02, 0.1, 0.5]))
        except (NotServing, StoreError):
            pass

    def _range(self, volume: Volume) -> tuple[int, int]:
        count = self._random.choice([1, 1, 2, 8])
        last = min(USED_BLOCKS, volume.size_blocks) - count
        block = self._random.randint(0, max(0, last))
        if self._random.randrange(2) and volume.size_blocks > USED_BLOCKS:
            block = volume.size_blocks - block - count
        return block, min(count, volume.size_blocks - block)

    async def _write(self, group: Group, history: BlockHistory, volume: Volume) -> None:
        block, count = self._range(volume)
        values = [self._play.new_value() for _ in range(count)]
        await self._change(history, block, values, lambda: group.write(volume, block, values))

    async def _unmap(self, group: Group, history: BlockHistory, volume: Volume) -> None:
        block, count = self._range(volume)
        await self._change(history, block, [ZEROS] * count, lambda: group.unmap(volume, block, count))

    async def _copy(self, group: Group, history: BlockHistory, volume: Volume) -> None:
        """Copy frozen blocks of the volume, or of a volume outside of the group, as a token does."""
        assert isinstance(self._array, GroupArray)
        block, count = self._range(volume)
        source = self._random.choice([volume, self._array.pool.volumes[OUTSIDE]])
        frozen = source.freeze()
        try:
            if self._random.randrange(2):
                await self._write(group, history, volume)
            count = min(count, OUTSIDE_BLOCKS)
            data = b"".join(await frozen.read(0, count))
            values = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
            await self._change(
                history,
                block,
                values,
                lambda: group.change(lambda: volume.copy_from(frozen, 0, block, count), volume.room_made),
            )
        finally:
            frozen.release()

    async def _snapshot(self, group: Group, _history: BlockHistory, volume: Volume) -> None:
        """Take a snapshot of all volumes, rename one, or delete one."""
        assert isinstance(self._array, GroupArray)
        pool, name = self._array.pool, self._play.new_value()[:4].hex()
        snapshots = [each for each in pool.snapshots.values() if each.volume_name in SIZES]
        if len(snapshots) < MAX_SNAPSHOTS:
            await group.change(lambda: pool.snapshot_volumes({each: {"of": each} for each in SIZES}, name), volume.room_made)
        elif self._random.randrange(2):
            await group.change(snapshots[0].delete, volume.room_made)
        else:
            await group.change(lambda: snapshots[0].rename(name), volume.room_made)

    async def _change(
        self, history: BlockHistory, block: int, values: list[bytes], command: Callable[[], Awaitable[None]]
    ) -> None:
        changes = [history.begin(block + index, value) for index, value in enumerate(values)]
        self._under_way = [(history, change) for change in changes]
        await command()
        self._under_way = []
        for change in changes:
            history.succeeded(change)

    async def _read(self, group: Group, history: BlockHistory, volume: Volume) -> None:
        block, count = self._range(volume)
        since = history.tick()
        data = b"".join(await group.read(volume, block, count))
        for index in range(count):
            value = data[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]
            possible = history.possible(block + index, since)
            if value not in possible:
                known = [each[:4].hex() for each in possible]
                raise AssertionError(f"a read of block {block + index} found {value[:4].hex()}, and not {known}")
            history.seen(block + index, value)

    async def _flush(self, group: Group, _history: BlockHistory, _volume: Volume) -> None:
        since = [(history, history.tick()) for history in self._play.histories.values()]
        await group.flush()
        for history, tick in since:
            history.flushed(tick)
