"""Two arrays with a group, and their witness, in a simulated world without random faults."""

from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from odx_target.replica.membership.register import Register
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import GroupState
from odx_target.replica.sync.maintenance import Maintenance
from odx_target.store.api import BLOCK_BYTES, Volume
from odx_target.store.open import PoolOptions
from tests.sim.group_array import NAME, GroupArray, make_group
from tests.sim.network import Direction, Network
from tests.sim.simulated_array import pair
from tests.sim.virtual_environment import VirtualTask
from tests.sim.world import World

OUT_OF_SYNC_S = 8.0
VOLUME = "v"
IDENTITY = b"identity of db/v"


def block(number: int) -> bytes:
    return number.to_bytes(8, "little") * (BLOCK_BYTES // 8)


class _Unlucky(Random):
    """Chances of a disk that keeps nothing which was not synced."""

    def random(self) -> float:
        return 0.99

    def choice(self, seq: Sequence[Any]) -> Any:  # type: ignore[override]
        return seq[0]


class Pair:
    """The members `a`, which is the primary at first, and `b`, and the witness `w`. Both are in sync."""

    def __init__(self, size: int = 40, *, options: PoolOptions | None = None) -> None:
        self.world = World(1)
        self.network = Network(self.world)
        options = options or PoolOptions(segment_blocks=64, cleaning=False)
        self.a, self.b, self.w = (GroupArray(self.world, self.network, name, options=options) for name in "abw")
        for one, other in ((self.a, self.b), (self.a, self.w), (self.b, self.w)):
            pair(one, other)
        for array in (self.a, self.b):
            array.pool.create_volume(VOLUME, size, {}, identity=IDENTITY)
        make_group(self.a, self.b, self.w, [VOLUME], OUT_OF_SYNC_S)
        self.until(self.is_in_sync)

    @property
    def register(self) -> Register:
        found = self.w.table.witness_desk.record(NAME).register
        assert found is not None
        return found

    def group(self, array: GroupArray) -> Group:
        group = array.group
        assert group is not None
        return group

    def maintenance(self, array: GroupArray) -> Maintenance:
        return array.table.maintenance[NAME]

    def volume(self, array: GroupArray) -> Volume:
        return array.pool.volumes[VOLUME]

    def is_in_sync(self) -> bool:
        """True if both members are in sync, and one of them knows it, serves, and has a complete stream."""
        groups = [array.group for array in (self.a, self.b)]
        return len(self.register.in_sync) == 2 and any(
            group is not None and group.state is GroupState.SERVING and group.outgoing.sender is not None
            and group.outgoing.sender.is_complete and group.outgoing.is_peer_in_sync
            for group in groups
        )  # fmt: skip

    def serves(self, array: GroupArray) -> Callable[[], bool]:
        return lambda: array.group is not None and array.group.state is GroupState.SERVING

    def until(self, is_reached: Callable[[], bool], limit_s: float = 60.0, step_s: float = 0.05) -> float:
        """Pass time until a condition holds. Returns the time that has passed."""
        began_s = self.world.now_s
        while not is_reached():
            assert self.world.now_s < began_s + limit_s, f"not reached after {limit_s:.0f} s"
            self.world.advance(step_s)
        return self.world.now_s - began_s

    def until_exactly(self, is_reached: Callable[[], bool], limit_s: float = 60.0) -> None:
        """Pass time in steps that are shorter than any message is under way."""
        self.until(is_reached, limit_s, 0.0001)

    def spawn(self, array: GroupArray, coroutine: Coroutine[Any, Any, Any]) -> VirtualTask:
        return self.world.spawn(array.environment, coroutine)

    def run(self, array: GroupArray, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.world.run(array.environment, coroutine, 60.0)

    def write(self, array: GroupArray, at: int, *numbers: int) -> None:
        data = [block(number) for number in numbers]
        self.run(array, self.group(array).write(self.volume(array), at, data))

    def content(self, array: GroupArray, at: int = 0, count: int = 40) -> list[int]:
        data = b"".join(self.run(array, self.volume(array).read(at, count)))
        return [int.from_bytes(data[index : index + 8], "little") for index in range(0, len(data), BLOCK_BYTES)]

    def lose_all(self, array: GroupArray) -> None:
        """Turn a machine off. Its disk loses everything that was not synced."""
        array.disk._random = _Unlucky()
        array.lose_power()

    def direction(self, sender: str, receiver: str) -> Direction:
        """Return the newest open connection of two arrays, in the direction from `sender` to `receiver`."""
        links = [link for link in self.network.between(sender, receiver) if link.is_open]
        return next(end.outgoing for end in links[-1].ends if end.environment.name == sender)

    def lose(self, sender: str, receiver: str) -> None:
        """Lose what an array sends from now on. Nobody notices it before the connection has been silent for too long."""
        direction = self.direction(sender, receiver)
        direction.lost_after_bytes = direction.sent_bytes
        self.network.line(sender, receiver).is_down = True

    def drop_other(self) -> None:
        """Stop the array `b` until the primary goes on without it."""
        self.b.kill()
        self.until(lambda: len(self.register.in_sync) == 1)
