"""Three arrays of a simulated world that can make and remove groups: `a` with volumes, `b` as other member, `w` as witness."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from odx_target.replica.grouping.founding import Founding, GroupVolume
from odx_target.replica.grouping.luns import NotPossible
from odx_target.replica.grouping.removal import Removal
from odx_target.replica.grouping.server import GroupServer
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import GroupState
from odx_target.replica.sync.group_table import GroupRefused
from odx_target.store.api import BLOCK_BYTES, Volume
from odx_target.store.open import PoolOptions
from tests.sim.group_array import NAME, GroupArray
from tests.sim.network import Network
from tests.sim.simulated_array import pair
from tests.sim.world import World

OUT_OF_SYNC_S = 8.0
VOLUMES = ("one", "two")
SIZE = 20


class Luns:
    """The LUNs of an array that presents nothing to hosts. `numbers` has those of its volumes, by their identities."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.taken: set[int] = set()

    def check(self, name: str, size_bytes: int, block_bytes: int, number: int | None) -> None:
        if number in self.taken:
            raise NotPossible(f"LUN {number} is taken, and {name} needs it")

    async def present(self, volumes: Sequence[Volume], numbers: Sequence[int | None]) -> None:
        for volume, number in zip(volumes, numbers, strict=True):
            if number is not None:
                self.numbers[volume.identity] = number

    async def withdraw(self, volumes: Sequence[Volume]) -> None:
        for volume in volumes:
            self.numbers.pop(volume.identity, None)

    async def forget(self, volume: Volume) -> None:
        assert volume.identity not in self.numbers, "a volume is deleted while hosts can reach it"


class FoundingArray(GroupArray):
    """An array that makes and removes groups."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.luns = Luns()
        self.server: GroupServer
        super().__init__(*given, **named)

    def start(self, drift: float = 1.0) -> None:
        super().start(drift)
        self.server = GroupServer(self.pool, self.environment, self.table, self.luns)
        self.server.add_to(self.requests)


class Three:
    """The arrays, paired with each other. `a` has the volumes with some data."""

    def __init__(self) -> None:
        self.world = World(1)
        self.network = Network(self.world)
        options = PoolOptions(segment_blocks=64, cleaning=False)
        self.a, self.b, self.w = (FoundingArray(self.world, self.network, name, options=options) for name in "abw")
        self.arrays = (self.a, self.b, self.w)
        for one, other in ((self.a, self.b), (self.a, self.w), (self.b, self.w)):
            pair(one, other)
        for number, name in enumerate(VOLUMES):
            volume = self.a.pool.create_volume(name, SIZE, {})
            volume.write(number, [bytes([number + 1]) * BLOCK_BYTES])
        for array in self.arrays:
            array.pool.commit()
            self.run(array, array.pool.flush())
        self.until(self.are_connected)

    def are_connected(self) -> bool:
        return all(path.link is not None for array in self.arrays if array.is_running for path in array.paths.values())

    def until(self, is_reached: Callable[[], bool], limit_s: float = 60.0) -> None:
        began_s = self.world.now_s
        while not is_reached():
            assert self.world.now_s < began_s + limit_s, f"not reached after {limit_s:.0f} s"
            self.world.advance(0.05)

    def run(self, array: FoundingArray, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.world.run(array.environment, coroutine, 60.0)

    def founding(self, names: Sequence[str] = VOLUMES, *, name: str = NAME) -> Coroutine[Any, Any, Group]:
        a = self.a
        volumes = [GroupVolume(a.pool.volumes[each], SIZE * BLOCK_BYTES, 512, index + 3) for index, each in enumerate(names)]
        path, witness = a.path_to(self.b), a.path_to(self.w)
        return Founding(a.pool, a.environment, a.table, name, volumes, path, witness, OUT_OF_SYNC_S).run()

    def found(self, names: Sequence[str] = VOLUMES, *, name: str = NAME) -> Group:
        """Make the group from its primary."""
        group: Group = self.run(self.a, self.founding(names, name=name))
        return group

    def removing(self, *, keeps_copies: bool = False, is_forced: bool = False) -> Coroutine[Any, Any, list[str]]:
        a = self.a
        removal = Removal(a.pool, a.environment, a.table, a.table.path_to)
        return removal.remove(a.table.groups[NAME], keeps_copies=keeps_copies, is_forced=is_forced)

    def remove(self, *, keeps_copies: bool = False, is_forced: bool = False) -> list[str]:
        """Remove the group from its primary."""
        left: list[str] = self.run(self.a, self.removing(keeps_copies=keeps_copies, is_forced=is_forced))
        return left

    def lose_power_during(self, change: Coroutine[Any, Any, object], victim: str, after_s: float) -> bool:
        """Begin a change at `a`, let an array lose its power after a while, and start the array again.

        Returns True if the change had ended before.
        """
        array = {"a": self.a, "b": self.b, "w": self.w}[victim]
        task = self.world.spawn(self.a.environment, _ignoring_refusal(change))
        self.world.advance(after_s)
        was_done = task.done
        array.lose_power()
        self.world.advance(0.2)
        array.start()
        self.until(self.are_connected)
        return was_done

    def is_in_sync(self) -> bool:
        group = self.a.group
        return (
            group is not None
            and group.state is GroupState.SERVING
            and len(group.driver.member.register.in_sync) == 2
            and group.outgoing.sender is not None
            and group.outgoing.sender.is_complete
        )

    def content(self, array: FoundingArray, name: str) -> bytes:
        return b"".join(self.run(array, array.pool.volumes[name].read(0, SIZE)))


async def _ignoring_refusal(change: Coroutine[Any, Any, object]) -> None:
    with suppress(GroupRefused):
        await change
